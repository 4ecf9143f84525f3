/* type_rules - checks a record whose fields are valid one by one.
 *
 * Owns:     nothing.
 * Threads:  any.
 */
#ifndef GATHERD_RUNTIME_TYPES_TYPE_RULES_H
#define GATHERD_RUNTIME_TYPES_TYPE_RULES_H

#include "runtime/types/type.h"

/* Checks the record's rules, in order. Returns true, or false with *check_error filled. */
bool type_check_each_rule(const struct type *record, const void *value, struct check_error *check_error);

/* Checks the record's rules, then calls its check(). Returns the same. Inline, because most records have neither. */
static inline bool type_check_rules(const struct type *record, const void *value, struct check_error *check_error)
{
    return (record->rules == NULL || type_check_each_rule(record, value, check_error)) &&
           (record->check == NULL || record->check(value, check_error));
}

#endif

/* type_rules - checks a record whose fields are valid one by one.
 *
 * Owns:     nothing.
 * Threads:  any.
 */
#ifndef GATHERD_RUNTIME_TYPES_TYPE_RULES_H
#define GATHERD_RUNTIME_TYPES_TYPE_RULES_H

#include "runtime/types/type.h"

/* Checks the record's rules, in order, then calls its check(). Returns true, or false with *check_error filled. */
bool type_check_rules(const struct type *record, const void *value, struct check_error *check_error);

#endif

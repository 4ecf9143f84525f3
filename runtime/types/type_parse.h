/* type_parse - parses values from the text of flags, environment variables, queries and defaults.
 *
 * Owns:     nothing; strings and arrays are allocated in the caller's arena.
 * Threads:  any.
 */
#ifndef GATHERD_RUNTIME_TYPES_TYPE_PARSE_H
#define GATHERD_RUNTIME_TYPES_TYPE_PARSE_H

#include "runtime/lib/error.h"
#include "runtime/lib/str.h"
#include "runtime/types/limits.h"

/* Parses and checks a value. BOOLEAN: true or false; INTEGER: decimal; SECONDS: decimal, such as 1.5; ENUM, POOL: the
 * name; STRING: verbatim; ARRAY of these: separated by commas, empty text for no items. Other kinds have no text
 * form: CHECK.
 *
 * Returns 0 with *value set; ERR_INVALID, ERR_LIMIT_EXCEEDED or (an unknown pool, a NUL in a STRING)
 * ERR_INVALID_ARGUMENT, with e->msg as "must be ..."; or ERR_OUT_OF_MEMORY.
 * `e` may be NULL, `arena` too unless the type contains STRING or ARRAY, and `limits` unless it refers to a limit. */
int type_parse(const struct type *type, struct str text, struct arena *arena, const struct limits *limits, void *value,
               struct err *e);

/* Zeroes a record, sets FIELD_DEFAULTED fields to their defaults and marks FIELD_OPTIONAL ones as absent. Defaults
 * must need neither an arena nor a limit. */
void record_set_defaults(const struct type *record, void *out);

#endif

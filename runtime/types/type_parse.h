/* type_parse - values from text, as flags, the environment, queries and defaults have them.
 *
 * Owns:     nothing; strings and arrays go to the caller's arena.
 * Threads:  any.
 */
#ifndef GATHERD_RUNTIME_TYPES_TYPE_PARSE_H
#define GATHERD_RUNTIME_TYPES_TYPE_PARSE_H

#include "runtime/lib/error.h"
#include "runtime/lib/str.h"
#include "runtime/types/limits.h"

/* Reads a value from text, as query options, flags and the environment have it, and checks it. BOOLEAN: true, false;
 * INTEGER: decimal; SECONDS: a decimal number such as 1.5; ENUM, STRING: as it is; LIST of such: separated by commas, empty
 * text for no items. `arena` may be NULL where there is neither STRING nor LIST.
 * 0 with *value set, ERR_INVALID or ERR_LIMIT_EXCEEDED with e->msg as "must be ...", or ERR_OUT_OF_MEMORY. Records, functions, inputs and
 * what is only in outputs can't be written as text: PRE. `limits` may be NULL where no type refers to one. */
int type_parse(const struct type *type, struct str text, struct arena *arena, const struct limits *limits, void *value,
               struct err *e);

/* Zeroes a record and gives each FIELD_DEFAULTED field its default; the others are marked absent. No default may need an
 * arena or a limit: CHECK. */
void record_set_defaults(const struct type *record, void *out);

#endif

/* type_parse - parses values from the text of flags, environment variables, queries and defaults.
 *
 * Owns:     nothing; parsed strings and arrays are in the caller's arena.
 * Threads:  any.
 */
#ifndef GATHERD_RUNTIME_TYPES_TYPE_PARSE_H
#define GATHERD_RUNTIME_TYPES_TYPE_PARSE_H

#include "runtime/lib/error.h"
#include "runtime/lib/str.h"
#include "runtime/types/limits.h"

/* Parses and checks a value. BOOLEAN: true or false; INTEGER: decimal; SECONDS: decimal, such as 1.5; ENUM, POOL: the
 * name; STRING: verbatim; ARRAY of these: separated by commas, empty text for no items. Other kinds have no text form
 * and fail a CHECK.
 *
 * Returns 0 with *value set, ERR_INVALID or ERR_LIMIT_EXCEEDED with "must ..." in e->msg, or ERR_OUT_OF_MEMORY. `e` may
 * be NULL; so may `arena`, unless the type is a STRING or an ARRAY, and `limits`, unless it is a POOL or has a
 * limit. */
int type_parse(const struct type *type, struct str text, struct arena *arena, const struct limits *limits, void *value,
               struct err *e);

/* Zeroes a record, sets its FIELD_DEFAULTED fields to their defaults and its FIELD_OPTIONAL fields to absent. The
 * defaults are parsed without an arena and without limits. */
void record_set_defaults(const struct type *record, void *out);

#endif

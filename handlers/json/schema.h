/* schema - JSON Schema (2020-12) from the type tables.
 *
 * Owns:     nothing.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_HANDLERS_JSON_SCHEMA_H
#define GATHERD_HANDLERS_JSON_SCHEMA_H

#include "handlers/json/json_writer.h"
#include "runtime/types/limits.h"

/* Writes the schema of `type` as a JSON value that stands by itself: what it refers to is in its "$defs". Configured limits
 * appear with the values they have in `limits`. */
void schema_write(struct json_writer *w, const struct type *type, const struct limits *limits);

#endif

/* schema - generates JSON Schema (2020-12) from type tables.
 *
 * Owns:     nothing.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_HANDLERS_JSON_SCHEMA_H
#define GATHERD_HANDLERS_JSON_SCHEMA_H

#include "handlers/json/decode.h"
#include "handlers/json/render.h"

/* Writes the schema of `type` as a self-contained JSON value: referenced records are in its "$defs". Configured
 * limits appear with their values, and a task's function is one of the registry. `child` may be NULL if the type
 * contains no TYPE_CHILD. */
void schema_write(struct json_writer *w, const struct type *type, const struct decode_context *context,
                  const struct child_codec *child);

#endif

/* render - values into JSON text, straight from the type tables, with no tree in between.
 *
 * Owns:     nothing.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_HANDLERS_JSON_RENDER_H
#define GATHERD_HANDLERS_JSON_RENDER_H

#include "handlers/json/json_writer.h"
#include "runtime/types/type.h"

/* Integers beyond this in size are decimal strings outside, since others would round them (RFC 8259 section 6). */
#define RENDER_SAFE_INTEGER_MAX (INT64_C(1) << 53)

/* Absent fields are left out, or null where the record has render_nulls. A CHILD is rendered as handlers/resources/task_object.h says. */
void render_value(struct json_writer *w, const struct type *type, const void *value);

/* The members of a record without the braces, each with a comma before it unless *first; *first becomes false. */
void render_members(struct json_writer *w, const struct type *record, const void *value, bool *first);

#endif

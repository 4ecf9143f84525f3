/* render - renders values as JSON text, by their type tables.
 *
 * Owns:     nothing.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_HANDLERS_JSON_RENDER_H
#define GATHERD_HANDLERS_JSON_RENDER_H

#include "handlers/json/json_writer.h"
#include "runtime/types/type.h"

struct task;

/* How to render a TYPE_CHILD. The caller passes it, because the type table of tasks belongs to a higher module. */
struct child_codec {
    const struct type *type; /* a RECORD; for the schema */
    void (*render)(struct json_writer *w, const struct task *task);
};

/* Renders a value as JSON. Absent fields are omitted, or null in a record with render_nulls. `child` may be NULL if
 * the type contains no TYPE_CHILD. */
void render_value(struct json_writer *w, const struct type *type, const void *value, const struct child_codec *child);

/* Renders the members of a record without braces. A comma precedes each member, except the first one if *first is true;
 * *first becomes false. The record must contain no TYPE_CHILD. */
void render_members(struct json_writer *w, const struct type *record, const void *value, bool *first);

#endif

/* render - values into JSON text, straight from the type tables, with no tree in between.
 *
 * Owns:     nothing.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_HANDLERS_JSON_RENDER_H
#define GATHERD_HANDLERS_JSON_RENDER_H

#include "handlers/json/json_writer.h"
#include "runtime/types/type.h"

struct task;

/* How a TYPE_CHILD looks in JSON. The caller supplies it, because the type table of a task belongs to a module above. */
struct child_codec {
    const struct type *type; /* a RECORD, for the schema */
    void (*render)(struct json_writer *w, const struct task *task);
};

/* Renders a value as JSON. Absent fields are omitted, or null in a record with render_nulls. `child` may be NULL if the type
 * contains no TYPE_CHILD. */
void render_value(struct json_writer *w, const struct type *type, const void *value, const struct child_codec *child);

/* Renders the members of a record without braces. A comma precedes each unless *first, which becomes false. The record must
 * contain no TYPE_CHILD. */
void render_members(struct json_writer *w, const struct type *record, const void *value, bool *first);

#endif

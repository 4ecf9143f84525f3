/* json_parse - parses JSON text to a jansson tree in an arena.
 *
 * Owns:     nothing. The tree is freed with the arena, without json_decref().
 * Threads:  any. jansson's allocator hooks have no context argument, so the current arena is thread-local: the
 *           program's only mutable global.
 */
#ifndef GATHERD_HANDLERS_JSON_JSON_PARSE_H
#define GATHERD_HANDLERS_JSON_JSON_PARSE_H

#include "runtime/lib/arena.h"
#include "runtime/lib/str.h"

#include <jansson.h>

/* Returns false if out of memory. Otherwise *tree is the root, or NULL with *error set if the text is not JSON (RFC
 * 8259) or has duplicate members. The tree is read-only: jansson functions that allocate must not be called. */
bool json_parse(struct str text, struct arena *arena, json_t **tree, json_error_t *error);

#endif

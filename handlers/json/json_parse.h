/* json_parse - JSON text as jansson's tree, all of it in one arena.
 *
 * Owns:     nothing. The tree is the arena's: there is no json_decref(), it goes when the arena does.
 * Threads:  any. jansson asks for memory without saying whom it works for, so the arena that a reading takes from is a
 *           variable, the only one there is outside of a struct. It is the thread's own: several loops in one process
 *           can read at the same time.
 */
#ifndef GATHERD_HANDLERS_JSON_JSON_PARSE_H
#define GATHERD_HANDLERS_JSON_JSON_PARSE_H

#include "runtime/lib/arena.h"
#include "runtime/lib/str.h"

#include <jansson.h>

/* False when memory ran out. Else *tree is the root, or NULL for what is no JSON (RFC 8259) or has a member twice; then
 * *error says why. The tree may be looked at; what takes memory of jansson's may not be called. */
bool json_parse(struct str text, struct arena *arena, json_t **tree, json_error_t *error);

#endif

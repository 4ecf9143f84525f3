/* arena - the memory of one request: many small allocations, freed together.
 *
 * Owns:     its blocks. Who holds a reference may use everything allocated from it.
 * Threads:  one thread at a time; references are counted on the loop thread only.
 * Promise:  memory comes zeroed and aligned for any type; NULL means that there is none, and changes nothing.
 */
#ifndef GATHERD_RUNTIME_LIB_ARENA_H
#define GATHERD_RUNTIME_LIB_ARENA_H

#include "runtime/lib/str.h"

struct arena;

struct arena *arena_new(void); /* one reference, the caller's */
struct arena *arena_ref(struct arena *arena);
void arena_unref(struct arena *arena); /* the last one frees it; NULL is allowed */

/* Takes over the caller's reference to another arena, and gives it back when it goes itself. */
void arena_adopt(struct arena *arena, struct arena *other);

/* Has end(data) called when the arena goes, before its memory does; the last deferred first. False when there is no memory. */
bool arena_add_cleanup(struct arena *arena, void (*fn)(void *data), void *data);

/* Keeps another arena, by a reference of its own, as long as this one. False when there is no memory. */
bool arena_retain(struct arena *arena, struct arena *other);

/* A large piece of memory of its own, not zeroed, that goes when the arena does. */
void *arena_alloc_large(struct arena *arena, size_t size);

void *arena_alloc(struct arena *arena, size_t size);
void *arena_calloc(struct arena *arena, size_t count, size_t size); /* NULL on overflow too */

/* Copies `len` bytes and puts a NUL behind them. Returns false, with *out unchanged, when there is no memory. */
bool arena_str(struct arena *arena, const char *bytes, size_t len, struct str *out);

#endif

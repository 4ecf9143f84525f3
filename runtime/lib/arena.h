/* arena - memory of one request: many small allocations, freed together.
 *
 * Owns:     its blocks, until the last reference is dropped.
 * Threads:  one at a time; references are counted on the loop thread only.
 * Errors:   out of memory is NULL or false, and leaves the arena unchanged.
 */
#ifndef GATHERD_RUNTIME_LIB_ARENA_H
#define GATHERD_RUNTIME_LIB_ARENA_H

#include "runtime/lib/str.h"

struct arena;

struct arena *arena_new(void); /* with one reference, owned by the caller */
struct arena *arena_ref(struct arena *arena);
void arena_unref(struct arena *arena); /* frees it with the last reference; NULL is allowed */

/* Takes ownership of the caller's reference to `other`, and drops it when `arena` is freed. */
void arena_adopt(struct arena *arena, struct arena *other);

/* Calls fn(data) when the arena is freed, before its memory is, in reverse order. */
bool arena_add_cleanup(struct arena *arena, void (*fn)(void *data), void *data);

/* Holds a new reference to `other` until `arena` is freed. */
bool arena_retain(struct arena *arena, struct arena *other);

/* Separately malloc'd memory, not zeroed, that is freed with the arena. */
void *arena_alloc_large(struct arena *arena, size_t size);

/* Zeroed memory, aligned for any type. */
void *arena_alloc(struct arena *arena, size_t size);
void *arena_calloc(struct arena *arena, size_t count, size_t size); /* NULL on overflow too */

/* Copies `len` bytes and appends a NUL. On failure *out is unchanged. */
bool arena_str(struct arena *arena, const char *bytes, size_t len, struct str *out);

#endif

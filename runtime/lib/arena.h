/* arena - memory of one request: many small allocations, freed together.
 *
 * Owns:     its blocks, until the last reference is dropped.
 * Threads:  one thread at a time; references are counted on the loop thread only.
 * Errors:   NULL or false: out of memory; the arena is unchanged.
 */
#ifndef GATHERD_RUNTIME_LIB_ARENA_H
#define GATHERD_RUNTIME_LIB_ARENA_H

#include "runtime/lib/str.h"

struct arena;

struct arena *arena_new(void); /* with one reference, owned by the caller */
struct arena *arena_ref(struct arena *arena);
void arena_unref(struct arena *arena); /* frees it with the last reference; NULL is allowed */

/* Takes ownership of the caller's reference to `other`, which is dropped when `arena` is freed. An arena can be adopted
 * once. */
void arena_adopt(struct arena *arena, struct arena *other);

/* Registers fn(data), which is called before the arena's memory is freed; the last registered is called first. */
bool arena_add_cleanup(struct arena *arena, void (*fn)(void *data), void *data);

/* Holds a new reference to `other` until `arena` is freed. */
bool arena_retain(struct arena *arena, struct arena *other);

/* Memory from a malloc(3) of its own, not zeroed; freed with the arena. */
void *arena_alloc_large(struct arena *arena, size_t size);

/* Zeroed memory, aligned for any type. */
void *arena_alloc(struct arena *arena, size_t size);
void *arena_calloc(struct arena *arena, size_t count, size_t size); /* NULL on overflow too */

/* Copies `len` bytes and appends a NUL. On failure *out is unchanged. */
bool arena_str(struct arena *arena, const char *bytes, size_t len, struct str *out);

#endif

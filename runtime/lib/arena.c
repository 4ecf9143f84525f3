#include "runtime/lib/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    FIRST_BLOCK = 1024 - 64, /* a plain request fits, and malloc's own header with it in 1 KiB */
    LARGEST_BLOCK = 64 * 1024,
};

struct block {
    struct block *next; /* older */
    size_t size;        /* of bytes[] */
    size_t used;        /* of bytes[] */
    alignas(max_align_t) char bytes[];
};

struct deferred {
    struct deferred *next; /* deferred before */
    void (*end)(void *data);
    void *data;
};

struct arena {
    struct block *newest; /* the one allocations come from; owned, with all behind it */
    struct deferred *deferred;
    struct arena *adopted; /* the newest it took over; a reference */
    struct arena *next;    /* taken over before by the same arena */
    unsigned references;
};

static struct block *block_new(size_t size, struct block *next)
{
    struct block *block = malloc(sizeof *block + size);
    if (block == NULL)
        return NULL;
    *block = (struct block){.next = next, .size = size};
    return block;
}

static void *block_take(struct block *block, size_t size)
{
    if (size > block->size - block->used)
        return NULL;
    void *memory = block->bytes + block->used;
    block->used += size;
    return memset(memory, 0, size);
}

struct arena *arena_new(void)
{
    struct block *first = block_new(FIRST_BLOCK, NULL);
    if (first == NULL)
        return NULL;
    struct arena *arena = block_take(first, (sizeof *arena + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1));
    *arena = (struct arena){.newest = first, .references = 1};
    return arena;
}

struct arena *arena_ref(struct arena *arena)
{
    arena->references++;
    return arena;
}

void arena_unref(struct arena *arena)
{
    if (arena == NULL || --arena->references > 0)
        return;
    for (struct deferred *d = arena->deferred; d != NULL; d = d->next)
        d->end(d->data);
    for (struct arena *other = arena->adopted; other != NULL;) {
        struct arena *next = other->next;
        arena_unref(other);
        other = next;
    }
    struct block *block = arena->newest; /* the arena itself lies in the oldest block */
    while (block != NULL) {
        struct block *next = block->next;
        free(block);
        block = next;
    }
}

void arena_adopt(struct arena *arena, struct arena *other)
{
    other->next = arena->adopted;
    arena->adopted = other;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    if (size > SIZE_MAX / 2)
        return NULL;
    size = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    void *memory = block_take(arena->newest, size);
    if (memory != NULL)
        return memory;
    size_t block_size = arena->newest->size * 2 < LARGEST_BLOCK ? arena->newest->size * 2 : LARGEST_BLOCK;
    if (size > block_size / 4) { /* large: a block of its own, behind the newest, which goes on being filled */
        struct block *own = block_new(size, arena->newest->next);
        if (own == NULL)
            return NULL;
        arena->newest->next = own;
        return block_take(own, size);
    }
    struct block *block = block_new(block_size, arena->newest);
    if (block == NULL)
        return NULL;
    arena->newest = block;
    return block_take(block, size);
}

bool arena_defer(struct arena *arena, void (*end)(void *data), void *data)
{
    struct deferred *d = arena_alloc(arena, sizeof *d);
    if (d == NULL)
        return false;
    *d = (struct deferred){arena->deferred, end, data};
    arena->deferred = d;
    return true;
}

static void let_go(void *arena)
{
    arena_unref(arena);
}

bool arena_keep(struct arena *arena, struct arena *other)
{
    if (!arena_defer(arena, let_go, other))
        return false;
    arena_ref(other);
    return true;
}

void *arena_block(struct arena *arena, size_t size)
{
    void *block = malloc(size);
    if (block != NULL && !arena_defer(arena, free, block)) {
        free(block);
        block = NULL;
    }
    return block;
}

void *arena_calloc(struct arena *arena, size_t count, size_t size)
{
    if (size != 0 && count > SIZE_MAX / size)
        return NULL;
    return arena_alloc(arena, count * size);
}

bool arena_str(struct arena *arena, const char *bytes, size_t len, struct str *out)
{
    if (len == SIZE_MAX)
        return false;
    char *copy = arena_alloc(arena, len + 1);
    if (copy == NULL)
        return false;
    if (len > 0)
        memcpy(copy, bytes, len);
    *out = (struct str){copy, len};
    return true;
}

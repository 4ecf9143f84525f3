#include "runtime/lib/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    FIRST_BLOCK_SIZE = 1024 - 64, /* enough for a small request; 64: for struct block and malloc's header */
    MAX_BLOCK_SIZE = 64 * 1024,
};

struct block {
    struct block *next; /* older, or the block of one large allocation */
    size_t size;        /* of bytes[] */
    size_t used;        /* of bytes[] */
    alignas(max_align_t) char bytes[];
};

struct cleanup {
    struct cleanup *next; /* added before this one */
    void (*fn)(void *data);
    void *data;
};

struct arena {
    struct block *current; /* serves small allocations; owned, as are all blocks after it */
    struct cleanup *cleanup;
    struct arena *adopted; /* head of the list of adopted arenas; owns a reference to each */
    struct arena *next;    /* in the list of the arena that adopted this one */
    unsigned refcount;
};

static struct block *block_new(size_t size, struct block *next)
{
    struct block *block = malloc(sizeof *block + size);
    if (block == NULL)
        return NULL;
    *block = (struct block){.next = next, .size = size};
    return block;
}

static void *block_alloc(struct block *block, size_t size)
{
    if (size > block->size - block->used)
        return NULL;
    void *memory = block->bytes + block->used;
    block->used += size;
    return memset(memory, 0, size);
}

struct arena *arena_new(void)
{
    struct block *first = block_new(FIRST_BLOCK_SIZE, NULL);
    if (first == NULL)
        return NULL;
    struct arena *arena = block_alloc(first, (sizeof *arena + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1));
    *arena = (struct arena){.current = first, .refcount = 1};
    return arena;
}

struct arena *arena_ref(struct arena *arena)
{
    arena->refcount++;
    return arena;
}

void arena_unref(struct arena *arena)
{
    if (arena == NULL || --arena->refcount > 0)
        return;
    for (struct cleanup *entry = arena->cleanup; entry != NULL; entry = entry->next)
        entry->fn(entry->data);
    for (struct arena *other = arena->adopted; other != NULL;) {
        struct arena *next = other->next;
        arena_unref(other);
        other = next;
    }
    struct block *block = arena->current; /* the arena itself is in the oldest block */
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
    void *memory = block_alloc(arena->current, size);
    if (memory != NULL)
        return memory;
    size_t block_size = arena->current->size * 2 < MAX_BLOCK_SIZE ? arena->current->size * 2 : MAX_BLOCK_SIZE;
    /* A large allocation gets a block of its own, linked after the current one, which continues to serve small ones. */
    if (size > block_size / 4) {
        struct block *dedicated = block_new(size, arena->current->next);
        if (dedicated == NULL)
            return NULL;
        arena->current->next = dedicated;
        return block_alloc(dedicated, size);
    }
    struct block *block = block_new(block_size, arena->current);
    if (block == NULL)
        return NULL;
    arena->current = block;
    return block_alloc(block, size);
}

bool arena_add_cleanup(struct arena *arena, void (*fn)(void *data), void *data)
{
    struct cleanup *entry = arena_alloc(arena, sizeof *entry);
    if (entry == NULL)
        return false;
    *entry = (struct cleanup){arena->cleanup, fn, data};
    arena->cleanup = entry;
    return true;
}

static void arena_unref_cleanup(void *arena)
{
    arena_unref(arena);
}

bool arena_retain(struct arena *arena, struct arena *other)
{
    if (!arena_add_cleanup(arena, arena_unref_cleanup, other))
        return false;
    arena_ref(other);
    return true;
}

void *arena_alloc_large(struct arena *arena, size_t size)
{
    void *block = malloc(size);
    if (block != NULL && !arena_add_cleanup(arena, free, block)) {
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

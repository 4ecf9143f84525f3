#include "tests/unit/support/alloc_fault.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

/* The names are required by --wrap. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

static atomic_ulong allocations; /* since the last alloc_fail_at() */
static atomic_ulong fail_at;     /* the number of the allocation that fails, from 1; 0: none */

void alloc_fail_at(unsigned long n)
{
    atomic_store(&fail_at, 0); /* so that no other thread compares the new count with the old number */
    atomic_store(&allocations, 0);
    atomic_store(&fail_at, n);
}

unsigned long alloc_count(void)
{
    return atomic_load(&allocations);
}

static bool alloc_fails(void)
{
    unsigned long index = atomic_fetch_add(&allocations, 1) + 1;
    if (index != atomic_load(&fail_at))
        return false;
    errno = ENOMEM;
    return true;
}

void *__wrap_malloc(size_t size)
{
    return alloc_fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return alloc_fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return alloc_fails() ? NULL : __real_realloc(old, size);
}

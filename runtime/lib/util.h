/* util - macros, units and the struct array, shared by all modules.
 *
 * Owns:     nothing.
 * Threads:  any.
 */
#ifndef GATHERD_RUNTIME_LIB_UTIL_H
#define GATHERD_RUNTIME_LIB_UTIL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/time.h>

#define container_of(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#define NS_PER_SECOND UINT64_C(1000000000)
#define NS_PER_MS UINT64_C(1000000)

static inline uint64_t timeval_ns(struct timeval t)
{
    return (uint64_t)t.tv_sec * NS_PER_SECOND + (uint64_t)t.tv_usec * 1000;
}

struct array {
    void *items; /* `count` contiguous items; NULL if the array is absent */
    size_t count;
};

#endif

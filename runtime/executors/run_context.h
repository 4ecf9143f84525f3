/* run_context - the environment of a function that runs in a pool's thread or in a worker process.
 *
 * Owns:     nothing.
 * Threads:  the thread that runs the function.
 */
#ifndef GATHERD_RUNTIME_EXECUTORS_RUN_CONTEXT_H
#define GATHERD_RUNTIME_EXECUTORS_RUN_CONTEXT_H

#include "runtime/lib/arena.h"
#include "runtime/lib/error.h"

#include <stdatomic.h>
#include <stdint.h>

struct file_root;
struct limits;

struct run_context {
    struct arena *arena;               /* for memory of the output; lives as long as the output */
    const atomic_bool *canceled;       /* whether the task was canceled; long functions poll it with run_canceled() */
    const struct limits *limits;       /* NULL in a worker process */
    atomic_llong *read_quota;          /* bytes that the request may still read; NULL in a worker process */
    const struct file_root *file_root; /* NULL except on the executor files */
    int64_t read_reserved;             /* bytes that this call has charged to read_quota; refunded if it fails */
    struct err *e;                     /* filled on failure, by err_set() */
};

static inline bool run_canceled(const struct run_context *run)
{
    /* thread_pool.h explains why relaxed order suffices. */
    return atomic_load_explicit(run->canceled, memory_order_relaxed);
}

/* Charges bytes to the quota that all tasks of the request share. To be called before memory for the bytes is
 * allocated. 0, or ERR_LIMIT_EXCEEDED with nothing charged and *run->e filled. */
int run_reserve_read(struct run_context *run, int64_t bytes);

/* Refunds bytes that were reserved but not read. A negative number charges more, without a check of the quota. */
void run_release_read(struct run_context *run, int64_t bytes);

#endif

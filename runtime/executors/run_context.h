/* run_context - what a function sees while it runs off the loop, in a pool's thread or a worker process: an input, an output, this.
 *
 * Owns:     nothing.
 * Threads:  the one that runs the function.
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
    struct arena *arena; /* for what the output points to; lives as long as the output */
    const atomic_bool
        *canceled; /* set when nobody wants the result any more; a function that can, looks now and then */
    const struct limits *limits;       /* NULL in a worker process */
    atomic_llong *read_quota;          /* bytes of files that the request may still read; NULL in a worker process */
    const struct file_root *file_root; /* where paths are looked up; NULL but on the executor files */
    int64_t read_reserved;             /* of read_quota, by this run; who fails gets it back */
    struct err *e;                     /* to be filled, by err_set(), when it fails */
};

static inline bool run_canceled(const struct run_context *run)
{
    return atomic_load_explicit(run->canceled, memory_order_relaxed);
}

/* Takes what is to be read, before there is memory for it, off what the request may read, all its tasks together. 0, or
 * ERR_LIMIT_EXCEEDED with nothing taken. */
int run_reserve_read(struct run_context *run, int64_t bytes);
void run_release_read(struct run_context *run,
                      int64_t bytes); /* it was so much less than paid for; or more, if below 0 */

#endif

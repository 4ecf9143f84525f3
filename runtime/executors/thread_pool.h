/* thread_pool - a pool backend with one thread for each slot, started with the pool.
 *
 * The loop appends a job to `pending` and takes it from `completed`, both under the pool's mutex, which orders all
 * accesses to the job's members between the two threads. At other times only job->canceled and job->tid cross threads.
 * Both are atomic, and relaxed order suffices: `canceled` is a hint that publishes no other data (a function that sees
 * it late returns late, and its result is dropped either way), and `tid` is a plain number.
 *
 * Owns:     its threads; a job from its start to its end.
 * Threads:  the loop thread, except function->run().
 */
#ifndef GATHERD_RUNTIME_EXECUTORS_THREAD_POOL_H
#define GATHERD_RUNTIME_EXECUTORS_THREAD_POOL_H

#include "runtime/executors/pool.h"

/* Starts the threads. 0 with *out set, ERR_OUT_OF_MEMORY, or ERR_INTERNAL: the system refuses another thread. */
int thread_pool_new(struct runtime *runtime, struct str name, enum executor_kind kind, int64_t size,
                    const char *size_source, struct executor **out, struct err *e);

#endif

/* thread_pool - a pool backend with one thread for each slot, started with the pool.
 *
 * The loop appends a job to `pending` and takes it from `completed`, both under the pool's mutex, which orders all
 * accesses to the job's members by the two threads. While the job runs, both threads access only job->canceled and
 * job->tid. These are atomic, and relaxed order suffices: `canceled` publishes no other data (a function that sees it
 * late returns late, and its result is dropped in any case), and `tid` is a number.
 *
 * Owns:     its threads; a job from its start to its end.
 * Threads:  the loop thread, except function->run().
 */
#ifndef GATHERD_RUNTIME_EXECUTORS_THREAD_POOL_H
#define GATHERD_RUNTIME_EXECUTORS_THREAD_POOL_H

#include "runtime/executors/pool.h"

/* Starts the threads. `name` and `size_source` are borrowed for the life of the pool. 0 with *out set,
 * ERR_OUT_OF_MEMORY, or ERR_INTERNAL: the system does not allow so many threads. */
int thread_pool_new(struct runtime *runtime, struct str name, enum executor_kind kind, int64_t size,
                    const char *size_source, struct executor **out, struct err *e);

#endif

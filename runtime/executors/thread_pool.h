/* thread_pool - a pool's backend: as many threads as it has slots, started with it, and no others.
 *
 * Owns:     its threads; a job from its start to its end.
 * Threads:  loop thread, but function->run.
 *
 * Handing over: the loop puts a job into `given` and takes it out of `ended`, both under one mutex; that mutex is also what
 * orders a job's fields between the two threads. Only job->canceled and job->tid are read across at other moments, and are
 * atomic.
 */
#ifndef GATHERD_RUNTIME_EXECUTORS_THREAD_POOL_H
#define GATHERD_RUNTIME_EXECUTORS_THREAD_POOL_H

#include "runtime/executors/pool.h"

/* Starts a pool of threads. ERR_OUT_OF_MEMORY, or ERR_INTERNAL when the system gives no more threads; then nothing is left. */
int thread_pool_new(struct runtime *runtime, struct str name, enum executor_kind kind, int64_t size,
                    const char *size_source, struct executor **out, struct err *e);

#endif

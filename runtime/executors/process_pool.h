/* process_pool - a pool backend with one worker process of our own executable for each slot, started with the pool.
 *
 *     down --spawn--> starting --ready--> idle <--job, response--> busy
 *      ^                 |                  |                       |
 *      |                 v                  v                       v
 *      |   start_failed, start_timed_out,  lost, terminated        lost, terminated
 *      |                 |                  |                       |
 *      +-----------------+------------------+-----------------------+    the process has exited, its handles are closed
 *
 * A starting worker may be terminated too. A worker that fails costs its own task only, and is replaced; workers that
 * fail repeatedly before completing a task are replaced after a growing delay.
 *
 * Owns:     its workers (runtime/executors/worker_process.h); a job from its start to its end.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_RUNTIME_EXECUTORS_PROCESS_POOL_H
#define GATHERD_RUNTIME_EXECUTORS_PROCESS_POOL_H

#include "runtime/executors/pool.h"
#include "runtime/executors/pool_options.h"
#include "runtime/executors/worker_event.h"

/* Workers start in milliseconds. One that is not ready after 10 s is hung: it is killed and replaced. */
#define WORKER_START_TIMEOUT_NS (10 * NS_PER_SECOND)

/* Starts the workers. 0 with *out set, or ERR_OUT_OF_MEMORY. Workers that cannot be spawned are retried later. */
int process_pool_new(struct runtime *runtime, const struct pool_options *options, const struct process_config *config,
                     struct executor **out, struct err *e);

#endif

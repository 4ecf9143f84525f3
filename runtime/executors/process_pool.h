/* process_pool - a pool backend with one worker process for each slot, started with the pool. A worker process runs the
 * service's own executable.
 *
 *     down --spawn--> starting --ready--> idle <--job, response--> busy
 *      ^                 |                  |                       |
 *      |                 v                  v                       v
 *      |   start_failed, start_timed_out,  lost, terminated        lost, terminated
 *      |                 |                  |                       |
 *      +-----------------+------------------+-----------------------+    the process has exited, its handles are closed
 *
 * A starting worker may be terminated too. When a worker fails, only its own task fails, and the worker is replaced:
 * after a growing delay if it fails repeatedly before it completes a task.
 *
 * Owns:     its workers (runtime/executors/worker_process.h); a job from its start to its end.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_RUNTIME_EXECUTORS_PROCESS_POOL_H
#define GATHERD_RUNTIME_EXECUTORS_PROCESS_POOL_H

#include "runtime/executors/pool.h"
#include "runtime/executors/pool_options.h"
#include "runtime/executors/worker_event.h"

/* A worker starts in milliseconds. If it is not ready after 10 s, it hangs: it is killed and replaced. */
#define WORKER_START_TIMEOUT_NS (10 * NS_PER_SECOND)

/* Starts the workers. 0 with *out set, or ERR_OUT_OF_MEMORY. A spawn that fails is retried later. */
int process_pool_new(struct runtime *runtime, const struct pool_options *options, const struct process_config *config,
                     struct executor **out, struct err *e);

#endif

/* process_pool - a pool's backend: worker processes of our own executable, warm from the start, one task each at a time.
 *
 *     down --spawn--> starting --ready--> idle <------> busy
 *      ^                 |                 |  \          /  |
 *      |      start_failed or             |   \        /   |
 *      |      start_timed_out             +--> lost <-----+   its process failed
 *      |                 |                |     |         |
 *      |                 +-> terminated <-+-----|---------+   killed: task canceled, recycled, pool stops
 *      |                 |        |             |
 *      +-----------------+--------+-------------+--- the process has exited and its handles are closed
 *
 * A worker that dies costs its own task and nothing else, and is replaced; one that dies again and again before it ever did
 * anything is replaced more and more slowly. One that has not said that it is up is given no task, and is killed when it
 * takes too long.
 *
 * Owns:     its workers (runtime/executors/worker_process.h); a job from its start to its end.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_RUNTIME_EXECUTORS_PROCESS_POOL_H
#define GATHERD_RUNTIME_EXECUTORS_PROCESS_POOL_H

#include "runtime/executors/pool.h"
#include "runtime/executors/worker_event.h"

/* A worker is up some milliseconds after its spawn. One that isn't after ten seconds hangs, even on a machine that is a
 * thousand times slower for a while, and its slot is of no use until it is replaced. */
#define WORKER_START_TIMEOUT_NS (10 * NS_PER_SECOND)

/* Starts the pool. ERR_OUT_OF_MEMORY; a worker that can't be spawned is tried again later, as one that died. */
int process_pool_new(struct runtime *runtime, const struct process_config *config, struct executor **out,
                     struct err *e);

#endif

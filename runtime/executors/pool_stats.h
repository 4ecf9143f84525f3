/* pool_stats - a pool's sizes and counts at one moment.
 *
 * Owns:     nothing; the views lie in the caller's arena.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_RUNTIME_EXECUTORS_POOL_STATS_H
#define GATHERD_RUNTIME_EXECUTORS_POOL_STATS_H

#include "runtime/lib/str.h"
#include "runtime/lib/util.h"
#include "runtime/task/function.h"

/* A pool at this moment; counts of tasks, not of requests. */
struct pool_stats {
    struct str name;
    enum executor_kind executor;
    int64_t size;
    struct str size_source;
    int64_t queue_limit, busy, queued, abandoned;
    int64_t tasks_done;
    int64_t restarts;     /* of workers that died or were killed; INTEGER absent for threads */
    struct array workers; /* of struct worker_stats; no list for threads */
};

struct worker_stats {
    int64_t pid;
    bool busy;
    int64_t tasks_done;
    uint64_t age_ns;
};

#endif

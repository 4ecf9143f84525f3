/* pool_stats - a pool's sizes and counts at one moment.
 *
 * Owns:     nothing; the values live in the caller's arena.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_RUNTIME_EXECUTORS_POOL_STATS_H
#define GATHERD_RUNTIME_EXECUTORS_POOL_STATS_H

#include "runtime/lib/str.h"
#include "runtime/lib/util.h"
#include "runtime/task/function.h"

/* Counts are of tasks, not of requests. */
struct pool_stats {
    struct str name;
    enum executor_kind executor;
    int64_t size;           /* slots */
    struct str size_source; /* "configured", "affinity" or "cgroup" */
    int64_t queue_limit;
    int64_t busy;         /* slots with a job, abandoned jobs included */
    int64_t queued;       /* tasks that wait for a slot or for their strand */
    int64_t abandoned;    /* slots whose task has ended but whose thread has not returned */
    int64_t tasks_done;   /* tasks that got a slot and have ended, in any way */
    int64_t restarts;     /* worker processes that were replaced; absent for threads */
    struct array workers; /* of struct worker_stats, those that run; absent for threads */
};

struct worker_stats {
    int64_t pid;
    bool busy;
    int64_t tasks_done; /* by this process */
    uint64_t age_ns;    /* since it was spawned */
};

#endif

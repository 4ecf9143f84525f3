/* executor - the interface between the task layer and a pool that runs tasks off the loop.
 *
 * Owns:     nothing; an executor is the first member of its pool, which runtime->pools owns.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_RUNTIME_TASK_EXECUTOR_H
#define GATHERD_RUNTIME_TASK_EXECUTOR_H

#include "runtime/task/function.h"
#include "runtime/types/limits.h"

struct executor;
struct pool_stats;
struct task_info;

struct executor_ops {
    /* Size of task_state() for a task of this executor. */
    size_t state_size;

    /* Takes a queued task. Calls task_begin() when a slot is free, from inside or later, and then task_end() or
     * task_end_canceled() once, never from inside. */
    void (*queue)(struct executor *executor, struct task *task);

    /* Drops a queued task, which has ended. */
    void (*unqueue)(struct task *task);

    /* Requests the end of a running task. May call task_end_canceled() from inside. */
    void (*cancel)(struct task *task);

    /* Adds where and how a started task ran: pid, tid, usage, exit_signal, exit_code. */
    void (*get_info)(const struct task *task, struct task_info *out);

    /* False: out of memory. */
    bool (*get_stats)(const struct executor *executor, struct arena *arena, struct pool_stats *out);

    /* Called once, when only abandoned jobs are left. Frees the pool, possibly in a later turn of the loop. */
    void (*stop)(struct executor *executor);
};

struct executor {
    const struct executor_ops *ops;
    enum executor_kind kind;
    struct str name;     /* of the pool; borrowed for its life */
    int64_t size;        /* slots */
    int64_t queue_limit; /* tasks admitted beyond `size` */
    size_t admitted;     /* tasks submitted and not ended; kept by the task layer */
    size_t abandoned;    /* slots whose task has ended and whose thread has not returned; kept by the pool */
};

/* At most one pool for each kind but threads. */
enum { POOLS_MAX = MAX_POOLS + EXECUTOR_COUNT - 2 };

#endif

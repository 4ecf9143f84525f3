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

    /* Takes a queued task. When a slot is free, calls task_begin(); if that returns true, runs the task and calls
     * task_end() or task_end_canceled() once. Each call is made from inside queue() or later. */
    void (*queue)(struct executor *executor, struct task *task);

    /* Removes a task from the queue; it was canceled and has ended. */
    void (*unqueue)(struct task *task);

    /* Requests the end of a running task. May call task_end_canceled() from inside cancel(). */
    void (*cancel)(struct task *task);

    /* Sets where and how a started task ran: pid, tid, usage, exit_signal and exit_code of *out. */
    void (*get_info)(const struct task *task, struct task_info *out);

    /* Fills *out; its arrays are in the arena. False: out of memory. */
    bool (*get_stats)(const struct executor *executor, struct arena *arena, struct pool_stats *out);

    /* Called once, when the pool has no tasks and no abandoned jobs. Frees the pool, possibly in a later turn of the
     * loop. */
    void (*stop)(struct executor *executor);
};

struct executor {
    const struct executor_ops *ops;
    enum executor_kind kind;
    struct str name;     /* of the pool; borrowed, outlives it */
    int64_t size;        /* slots */
    int64_t queue_limit; /* tasks admitted beyond `size` */
    size_t admitted;     /* tasks submitted and not ended; updated by the task layer */
    size_t abandoned;    /* slots whose task has ended but whose thread has not returned; updated by the pool */
};

/* Pools of one runtime: those of threads, and one for each other executor; the loop has no pool. */
enum { MAX_POOLS = MAX_THREAD_POOLS + EXECUTOR_COUNT - 2 };

#endif

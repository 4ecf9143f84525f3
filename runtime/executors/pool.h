/* pool - slots that run tasks off the loop, and the queue of tasks that wait for a slot. A backend runs the tasks.
 *
 *     task_queue() -> executor_ops.queue() -> pool->queue -> backend->start() ... pool_job_ended() -> task_end()
 *
 * A job is the state of a task in a pool. Admission (runtime/task/admission.c) bounds the queue.
 *
 * Owns:     its queue; while the backend has a job, a reference to the arena of the job's task, so that an abandoned
 *           job can outlive its task.
 * Threads:  the loop thread; struct job says which members a backend's thread may access.
 * Promise:  each started job ends exactly once, by pool_job_ended(), never from inside start().
 */
#ifndef GATHERD_RUNTIME_EXECUTORS_POOL_H
#define GATHERD_RUNTIME_EXECUTORS_POOL_H

#include "runtime/executors/pool_stats.h"
#include "runtime/executors/run_context.h"
#include "runtime/lib/error.h"
#include "runtime/lib/list.h"
#include "runtime/lib/str.h"
#include "runtime/task/task_internal.h"

struct job;
struct pool;

struct pool_backend {
    /* May be NULL. Called before start(): subtracts the slots that have become unusable from pool->free. */
    void (*prune)(struct pool *pool);
    /* Starts a job; pool_job_ended() follows. 0, or an ERR_ code with job->e filled: the job was not started. */
    int (*start)(struct pool *pool, struct job *job);
    /* Stops a running job, so that pool_job_ended() follows soon; or calls pool_job_abandon() from inside cancel(). */
    void (*cancel)(struct pool *pool, struct job *job);
    /* May be NULL. Sets the members of *out that only the backend knows. False: out of memory. */
    bool (*get_stats)(const struct pool *pool, struct arena *arena, struct pool_stats *out);
    /* Called once, when the pool has no jobs. Frees the pool, possibly in a later turn of the loop. */
    void (*stop)(struct pool *pool);
};

struct pool {
    struct executor executor; /* first */
    struct runtime *runtime;
    const struct pool_backend *backend;
    const char *size_source; /* "configured", "affinity" or "cgroup"; static */
    size_t free;             /* slots ready for a job; incremented by pool_slot_available() */
    size_t busy;             /* slots with a job, abandoned jobs included */
    size_t queued;           /* tasks in `queue` or waiting for their strand */
    int64_t tasks_done;      /* jobs that got a slot and have ended, in any way */
    struct list_node queue;  /* of struct job */
};

/* The state of a task in a pool. While the job runs, the thread that runs it reads pool, function, input and canceled,
 * updates *read_quota, and writes the members below the line. */
struct job {
    struct list_node link; /* in pool->queue or strand->waiting; once started, for the backend */
    struct pool *pool;
    struct task *task;        /* NULL: abandoned */
    struct strand *strand;    /* borrowed; NULL: none */
    bool in_pool;             /* in pool->queue or a slot, not in strand->waiting */
    struct arena *held_arena; /* reference to the task's arena while the backend has the job */
    void *slot;               /* for the backend */
    const struct function *function;
    const void *input;        /* in the task's arena */
    atomic_llong *read_quota; /* shared by all tasks of the request */
    atomic_bool canceled;     /* set on the loop thread */
    /* -- written by the thread that runs the job, read by the loop thread when it has ended; exceptions are noted -- */
    void *output;               /* in the task's arena */
    struct arena *output_arena; /* owned; memory that the output points to; may be NULL */
    struct err e;               /* rc 0: success */
    bool returned;              /* run() has returned; guarded by the mutex of the thread pool */
    atomic_int tid;             /* may be read at any time; 0: not started */
    int pid;                    /* set on the loop thread */
    struct usage usage;         /* valid if has_usage */
    int exit_signal, exit_code; /* of a worker that failed; else 0 and -1. Set on the loop thread */
    bool killed;                /* canceled by killing its worker. Set on the loop thread */
    bool has_usage;             /* set on the loop thread */
};

void pool_init(struct pool *pool, struct runtime *runtime, const struct pool_backend *backend, struct str name,
               enum executor_kind kind, int64_t size, const char *size_source);

/* -- for backends -------------------------------------------------------------------------------------------------- */

/* Adds a free slot and starts the next queued job. */
void pool_slot_available(struct pool *pool);

/* Ends the job, and its task unless that was abandoned. The job may be invalid afterwards. Its slot is not free until
 * pool_slot_available(). */
void pool_job_ended(struct job *job);

/* Ends the job's task with EFFECT_ABANDONED. The job keeps its slot until pool_job_ended(). */
void pool_job_abandon(struct job *job);

#endif

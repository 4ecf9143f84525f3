/* pool - slots that run tasks off the loop, behind one queue that runtime/task/admission.c bounds.
 *
 *     task_queue() -> executor_ops.queue() -> (queue) -> backend->start() ... pool_job_ended() -> task_end()
 *
 * Owns:     its queue; while a backend has a job (the state of its task), a reference to the task's arena, so that an
 *           abandoned job can outlive its task.
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
    /* May be NULL. Removes free slots that have become unusable from pool->free. */
    void (*prune)(struct pool *pool);
    /* 0, or an ERR_ code with job->e filled: the job was not started. */
    int (*start)(struct pool *pool, struct job *job);
    /* Stops a running job, so that pool_job_ended() follows; or calls pool_job_abandon() from inside. */
    void (*cancel)(struct pool *pool, struct job *job);
    /* May be NULL. Adds what the backend knows. False: out of memory. */
    bool (*get_stats)(const struct pool *pool, struct arena *arena, struct pool_stats *out);
    /* Called once, when only abandoned jobs are left. Frees the pool, possibly in a later turn of the loop. */
    void (*stop)(struct pool *pool);
};

struct pool {
    struct executor executor; /* first */
    struct runtime *runtime;
    const struct pool_backend *backend;
    const char *size_source; /* "configured", "affinity" or "cgroup"; static */
    size_t free;             /* slots ready for a job; raised by pool_slot_available() */
    size_t busy;             /* slots with a job, abandoned ones included */
    size_t queued;           /* tasks in the queue or in a strand */
    int64_t tasks_done;      /* jobs that have ended, in any way */
    struct list_node queue;  /* of struct job */
};

/* State of a task in a pool. While it runs, its thread reads function, input and canceled, and writes the members
 * below the line. */
struct job {
    struct list_node link; /* in pool->queue or strand->waiting; once started, the backend's */
    struct pool *pool;
    struct task *task;        /* NULL: abandoned */
    struct strand *strand;    /* borrowed; NULL: none */
    bool in_pool;             /* not in strand->waiting */
    struct arena *held_arena; /* reference to the task's arena while the backend has the job */
    void *slot;               /* for the backend */
    const struct function *function;
    const void *input;        /* in the task's arena */
    atomic_llong *read_quota; /* of the request */
    atomic_bool canceled;
    /* -- written by the thread that runs the job, read by the loop after its end; exceptions are noted -- */
    void *output;               /* in the task's arena */
    struct arena *output_arena; /* owned; memory of the output; may be NULL */
    struct err e;               /* rc 0: success */
    bool returned;              /* run() has returned; guarded by the thread pool's mutex */
    atomic_int tid;             /* readable at any time; 0: not started */
    int pid;                    /* set on the loop thread */
    struct usage usage;
    int exit_signal, exit_code; /* of a worker that failed; else 0 and -1. Set on the loop thread */
    bool killed;                /* canceled: its worker was killed. Set on the loop thread */
    bool has_usage;             /* set on the loop thread */
};

void pool_init(struct pool *pool, struct runtime *runtime, const struct pool_backend *backend, struct str name,
               enum executor_kind kind, int64_t size, const char *size_source);

/* For backends. */

/* Frees a slot, and starts the next queued job. */
void pool_slot_available(struct pool *pool);

/* Ends the job's task unless it was abandoned. Frees the job's output arena and its reference; job may be invalid
 * after. */
void pool_job_ended(struct job *job);

/* Ends the job's task with EFFECT_ABANDONED. The job keeps its slot until pool_job_ended(). */
void pool_job_abandon(struct job *job);

#endif

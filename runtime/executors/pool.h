/* pool - slots that run tasks off the loop, and the one bounded queue before them.
 *
 *     task_queue() -> pool_add() -> (queue) -> backend->start() ... pool_job_ended() -> task_end()
 *
 * The queue and all counts are kept on the loop thread; a backend gets a job only when it has a slot for it at that moment. So
 * canceling queued work is unlinking it, and a task's start is the moment its slot begins with it.
 *
 * Owns:     its place in the runtime; a job lies in its task (it is its state), and its task's arena is kept while a
 *           backend has it, so that one that was abandoned can end in its own time.
 * Threads:  the loop thread; what a backend's thread may touch of a job is said in struct job.
 * Promise:  each job that was started is ended exactly once, by pool_job_ended(), never from inside start().
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
    /* May be NULL. Takes a slot that can't be used after all off pool->free. */
    void (*prune)(struct pool *pool);
    /* 0; or an ERR_ code with job->e saying why it did not take the job. */
    int (*start)(struct pool *pool, struct job *job);
    /* The task of a running job was canceled. Brings pool_job_ended() about soon, when it can; or calls
     * pool_job_abandon(), now. */
    void (*cancel)(struct pool *pool, struct job *job);
    /* May be NULL. Adds what it alone knows; false when there is no memory. */
    bool (*get_stats)(const struct pool *pool, struct arena *arena, struct pool_stats *out);
    void (*stop)(
        struct pool *pool); /* nothing runs any more but abandoned jobs; frees the pool when the loop lets it */
};

struct pool {
    struct executor executor; /* first */
    struct runtime *runtime;
    const struct pool_backend *backend;
    const char *size_source; /* why: "configured", "affinity", "cgroup" */
    size_t free;             /* slots that could start a job now; kept by the backend through pool_slot_available() */
    size_t busy;             /* slots that have a job, abandoned ones included */
    size_t queued;           /* in the queue */
    int64_t tasks_done;      /* jobs that ended, however */
    struct list_node queue;  /* of struct job */
};

/* A task's state in a pool. While it runs, its thread reads function, input and canceled, and writes what is below the line. */
struct job {
    struct list_node link; /* in pool->queue; then the backend's */
    struct pool *pool;
    struct task *task;        /* NULL once it is abandoned */
    struct strand *strand;    /* borrowed; NULL: none */
    bool in_pool;             /* it has left its lane's waiting line, and is in the pool */
    struct arena *held_arena; /* a reference to the task's arena, while the backend has the job */
    void *slot;               /* the backend's own */
    const struct function *function;
    const void *input;        /* in the task's arena */
    atomic_llong *read_quota; /* the request's */
    atomic_bool canceled;
    /* -- written by who runs it, read after its end */
    void *output;               /* in the task's arena */
    struct arena *output_arena; /* owned; what the output points to; NULL: nothing */
    struct err e;               /* rc 0: it succeeded */
    bool returned;              /* run() has returned; of a thread pool, guarded by its mutex */
    atomic_int tid;             /* readable at any time; 0: not known yet */
    int pid;                    /* likewise, but set on the loop thread */
    struct usage usage;
    int exit_signal, exit_code; /* of the worker that died with it; 0 and -1: none did. Set on the loop thread */
    bool killed;                /* it ended because it was canceled */
    bool has_usage;             /* usage is known; set on the loop thread */
};

void pool_init(struct pool *pool, struct runtime *runtime, const struct pool_backend *backend, struct str name,
               enum executor_kind kind, int64_t size, const char *size_source);

/* The backend's part. */
void pool_slot_available(struct pool *pool); /* one more job may be started; starts it */
void pool_job_ended(struct job *job);        /* ends its task, if it has one still, and lets go of all it kept */
void pool_job_abandon(struct job *job);      /* ends its task as abandoned; the job goes on */

#endif

/* runtime - all tasks of one loop: what runs, what is ready, what waits for its time.
 *
 * Owns:     its tasks' places in its queues, one timer of the loop. No globals: a process may have several.
 * Threads:  all on the loop thread.
 */
#ifndef GATHERD_RUNTIME_RUNTIME_H
#define GATHERD_RUNTIME_RUNTIME_H

#include "runtime/function.h"
#include "runtime/limits.h"

struct runtime;
struct uv_loop_s;

/* A worker process that is lost without our having wanted it. What became of its task is told to who waits for that; this
 * is for whoever looks after the machine. */
struct worker_event {
    bool was_up; /* false: it failed to start */
    enum worker_fault {
        WORKER_ENDED,       /* by itself, or someone else killed it; or it hung up on us, and we made sure */
        WORKER_NOT_SPAWNED, /* there is none */
        WORKER_LATE,        /* it was not up in time; killed for that, as for all below */
        WORKER_NONSENSE,    /* what it said made no sense */
        WORKER_NO_MEMORY,   /* we had none for what it said */
        WORKER_FAULTS
    } fault;
    const char *system;     /* what the system says of one that was not spawned; else NULL */
    int pid;                /* 0: none */
    int exit_signal;        /* that it died of without our doing; 0: of none */
    int exit_code;          /* that it exited with; -1: it didn't */
    const char *function;   /* of the task that it was running; NULL: none */
    struct text last_words; /* its last line on stderr, printable ASCII; absent: none */
    uint64_t retry_ns;      /* until another is tried in its place */
};
extern const char *const worker_fault_names[WORKER_FAULTS + 1]; /* ends with NULL */

/* Called from the loop, never from inside a call of ours, and not after runtime_close(). The event is lent for the call,
 * and the runtime may not be called from it. */
typedef void worker_event_fn(void *user, const struct worker_event *event);

struct runtime_config {
    struct uv_loop_s *loop;       /* borrowed */
    const struct limits *limits;  /* copied; limits->pools and what it points to is borrowed */
    int64_t processes;            /* worker processes; 0: none */
    const char *processes_source; /* what says so; static */
    char *const *worker_command;  /* argv, ends with NULL: how to start one; borrowed. It is to call worker_run() */
    int64_t worker_max_tasks;     /* INTEGER absent: no such limit */
    uint64_t worker_start_ns;     /* how long one may take to be up; 0: WORKER_START_NS */
    worker_event_fn *on_worker;   /* NULL: nobody is told */
    void *user;                   /* for on_worker; borrowed */
    const char *files_root; /* the directory that file functions see as their root; NULL: none, and no such functions */
    int64_t files_threads;
    const char *files_source; /* what says how many; static */
};

/* Makes a runtime and starts its threads and worker processes. 0 with *out set; or ERR_OUT_OF_MEMORY, or ERR_INTERNAL when the
 * system gives no more of them. What was begun then ends by itself when the loop is run on. */
int runtime_new(const struct runtime_config *config, struct runtime **out, struct err *e);

/* Starts what is queued and delivers what has ended, until nothing is ready. To be called after task_submit() and
 * task_cancel(); what the loop itself brings about (timers) drains by itself. From inside a `done` it does nothing: the
 * drain that called it goes on. */
void runtime_drain(struct runtime *runtime);

const struct limits *runtime_limits(const struct runtime *runtime);
size_t runtime_unfinished(const struct runtime *runtime); /* tasks that have not ended, children included */

/* From now on task_submit() refuses with ERR_SHUTTING_DOWN; what runs goes on. */
void runtime_refuse(struct runtime *runtime);

/* Cancels every task that has not ended, with reason CANCEL_SHUTDOWN. Their `done`s come by runtime_drain(). */
void runtime_cancel_all(struct runtime *runtime);

/* The same, and refuses whatever comes from now on, also what would go on with what was begun. */
void runtime_end(struct runtime *runtime);

/* Threads that still run a job whose task was abandoned. While there are any, runtime_close() can't be called: a process
 * that wants to end then ends by _exit(2), and does not wait for them. */
size_t runtime_abandoned(const struct runtime *runtime);

/* Gives it back; every task must have been released, and no thread be left with a job. It is freed when the loop is run on,
 * which stays alive until the worker processes have ended. */
void runtime_close(struct runtime *runtime);

/* The files that clients hold open; NULL when there is no files_root. */
struct open_files *runtime_open_files(struct runtime *runtime);

/* A pool at this moment; counts of tasks, not of requests. */
struct pool_view {
    struct text name;
    enum executor executor;
    int64_t size;
    struct text size_source;
    int64_t queue_limit, busy, queued, abandoned;
    int64_t tasks_done;
    int64_t restarts;    /* of workers that died or were killed; INTEGER absent for threads */
    struct list workers; /* of struct worker_view; no list for threads */
};

struct worker_view {
    int64_t pid;
    bool busy;
    int64_t tasks_done;
    uint64_t age_ns;
};

/* All pools, as a list of struct pool_view in the arena. False when there is no memory. */
bool runtime_pools(const struct runtime *runtime, struct arena *arena, struct list *out);

#endif

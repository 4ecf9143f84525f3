/* task - the unit of work: submitted, run on an executor, ended exactly once.
 *
 *     submitted -> queued -> running --+-> succeeded | failed
 *         |          |          +-> canceling -> canceled | failed | succeeded (it ended first: effect too_late)
 *         +----------+------------> canceled | failed (its deadline passed: effect prevented)
 *
 * A top-level task is queued at once; a child stays submitted until its parent queues it, as max_concurrency allows.
 *
 * Owns:     until task_release(), a reference to the request's arena, which holds the spec, children and outputs.
 * Threads:  the loop thread.
 * Promise:  after task_submit() has returned 0, `done` runs exactly once, from task_drain(), never from inside
 *           task_submit() or task_cancel().
 */
#ifndef GATHERD_RUNTIME_TASK_TASK_H
#define GATHERD_RUNTIME_TASK_TASK_H

#include "runtime/task/task_spec.h"

struct runtime;

enum task_state {
    TASK_SUBMITTED,
    TASK_QUEUED,
    TASK_RUNNING,
    TASK_CANCELING,
    TASK_SUCCEEDED,
    TASK_FAILED,
    TASK_CANCELED,
    TASK_STATE_COUNT
};
extern const char *const task_state_names[TASK_STATE_COUNT + 1]; /* ends with NULL */

/* Why a task was canceled. */
enum cancel_reason {
    CANCEL_CLIENT,   /* a client canceled it or disconnected */
    CANCEL_PARENT,   /* its parent was canceled, timed out or passed its deadline */
    CANCEL_SIBLING,  /* another child has decided the result of its parent */
    CANCEL_SHUTDOWN, /* the service is shutting down */
    CANCEL_TIMEOUT,
    CANCEL_DEADLINE,
    CANCEL_REASON_COUNT
};
extern const char *const cancel_reason_names[CANCEL_REASON_COUNT + 1]; /* ends with NULL */

/* Called when a top-level task has ended. The task remains valid until task_release(). The callback may submit, cancel
 * and release tasks. */
typedef void task_done_fn(struct task *task, void *user);

/* Starts the queued tasks of the loop and delivers ended tasks, until the ready queue is empty. To be called after
 * task_submit() and task_cancel(); the callbacks of the runtime's own handles call it themselves. From inside a `done`
 * it returns at once, and the outer call continues. */
void task_drain(struct runtime *runtime);

/* Requests the end of a task and its children. No effect on a task that has ended or is canceling. */
void task_cancel(struct task *task, enum cancel_reason reason);

/* Frees a top-level task and its children, from inside its `done` or later. */
void task_release(struct task *task);

/* Resource usage of a task, as getrusage(2) measures it. */
struct usage {
    uint64_t user_ns, system_ns;   /* CPU time */
    int64_t worker_peak_rss_bytes; /* of the worker process since its start; absent for threads */
};

/* A snapshot of a task. Pointers are borrowed from the task. */
struct task_info {
    const struct task_spec *spec;
    enum task_state state;
    bool done;          /* the state is succeeded, failed or canceled */
    int rc;             /* ERR_ code of a failed or canceled task; else 0 */
    const char *detail; /* a sentence about rc; NULL: the title of rc suffices */
    const void *output; /* of function->output's type; NULL: no output */
    enum executor_kind executor;
    struct str pool;           /* absent on the loop */
    int pid, tid;              /* the process and thread that ran it; 0: never started */
    const struct usage *usage; /* NULL: ran on the loop, has not ended, or was abandoned */
    int exit_signal;           /* the signal that killed its worker process during the task; 0: none */
    int exit_code;             /* of its worker process; -1: the process did not exit during the task */
    bool cancel_requested;     /* cancel_reason is valid */
    bool cancel_completed;     /* cancel_effect is valid */
    enum cancel_reason cancel_reason;
    enum cancel_effect cancel_effect;
    uint64_t received_ns; /* a time of uv_hrtime() */
    uint64_t queued_ns;   /* from receipt to the start, or to the end if never started; absent until then */
    uint64_t duration_ns; /* from start to end; absent until the end, and if never started */
    uint32_t index;       /* among its siblings, from 0 */
};
void task_get_info(const struct task *task, struct task_info *out);

#endif

/* task - the unit of work: submitted, run on an executor, ended exactly once.
 *
 *     submitted -> queued -> running --+-> succeeded | failed
 *         |          |          +-> canceling -> canceled | failed | succeeded (it ended first: effect too_late)
 *         +----------+------------> canceled | failed (its deadline passed: effect prevented)
 *
 * Only children stay submitted, until max_concurrency allows another; a top-level task is queued at once.
 *
 * Owns:     a reference to the arena of its spec, its children and their outputs, until task_release().
 * Threads:  the loop thread.
 * Promise:  after task_submit() has returned 0, `done` runs exactly once: later, from task_drain() or a callback of the
 *           loop, never from inside task_submit() or task_cancel().
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
    CANCEL_SIBLING,  /* its parent was decided without it */
    CANCEL_SHUTDOWN, /* the service is shutting down */
    CANCEL_TIMEOUT,
    CANCEL_DEADLINE,
    CANCEL_REASON_COUNT
};
extern const char *const cancel_reason_names[CANCEL_REASON_COUNT + 1]; /* ends with NULL */

/* The task remains valid until task_release(). The callback may submit, cancel and release tasks. */
typedef void task_done_fn(struct task *task, void *user);

/* Starts queued tasks of the loop and delivers ended ones until the ready queue is empty. Callers of task_submit()
 * and task_cancel() call it next; callbacks of the runtime's own handles have done so. Returns at once when called
 * from inside a `done`: the outer call continues. */
void task_drain(struct runtime *runtime);

/* Requests the end of a task and its children. No effect on a task that has ended or is canceling. */
void task_cancel(struct task *task, enum cancel_reason reason);

/* Frees a task, from inside its `done` or later. */
void task_release(struct task *task);

/* From getrusage(2). */
struct usage {
    uint64_t user_ns, system_ns;
    int64_t worker_peak_rss_bytes; /* of the worker process since its start; absent for threads */
};

/* Snapshot of a task. Pointers borrow from the task. */
struct task_info {
    const struct task_spec *spec;
    enum task_state state;
    bool done;          /* succeeded, failed or canceled */
    int rc;             /* ERR_ code of a failed or canceled task; else 0 */
    const char *detail; /* a sentence about this error; NULL: the title of rc says it all */
    const void *output; /* of function->output's type; NULL: no output */
    enum executor_kind executor;
    struct str pool;           /* absent on the loop */
    int pid, tid;              /* where it ran; 0: never started */
    const struct usage *usage; /* NULL: on the loop, not ended, or abandoned */
    int exit_signal;           /* that killed its worker process; 0: none */
    int exit_code;             /* of its worker process; -1: it did not exit during the task */
    bool cancel_requested;     /* cancel_reason is valid */
    bool cancel_completed;     /* cancel_effect is valid */
    enum cancel_reason cancel_reason;
    enum cancel_effect cancel_effect;
    uint64_t received_ns; /* uv_hrtime() */
    uint64_t queued_ns;   /* from receipt to start, or to the end if never started; absent before */
    uint64_t duration_ns; /* from start to end; absent before the end and if never started */
    uint32_t index;       /* among its siblings, from 0 */
};
void task_get_info(const struct task *task, struct task_info *out);

#endif

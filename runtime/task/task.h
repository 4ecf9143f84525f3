/* task - the unit of work: submitted, run on an executor, ended exactly once.
 *
 *     submitted -> queued -> running --+-> succeeded | failed
 *         |          |          +-> canceling -> canceled | failed | succeeded (it ended first: effect too_late)
 *         +----------+------------> canceled | failed (its deadline passed: effect prevented)
 *
 * "submitted" is a child whose turn has not come (max_concurrency); a task of its own is queued at once.
 *
 * Owns:     a reference to the arena that holds its spec, its children and their outputs, until task_release().
 * Threads:  all on the loop thread.
 * Promise:  when task_submit() returned 0, `done` runs exactly once, later, on the loop thread, from task_drain() or a
 *           callback of the loop, never from inside task_submit() or task_cancel().
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

/* Who asked for the end. */
enum cancel_reason {
    CANCEL_CLIENT,   /* a client said so, or hung up */
    CANCEL_PARENT,   /* the gather it is part of was canceled, timed out or passed its deadline */
    CANCEL_SIBLING,  /* the gather it is part of was decided without it */
    CANCEL_SHUTDOWN, /* the service goes */
    CANCEL_TIMEOUT,
    CANCEL_DEADLINE,
    CANCEL_REASON_COUNT
};
extern const char *const cancel_reason_names[CANCEL_REASON_COUNT + 1]; /* ends with NULL */

/* Runs once for a task that was submitted. The task may be looked at until task_release(). */
typedef void task_done_fn(struct task *task, void *user);

/* Starts what is queued and delivers what has ended, until nothing is ready. To be called after task_submit() and
 * task_cancel(); what the loop itself brings about (timers) drains by itself. From inside a `done` it does nothing: the
 * drain that called it goes on. */
void task_drain(struct runtime *runtime);

/* Asks for the end of a task and all its children. Without effect on one that ended or is already ending. */
void task_cancel(struct task *task, enum cancel_reason reason);

/* Gives back a task whose `done` was called, from inside it or later. */
void task_release(struct task *task);

/* What it took, by getrusage(2). */
struct usage {
    uint64_t user_ns, system_ns;
    int64_t worker_peak_rss_bytes; /* of the worker in its life until then; INTEGER absent in threads */
};

/* What can be said of a task at this moment. Times are absent (type_is_absent) where they have not come yet. Pointers
 * borrow from the task. */
struct task_info {
    const struct task_spec *spec;
    enum task_state state;
    bool done;          /* state is one of the last three */
    int rc;             /* why it failed or was canceled: an ERR_ code; 0 otherwise */
    const char *detail; /* what is to be said of rc in this case, a sentence; NULL: nothing beyond its title */
    const void *output; /* of function->output's type; NULL until there is one */
    enum executor_kind executor;
    struct str pool;           /* absent on the loop */
    int pid, tid;              /* where it ran; 0 when it never started */
    const struct usage *usage; /* NULL on the loop, before the end, and when it was abandoned */
    int exit_signal;           /* that its worker died of; 0: none */
    int exit_code;             /* that its worker exited with; -1: it didn't */
    bool cancel_requested;     /* then cancel_reason is set */
    bool cancel_completed;     /* then cancel_effect is set */
    enum cancel_reason cancel_reason;
    enum cancel_effect cancel_effect;
    uint64_t received_ns; /* uv_hrtime() */
    uint64_t queued_ns;   /* from receipt to the start, or to the end of one that never started; absent before */
    uint64_t duration_ns; /* from the start to the end; absent before, and when it never started */
    uint32_t index;       /* among its siblings, from 0 */
};
void task_get_info(const struct task *task, struct task_info *out);

#endif

/* admission - admits tasks: checks every limit, and allocates everything that a task and its children need, before any
 * of them starts.
 *
 * Owns:     nothing.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_RUNTIME_TASK_ADMISSION_H
#define GATHERD_RUNTIME_TASK_ADMISSION_H

#include "runtime/task/task.h"

/* Submits a task and its children. `spec` and all it points to are in `arena`, to which the task takes a reference.
 * received_ns: uv_hrtime() at receipt of the request; deadlines count from it. `done` is called with `user` once, as
 * task.h promises.
 *
 * Returns 0 with *out set. On error nothing has started and `done` is never called: ERR_TOO_MANY_TASKS, ERR_POOL_FULL
 * (e->pool is set), ERR_LIMIT_EXCEEDED (even an idle service could not admit the task; e->limit is set),
 * ERR_EXECUTOR_DISABLED, ERR_OUT_OF_MEMORY or ERR_SHUTTING_DOWN. */
int task_submit(struct runtime *runtime, const struct task_spec *spec, struct arena *arena, uint64_t received_ns,
                task_done_fn *done, void *user, struct task **out, struct err *e);

/* As task_submit(), for a further step of work that was admitted before: no limit applies, and runtime_reject_new()
 * does not; only ERR_OUT_OF_MEMORY, and after runtime_shutdown() ERR_SHUTTING_DOWN. The deadline counts from now. The
 * executor must be enabled. */
int task_continue(struct runtime *runtime, const struct task_spec *spec, struct arena *arena, task_done_fn *done,
                  void *user, struct task **out, struct err *e);

/* Returns the error with which task_submit() would reject the task now, or 0. spec->input is not read, so children and
 * parts are not counted. With `spec` NULL, checks only what applies to every task. */
int task_submit_check(struct runtime *runtime, const struct task_spec *spec, struct err *e);

#endif

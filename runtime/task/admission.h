/* admission - takes tasks on: checks every limit and allocates everything they need before the first one starts.
 *
 * Owns:     nothing.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_RUNTIME_TASK_ADMISSION_H
#define GATHERD_RUNTIME_TASK_ADMISSION_H

#include "runtime/task/task.h"

/* Submits a task and its children. `spec` and all it points to live in `arena`, of which the task takes a reference.
 * received_ns: uv_hrtime() at receipt of the request, from which the deadline counts.
 *
 * 0 with *out set. On error nothing has started and `done` is never called: ERR_TOO_MANY_TASKS, ERR_POOL_FULL
 * (e->pool is set), ERR_LIMIT_EXCEEDED (an idle service could not admit it; e->limit is set),
 * ERR_EXECUTOR_DISABLED, ERR_OUT_OF_MEMORY or ERR_SHUTTING_DOWN. */
int task_submit(struct runtime *runtime, const struct task_spec *spec, struct arena *arena, uint64_t received_ns,
                task_done_fn *done, void *user, struct task **out, struct err *e);

/* Like task_submit(), for the continuation of admitted work: bypasses all limits, and is accepted during a drain until
 * runtime_shutdown(). */
int task_continue(struct runtime *runtime, const struct task_spec *spec, struct arena *arena, task_done_fn *done,
                  void *user, struct task **out, struct err *e);

/* Whether task_submit() would reject a task now, by its function and options alone: spec->input is not read. NULL
 * stands for any task. Errors as for task_submit(). */
int task_submit_check(struct runtime *runtime, const struct task_spec *spec, struct err *e);

#endif

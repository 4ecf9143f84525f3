/* task_submit - takes tasks on: checks them against every limit and allocates all they need, before anything starts.
 *
 * Owns:     nothing.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_RUNTIME_TASK_TASK_SUBMIT_H
#define GATHERD_RUNTIME_TASK_TASK_SUBMIT_H

#include "runtime/task/task.h"

/* Submits a task: everything it and its children will ever need is allocated here, so that a gather never stops half-way
 * for want of memory. `spec` and all it points to live in `arena`. received_ns: uv_hrtime() when the request came; the
 * deadline counts from it. 0 with *out set; or ERR_TOO_MANY_TASKS, ERR_POOL_FULL (e->pool says which), ERR_LIMIT_EXCEEDED (it
 * would not even fit into an idle service, and e->limit says why), ERR_EXECUTOR_DISABLED, ERR_OUT_OF_MEMORY or ERR_SHUTTING_DOWN,
 * with nothing started, `done` never called. */
int task_submit(struct runtime *runtime, const struct task_spec *spec, struct arena *arena, uint64_t received_ns,
                task_done_fn *done, void *user, struct task **out, struct err *e);

/* Whether task_submit() would reject a task now, as far as its function and options decide: spec->input is not read. NULL:
 * any task. Errors as for task_submit(). */
int task_submit_check(struct runtime *runtime, const struct task_spec *spec, struct err *e);

/* As task_submit(), for a task that goes on with what was taken on before: it is not refused for want of room in its pool, nor while
 * the service drains, until everything is canceled. */
int task_continue(struct runtime *runtime, const struct task_spec *spec, struct arena *arena, task_done_fn *done,
                  void *user, struct task **out, struct err *e);

#endif

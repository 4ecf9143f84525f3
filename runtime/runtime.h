/* runtime - all tasks of one loop: what runs, what is ready, what waits for its time.
 *
 * Owns:     its tasks' places in its queues, one timer of the loop. No globals: a process may have several.
 * Threads:  all on the loop thread.
 */
#ifndef GATHERD_RUNTIME_RUNTIME_H
#define GATHERD_RUNTIME_RUNTIME_H

#include "runtime/limits.h"

struct runtime;
struct uv_loop_s;

/* Makes a runtime on `loop`. 0 with *out set, or ERR_OUT_OF_MEMORY. */
int runtime_new(struct uv_loop_s *loop, const struct limits *limits, struct runtime **out, struct err *e);

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

/* Gives it back; every task must have been released. It is freed when the loop has run its close callbacks. */
void runtime_close(struct runtime *runtime);

#endif

/* runtime - all tasks of one loop: what runs, what is ready, what waits for its time.
 *
 * Owns:     its tasks' places in its queues, one timer of the loop. No globals: a process may have several.
 * Threads:  all on the loop thread.
 */
#ifndef GATHERD_RUNTIME_RUNTIME_H
#define GATHERD_RUNTIME_RUNTIME_H

#include "runtime/executors/pool_stats.h"
#include "runtime/executors/worker_event.h"
#include "runtime/lib/error.h"
#include "runtime/task/task.h"

struct uv_loop_s;

struct runtime_config {
    struct uv_loop_s *loop;      /* borrowed */
    const struct limits *limits; /* copied; limits->pools and what it points to is borrowed */
    struct process_config processes;
    const char *files_root; /* the directory that file functions see as their root; NULL: none, and no such functions */
    int64_t files_threads;
    const char *files_source; /* what says how many; static */
};

/* Makes a runtime and starts its threads and worker processes. 0 with *out set; or ERR_OUT_OF_MEMORY, or ERR_INTERNAL when the
 * system gives no more of them. What was begun then ends by itself when the loop is run on. */
int runtime_new(const struct runtime_config *config, struct runtime **out, struct err *e);

const struct limits *runtime_limits(const struct runtime *runtime);
size_t runtime_unfinished(const struct runtime *runtime); /* tasks that have not ended, children included */

/* From now on task_submit() refuses with ERR_SHUTTING_DOWN; what runs goes on. */
void runtime_reject_new(struct runtime *runtime);

/* Cancels every task that has not ended, with reason CANCEL_SHUTDOWN. Their `done`s come by task_drain(). */
void runtime_cancel_all(struct runtime *runtime);

/* The same, and refuses whatever comes from now on, also what would go on with what was begun. */
void runtime_shutdown(struct runtime *runtime);

/* Threads that still run a job whose task was abandoned. While there are any, runtime_close() can't be called: a process
 * that wants to end then ends by _exit(2), and does not wait for them. */
size_t runtime_abandoned(const struct runtime *runtime);

/* Gives it back; every task must have been released, and no thread be left with a job. It is freed when the loop is run on,
 * which stays alive until the worker processes have ended. */
void runtime_close(struct runtime *runtime);

/* The files that clients hold open; NULL when there is no files_root. */
struct open_files *runtime_open_files(struct runtime *runtime);

/* All pools, as a list of struct pool_stats in the arena. False when there is no memory. */
bool runtime_get_pool_stats(const struct runtime *runtime, struct arena *arena, struct array *out);

#endif

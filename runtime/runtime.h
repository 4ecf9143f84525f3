/* runtime - runs tasks on one loop: start, drain, shutdown and statistics of its pools.
 *
 * Owns:     its pools, the file root and one timer of the loop. No globals: a process may have several runtimes.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_RUNTIME_RUNTIME_H
#define GATHERD_RUNTIME_RUNTIME_H

#include "runtime/executors/pool_options.h"
#include "runtime/executors/pool_stats.h"
#include "runtime/executors/worker_event.h"
#include "runtime/lib/error.h"
#include "runtime/task/task.h"

struct uv_loop_s;

struct runtime_config {
    struct uv_loop_s *loop;      /* borrowed */
    const struct limits *limits; /* copied, except limits->pools, whose items are borrowed */
    struct pool_options options; /* with the sizes of pool_options_set_sizes(); its strings are borrowed */
    struct process_config processes;
};

/* Creates a runtime and starts its threads and worker processes. 0 with *out set, or an ERR_ code, such as
 * ERR_OUT_OF_MEMORY or ERR_INTERNAL; then the caller must still run the loop, to close the handles that were
 * opened. */
int runtime_new(const struct runtime_config *config, struct runtime **out, struct err *e);

const struct limits *runtime_limits(const struct runtime *runtime);
size_t runtime_unfinished(const struct runtime *runtime); /* tasks not ended, children included */

/* Makes task_submit() fail with ERR_SHUTTING_DOWN. Admitted tasks continue. */
void runtime_reject_new(struct runtime *runtime);

/* Cancels all tasks with CANCEL_SHUTDOWN. The caller calls task_drain(). */
void runtime_cancel_all(struct runtime *runtime);

/* Like runtime_cancel_all(); also makes task_submit() and task_continue() fail from now on. */
void runtime_shutdown(struct runtime *runtime);

/* Threads that still run an abandoned job. While it is not 0, runtime_close() must not be called; a process that
 * cannot wait ends by _exit(2). */
size_t runtime_abandoned(const struct runtime *runtime);

/* Closes a runtime whose tasks have all been released and whose threads have no abandoned jobs. The caller runs the
 * loop, which stays alive until the worker processes have exited; the runtime is freed there. */
void runtime_close(struct runtime *runtime);

/* The open files of clients; NULL: no option files_root. */
struct open_files *runtime_open_files(struct runtime *runtime);

/* All pools, as an array of struct pool_stats in the arena. False: out of memory. */
bool runtime_get_pool_stats(const struct runtime *runtime, struct arena *arena, struct array *out);

#endif

/* runtime - starts and stops all parts that run tasks on one loop, and reports the statistics of its pools.
 *
 * Owns:     its pools, the file root, the open files and one uv timer. No globals: a process may have several runtimes.
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
    const struct limits *limits; /* copied; the items of limits->pools are borrowed */
    struct registry *registry;   /* the functions of requests; the runtime adds a reference */
    struct pool_options options; /* with the sizes of pool_options_set_sizes(); its strings are borrowed */
    struct process_config processes;
};

/* Creates a runtime and starts its threads and worker processes. Returns 0 with *out set, or ERR_OUT_OF_MEMORY,
 * ERR_INVALID or ERR_INTERNAL. On error the caller must still run the loop, which closes the handles that were
 * opened. */
int runtime_new(const struct runtime_config *config, struct runtime **out, struct err *e);

const struct limits *runtime_limits(const struct runtime *runtime);
struct registry *runtime_registry(const struct runtime *runtime); /* borrowed */
size_t runtime_unfinished(const struct runtime *runtime);         /* tasks not ended, children included */

/* From now on, task_submit() fails with ERR_SHUTTING_DOWN. Admitted tasks continue. */
void runtime_reject_new(struct runtime *runtime);

/* Cancels all tasks with CANCEL_SHUTDOWN. The caller must call task_drain() afterwards. */
void runtime_cancel_all(struct runtime *runtime);

/* As runtime_cancel_all(); from now on, task_submit() and task_continue() fail with ERR_SHUTTING_DOWN. */
void runtime_shutdown(struct runtime *runtime);

/* The number of threads that still run an abandoned job. While it is not 0, runtime_close() must not be called; a
 * process that cannot wait for the threads must end with _exit(2). */
size_t runtime_abandoned(const struct runtime *runtime);

/* Closes a runtime whose tasks have all been released and whose threads have no abandoned jobs. The caller must then
 * run the loop, which continues until the worker processes have exited; the runtime is freed in a callback of the
 * loop. */
void runtime_close(struct runtime *runtime);

/* The open files of clients, borrowed; NULL: the executor files is disabled. */
struct open_files *runtime_open_files(struct runtime *runtime);

/* Sets *out to an array of struct pool_stats, one for each pool, in the arena. False: out of memory. */
bool runtime_get_pool_stats(const struct runtime *runtime, struct arena *arena, struct array *out);

#endif

/* worker_failure - describes a failed worker process, in the error of its task and in a worker_event.
 *
 * Owns:     nothing.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_RUNTIME_EXECUTORS_WORKER_FAILURE_H
#define GATHERD_RUNTIME_EXECUTORS_WORKER_FAILURE_H

#include "runtime/executors/pool.h"
#include "runtime/executors/worker_event.h"
#include "runtime/executors/worker_process.h"

enum { WORKER_MESSAGE_SIZE = 128 };

/* Fills the error and the exit status of the worker's job. The error includes the last line on stderr, which often
 * explains the crash. */
void worker_failure_set_error(struct job *job, const struct worker_process *proc);

/* Fills the members of *event that depend on the process. Their texts are borrowed from *proc and `buffer`. */
void worker_failure_fill_event(struct worker_event *event, const struct worker_process *proc, bool start_timed_out,
                               char buffer[WORKER_MESSAGE_SIZE]);

#endif

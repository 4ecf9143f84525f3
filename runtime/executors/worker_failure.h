/* worker_failure - how a worker process failed: as the error of its task, and as an event for the operator.
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

/* Fills e and the exit status of the job that a failed worker had. The last line on stderr is part of the error: it often
 * explains the crash. */
void worker_failure_set_error(struct job *job, const struct worker_process *proc);

/* Fills the members that depend on the process. The texts borrow from proc and from `buffer`. */
void worker_failure_fill_event(struct worker_event *event, const struct worker_process *proc, bool start_timed_out,
                               char buffer[WORKER_MESSAGE_SIZE]);

#endif

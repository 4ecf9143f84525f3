/* log_events - logs the end of tasks, rejected requests and lost worker processes.
 *
 * A request causes at most one line; two if its task succeeded but the response could not be built.
 *
 * Owns:     nothing.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_SERVICE_LOG_LOG_EVENTS_H
#define GATHERD_SERVICE_LOG_LOG_EVENTS_H

#include "handlers/api.h"
#include "runtime/executors/worker_event.h"
#include "service/log/log.h"

/* task_succeeded at debug, task_failed or task_canceled at info. */
void log_task_finished(struct log *log, const struct task_snapshot *task, struct str request_id);

/* request_rejected: at warn for a 5xx, such as overload, at debug for a 4xx. Lines at warn are limited per second; the
 * next one reports how many were `suppressed`. rc is an ERR_ code; an unknown string is absent. */
void log_request_rejected(struct log *log, int rc, struct str method, struct str path, struct str request_id);

/* worker_exited or worker_start_failed, at warn. */
void log_worker_event(struct log *log, const struct worker_event *event);

#endif

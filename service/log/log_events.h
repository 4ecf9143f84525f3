/* log_events - what becomes a line of the log: tasks that end, requests that are refused, worker processes that are lost.
 *
 * A request has one line at most, but for a task that succeeded with an answer that could not be made.
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

/* request_rejected: at warn when it is our doing (a 5xx, overload most of all), at debug when it is the client's (a 4xx). Of
 * the former only some a second; the next says left_out.
 * What is not known of the request is absent; rc is an ERR_ code. */
void log_request_rejected(struct log *log, int rc, struct str method, struct str path, struct str request_id);

/* worker_exited or worker_start_failed, at warn. */
void log_worker_event(struct log *log, const struct worker_event *event);

#endif

#include "service/log/log_events.h"

#include "runtime/task/task.h"

static struct str absent_if(bool absent, const char *s)
{
    return str_from(absent ? NULL : s);
}

void log_task_finished(struct log *log, const struct task_snapshot *task, struct str request_id)
{
    const struct task_info *info = &task->info;
    bool failed = info->state == TASK_FAILED;
    enum log_level level = info->state == TASK_SUCCEEDED ? LOG_DEBUG : LOG_INFO;
    if (!log_enabled(log, level))
        return;
    char detail[TASK_DETAIL_SIZE];
    if (failed)
        task_object_error_detail(info, detail);
    const char *event = info->state == TASK_SUCCEEDED ? "task_succeeded" : failed ? "task_failed" : "task_canceled";
    const struct log_field fields[] = {
        log_string("id", str_from(task->id)),
        log_string("request_id", request_id),
        log_string("function", str_from(info->spec->function->name)),
        log_string("name", info->spec->options.name),
        log_string("state", str_from(task_state_names[info->state])),
        log_seconds("queued_seconds", info->queued_ns),
        log_seconds("duration_seconds", info->duration_ns),
        log_string("error", str_from(info->rc == 0 ? NULL : error_code(info->rc))),
        log_string("detail", absent_if(!failed, detail)),
        log_string("cancel_reason", str_from(info->cancel_requested ? cancel_reason_names[info->cancel_reason] : NULL)),
        log_string("cancel_effect", str_from(info->cancel_completed ? cancel_effect_names[info->cancel_effect] : NULL)),
    };
    log_event(log, level, event, fields, COUNT_OF(fields));
}

/* A single client can cause 100,000 rejections a second. */
enum { MAX_REJECTIONS_PER_SECOND = 50 };

void log_request_rejected(struct log *log, int rc, struct str method, struct str path, struct str request_id)
{
    int status = error_status(rc);
    int64_t suppressed = 0;
    enum log_level level = status >= 500 ? LOG_WARN : LOG_DEBUG;
    if (level == LOG_WARN && log_enabled(log, level) &&
        !log_rate_limit_allow(&log->rejection_limit, MAX_REJECTIONS_PER_SECOND, &suppressed))
        return;
    log_event(log, level, "request_rejected",
              LOG_FIELDS(log_integer("status", status), log_string("error", str_from(error_code(rc))),
                         log_string("method", method), log_string("path", path), log_string("request_id", request_id),
                         log_integer("suppressed", suppressed == 0 ? INTEGER_ABSENT : suppressed)));
}

void log_worker_event(struct log *log, const struct worker_event *event)
{
    /* Omit the error "exited": the event's name, worker_exited, already says it. */
    bool plain_exit = event->was_ready && event->fault == WORKER_EXITED;
    const struct log_field fields[] = {
        log_integer("pid", event->pid == 0 ? INTEGER_ABSENT : event->pid),
        log_string("error", absent_if(plain_exit, worker_fault_names[event->fault])),
        log_string("detail", str_from(event->spawn_message)),
        log_integer("exit_signal", event->exit_signal == 0 ? INTEGER_ABSENT : event->exit_signal),
        log_integer("exit_code", event->exit_code < 0 ? INTEGER_ABSENT : event->exit_code),
        log_string("function", str_from(event->function)),
        log_string("stderr_tail", event->stderr_tail),
        log_seconds("retry_seconds", event->was_ready && event->retry_ns == 0 ? SECONDS_ABSENT : event->retry_ns),
    };
    log_event(log, LOG_WARN, event->was_ready ? "worker_exited" : "worker_start_failed", fields, COUNT_OF(fields));
}

#include "service/log/log_events.h"

#include "runtime/task/task.h"

static struct str absent_if(bool absent, const char *s)
{
    return str_from(absent ? NULL : s);
}

void report_task(struct log *log, const struct task *task, const struct task_identity *identity, struct str request_id)
{
    struct task_info view;
    task_get_info(task, &view);
    bool failed = view.state == TASK_FAILED;
    enum log_level level = view.state == TASK_SUCCEEDED ? LOG_DEBUG : LOG_INFO;
    if (!log_enabled(log, level))
        return;
    char detail[TASK_DETAIL_SIZE];
    if (failed)
        task_object_error_detail(task, detail);
    const char *event = view.state == TASK_SUCCEEDED ? "task_succeeded" : failed ? "task_failed" : "task_canceled";
    const struct log_field fields[] = {
        log_text("id", str_from(identity->id)),
        log_text("request_id", request_id),
        log_text("function", str_from(view.spec->function->name)),
        log_text("name", view.spec->options.name),
        log_text("state", str_from(task_state_names[view.state])),
        log_seconds("queued_seconds", view.queued_ns),
        log_seconds("duration_seconds", view.duration_ns),
        log_text("error", str_from(view.rc == 0 ? NULL : error_code(view.rc))),
        log_text("detail", absent_if(!failed, detail)),
        log_text("cancel_reason", str_from(view.cancel_requested ? cancel_reason_names[view.cancel_reason] : NULL)),
        log_text("cancel_effect", str_from(view.cancel_completed ? cancel_effect_names[view.cancel_effect] : NULL)),
    };
    log_event(log, level, event, fields, COUNT_OF(fields));
}

/* A single client can bring about 100,000 refusals a second. */
enum { REFUSALS_A_SECOND = 50 };

void report_refusal(struct log *log, int rc, struct str method, struct str path, struct str request_id)
{
    int status = error_status(rc);
    int64_t left_out = 0;
    enum log_level level = status >= 500 ? LOG_WARN : LOG_DEBUG;
    if (level == LOG_WARN && log_enabled(log, level) && !log_flow_takes(&log->refusals, REFUSALS_A_SECOND, &left_out))
        return;
    log_event(log, level, "request_rejected",
              LOG_FIELDS(log_integer("status", status), log_text("error", str_from(error_code(rc))),
                         log_text("method", method), log_text("path", path), log_text("request_id", request_id),
                         log_integer("suppressed", left_out == 0 ? INTEGER_ABSENT : left_out)));
}

void report_worker(struct log *log, const struct worker_event *event)
{
    /* Of one that was up it goes without saying that it ended. */
    bool says_itself = event->was_ready && event->fault == WORKER_EXITED;
    const struct log_field fields[] = {
        log_integer("pid", event->pid == 0 ? INTEGER_ABSENT : event->pid),
        log_text("error", absent_if(says_itself, worker_fault_names[event->fault])),
        log_text("detail", str_from(event->spawn_message)),
        log_integer("exit_signal", event->exit_signal == 0 ? INTEGER_ABSENT : event->exit_signal),
        log_integer("exit_code", event->exit_code < 0 ? INTEGER_ABSENT : event->exit_code),
        log_text("function", str_from(event->function)),
        log_text("stderr_tail", event->stderr_tail),
        log_seconds("retry_seconds", event->was_ready && event->retry_ns == 0 ? SECONDS_ABSENT : event->retry_ns),
    };
    log_event(log, LOG_WARN, event->was_ready ? "worker_exited" : "worker_start_failed", fields, COUNT_OF(fields));
}

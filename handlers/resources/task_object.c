#include "handlers/resources/task_object.h"

#include "handlers/json/field_types.h"
#include "handlers/json/render.h"
#include "runtime/lib/decimal.h"

#include <stdio.h>
#include <string.h>

/* -- the representation -------------------------------------------------------------------------- */

struct error_row {
    int code; /* enum error_index */
    struct str detail;
    int64_t status;
    int64_t exit_signal, exit_code;
};

struct cancel_row {
    int reason; /* enum cancel_reason */
    int effect; /* enum cancel_effect; absent until known */
};

/* struct task_info in the layout of the field tables. */
struct task_row {
    struct str id, name;
    int64_t index;
    const struct function *function;
    int executor; /* enum executor_kind */
    struct str pool;
    int state; /* enum task_state */
    bool done;
    const void *output;
    const struct error_row *error;
    int64_t pid, tid;
    int64_t created_us, started_us, finished_us;
    uint64_t queued_ns, duration_ns;
    const struct usage *usage;
    const struct cancel_row *cancel;
};

static const struct type index_type = {.kind = TYPE_INTEGER, .min = 0, .max = INT32_MAX};
static const struct type status_type = {.kind = TYPE_INTEGER, .min = 400, .max = 599};
static const struct type function_type = {.kind = TYPE_FUNCTION};
static const struct type output_type = {.kind = TYPE_OUTPUT};
static const struct type signal_type = {.kind = TYPE_INTEGER, .min = 1, .max = 64};
static const struct type exit_type = {.kind = TYPE_INTEGER, .min = 0, .max = 255};
static const struct type code_type = {.kind = TYPE_ENUM,
                                      .name = "ErrorCode",
                                      .doc = "An error code, as at the end of the `type` of a problem.",
                                      .names = error_codes};
static const struct type state_type = {
    .kind = TYPE_ENUM,
    .name = "TaskState",
    .doc = "The state of a task. In later versions, tasks can end in other states: test `done`.\n\n"
           "- `submitted`: a task of a gather that waits because of `max_concurrency`\n"
           "- `queued`: waits to start, in a pool for a slot\n"
           "- `running`: has started\n"
           "- `canceling`: was canceled while it ran, and has not ended yet\n"
           "- `succeeded`, `failed`, `canceled`: has ended",
    .names = task_state_names,
};
static const struct type reason_type = {
    .kind = TYPE_ENUM,
    .name = "CancelReason",
    .doc = "Why a task was canceled:\n\n"
           "- `client`: the client disconnected\n"
           "- `parent`: its gather was canceled or timed out\n"
           "- `sibling`: another task decided the gather\n"
           "- `shutdown`: the service is shutting down\n"
           "- `timeout`, `deadline`: it exceeded its own `timeout_seconds` or `deadline_seconds`",
    .names = cancel_reason_names,
};
const struct type cancel_effect_type = {
    .kind = TYPE_ENUM,
    .name = "CancelEffect",
    .doc = "The effect of canceling a task; for a gather, the most severe effect on its tasks.\n\n"
           "- `prevented`: it had not started, and never will\n"
           "- `stopped`: it was running, and ended early\n"
           "- `killed`: its worker process was killed\n"
           "- `abandoned`: it has ended, but its thread, which cannot be stopped, still runs and occupies its slot\n"
           "- `too_late`: its work had ended before",
    .names = cancel_effect_names,
};

#define FIELD(struct_name, json, type, member, presence, doc, example) \
    { \
        json, type, offsetof(struct struct_name, member), presence, NULL, doc, example \
    }

static const struct field error_fields[] = {
    FIELD(error_row, "code", &code_type, code, FIELD_REQUIRED, NULL, NULL),
    FIELD(error_row, "status", &status_type, status, FIELD_REQUIRED, "HTTP status of the code", "504"),
    FIELD(error_row, "detail", &text_type, detail, FIELD_REQUIRED, "Explanation of this occurrence", NULL),
    FIELD(error_row, "exit_signal", &signal_type, exit_signal, FIELD_OPTIONAL,
          "With `worker_crashed`, the signal that killed the worker process", "9"),
    FIELD(error_row, "exit_code", &exit_type, exit_code, FIELD_OPTIONAL,
          "With `worker_crashed`, the exit status of the worker process", "1"),
    {0},
};
const struct type task_error_type = {
    .kind = TYPE_RECORD, .name = "TaskError", .fields = error_fields, .size = sizeof(struct error_row)};
static const struct type error_reference = {.kind = TYPE_REFERENCE, .item = &task_error_type};

static const struct field cancel_fields[] = {
    FIELD(cancel_row, "reason", &reason_type, reason, FIELD_REQUIRED, NULL, NULL),
    FIELD(cancel_row, "effect", &cancel_effect_type, effect, FIELD_OPTIONAL, "Absent until it is known", NULL),
    {0},
};
static const struct type cancel_type = {
    .kind = TYPE_RECORD, .name = "TaskCancel", .fields = cancel_fields, .size = sizeof(struct cancel_row)};
static const struct type cancel_reference = {.kind = TYPE_REFERENCE, .item = &cancel_type};

static const struct field usage_fields[] = {
    FIELD(usage, "user_seconds", &seconds_type, user_ns, FIELD_REQUIRED, "CPU time in user mode (getrusage(2))",
          "0.71"),
    FIELD(usage, "system_seconds", &seconds_type, system_ns, FIELD_REQUIRED, "CPU time in the kernel", "0.002"),
    FIELD(usage, "worker_peak_rss_bytes", &count_type, worker_peak_rss_bytes, FIELD_OPTIONAL,
          "Peak resident set size of the worker process since its start; only with the executor `processes`",
          "9437184"),
    {0},
};
static const struct type usage_type = {
    .kind = TYPE_RECORD, .name = "TaskUsage", .fields = usage_fields, .size = sizeof(struct usage)};
static const struct type usage_reference = {.kind = TYPE_REFERENCE, .item = &usage_type};

/* Fields of both tasks and children. */
#define NAME_FIELD FIELD(task_row, "name", &task_name_type, name, FIELD_OPTIONAL, "Name from the request", NULL)
#define FUNCTION_FIELD \
    FIELD(task_row, "function", &function_type, function, FIELD_REQUIRED, "Function that it runs", "sleep")
#define EXECUTOR_FIELD \
    FIELD(task_row, "executor", &task_executor_type, executor, FIELD_REQUIRED, "Executor that runs it", "loop")
#define POOL_FIELD \
    FIELD(task_row, "pool", &string_type, pool, FIELD_OPTIONAL, \
          "Pool whose slot it takes; none on the loop, or if its call is divided", "default")
#define STATE_FIELD FIELD(task_row, "state", &state_type, state, FIELD_REQUIRED, NULL, NULL)
#define RESULT_FIELDS \
    FIELD(task_row, "result", &output_type, output, FIELD_OPTIONAL, \
          "Output of the function; a gather that failed or was canceled has one too", NULL), \
        FIELD(task_row, "error", &error_reference, error, FIELD_OPTIONAL, "Reason why it failed or was canceled", \
              NULL), \
        FIELD(task_row, "pid", &pid_type, pid, FIELD_OPTIONAL, \
              "Id of the process it ran in; none if it never started", "4711"), \
        FIELD(task_row, "tid", &pid_type, tid, FIELD_OPTIONAL, \
              "Id of the thread it ran in; none if it never started, or if abandoned before its thread began", "4711")
#define TIMING_FIELDS \
    FIELD(task_row, "queued_seconds", &seconds_type, queued_ns, FIELD_OPTIONAL, \
          "Time from receipt to the start, or to the end if it never started", "0.000031"), \
        FIELD(task_row, "duration_seconds", &seconds_type, duration_ns, FIELD_OPTIONAL, \
              "Time from the start to the end", "1.500213"), \
        FIELD(task_row, "usage", &usage_reference, usage, FIELD_OPTIONAL, \
              "Resource usage of its thread or process; none on the loop, if abandoned, or if the worker crashed", \
              NULL), \
        FIELD(task_row, "cancel", &cancel_reference, cancel, FIELD_OPTIONAL, \
              "Its cancellation, whatever caused it (a client, a timeout, a deadline); null or absent if nothing did", \
              NULL)

static const struct field object_fields[] = {
    FIELD(task_row, "id", &id_type, id, FIELD_REQUIRED, "Task id", NULL),
    NAME_FIELD,
    FUNCTION_FIELD,
    EXECUTOR_FIELD,
    POOL_FIELD,
    STATE_FIELD,
    FIELD(task_row, "done", &boolean_type, done, FIELD_REQUIRED, "Whether it has ended, in any state", "true"),
    RESULT_FIELDS,
    FIELD(task_row, "created_at", &time_type, created_us, FIELD_REQUIRED, "Time when the request was received",
          "2026-11-22T12:05:46.123456Z"),
    FIELD(task_row, "started_at", &time_type, started_us, FIELD_OPTIONAL, "Time of its start",
          "2026-11-22T12:05:46.123487Z"),
    FIELD(task_row, "finished_at", &time_type, finished_us, FIELD_OPTIONAL, "Time of its end",
          "2026-11-22T12:05:47.623700Z"),
    TIMING_FIELDS,
    {0},
};

static const struct field child_fields[] = {
    FIELD(task_row, "index", &index_type, index, FIELD_REQUIRED, "Index in the input of the gather, from 0", "0"),
    NAME_FIELD,
    FUNCTION_FIELD,
    EXECUTOR_FIELD,
    POOL_FIELD,
    STATE_FIELD,
    RESULT_FIELDS,
    TIMING_FIELDS,
    {0},
};

const struct type task_object_type = {.kind = TYPE_RECORD,
                                      .name = "Task",
                                      .fields = object_fields,
                                      .size = sizeof(struct task_row),
                                      .render_nulls = true};
static const struct type child_type = {
    .kind = TYPE_RECORD, .name = "TaskChild", .fields = child_fields, .size = sizeof(struct task_row)};

/* -- rendering ----------------------------------------------------------------------------------- */

static const char *cancel_reason_text(enum cancel_reason reason)
{
    switch (reason) {
    case CANCEL_CLIENT:
        return "The client disconnected";
    case CANCEL_PARENT:
        return "The gather was canceled or timed out";
    case CANCEL_SIBLING:
        return "The outcome of the gather was decided before this task ended";
    case CANCEL_SHUTDOWN:
        return "The task was canceled, because the service is shutting down";
    case CANCEL_TIMEOUT:
    case CANCEL_DEADLINE:
    case CANCEL_REASON_COUNT:
        break;
    }
    return error_title(ERR_CANCELED);
}

void task_object_error_detail(const struct task_info *info, char out[TASK_DETAIL_SIZE])
{
    const struct task_options *options = &info->spec->options;
    char seconds[SECONDS_TEXT_SIZE];
    if (info->rc == 0) {
        out[0] = '\0';
    } else if (info->detail != NULL) {
        snprintf(out, TASK_DETAIL_SIZE, "%s", info->detail);
    } else if (info->rc == ERR_TIMEOUT && options->timeout_ns != SECONDS_ABSENT) {
        seconds_format(options->timeout_ns, seconds);
        snprintf(out, TASK_DETAIL_SIZE, "The task did not end within its timeout_seconds, %s s", seconds);
    } else if (info->rc == ERR_DEADLINE_EXCEEDED && options->deadline_ns != SECONDS_ABSENT) {
        seconds_format(options->deadline_ns, seconds);
        snprintf(out, TASK_DETAIL_SIZE,
                 "The task did not %s within its deadline_seconds, %s s, including time in the queue",
                 info->pid == 0 ? "start" : "end", seconds);
    } else if ((info->rc == ERR_CANCELED || info->rc == ERR_SHUTTING_DOWN) && info->cancel_requested) {
        snprintf(out, TASK_DETAIL_SIZE, "%s", cancel_reason_text(info->cancel_reason));
    } else {
        snprintf(out, TASK_DETAIL_SIZE, "%s", error_title(info->rc));
    }
}

/* The wall-clock time `ns` after the request was received. */
static int64_t event_time_us(const struct task_snapshot *task, uint64_t ns)
{
    return task->created_us + (int64_t)(ns / 1000);
}

/* `task` is NULL for a child, which has no id and no wall-clock times. */
static void render_as(struct json_writer *w, const struct type *type, const struct task_info *info,
                      const struct task_snapshot *task)
{
    bool started = info->pid != 0;

    struct cancel_row cancel = {.reason = (int)info->cancel_reason, .effect = (int)info->cancel_effect};
    if (!info->cancel_completed)
        type_set_absent(&cancel_effect_type, &cancel.effect);
    char detail[TASK_DETAIL_SIZE];
    struct error_row error;
    if (info->rc != 0) {
        task_object_error_detail(info, detail);
        error = (struct error_row){
            .code = -1 - info->rc,
            .detail = str_from(detail),
            .status = error_status(info->rc),
            .exit_signal = info->exit_signal != 0 ? info->exit_signal : INTEGER_ABSENT,
            .exit_code = info->exit_code >= 0 ? info->exit_code : INTEGER_ABSENT,
        };
    }
    struct task_row row = {
        .name = info->spec->options.name,
        .index = info->index,
        .function = info->spec->function,
        .executor = (int)info->executor,
        .pool = info->pool,
        .state = (int)info->state,
        .done = info->done,
        .output = info->output,
        .error = info->rc != 0 ? &error : NULL,
        .pid = info->pid != 0 ? info->pid : INTEGER_ABSENT,
        .tid = info->tid != 0 ? info->tid : INTEGER_ABSENT,
        .queued_ns = info->queued_ns,
        .duration_ns = info->duration_ns,
        .usage = info->usage,
        .cancel = info->cancel_requested ? &cancel : NULL,
    };
    type_set_absent(&time_type, &row.started_us);
    type_set_absent(&time_type, &row.finished_us);
    if (task != NULL) {
        row.id = str_from(task->id);
        row.created_us = task->created_us;
        if (started)
            row.started_us = event_time_us(task, info->queued_ns);
        if (info->done)
            row.finished_us = event_time_us(task, info->queued_ns + (started ? info->duration_ns : 0));
    }
    render_value(w, type, &row, &task_object_child_codec);
}

void task_object_render(struct json_writer *w, const struct task_snapshot *task)
{
    render_as(w, &task_object_type, &task->info, task);
}

static void render_child(struct json_writer *w, const struct task *task)
{
    struct task_info info;
    task_get_info(task, &info);
    render_as(w, &child_type, &info, NULL);
}

const struct child_codec task_object_child_codec = {&child_type, render_child};

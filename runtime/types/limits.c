#include "runtime/types/limits.h"

#define NS_PER_DAY INT64_C(86400000000000)

static const struct type count_type = {.kind = TYPE_INTEGER, .min = 1, .max = 100000000};
static const struct type queue_limit_type = {.kind = TYPE_INTEGER, .min = 0, .max = 100000000};
static const struct type depth_type = {.kind = TYPE_INTEGER, .min = 1, .max = 64};
static const struct type duration_type = {.kind = TYPE_SECONDS, .min = 1, .max = 366 * NS_PER_DAY};

const struct field limits_fields[LIMIT_COUNT + 1] = {
    [LIMIT_TASKS] = {"max_tasks", &count_type, offsetof(struct limits, max_tasks), FIELD_DEFAULTED, "1000000",
                     "Unfinished tasks at most, children included; more are refused with 503", NULL},
    [LIMIT_GATHER_CHILDREN] = {"max_gather_children", &count_type, offsetof(struct limits, max_gather_children),
                               FIELD_DEFAULTED, "10000", "Tasks in one gather at most", NULL},
    [LIMIT_GATHER_DEPTH] = {"max_gather_depth", &depth_type, offsetof(struct limits, max_gather_depth), FIELD_DEFAULTED,
                            "8", "Gathers inside one another at most; a gather of plain tasks has depth 1", NULL},
    [LIMIT_QUEUE] = {"queue_limit", &queue_limit_type, offsetof(struct limits, queue_limit), FIELD_DEFAULTED, "10000",
                     "Tasks that may wait for a pool, beside those that run; more are refused with 503", NULL},
    [LIMIT_OPEN_FILES] = {"max_open_files", &count_type, offsetof(struct limits, max_open_files), FIELD_DEFAULTED,
                          "1000", "Files that may be open at the same time", NULL},
    [LIMIT_STREAMS] =
        {"max_streams", &count_type, offsetof(struct limits, max_streams), FIELD_DEFAULTED, "256",
         "Files that may be on their way in or out by /v1/fs/PATH at the same time; more are refused with "
         "503",
         NULL},
    [LIMIT_READ_BYTES] =
        {"max_read_bytes", &count_type, offsetof(struct limits, max_read_bytes), FIELD_DEFAULTED, "16777216",
         "Bytes that one request may read from files and directories, all its tasks together; GET /v1/fs/PATH has no such "
         "limit",
         NULL},
    [LIMIT_SCRIPT_STEPS] = {"max_script_steps", &count_type, offsetof(struct limits, max_script_steps), FIELD_DEFAULTED,
                            "10000", "Steps in one script of file operations", NULL},
    [LIMIT_LEASE] = {"max_lease_seconds", &duration_type, offsetof(struct limits, max_lease_seconds), FIELD_DEFAULTED,
                     "3600", "The longest time an open file may stay unused before it is closed", NULL},
    [LIMIT_TIMEOUT] = {"max_timeout_seconds", &duration_type, offsetof(struct limits, max_timeout_seconds),
                       FIELD_DEFAULTED, "86400", "The longest timeout_seconds a task may ask for", NULL},
    [LIMIT_DEFAULT_TIMEOUT] = {"default_timeout_seconds", &duration_type,
                               offsetof(struct limits, default_timeout_seconds), FIELD_DEFAULTED, "3600",
                               "The timeout of a task that asks for none", NULL},
    [LIMIT_DEADLINE] = {"max_deadline_seconds", &duration_type, offsetof(struct limits, max_deadline_seconds),
                        FIELD_DEFAULTED, "86400", "The longest deadline_seconds a task may ask for", NULL},
    [LIMIT_DEFAULT_DEADLINE] = {"default_deadline_seconds", &duration_type,
                                offsetof(struct limits, default_deadline_seconds), FIELD_DEFAULTED, "86400",
                                "The deadline of a request that asks for none", NULL},
    [LIMIT_COUNT] = {0},
};

const struct type limits_type = {.kind = TYPE_RECORD, .fields = limits_fields, .size = sizeof(struct limits)};

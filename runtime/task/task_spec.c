#include "runtime/task/task_spec.h"

#include <stdio.h>

static const struct type name_type = {.kind = TYPE_STRING, .min = 1, .max = 128};
static const struct type function_type = {.kind = TYPE_FUNCTION};
static const struct type input_type = {.kind = TYPE_INPUT};
static const struct type timeout_type = {.kind = TYPE_SECONDS, .min = 1, .limit = &limits_fields[LIMIT_TIMEOUT]};
const struct type task_executor_type = {.kind = TYPE_ENUM, .names = executor_names};
const struct type task_pool_type = {.kind = TYPE_POOL};
const struct type task_parallel_type = {.kind = TYPE_INTEGER, .min = 1, .max = 64};
static const struct type deadline_type = {.kind = TYPE_SECONDS, .min = 1, .limit = &limits_fields[LIMIT_DEADLINE]};

/* The options are fields of a spec, and a record of their own where the function is named elsewhere. */
#define OPTION_FIELDS(base) \
    {"name",         &name_type, (base) + offsetof(struct task_options, name), \
     FIELD_OPTIONAL, NULL,       "A name for people, given back with the result", \
     "task1"}, \
        {"timeout_seconds", \
         &timeout_type, \
         (base) + offsetof(struct task_options, timeout_ns), \
         FIELD_OPTIONAL, \
         NULL, \
         "The task fails when it runs longer; counts from its start", \
         "30"}, \
        {"deadline_seconds", \
         &deadline_type, \
         (base) + offsetof(struct task_options, deadline_ns), \
         FIELD_OPTIONAL, \
         NULL, \
         "The task fails when it has not ended by then; counts from receipt, queueing included", \
         "60"}, \
        {"executor", \
         &task_executor_type, \
         (base) + offsetof(struct task_options, executor), \
         FIELD_OPTIONAL, \
         NULL, \
         "Where to run it, of the executors that its function allows; absent: the function's own", \
         "threads"}, \
        {"pool", \
         &task_pool_type, \
         (base) + offsetof(struct task_options, pool), \
         FIELD_OPTIONAL, \
         NULL, \
         "Which pool of threads, with executor threads; absent: the pool named default", \
         "default"}, \
    { \
        "parallel", &task_parallel_type, (base) + offsetof(struct task_options, parallel), FIELD_OPTIONAL, NULL, \
            "Over how many slots to spread the call, with a divisible function such as sum", "2" \
    }

static const struct field task_options_fields[] = {OPTION_FIELDS(0), {0}};

const struct type task_options_type = {
    .kind = TYPE_RECORD, .fields = task_options_fields, .size = sizeof(struct task_options)};

static const struct field task_spec_fields[] = {
    {"function", &function_type, offsetof(struct task_spec, function), FIELD_REQUIRED, NULL,
     "The function to run, one of GET /v1/functions", "sleep"},
    {"input", &input_type, offsetof(struct task_spec, input), FIELD_REQUIRED, NULL, "The function's input", NULL},
    OPTION_FIELDS(offsetof(struct task_spec, options)),
    {0},
};

static bool task_spec_check(const void *data, struct check_error *check_error)
{
    const struct task_spec *spec = data;
    const struct function *function = spec->function;
    enum executor_kind executor = task_spec_executor(spec);
    if ((function->executors & EXECUTOR_BIT(executor)) == 0)
        return check_error_set(check_error, "/executor", "can't be %s, where %s does not run", executor_names[executor],
                               function->name);
    if (executor != EXECUTOR_THREADS && !type_is_absent(&task_pool_type, &spec->options.pool))
        return check_error_set(check_error, "/pool", "goes with the executor threads, and this runs on %s",
                               executor_names[executor]);
    if (function->split == NULL && !type_is_absent(&task_parallel_type, &spec->options.parallel))
        return check_error_set(check_error, "/parallel", "goes with divisible functions, and %s is none",
                               function->name);
    return true;
}

const struct type task_spec_type = {.kind = TYPE_RECORD,
                                    .name = "TaskSpec",
                                    .fields = task_spec_fields,
                                    .size = sizeof(struct task_spec),
                                    .check = task_spec_check};

const struct task_options task_options_none = {
    .timeout_ns = SECONDS_ABSENT,
    .deadline_ns = SECONDS_ABSENT,
    .executor = ENUM_ABSENT,
    .pool = INTEGER_ABSENT,
    .parallel = INTEGER_ABSENT,
};

enum executor_kind task_spec_executor(const struct task_spec *spec)
{
    if (spec->options.executor == ENUM_ABSENT)
        return spec->function->executor;
    return (enum executor_kind)spec->options.executor;
}

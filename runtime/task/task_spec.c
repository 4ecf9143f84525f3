#include "runtime/task/task_spec.h"

#include <stdio.h>
#include <string.h>

const struct type task_name_type = {
    .kind = TYPE_STRING,
    .name = "TaskName",
    .doc = "A name for people, of 1 to 128 characters without U+0000. Names need not be unique.",
    .min = 1,
    .max = 128,
};
static const struct type function_type = {.kind = TYPE_FUNCTION};
static const struct type input_type = {.kind = TYPE_INPUT};
static const struct type timeout_type = {
    .kind = TYPE_SECONDS,
    .name = "TimeoutSeconds",
    .doc = "How long a task may run, in seconds, counted from its start: more than 0, at most `max_timeout_seconds`. "
           "A task that runs longer fails with `timeout`. "
           "If it is absent, a top-level task has `default_timeout_seconds`, "
           "and a task of a gather only the timeout of the gather.",
    .min = 1,
    .limit = &limits_fields[LIMIT_TIMEOUT],
};
const struct type task_executor_type = {
    .kind = TYPE_ENUM,
    .name = "Executor",
    .doc = "Where a task runs:\n\n"
           "- `loop`: on the event loop, for functions that only wait\n"
           "- `threads`: in a thread pool, for calls that block\n"
           "- `processes`: in a worker process, for computation, and for code that may crash\n"
           "- `files`: in the thread pool for files",
    .names = executor_names,
    .option_flags = OPTION_INHERITED,
};
const struct type task_pool_type = {
    .kind = TYPE_POOL,
    .name = "PoolName",
    .doc = "The name of a thread pool, one of those in `GET /v1/pools`; absent: the pool `default`. "
           "Only with the executor `threads`.",
    .option_flags = OPTION_INHERITED | OPTION_NEEDS_THREADS,
};
static const struct type parallel_type = {
    .kind = TYPE_INTEGER,
    .name = "Parallel",
    .doc = "The maximum number of parts into which to divide a call. "
           "The parts have about the same size, and each takes its own slot of the pool. "
           "The task of a divided call takes no slot: its `pool` and `usage` are null, and its `parts` have them. "
           "If it is absent, or 1, the call is not divided.",
    .min = 1,
    .max = 64,
    .option_flags = OPTION_NEEDS_SPLIT,
};
static const struct type deadline_type = {
    .kind = TYPE_SECONDS,
    .name = "DeadlineSeconds",
    .doc = "The seconds, counted from the receipt of the request, in which a task must end, queueing included: "
           "more than 0, at most `max_deadline_seconds`. "
           "A task that takes longer fails with `deadline_exceeded`. "
           "If it is absent, a top-level task has `default_deadline_seconds`, "
           "and a task of a gather only the deadline of the gather.",
    .min = 1,
    .limit = &limits_fields[LIMIT_DEADLINE],
};

/* Each option is a field of two records: of task_options_type and of task_spec_type. */
#define OPTION_FIELD(ctype, member, name, type, absent, doc, example) \
    {(name), (type), offsetof(struct task_options, member), FIELD_OPTIONAL, NULL, (doc), (example)},
#define SPEC_FIELD(ctype, member, name, type, absent, doc, example) \
    {(name), (type), offsetof(struct task_spec, options.member), FIELD_OPTIONAL, NULL, (doc), (example)},
#define OPTION_ABSENT(ctype, member, name, type, absent, ...) .member = absent,

static const struct field task_options_fields[] = {TASK_OPTIONS(OPTION_FIELD){0}};

const struct type task_options_type = {
    .kind = TYPE_RECORD, .fields = task_options_fields, .size = sizeof(struct task_options)};

static const struct field task_spec_fields[] = {
    {"function", &function_type, offsetof(struct task_spec, function), FIELD_REQUIRED, NULL,
     "The function to run, one of GET /v1/functions", "sleep"},
    {"input", &input_type, offsetof(struct task_spec, input), FIELD_REQUIRED, NULL, "The input of the function", NULL},
    TASK_OPTIONS(SPEC_FIELD){0},
};

bool task_option_applies(const struct field *option, const struct function *function)
{
    if ((option->type->option_flags & OPTION_NEEDS_THREADS) != 0 &&
        (function->executors & EXECUTOR_BIT(EXECUTOR_THREADS)) == 0)
        return false;
    return (option->type->option_flags & OPTION_NEEDS_SPLIT) == 0 || function->split != NULL;
}

void task_options_inherit(struct task_options *options, const struct task_options *parent)
{
    for (const struct field *f = task_options_fields; f->name != NULL; f++)
        if ((f->type->option_flags & OPTION_INHERITED) != 0)
            memcpy((char *)options + f->offset, (const char *)parent + f->offset, type_size(f->type));
}

/* Fills *check_error and returns false. unmet: the needs of the option that are not met, not 0. */
static bool option_reject(struct check_error *check_error, const struct task_spec *spec, const char *pointer,
                          unsigned unmet)
{
    if ((unmet & OPTION_NEEDS_THREADS) != 0)
        check_error_set(check_error, pointer, "is valid only on the executor threads; this task runs on %s",
                        executor_names[task_spec_executor(spec)]);
    else
        check_error_set(check_error, pointer, "is valid only for parallelizable functions, not for %s",
                        spec->function->name);
    check_error->rc = ERR_INVALID;
    return false;
}

static bool executor_reject(struct check_error *check_error, const struct task_spec *spec)
{
    check_error_set(check_error, "/executor", "must not be %s: %s does not run on that executor",
                    executor_names[task_spec_executor(spec)], spec->function->name);
    check_error->rc = ERR_INVALID;
    return false;
}

/* The schema of each function has these checks too, hence ERR_INVALID. Expanded once for each row, so that options
 * without flags cost nothing: the check runs for each child of a gather. */
#define CHECK_OPTION(ctype, member, name, type, absent, doc, example) \
    if (((type)->option_flags & unmet) != 0 && !type_is_absent((type), &spec->options.member)) \
        return option_reject(check_error, spec, "/" name, (type)->option_flags & unmet);

static bool task_spec_check(const void *data, struct check_error *check_error)
{
    const struct task_spec *spec = data;
    const struct function *function = spec->function;
    enum executor_kind executor = task_spec_executor(spec);
    if ((function->executors & EXECUTOR_BIT(executor)) == 0)
        return executor_reject(check_error, spec);
    unsigned unmet =
        (executor == EXECUTOR_THREADS ? 0 : OPTION_NEEDS_THREADS) | (function->split != NULL ? 0 : OPTION_NEEDS_SPLIT);
    TASK_OPTIONS(CHECK_OPTION)
    return true;
}

const struct type task_spec_type = {.kind = TYPE_RECORD,
                                    .name = "TaskSpec",
                                    .fields = task_spec_fields,
                                    .size = sizeof(struct task_spec),
                                    .check = task_spec_check};

const struct task_options task_options_none = {TASK_OPTIONS(OPTION_ABSENT)};

enum executor_kind task_spec_executor(const struct task_spec *spec)
{
    if (spec->options.executor == ENUM_ABSENT)
        return spec->function->executor;
    return (enum executor_kind)spec->options.executor;
}

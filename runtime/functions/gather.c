/* gather - runs tasks concurrently, and ends when its mode has decided the result and all of the tasks have ended.
 *
 * Promise:  a gather ends after its last child, in every mode: when the result is decided, it cancels the other
 *           children and waits for them. Ended children are evaluated one at a time, so at most one is the winner.
 */
#include "runtime/functions/gather.h"

#include <stdio.h>

static const char *const gather_mode_names[] = {"all", "all_settled", "any", "race", "quorum", NULL};

struct counts {
    int64_t total, succeeded, failed, canceled;
};

struct gather_output {
    int mode;
    int64_t quorum;
    struct counts counts;
    int64_t winner;
    uint64_t serial_ns;
    struct array tasks; /* of struct task *, the children */
};

static const struct type tasks_type = {
    .kind = TYPE_ARRAY, .item = &task_spec_type, .limit = &limits_fields[LIMIT_GATHER_CHILDREN]};
static const struct type mode_type = {.kind = TYPE_ENUM, .names = gather_mode_names};
static const struct type positive_type = {.kind = TYPE_INTEGER, .min = 1, .max = INT32_MAX};
static const struct type count_type = {.kind = TYPE_INTEGER, .min = 0, .max = INT32_MAX};
static const struct type serial_type = {.kind = TYPE_SECONDS, .min = 0, .max = INT64_MAX};
static const struct type child_type = {.kind = TYPE_CHILD};
static const struct type children_type = {
    .kind = TYPE_ARRAY, .item = &child_type, .limit = &limits_fields[LIMIT_GATHER_CHILDREN]};

static const struct field input_fields[] = {
    {"tasks", &tasks_type, offsetof(struct gather_input, tasks), FIELD_REQUIRED, NULL,
     "The tasks to run; results have the same order", NULL},
    {"mode", &mode_type, offsetof(struct gather_input, mode), FIELD_DEFAULTED, "all",
     "What decides the result: all (all succeeded or too many failed), all_settled (all ended), any (the first "
     "success), race (the first task to end), quorum (that many successes); the other tasks are then canceled",
     NULL},
    {"quorum", &positive_type, offsetof(struct gather_input, quorum), FIELD_OPTIONAL, NULL,
     "The number of successes that decides the result; required in mode quorum, invalid in other modes", NULL},
    {"max_concurrency", &positive_type, offsetof(struct gather_input, max_concurrency), FIELD_OPTIONAL, NULL,
     "The maximum number of tasks that run at the same time; absent: all", NULL},
    {"tolerated_failures", &count_type, offsetof(struct gather_input, tolerated_failures), FIELD_DEFAULTED, "0",
     "The number of failures that mode all accepts", NULL},
    {0},
};

static const struct field counts_fields[] = {
    {"total", &count_type, offsetof(struct counts, total), FIELD_REQUIRED, NULL, "Tasks", NULL},
    {"succeeded", &count_type, offsetof(struct counts, succeeded), FIELD_REQUIRED, NULL, "Tasks that succeeded", NULL},
    {"failed", &count_type, offsetof(struct counts, failed), FIELD_REQUIRED, NULL, "Tasks that failed", NULL},
    {"canceled", &count_type, offsetof(struct counts, canceled), FIELD_REQUIRED, NULL, "Tasks that were canceled",
     NULL},
    {0},
};
static const struct type counts_type = {
    .kind = TYPE_RECORD, .name = "GatherCounts", .fields = counts_fields, .size = sizeof(struct counts)};

static const struct field output_fields[] = {
    {"mode", &mode_type, offsetof(struct gather_output, mode), FIELD_REQUIRED, NULL, "As requested", NULL},
    {"quorum", &positive_type, offsetof(struct gather_output, quorum), FIELD_OPTIONAL, NULL,
     "As requested; only in mode quorum", NULL},
    {"counts", &counts_type, offsetof(struct gather_output, counts), FIELD_REQUIRED, NULL, "How the tasks ended", NULL},
    {"winner", &count_type, offsetof(struct gather_output, winner), FIELD_OPTIONAL, NULL,
     "Index of the task that decided the result; only in modes any and race", NULL},
    {"serial_seconds", &serial_type, offsetof(struct gather_output, serial_ns), FIELD_REQUIRED, NULL,
     "The sum of the tasks' durations, the time to run them one after another", NULL},
    {"tasks", &children_type, offsetof(struct gather_output, tasks), FIELD_REQUIRED, NULL,
     "The tasks, in the order of the request", NULL},
    {0},
};

const struct type gather_result_type = {
    .kind = TYPE_RECORD, .name = "GatherResult", .fields = output_fields, .size = sizeof(struct gather_output)};

static bool gather_check(const void *data, struct check_error *check_error)
{
    const struct gather_input *input = data;
    bool has_quorum = !type_is_absent(&positive_type, &input->quorum);
    const char *mode = gather_mode_names[input->mode];
    if (input->mode == MODE_QUORUM && !has_quorum)
        return check_error_set(check_error, "/quorum", "is required in mode quorum");
    if (input->mode != MODE_QUORUM && has_quorum)
        return check_error_set(check_error, "/quorum", "is valid only in mode quorum, not in mode %s", mode);
    if (input->mode != MODE_ALL && input->tolerated_failures > 0)
        return check_error_set(check_error, "/tolerated_failures", "is valid only in mode all, not in mode %s", mode);
    if (input->tasks.count == 0 && input->mode != MODE_ALL && input->mode != MODE_ALL_SETTLED)
        return check_error_set(check_error, "/tasks", "must have at least 1 item in mode %s", mode);
    if (has_quorum && (uint64_t)input->quorum > input->tasks.count)
        return check_error_set(check_error, "/quorum", "must be at most %zu, the number of tasks", input->tasks.count);
    return true;
}

static const struct type input_type = {.kind = TYPE_RECORD,
                                       .name = "GatherInput",
                                       .fields = input_fields,
                                       .size = sizeof(struct gather_input),
                                       .check = gather_check};

const struct array *gather_children(const void *input)
{
    return &((const struct gather_input *)input)->tasks;
}

static enum status gather_evaluate(const struct gather_input *input, const struct counts *counts, bool all_ended)
{
    int64_t failed = counts->failed + counts->canceled; /* for the result, a canceled child has failed */
    switch ((enum mode)input->mode) {
    case MODE_ALL:
        return failed > input->tolerated_failures ? GATHER_FAILED : all_ended ? GATHER_SUCCEEDED : GATHER_PENDING;
    case MODE_ALL_SETTLED:
        return all_ended ? GATHER_SUCCEEDED : GATHER_PENDING;
    case MODE_ANY:
        return counts->succeeded > 0 ? GATHER_SUCCEEDED : all_ended ? GATHER_FAILED : GATHER_PENDING;
    case MODE_RACE:
        return counts->succeeded > 0 ? GATHER_SUCCEEDED : failed > 0 ? GATHER_FAILED : GATHER_PENDING;
    case MODE_QUORUM:
        return counts->succeeded >= input->quorum       ? GATHER_SUCCEEDED
               : failed > counts->total - input->quorum ? GATHER_FAILED
                                                        : GATHER_PENDING;
    }
    return GATHER_PENDING;
}

static void start_children(struct gather *gather, size_t limit)
{
    while (gather->next < gather->children.count && gather->active < limit) {
        struct task *child = gather->children.children[gather->next++];
        if (task_ended(child)) /* its deadline has passed, before it was queued */
            continue;
        task_queue(child);
        gather->active++;
    }
}

static size_t concurrency_limit(const struct gather_input *input)
{
    return type_is_absent(&positive_type, &input->max_concurrency) ? SIZE_MAX : (size_t)input->max_concurrency;
}

/* Fills gather->e. The message includes the first failure, so that clients need not search the children for it. */
static void set_failure(struct gather *gather, const char *mode, const struct counts *c)
{
    char cause[sizeof gather->e.msg] = "";
    const struct task *first = gather->first_failed;
    if (first != NULL) {
        struct str name = first->spec->options.name;
        bool has_name = name.len > 0;
        snprintf(cause, sizeof cause, "; task %u%s%.*s%s failed first: %s", first->index, has_name ? " (" : "",
                 (int)str_truncate(name, 40), has_name ? name.data : "", has_name ? ")" : "",
                 first->detail != NULL ? first->detail : error_title(first->rc));
    }
    err_set(&gather->e, ERR_CHILD_FAILED, "Mode %s failed (%lld tasks: %lld succeeded, %lld failed, %lld canceled)%s",
            mode, (long long)c->total, (long long)c->succeeded, (long long)c->failed, (long long)c->canceled, cause);
}

static void gather_end(struct task *task)
{
    const struct gather_input *input = task->spec->input;
    struct gather *gather = task_state(task);
    const struct gather_output *output = task_output(task);
    task->has_output = true;
    if (task->state == TASK_CANCELING &&
        gather->status != GATHER_SUCCEEDED) { /* after a success, canceling is too late */
        task_end_canceled(task, children_effect(&gather->children));
        return;
    }
    if (gather->status == GATHER_FAILED) {
        set_failure(gather, gather_mode_names[input->mode], &output->counts);
        task->detail = gather->e.msg;
    }
    task_end(task, gather->status == GATHER_SUCCEEDED ? 0 : ERR_CHILD_FAILED);
}

void gather_start(struct task *task)
{
    const struct gather_input *input = task->spec->input;
    struct gather *gather = task_state(task);
    struct gather_output *output = task_output(task);
    *output = (struct gather_output){
        .mode = input->mode,
        .quorum = input->quorum,
        .counts.total = (int64_t)gather->children.count,
        .tasks = {gather->children.children, gather->children.count},
    };
    type_set_absent(&count_type, &output->winner);
    gather->status = gather_evaluate(input, &output->counts, gather->children.count == 0);
    if (gather->children.count == 0)
        gather_end(task);
    else
        start_children(gather, concurrency_limit(input));
}

static void cancel_children(struct gather *gather, enum cancel_reason reason)
{
    gather->next = gather->children.count; /* queue no more children */
    children_cancel(&gather->children, reason);
}

static void gather_resolve(struct task *task, const struct task *child, bool all_ended)
{
    const struct gather_input *input = task->spec->input;
    struct gather *gather = task_state(task);
    struct gather_output *output = task_output(task);
    bool requires_all = input->mode == MODE_ALL || input->mode == MODE_ALL_SETTLED;
    if (task->state == TASK_CANCELING && requires_all && output->counts.canceled > 0)
        return; /* the gather ends as canceled; in the other modes, a child may still have succeeded */
    gather->status = gather_evaluate(input, &output->counts, all_ended);
    if (gather->status == GATHER_PENDING)
        return;
    /* A failed child decides a race too, but not while the gather is being canceled, because children then fail. */
    bool race_decided = input->mode == MODE_RACE && task->state == TASK_RUNNING;
    if (race_decided || (gather->status == GATHER_SUCCEEDED && (input->mode == MODE_RACE || input->mode == MODE_ANY)))
        output->winner = child->index;
    if (task->state == TASK_RUNNING)
        cancel_children(gather, CANCEL_SIBLING);
}

void gather_child_ended(struct task *task, struct task *child)
{
    const struct gather_input *input = task->spec->input;
    struct gather *gather = task_state(task);
    struct gather_output *output = task_output(task);
    if (child->started_ns != 0)
        output->serial_ns += child->ended_ns - child->started_ns;
    if (child->state == TASK_SUCCEEDED)
        output->counts.succeeded++;
    else if (child->state == TASK_FAILED)
        output->counts.failed++;
    else
        output->counts.canceled++;
    if (child->state == TASK_FAILED && gather->first_failed == NULL)
        gather->first_failed = child;
    gather->ended++;
    if (child->was_queued)
        gather->active--;

    bool all_ended = gather->ended == gather->children.count;
    if (gather->status == GATHER_PENDING)
        gather_resolve(task, child, all_ended);
    if (all_ended)
        gather_end(task);
    else if (task->state == TASK_RUNNING)
        start_children(gather, concurrency_limit(input));
}

void gather_cancel(struct task *task)
{
    cancel_children(task_state(task), CANCEL_PARENT);
}

const struct function function_gather = {
    .name = "gather",
    .doc = "Runs tasks concurrently, and ends when its mode has decided the result and all of them have ended",
    .input = &input_type,
    GATHER_MEMBERS,
};

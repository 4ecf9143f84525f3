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
static const struct type mode_type = {
    .kind = TYPE_ENUM,
    .name = "Mode",
    .doc = "When a gather is decided, and how. Once it is decided, the tasks that have not ended are canceled.\n\n"
           "- `all`: fails as soon as more than `tolerated_failures` tasks have failed, "
           "else succeeds when all tasks have ended\n"
           "- `all_settled`: succeeds when all tasks have ended\n"
           "- `any`: succeeds with the first success, fails if no task succeeds\n"
           "- `race`: succeeds or fails like the first task that ends\n"
           "- `quorum`: succeeds when `quorum` tasks have succeeded, fails as soon as too few can succeed",
    .names = gather_mode_names,
};
static const struct type quorum_type = {
    .kind = TYPE_INTEGER,
    .name = "Quorum",
    .doc =
        "How many tasks must succeed, from 1 to the number of tasks. Required with mode `quorum`, and only then valid.",
    .min = 1,
    .max = INT32_MAX,
};
const struct type gather_concurrency_type = {
    .kind = TYPE_INTEGER,
    .name = "MaxConcurrency",
    .doc = "How many of the tasks may run at the same time. If it is absent, all of them.",
    .min = 1,
    .max = INT32_MAX,
};
const struct type gather_failures_type = {
    .kind = TYPE_INTEGER,
    .name = "ToleratedFailures",
    .doc = "How many tasks may fail before the gather fails and the other tasks are canceled. "
           "Above 0 it is valid only with mode `all`, which is also that of a map.",
    .min = 0,
    .max = INT32_MAX,
};
static const struct type count_type = {.kind = TYPE_INTEGER, .min = 0, .max = INT32_MAX};
static const struct type serial_type = {.kind = TYPE_SECONDS, .min = 0, .max = INT64_MAX};
static const struct type child_type = {.kind = TYPE_CHILD};
static const struct type children_type = {
    .kind = TYPE_ARRAY, .item = &child_type, .limit = &limits_fields[LIMIT_GATHER_CHILDREN]};

static const struct field input_fields[] = {
    {"tasks", &tasks_type, offsetof(struct gather_input, tasks), FIELD_REQUIRED, NULL,
     "The tasks to run, at most max_gather_children; the results have the same order", NULL},
    {"mode", &mode_type, offsetof(struct gather_input, mode), FIELD_DEFAULTED, "all",
     "When the gather is decided, and how", NULL},
    {"quorum", &quorum_type, offsetof(struct gather_input, quorum), FIELD_OPTIONAL, NULL,
     "How many tasks must succeed; required with mode quorum, and only then valid", NULL},
    GATHER_CONCURRENCY_FIELD(offsetof(struct gather_input, max_concurrency)),
    GATHER_FAILURES_FIELD(offsetof(struct gather_input, tolerated_failures)),
    {0},
};

static const struct field counts_fields[] = {
    {"total", &count_type, offsetof(struct counts, total), FIELD_REQUIRED, NULL, "The number of tasks", NULL},
    {"succeeded", &count_type, offsetof(struct counts, succeeded), FIELD_REQUIRED, NULL,
     "The number of tasks that succeeded", NULL},
    {"failed", &count_type, offsetof(struct counts, failed), FIELD_REQUIRED, NULL, "The number of tasks that failed",
     NULL},
    {"canceled", &count_type, offsetof(struct counts, canceled), FIELD_REQUIRED, NULL,
     "The number of tasks that were canceled", NULL},
    {0},
};
static const struct type counts_type = {
    .kind = TYPE_RECORD, .name = "GatherCounts", .fields = counts_fields, .size = sizeof(struct counts)};

static const struct field output_fields[] = {
    {"mode", &mode_type, offsetof(struct gather_output, mode), FIELD_REQUIRED, NULL, "The requested mode", NULL},
    {"quorum", &quorum_type, offsetof(struct gather_output, quorum), FIELD_OPTIONAL, NULL,
     "The requested quorum; only with mode quorum", NULL},
    {"counts", &counts_type, offsetof(struct gather_output, counts), FIELD_REQUIRED, NULL,
     "The number of tasks by outcome", NULL},
    {"winner", &count_type, offsetof(struct gather_output, winner), FIELD_OPTIONAL, NULL,
     "The index of the task that decided the gather; only with mode any or race, and absent if none did", NULL},
    {"serial_seconds", &serial_type, offsetof(struct gather_output, serial_ns), FIELD_REQUIRED, NULL,
     "The sum of the tasks' durations, in seconds: the time to run them one after another", NULL},
    {"tasks", &children_type, offsetof(struct gather_output, tasks), FIELD_REQUIRED, NULL,
     "The outcome of each task, in the order of the request", NULL},
    {0},
};

const struct type gather_result_type = {
    .kind = TYPE_RECORD, .name = "GatherResult", .fields = output_fields, .size = sizeof(struct gather_output)};

static const struct rule input_rules[] = {
    {RULE_REQUIRED_WITH, "quorum", "mode", {"quorum"}},
    {RULE_ONLY_WITH, "quorum", "mode", {"quorum"}},
    {RULE_ONLY_WITH, "tolerated_failures", "mode", {"all"}},
    {RULE_ITEMS_WITH, "tasks", "mode", {"any", "race", "quorum"}},
    {0},
};

static bool gather_check(const void *data, struct check_error *check_error)
{
    const struct gather_input *input = data;
    if (input->mode == MODE_QUORUM && (uint64_t)input->quorum > input->tasks.count)
        return check_error_set(check_error, "/quorum", "must be at most %zu, the number of tasks", input->tasks.count);
    return true;
}

static const struct type input_type = {.kind = TYPE_RECORD,
                                       .fields = input_fields,
                                       .size = sizeof(struct gather_input),
                                       .rules = input_rules,
                                       .check = gather_check};

const int gather_errors[] = {ERR_CHILD_FAILED, 0};

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
    return type_is_absent(&gather_concurrency_type, &input->max_concurrency) ? SIZE_MAX
                                                                             : (size_t)input->max_concurrency;
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
    err_set(&gather->e, ERR_CHILD_FAILED,
            "Mode \"%s\" was not met (%lld tasks: %lld succeeded, %lld failed, %lld canceled)%s", mode,
            (long long)c->total, (long long)c->succeeded, (long long)c->failed, (long long)c->canceled, cause);
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

/* clang-format off */
static const struct function_example examples[] = {
    {.name = "pair",
     .summary = "Two tasks at the same time",
     .input = JSON({"tasks": [{"name": "task1", "function": "sleep", "input": {"seconds": 0.1}},
                              {"name": "task2", "function": "sleep", "input": {"seconds": 0.2}}]}),
     .result = JSON({"mode": "all", "counts": {"total": 2, "succeeded": 2, "failed": 0, "canceled": 0},
                     "serial_seconds": 0.300364,
                     "tasks": [
                         {"index": 0, "name": "task1", "function": "sleep", "executor": "loop",
                          "state": "succeeded", "result": {"slept_seconds": 0.100172}, "pid": 4711, "tid": 4711,
                          "queued_seconds": 0.000003, "duration_seconds": 0.100172},
                         {"index": 1, "name": "task2", "function": "sleep", "executor": "loop",
                          "state": "succeeded", "result": {"slept_seconds": 0.200192}, "pid": 4711, "tid": 4711,
                          "queued_seconds": 0.000003, "duration_seconds": 0.200192}]})},
    {.name = "none",
     .summary = "No tasks, which succeeds",
     .input = JSON({"tasks": []}),
     .result = JSON({"mode": "all", "counts": {"total": 0, "succeeded": 0, "failed": 0, "canceled": 0},
                     "serial_seconds": 0, "tasks": []})},
    {.name = "first",
     .summary = "The first success decides, the other task is canceled",
     .input = JSON({"mode": "any", "tasks": [{"name": "slow", "function": "sleep", "input": {"seconds": 60}},
                                             {"name": "quick", "function": "sleep", "input": {"seconds": 0.1}}]}),
     .result = JSON({"mode": "any", "counts": {"total": 2, "succeeded": 1, "failed": 0, "canceled": 1},
                     "winner": 1, "serial_seconds": 0.200355,
                     "tasks": [
                         {"index": 0, "name": "slow", "function": "sleep", "executor": "loop", "state": "canceled",
                          "error": {"code": "canceled", "status": 409, "detail": "Its gather was decided without it"},
                          "pid": 4711, "tid": 4711, "queued_seconds": 0.000003, "duration_seconds": 0.100179,
                          "cancel": {"reason": "sibling", "effect": "stopped"}},
                         {"index": 1, "name": "quick", "function": "sleep", "executor": "loop",
                          "state": "succeeded", "result": {"slept_seconds": 0.100172}, "pid": 4711, "tid": 4711,
                          "queued_seconds": 0.000003, "duration_seconds": 0.100172}]})},
    {.name = "two_of_three",
     .summary = "Two successes are enough",
     .input = JSON({"mode": "quorum", "quorum": 2, "tasks": [{"function": "sleep", "input": {"seconds": 0.2}},
                                                             {"function": "sleep", "input": {"seconds": 60}},
                                                             {"function": "sleep", "input": {"seconds": 0.1}}]})},
    {.name = "one_by_one",
     .summary = "One task at a time",
     .input = JSON({"max_concurrency": 1, "tasks": [{"function": "sleep", "input": {"seconds": 0.1}},
                                                    {"function": "sleep", "input": {"seconds": 0.1}}]})},
    {.name = "everywhere",
     .summary = "Tasks that wait, block and compute, each on its executor",
     .input = JSON({"tasks": [{"function": "sleep", "input": {"seconds": 0.1}},
                              {"function": "block", "input": {"seconds": 0.1}},
                              {"function": "primes", "input": {"to": 100000}}]})},
    {.name = "nested",
     .summary = "A gather in a gather",
     .input = JSON({"mode": "all_settled",
                    "tasks": [{"name": "inner", "function": "gather",
                               "input": {"mode": "race", "tasks": [{"function": "sleep", "input": {"seconds": 0.1}},
                                                                   {"function": "sleep", "input": {"seconds": 60}}]}},
                              {"function": "sleep", "input": {"seconds": 0.2}}]})},
    {.name = "child_failed",
     .summary = "One task times out, so the other is canceled",
     .input = JSON({"tasks": [{"name": "late", "function": "sleep", "input": {"seconds": 60}, "timeout_seconds": 0.1},
                              {"name": "fine", "function": "sleep", "input": {"seconds": 60}}]}),
     .error = ERR_CHILD_FAILED},
    {.name = "deadline",
     .summary = "A deadline for the whole gather",
     .input = JSON({"tasks": [{"function": "sleep", "input": {"seconds": 60}}]}),
     .query = "deadline_seconds=0.1",
     .error = ERR_DEADLINE_EXCEEDED},
    {0},
};
/* clang-format on */

const struct function function_gather = {
    .name = "gather",
    .doc = "Runs tasks concurrently, and ends when its mode has decided the result and all of them have ended",
    .description = "The result has the outcome of each task, also when the gather fails with `child_failed`. "
                   "Once its mode is decided, a gather cancels the other tasks and waits for them, so it ends after "
                   "its last task. "
                   "Gathers can be nested, at most `max_gather_depth` deep. "
                   "The whole request is validated before the first task starts. "
                   "If its tasks would not fit even into an empty pool (its `size` and `queue_limit`), it fails with "
                   "`limit_exceeded`.",
    .examples = examples,
    .input = &input_type,
    GATHER_MEMBERS,
};

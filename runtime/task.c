#include "runtime/task.h"

#include "runtime/core.h"

const char *const task_state_names[TASK_STATES + 1] = {
    [TASK_SUBMITTED] = "submitted", [TASK_QUEUED] = "queued",       [TASK_RUNNING] = "running",
    [TASK_CANCELING] = "canceling", [TASK_SUCCEEDED] = "succeeded", [TASK_FAILED] = "failed",
    [TASK_CANCELED] = "canceled",
};

const char *const cancel_reason_names[CANCEL_REASONS + 1] = {
    [CANCEL_CLIENT] = "client",     [CANCEL_PARENT] = "parent",   [CANCEL_SIBLING] = "sibling",
    [CANCEL_SHUTDOWN] = "shutdown", [CANCEL_TIMEOUT] = "timeout", [CANCEL_DEADLINE] = "deadline",
};

static const struct type name_type = {.kind = TYPE_STRING, .min = 1, .max = 128};
static const struct type function_type = {.kind = TYPE_FUNCTION};
static const struct type input_type = {.kind = TYPE_INPUT};
static const struct type timeout_type = {.kind = TYPE_SECONDS, .min = 1, .limit = &limits_fields[LIMIT_TIMEOUT]};
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
    { \
        "deadline_seconds", &deadline_type, (base) + offsetof(struct task_options, deadline_ns), FIELD_OPTIONAL, NULL, \
            "The task fails when it has not ended by then; counts from receipt, queueing included", "60" \
    }

static const struct field options_fields[] = {OPTION_FIELDS(0), {0}};

const struct type task_options_type = {
    .kind = TYPE_RECORD, .fields = options_fields, .size = sizeof(struct task_options)};

static const struct field spec_fields[] = {
    {"function", &function_type, offsetof(struct task_spec, function), FIELD_REQUIRED, NULL,
     "The function to run, one of GET /v1/functions", "sleep"},
    {"input", &input_type, offsetof(struct task_spec, input), FIELD_REQUIRED, NULL, "The function's input", NULL},
    OPTION_FIELDS(offsetof(struct task_spec, options)),
    {0},
};

const struct type task_spec_type = {
    .kind = TYPE_RECORD, .name = "TaskSpec", .fields = spec_fields, .size = sizeof(struct task_spec)};

/* -- admission: all that can fail happens here --------------------------------------------------------------------- */

static const struct task_spec *child_spec(const struct list *specs, size_t i)
{
    return (const struct task_spec *)specs->items + i;
}

static const struct list *spec_children(const struct task_spec *spec)
{
    static const struct list none;
    return spec->function->children == NULL ? &none : spec->function->children(spec->input);
}

static size_t spec_tasks(const struct task_spec *spec)
{
    const struct list *specs = spec_children(spec);
    size_t count = 1;
    for (size_t i = 0; i < specs->count; i++)
        count += spec_tasks(child_spec(specs, i));
    return count;
}

/* Recursion here and below is as deep as the gathers, which decoding bounds (max_gather_depth). */
static struct task *admit(struct runtime *runtime, const struct task_spec *spec, struct arena *arena,
                          uint64_t received_ns)
{
    const struct function *function = spec->function;
    struct task *task = arena_alloc(arena, task_output_offset(function) + function->output->size);
    if (task == NULL)
        return NULL;
    task->runtime = runtime;
    task->spec = spec;
    task->received_ns = received_ns;
    if (function->children == NULL)
        return task;

    const struct list *specs = spec_children(spec);
    struct family *family = task_state(task);
    family->count = specs->count;
    family->children = arena_calloc(arena, specs->count, sizeof(struct task *));
    if (family->children == NULL)
        return NULL;
    for (size_t i = 0; i < specs->count; i++) {
        struct task *child = admit(runtime, child_spec(specs, i), arena, received_ns);
        if (child == NULL)
            return NULL;
        child->parent = task;
        child->index = (uint32_t)i;
        family->children[i] = child;
    }
    return task;
}

int task_submit(struct runtime *runtime, const struct task_spec *spec, struct arena *arena, uint64_t received_ns,
                task_done_fn *done, void *user, struct task **out, struct err *e)
{
    if (runtime->refusing)
        return err_set(e, ERR_SHUTTING_DOWN, "the service is shutting down and takes no new tasks");
    size_t count = spec_tasks(spec);
    size_t most = (size_t)runtime->limits.max_tasks;
    if (count > most || runtime->unfinished > most - count)
        return err_set(e, ERR_TOO_MANY_TASKS,
                       "%zu tasks are unfinished and these would be %zu more; the limit max_tasks is %zu",
                       runtime->unfinished, count, most);
    if (!timers_reserve(&runtime->timers, TIMERS_PER_TASK * count))
        goto err_memory;
    struct task *task = admit(runtime, spec, arena, received_ns);
    struct root *root = arena_alloc(arena, sizeof *root);
    if (task == NULL || root == NULL)
        goto err_after_reserve;

    *root = (struct root){.task = task, .arena = arena_ref(arena), .done = done, .user = user};
    ring_append(&runtime->roots, &root->link);
    task->root = root;
    runtime->unfinished += count;
    task_watch_deadline(task);
    task_queue(task);
    *out = task;
    return 0;

err_after_reserve:
    timers_unreserve(&runtime->timers, TIMERS_PER_TASK * count);
err_memory:
    return err_set(e, ERR_OUT_OF_MEMORY, "there is no memory for %zu more tasks", count);
}

void task_release(struct task *task)
{
    PRE(task->root != NULL && task->root->delivered);
    struct arena *arena = task->root->arena;
    ring_remove(&task->root->link);
    arena_unref(arena);
}

/* -- looking ------------------------------------------------------------------------------------------------------- */

void task_look(const struct task *task, struct task_view *out)
{
    bool started = task->started_ns != 0, ended = task_ended(task);
    *out = (struct task_view){
        .spec = task->spec,
        .state = (enum task_state)task->state,
        .done = ended,
        .rc = task->rc,
        .detail = task->detail,
        .output = task->has_output ? (const char *)task + task_output_offset(task->spec->function) : NULL,
        .pid = started ? task->runtime->pid : 0,
        .tid = started ? task->runtime->tid : 0,
        .cancel_asked = task->cancel_asked,
        .cancel_settled = task->cancel_settled,
        .cancel_reason = (enum cancel_reason)task->reason,
        .cancel_effect = (enum cancel_effect)task->effect,
        .received_ns = task->received_ns,
        .queued_ns = started ? task->started_ns - task->received_ns : UINT64_MAX,
        .duration_ns = UINT64_MAX,
        .index = task->index,
    };
    if (!started && ended)
        out->queued_ns = task->ended_ns - task->received_ns;
    if (started && ended)
        out->duration_ns = task->ended_ns - task->started_ns;
}

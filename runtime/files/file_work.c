#include "runtime/files/file_work.h"

#include "runtime/task/task_internal.h"
#include "runtime/task/task_submit.h"

struct step_input {
    struct file_work *step;
};

static const struct field no_fields[] = {{0}};
static const struct type step_input_type = {
    .kind = TYPE_RECORD, .fields = no_fields, .size = sizeof(struct step_input)};
static const struct type nothing_type = {.kind = TYPE_RECORD, .fields = no_fields};

static int step_run(const void *input, void *output, struct run_context *run)
{
    (void)output;
    struct file_work *step = ((const struct step_input *)input)->step;
    return step->work(step, run);
}

/* Not one that a request can name. */
static const struct function function_step = {
    .name = "file_transfer",
    .executor = EXECUTOR_FILES,
    .executors = EXECUTOR_BIT(EXECUTOR_FILES),
    .input = &step_input_type,
    .output = &nothing_type,
    .run = step_run,
};

static void on_done(struct task *task, void *user)
{
    struct file_work *step = user;
    struct task_info view;
    struct err e = {0};
    task_get_info(task, &view);
    if (view.rc != 0)
        err_set(&e, view.rc, "%s", view.detail != NULL ? view.detail : error_title(view.rc));
    struct arena *kept = arena_ref(step->arena); /* done() may let go of all else that keeps it */
    step->done(step, &e);
    arena_unref(kept);
    task_release(task);
}

static int submit(struct runtime *runtime, struct file_work *step, bool goes_on, struct err *e)
{
    struct arena *arena = arena_new();
    struct task_spec *spec = arena == NULL ? NULL : arena_alloc(arena, sizeof *spec);
    struct step_input *input = spec == NULL ? NULL : arena_alloc(arena, sizeof *input);
    if (input == NULL || !arena_retain(arena, step->arena)) {
        arena_unref(arena);
        return err_set(e, ERR_OUT_OF_MEMORY, "There is no memory to work on the file; try again later");
    }
    input->step = step;
    *spec = (struct task_spec){.function = &function_step, .input = input, .options = task_options_none};
    spec->options.timeout_ns = spec->options.deadline_ns = INT64_MAX;
    struct task *task;
    int rc = goes_on ? task_continue(runtime, spec, arena, on_done, step, &task, e)
                     : task_submit(runtime, spec, arena, uv_hrtime(), on_done, step, &task, e);
    arena_unref(arena); /* the task has its own reference */
    return rc;
}

int step_submit(struct runtime *runtime, struct file_work *step, struct err *e)
{
    return submit(runtime, step, false, e);
}

int step_go_on(struct runtime *runtime, struct file_work *step, struct err *e)
{
    return submit(runtime, step, true, e);
}

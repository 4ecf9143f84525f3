#include "runtime/files/file_work.h"

#include "runtime/task/admission.h"
#include "runtime/task/task_internal.h"

struct file_work_input {
    struct file_work *req;
};

static const struct field no_fields[] = {{0}};
static const struct type file_work_input_type = {
    .kind = TYPE_RECORD, .fields = no_fields, .size = sizeof(struct file_work_input)};
static const struct type empty_type = {.kind = TYPE_RECORD, .fields = no_fields};

static int file_work_run(const void *input, void *output, struct run_context *run)
{
    (void)output;
    struct file_work *req = ((const struct file_work_input *)input)->req;
    return req->work(req, run);
}

/* Not in the registry: requests can't name it. */
static const struct function function_file_work = {
    .name = "file_transfer",
    .executor = EXECUTOR_FILES,
    .executors = EXECUTOR_BIT(EXECUTOR_FILES),
    .input = &file_work_input_type,
    .output = &empty_type,
    .run = file_work_run,
};

static void file_work_on_done(struct task *task, void *user)
{
    struct file_work *req = user;
    struct task_info info;
    struct err e = {0};
    task_get_info(task, &info);
    if (info.rc != 0)
        err_set(&e, info.rc, "%s", info.detail != NULL ? info.detail : error_title(info.rc));
    struct arena *arena = arena_ref(req->arena); /* done() may drop all other references */
    req->done(req, &e);
    arena_unref(arena);
    task_release(task);
}

static int file_work_submit_task(struct runtime *runtime, struct file_work *req, bool continuation, struct err *e)
{
    struct arena *arena = arena_new();
    struct task_spec *spec = arena == NULL ? NULL : arena_alloc(arena, sizeof *spec);
    struct file_work_input *input = spec == NULL ? NULL : arena_alloc(arena, sizeof *input);
    if (input == NULL || !arena_retain(arena, req->arena)) {
        arena_unref(arena);
        return err_nomem(e);
    }
    input->req = req;
    *spec = (struct task_spec){.function = &function_file_work, .input = input, .options = task_options_none};
    spec->options.timeout_ns = spec->options.deadline_ns = INT64_MAX;
    struct task *task;
    int rc = continuation ? task_continue(runtime, spec, arena, file_work_on_done, req, &task, e)
                          : task_submit(runtime, spec, arena, uv_hrtime(), file_work_on_done, req, &task, e);
    arena_unref(arena); /* the task has a reference */
    return rc;
}

int file_work_submit(struct runtime *runtime, struct file_work *req, struct err *e)
{
    return file_work_submit_task(runtime, req, false, e);
}

int file_work_continue(struct runtime *runtime, struct file_work *req, struct err *e)
{
    return file_work_submit_task(runtime, req, true, e);
}

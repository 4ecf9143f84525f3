/* tasks - the routes that run a task, and the response once it has ended. */
#include "handlers/resources/handlers.h"
#include "handlers/responders/task_responder.h"
#include "runtime/task/admission.h"
#include "runtime/types/type_rules.h"

#include <string.h>

/* -- checks of the head -------------------------------------------------------------------------------------------- */

bool check_capacity(struct api *api, const struct request *request, const struct task_spec *spec,
                    struct response *response)
{
    struct err e;
    if (task_submit_check(api->runtime, spec, &e) == 0)
        return true;
    request_reject_error(request, response, &e);
    return false;
}

static bool check_task_head(struct api *api, struct request *request, struct response *response)
{
    return check_capacity(api, request, NULL, response);
}

/* Checks options against the spec's function, if they were decoded separately. */
static bool check_options(const struct request *request, const struct task_spec *spec, bool in_query,
                          struct response *response)
{
    struct check_error check_error;
    if (type_check_rules(&task_spec_type, spec, &check_error))
        return true;
    /* Query parameters have their schemas one by one: a conflict of two of them is in none. */
    if (in_query && strcmp(check_error.pointer, "/pool") == 0 &&
        (spec->function->executors & EXECUTOR_BIT(EXECUTOR_THREADS)) != 0)
        check_error.rc = ERR_INVALID_ARGUMENT;
    struct validation_errors errors;
    validation_errors_init(&errors);
    validation_errors_add(&errors, check_error.rc, NULL, check_error.pointer + (in_query ? 1 : 0), "%s",
                          check_error.detail);
    errors.items[0].in_query = in_query;
    request_reject_invalid(request, response, &errors);
    return false;
}

/* Allocates a spec and, if `function` is not NULL, its input; NULL if the body names the function. If out of memory,
 * fills *response and returns NULL. */
static struct task_spec *task_spec_new(const struct request *request, const struct function *function,
                                       struct response *response)
{
    struct task_spec *spec = arena_alloc(request->arena, sizeof *spec);
    if (spec != NULL && function != NULL) {
        spec->function = function;
        spec->input = arena_alloc(request->arena, function->input->size);
        if (spec->input == NULL)
            spec = NULL;
    }
    if (spec == NULL)
        request_reject_nomem(request, response);
    return spec;
}

/* Decodes the options from the query. Sets request->prepared to the spec; its input will be decoded from the body. */
static bool check_function_head(struct api *api, struct request *request, const struct function *function,
                                struct response *response)
{
    struct task_spec *spec = task_spec_new(request, function, response);
    request->prepared = spec;
    if (spec == NULL)
        return false;
    const struct record_ref options = {.type = &task_options_type, .value = &spec->options};
    return request_decode_query(request, &options, response) && check_options(request, spec, true, response) &&
           check_capacity(api, request, spec, response);
}

static bool check_run_head(struct api *api, struct request *request, struct response *response)
{
    const struct function *function = registry_find(request->registry, request->params[0]);
    if (function != NULL)
        return check_function_head(api, request, function, response);
    request_reject_function(request, response);
    return false;
}

static bool check_file_script_head(struct api *api, struct request *request, struct response *response)
{
    return check_function_head(api, request, registry_find(request->registry, STR("file_script")), response);
}

/* -- running ------------------------------------------------------------------------------------------------------- */

/* A submitted task; in the request's arena. */
struct submission {
    struct api *api;
    task_render_fn *render;
    struct task_snapshot task; /* info is filled when the task has ended */
};

static void on_task_ended(const struct request *request, const struct task_info *info, void *user,
                          struct response *response)
{
    struct submission *submission = user;
    submission->task.info = *info;
    submission->api->on_task_finished(submission->api->user, &submission->task, request->id);
    submission->render(request, &submission->task, response);
    response->is_task_result = info->rc != 0;
}

struct responder *task_respond(struct api *api, const struct request *request, const struct task_spec *spec,
                               task_render_fn *render, struct response *response)
{
    struct submission *submission = arena_alloc(request->arena, sizeof *submission);
    if (submission == NULL) {
        request_reject_nomem(request, response);
        return NULL;
    }
    submission->api = api;
    submission->render = render;
    submission->task.created_us = request->received_us;
    ids_generate(&api->ids, request->received_us, submission->task.id);
    return task_responder_new(api->runtime, request, spec, on_task_ended, submission, response);
}

static struct responder *post_tasks(struct api *api, const struct request *request, struct response *response)
{
    struct task_spec *spec = task_spec_new(request, NULL, response);
    if (spec == NULL || !request_reject_query(request, response))
        return NULL;
    const struct record_ref record = {.type = &task_spec_type, .value = spec};
    if (!request_decode_body(request, request->body, &record, 1, response))
        return NULL;
    return task_respond(api, request, spec, render_task, response);
}

static struct responder *post_run(struct api *api, const struct request *request, struct response *response)
{
    struct task_spec *spec = request->prepared;
    const struct function *function = spec->function;
    const struct record_ref input = {.type = function->input, .value = spec->input, .function = function};
    if (!request_decode_body(request, request->body, &input, 1, response))
        return NULL;
    return task_respond(api, request, spec, render_task, response);
}

static struct responder *post_gather(struct api *api, const struct request *request, struct response *response)
{
    const struct function *function = registry_find(request->registry, STR("gather"));
    struct task_spec *spec = task_spec_new(request, function, response);
    if (spec == NULL || !request_reject_query(request, response))
        return NULL;
    const struct record_ref records[] = {
        {.type = function->input, .value = spec->input, .function = function},
        {.type = &task_options_type, .value = &spec->options},
    };
    if (!request_decode_body(request, request->body, records, COUNT_OF(records), response) ||
        !check_options(request, spec, false, response))
        return NULL;
    return task_respond(api, request, spec, render_task, response);
}

/* -- the response -------------------------------------------------------------------------------------------------- */

static double ns_to_ms(uint64_t ns)
{
    return ns == SECONDS_ABSENT ? 0.0 : (double)ns / (double)NS_PER_MS;
}

void render_task(const struct request *request, const struct task_snapshot *task, struct response *response)
{
    const struct task_info *info = &task->info;
    struct json_writer w = {0};
    if (info->state == TASK_SUCCEEDED) {
        task_object_render(&w, task);
        response_json(response, 200, &w);
    } else {
        char detail[TASK_DETAIL_SIZE];
        task_object_error_detail(info, detail);
        problem_begin(&w, request->id, info->rc, detail);
        json_writer_raw(&w, ",\"task\":");
        task_object_render(&w, task);
        problem_end(response, info->rc, &w);
    }
    response_header(response, "Server-Timing", "queue;dur=%.3f, run;dur=%.3f", ns_to_ms(info->queued_ns),
                    ns_to_ms(info->duration_ns));
}

/* -- routes -------------------------------------------------------------------------------------------------------- */

static const struct route_answer task_answers[] = {
    {200, "The task succeeded.", "application/json", NULL, false, ANSWER_SERVER_TIMING, NULL},
    {0},
};

static const struct function_example task_examples[] = {
    {"sleep", "Sleep for a tenth of a second",
     JSON({"function" : "sleep", "input" : {"seconds" : 0.1}, "name" : "nap"}), NULL, NULL, 0},
    {"gather", "Two tasks, concurrently", JSON({
         "function" : "gather",
         "input" : {
             "tasks" : [
                 {"function" : "sleep", "input" : {"seconds" : 0.1}},
                 {"function" : "sleep", "input" : {"seconds" : 0.2}}
             ]
         }
     }),
     NULL, NULL, 0},
    {"parallel", "A computation, divided over two worker processes",
     JSON({"function" : "primes", "input" : {"to" : 10000000}, "parallel" : 2}), NULL, NULL, 0},
    {"pool", "A computation in a thread of a named pool",
     JSON({"function" : "sum", "input" : {"n" : 5000}, "executor" : "threads", "pool" : "default"}), NULL, NULL, 0},
    {"timeout", "A task that exceeds its timeout",
     JSON({"function" : "sleep", "input" : {"seconds" : 5}, "timeout_seconds" : 0.1}), NULL, NULL, ERR_TIMEOUT},
    {0},
};

static const struct function_example gather_examples[] = {
    {"pair", "Two named tasks, with a deadline", JSON({
         "tasks" : [
             {"name" : "task1", "function" : "sleep", "input" : {"seconds" : 0.1}},
             {"name" : "task2", "function" : "sleep", "input" : {"seconds" : 0.2}}
         ],
         "deadline_seconds" : 60
     }),
     NULL, NULL, 0},
    {"kinds", "A wait, a blocking call and a computation, each on its executor", JSON({
         "tasks" : [
             {"name" : "wait", "function" : "sleep", "input" : {"seconds" : 0.1}},
             {"name" : "call", "function" : "block", "input" : {"seconds" : 0.1}},
             {"name" : "compute", "function" : "primes", "input" : {"to" : 100000}}
         ]
     }),
     NULL, NULL, 0},
    {"first_success", "The first success decides, and cancels the rest", JSON({
         "mode" : "any",
         "tasks" :
             [ {"function" : "sleep", "input" : {"seconds" : 0.1}}, {"function" : "sleep", "input" : {"seconds" : 60}} ]
     }),
     NULL, NULL, 0},
    {"quorum", "Two successes of three decide", JSON({
         "mode" : "quorum",
         "quorum" : 2,
         "tasks" : [
             {"function" : "sleep", "input" : {"seconds" : 0.1}}, {"function" : "sleep", "input" : {"seconds" : 0.2}},
             {"function" : "sleep", "input" : {"seconds" : 60}}
         ]
     }),
     NULL, NULL, 0},
    {"child_failed", "A failure cancels the other tasks, and fails the gather", JSON({
         "tasks" : [
             {"function" : "sleep", "input" : {"seconds" : 60}},
             {"function" : "sleep", "input" : {"seconds" : 60}, "timeout_seconds" : 0.1}
         ]
     }),
     NULL, NULL, ERR_CHILD_FAILED},
    {0},
};

static const struct function_example file_script_examples[] = {
    {"append", "A line appended, and all lines read", JSON({
         "path" : "log.txt",
         "mode" : "a+",
         "ops" : [ {"op" : "write", "data" : "one line\n"}, {"op" : "seek", "offset" : 0}, {"op" : "readlines"} ]
     }),
     NULL, NULL, 0},
    {0},
};

const struct route route_post_tasks = {
    .method = METHOD_POST,
    .path = "/v1/tasks",
    .body = BODY_JSON,
    .handler = post_tasks,
    .check_head = check_task_head,
    .operation = "runTask",
    .tag = TAG_TASKS,
    .runs_any_function = true,
    .summary = "Runs a task",
    .description = "Runs any function, and answers when the task has ended.",
    .request = &task_spec_type,
    .answers = task_answers,
    .examples = task_examples,
};

const struct route route_post_gather = {
    .method = METHOD_POST,
    .path = "/v1/gather",
    .body = BODY_JSON,
    .handler = post_gather,
    .check_head = check_task_head,
    .operation = "gather",
    .tag = TAG_TASKS,
    .function = "gather",
    .summary = "Runs tasks concurrently",
    .description =
        "Runs all tasks concurrently, each on its executor, and answers when the `mode` is decided and all tasks have\n"
        "ended. The input of the function `gather` and the options of its task are members of one object.\n"
        "\n"
        "The whole request is validated before any task starts.",
    .request_name = "GatherRequest",
    .answers = task_answers,
    .examples = gather_examples,
};

const struct route route_post_run = {
    .method = METHOD_POST,
    .path = "/v1/run/{function}",
    .body = BODY_JSON,
    .handler = post_run,
    .check_head = check_run_head,
    .operation = "run",
    .tag = TAG_TASKS,
    .expansion = EXPAND_FUNCTIONS,
    .has_task_options = true,
    .answers = task_answers,
};

const struct route route_post_file_script = {
    .method = METHOD_POST,
    .path = "/v1/files/script",
    .body = BODY_JSON,
    .handler = post_run,
    .check_head = check_file_script_head,
    .operation = "fileScript",
    .tag = TAG_FILES,
    .function = "file_script",
    .has_task_options = true,
    .answers = task_answers,
    .examples = file_script_examples,
};

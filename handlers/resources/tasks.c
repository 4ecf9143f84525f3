/* tasks - the routes that run a task, and the response once it has ended. */
#include "handlers/resources/handlers.h"
#include "handlers/responders/task_responder.h"
#include "runtime/task/admission.h"

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

bool check_task_head(struct api *api, struct request *request, struct response *response)
{
    return check_capacity(api, request, NULL, response);
}

/* Checks options against the spec's function, if they were decoded separately. */
static bool check_options(const struct request *request, const struct task_spec *spec, bool in_query,
                          struct response *response)
{
    struct check_error check_error;
    if (task_spec_type.check(spec, &check_error))
        return true;
    struct validation_errors errors;
    validation_errors_init(&errors);
    validation_errors_add(&errors, ERR_INVALID, NULL, check_error.pointer + (in_query ? 1 : 0), "%s",
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

bool check_run_head(struct api *api, struct request *request, struct response *response)
{
    const struct function *function = function_find(request->params[0]);
    if (function != NULL)
        return check_function_head(api, request, function, response);
    request_reject_function(request, response);
    return false;
}

bool check_file_script_head(struct api *api, struct request *request, struct response *response)
{
    return check_function_head(api, request, function_find(STR("file_script")), response);
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

struct responder *post_tasks(struct api *api, const struct request *request, struct response *response)
{
    struct task_spec *spec = task_spec_new(request, NULL, response);
    if (spec == NULL || !request_reject_query(request, response))
        return NULL;
    const struct record_ref record = {.type = &task_spec_type, .value = spec};
    if (!request_decode_body(request, request->body, &record, 1, response))
        return NULL;
    return task_respond(api, request, spec, render_task, response);
}

struct responder *post_run(struct api *api, const struct request *request, struct response *response)
{
    struct task_spec *spec = request->prepared;
    const struct function *function = spec->function;
    const struct record_ref input = {.type = function->input, .value = spec->input, .function = function};
    if (!request_decode_body(request, request->body, &input, 1, response))
        return NULL;
    return task_respond(api, request, spec, render_task, response);
}

struct responder *post_gather(struct api *api, const struct request *request, struct response *response)
{
    const struct function *function = function_find(STR("gather"));
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

/* tasks - the requests that run something, and the reply to each once it has ended. */
#include "handlers/resources/handlers.h"

void handler_result_set_task(struct api *api, const struct request *request, const struct task_spec *spec,
                             struct handler_result *out)
{
    out->kind = RESULT_TASK;
    out->spec = spec;
    out->identity.created_us = request->received_us;
    ids_generate(&api->ids, request->received_us, out->identity.id);
}

/* Options that came apart from the function they are for. */
static bool check_options(struct api *api, const struct request *request, const struct task_spec *spec, bool in_query,
                          struct handler_result *out)
{
    struct check_error check_error;
    if (task_spec_type.check(spec, &check_error))
        return true;
    struct validation_errors errors = {0};
    validation_errors_add(&errors, ERR_INVALID, NULL, check_error.pointer + (in_query ? 1 : 0), "%s",
                          check_error.detail);
    errors.items[0].in_query = in_query;
    request_reject_invalid(api, request, &errors, out);
    return false;
}

static struct task_spec *task_spec_new(const struct request *request, const struct function *function,
                                       struct handler_result *out)
{
    struct task_spec *spec = arena_alloc(request->arena, sizeof *spec);
    if (spec != NULL && function != NULL) {
        spec->function = function;
        spec->input = arena_alloc(request->arena, function->input->size);
        if (spec->input == NULL)
            spec = NULL;
    }
    if (spec == NULL)
        request_reject(request, out, ERR_OUT_OF_MEMORY, "There is no memory for the task; try again later");
    return spec;
}

void post_tasks(struct api *api, const struct request *request, struct handler_result *out)
{
    struct task_spec *spec = task_spec_new(request, NULL, out);
    if (spec == NULL || !request_reject_query(api, request, out))
        return;
    if (request_decode_body(api, request, &(struct record_ref){.type = &task_spec_type, .value = spec}, 1, out))
        handler_result_set_task(api, request, spec, out);
}

/* The body is the input, the options are in the query. */
static void run_function(struct api *api, const struct request *request, const struct function *function,
                         struct handler_result *out)
{
    struct task_spec *spec = task_spec_new(request, function, out);
    if (spec == NULL ||
        !request_decode_query(api, request, &(struct record_ref){.type = &task_options_type, .value = &spec->options},
                              out) ||
        !check_options(api, request, spec, true, out))
        return;
    struct record_ref input = {.type = function->input, .value = spec->input, .function = function};
    if (request_decode_body(api, request, &input, 1, out))
        handler_result_set_task(api, request, spec, out);
}

void post_run(struct api *api, const struct request *request, struct handler_result *out)
{
    const struct function *function = function_find(request->params[0]);
    if (function == NULL)
        request_reject_function(request, out);
    else
        run_function(api, request, function, out);
}

void post_file_script(struct api *api, const struct request *request, struct handler_result *out)
{
    run_function(api, request, function_find(STR("file_script")), out);
}

void post_gather(struct api *api, const struct request *request, struct handler_result *out)
{
    const struct function *function = function_find(STR("gather"));
    struct task_spec *spec = task_spec_new(request, function, out);
    if (spec == NULL || !request_reject_query(api, request, out))
        return;
    const struct record_ref records[] = {
        {.type = function->input, .value = spec->input, .function = function},
        {.type = &task_options_type, .value = &spec->options},
    };
    if (request_decode_body(api, request, records, COUNT_OF(records), out) &&
        check_options(api, request, spec, false, out))
        handler_result_set_task(api, request, spec, out);
}

static double ns_to_ms(uint64_t ns)
{
    return ns == SECONDS_ABSENT ? 0.0 : (double)ns / (double)NS_PER_MS;
}

void render_task(struct api *api, const struct request *request, const struct task *task,
                 const struct task_identity *identity, struct response *response)
{
    (void)api;
    struct task_info info;
    task_get_info(task, &info);
    struct json_writer w = {0};
    if (info.state == TASK_SUCCEEDED) {
        task_object_render(&w, task, identity);
        response_json(response, 200, &w);
    } else {
        char detail[TASK_DETAIL_SIZE];
        task_object_error_detail(task, detail);
        problem_begin(&w, request->id, info.rc, detail);
        json_writer_raw(&w, ",\"task\":");
        task_object_render(&w, task, identity);
        problem_end(response, info.rc, &w);
    }
    response_header(response, "Server-Timing", "queue;dur=%.3f, run;dur=%.3f", ns_to_ms(info.queued_ns),
                    ns_to_ms(info.duration_ns));
}

/* tasks - the requests that run something, and the reply to each once it has ended. */
#include "handlers/resources/handlers.h"

void accept_task(struct api *api, const struct request *request, const struct task_spec *spec,
                 struct handler_result *out)
{
    out->kind = OUTCOME_TASK;
    out->spec = spec;
    out->ticket.created_us = request->received_us;
    ids_issue(&api->ids, request->received_us, out->ticket.id);
}

/* Options that came apart from the function they are for. */
static bool suits(struct api *api, const struct request *request, const struct task_spec *spec, bool in_query,
                  struct handler_result *out)
{
    struct check_error check_error;
    if (task_spec_type.check(spec, &check_error))
        return true;
    struct validation_errors issues = {0};
    issue_add(&issues, ERR_INVALID, NULL, check_error.pointer + (in_query ? 1 : 0), "%s", check_error.detail);
    issues.items[0].parameter = in_query;
    refuse_issues(api, request, &issues, out);
    return false;
}

static struct task_spec *spec_new(const struct request *request, const struct function *function,
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
        refuse(request, out, ERR_OUT_OF_MEMORY, "There is no memory for the task; try again later");
    return spec;
}

void parse_tasks(struct api *api, const struct request *request, struct handler_result *out)
{
    struct task_spec *spec = spec_new(request, NULL, out);
    if (spec == NULL || !no_query(api, request, out))
        return;
    if (body_into(api, request, &(struct record_ref){.type = &task_spec_type, .value = spec}, 1, out))
        accept_task(api, request, spec, out);
}

/* The body is the input, the options are in the query. */
static void run_function(struct api *api, const struct request *request, const struct function *function,
                         struct handler_result *out)
{
    struct task_spec *spec = spec_new(request, function, out);
    if (spec == NULL ||
        !query_into(api, request, &(struct record_ref){.type = &task_options_type, .value = &spec->options}, out) ||
        !suits(api, request, spec, true, out))
        return;
    struct record_ref input = {.type = function->input, .value = spec->input, .function = function};
    if (body_into(api, request, &input, 1, out))
        accept_task(api, request, spec, out);
}

void parse_run(struct api *api, const struct request *request, struct handler_result *out)
{
    const struct function *function = function_find(request->params[0]);
    if (function == NULL)
        refuse_function(request, out);
    else
        run_function(api, request, function, out);
}

void parse_script(struct api *api, const struct request *request, struct handler_result *out)
{
    run_function(api, request, function_find(STR("file_script")), out);
}

void parse_gather(struct api *api, const struct request *request, struct handler_result *out)
{
    const struct function *function = function_find(STR("gather"));
    struct task_spec *spec = spec_new(request, function, out);
    if (spec == NULL || !no_query(api, request, out))
        return;
    const struct record_ref parts[] = {
        {.type = function->input, .value = spec->input, .function = function},
        {.type = &task_options_type, .value = &spec->options},
    };
    if (body_into(api, request, parts, COUNT_OF(parts), out) && suits(api, request, spec, false, out))
        accept_task(api, request, spec, out);
}

static double ms(uint64_t ns)
{
    return ns == SECONDS_ABSENT ? 0.0 : (double)ns / (double)NS_PER_MS;
}

void render_task(struct api *api, const struct request *request, const struct task *task,
                 const struct task_identity *ticket, struct response *response)
{
    (void)api;
    struct task_info view;
    task_get_info(task, &view);
    struct json_writer w = {0};
    if (view.state == TASK_SUCCEEDED) {
        task_object_render(&w, task, ticket);
        response_json(response, 200, &w);
    } else {
        char detail[TASK_DETAIL];
        task_error_detail(task, detail);
        problem_open(&w, request->id, view.rc, detail);
        writer_raw(&w, ",\"task\":");
        task_object_render(&w, task, ticket);
        problem_close(response, view.rc, &w);
    }
    response_header(response, "Server-Timing", "queue;dur=%.3f, run;dur=%.3f", ms(view.queued_ns),
                    ms(view.duration_ns));
}

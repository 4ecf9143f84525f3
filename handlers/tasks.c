/* tasks - the requests that run something, and the reply to each once it has ended. */
#include "handlers/routes.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct field no_fields[] = {{0}};
static const struct type no_query_type = {.kind = TYPE_RECORD, .fields = no_fields};

void refuse(const struct request *request, struct outcome *out, int rc, const char *format, ...)
{
    char detail[512];
    va_list args;
    va_start(args, format);
    vsnprintf(detail, sizeof detail, format, args);
    va_end(args);
    out->kind = OUTCOME_REPLY;
    reply_problem(&out->reply, request->id, rc, "%s", detail);
}

static void refuse_issues(struct api *api, const struct request *request, const struct issues *issues,
                          struct outcome *out)
{
    out->kind = OUTCOME_REPLY;
    reply_issues(&out->reply, request->id, issues, runtime_limits(api->config.runtime));
}

static bool query_into(struct api *api, const struct request *request, const struct part *part, struct outcome *out)
{
    struct issues issues = {0};
    const struct limits *limits = runtime_limits(api->config.runtime);
    if (decode_query(request->query, part, request->arena, limits, &issues) == 0)
        return true;
    refuse_issues(api, request, &issues, out);
    return false;
}

bool no_query(struct api *api, const struct request *request, struct outcome *out)
{
    return query_into(api, request, &(struct part){.type = &no_query_type}, out);
}

static bool body_into(struct api *api, const struct request *request, const struct part *parts, size_t count,
                      struct outcome *out)
{
    struct issues issues = {0};
    const struct limits *limits = runtime_limits(api->config.runtime);
    if (decode_body(request->body, parts, count, request->arena, limits, &issues) == 0)
        return true;
    refuse_issues(api, request, &issues, out);
    return false;
}

static void accept(struct api *api, const struct request *request, const struct task_spec *spec, struct outcome *out)
{
    out->kind = OUTCOME_TASK;
    out->spec = spec;
    out->ticket.created_us = request->received_us;
    ids_issue(&api->ids, request->received_us, out->ticket.id);
}

static struct task_spec *spec_new(const struct request *request, const struct function *function, struct outcome *out)
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

void parse_tasks(struct api *api, const struct request *request, struct outcome *out)
{
    struct task_spec *spec = spec_new(request, NULL, out);
    if (spec == NULL || !no_query(api, request, out))
        return;
    if (body_into(api, request, &(struct part){.type = &task_spec_type, .value = spec}, 1, out))
        accept(api, request, spec, out);
}

void parse_run(struct api *api, const struct request *request, struct outcome *out)
{
    const struct function *function = function_find(request->params[0]);
    if (function == NULL) {
        refuse_function(request, out);
        return;
    }
    struct task_spec *spec = spec_new(request, function, out);
    if (spec == NULL ||
        !query_into(api, request, &(struct part){.type = &task_options_type, .value = &spec->options}, out))
        return;
    if (body_into(api, request, &(struct part){.type = function->input, .value = spec->input, .function = function}, 1,
                  out))
        accept(api, request, spec, out);
}

void parse_gather(struct api *api, const struct request *request, struct outcome *out)
{
    const struct function *function = function_find(TEXT("gather"));
    struct task_spec *spec = spec_new(request, function, out);
    if (spec == NULL || !no_query(api, request, out))
        return;
    const struct part parts[] = {
        {.type = function->input, .value = spec->input, .function = function},
        {.type = &task_options_type, .value = &spec->options},
    };
    if (body_into(api, request, parts, COUNT_OF(parts), out))
        accept(api, request, spec, out);
}

static double ms(uint64_t ns)
{
    return ns == SECONDS_ABSENT ? 0.0 : (double)ns / (double)NS_PER_MS;
}

void api_task_reply(const struct request *request, const struct task *task, const struct ticket *ticket,
                    struct reply *reply)
{
    struct task_view view;
    task_look(task, &view);
    struct writer w = {0};
    if (view.state == TASK_SUCCEEDED) {
        task_object_render(&w, task, ticket);
        reply_json(reply, 200, &w);
    } else {
        char detail[TASK_DETAIL];
        task_error_detail(task, detail);
        problem_open(&w, request->id, view.rc, detail);
        writer_raw(&w, ",\"task\":");
        task_object_render(&w, task, ticket);
        problem_close(reply, view.rc, &w);
    }
    reply_header(reply, "Server-Timing", "queue;dur=%.3f, run;dur=%.3f", ms(view.queued_ns), ms(view.duration_ns));
}

/* GET /v1/functions and /v1/functions/{name}: the catalogue of functions. */
#include "handlers/json/schema.h"
#include "handlers/resources/handlers.h"

/* Appends the members of a summary to an object: all but the schemas, which are large. */
static void write_summary(struct json_writer *w, const struct function *function)
{
    json_writer_raw(w, "\"name\":");
    json_writer_string(w, str_from(function->name));
    json_writer_raw(w, ",\"description\":");
    json_writer_string(w, str_from(function->doc));
    json_writer_raw(w, ",\"executor\":");
    json_writer_string(w, str_from(executor_names[function->executor]));
    json_writer_raw(w, ",\"cancel_effect\":");
    json_writer_string(w, str_from(cancel_effect_names[executor_cancel_effect(function->executor)]));
    json_writer_raw(w, ",\"executors\":[");
    bool first = true;
    for (unsigned i = 0; i < EXECUTOR_COUNT; i++) {
        if ((function->executors & EXECUTOR_BIT(i)) == 0)
            continue;
        json_writer_raw(w, first ? "" : ",");
        json_writer_string(w, str_from(executor_names[i]));
        first = false;
    }
    json_writer_raw(w, function->split != NULL ? "],\"parallelizable\":true" : "],\"parallelizable\":false");
}

static void write_schemas(struct json_writer *w, const struct function *function, const struct request *request)
{
    const struct decode_context context = {request->limits, request->registry};
    json_writer_raw(w, ",\"input\":");
    schema_write(w, function->input, &context, &task_object_child_codec);
    json_writer_raw(w, ",\"result\":");
    schema_write(w, function->output, &context, &task_object_child_codec);
}

struct responder *get_functions(struct api *api, const struct request *request, struct response *response)
{
    (void)api;
    if (!request_reject_query(request, response))
        return NULL;
    struct json_writer w = {0};
    json_writer_raw(&w, "{\"functions\":[");
    const struct function *const *functions = registry_functions(request->registry);
    for (const struct function *const *f = functions; *f != NULL; f++) {
        json_writer_raw(&w, f == functions ? "{" : ",{");
        write_summary(&w, *f);
        json_writer_raw(&w, "}");
    }
    json_writer_raw(&w, "]}");
    response_json(response, 200, &w);
    return NULL;
}

struct responder *get_function(struct api *api, const struct request *request, struct response *response)
{
    (void)api;
    if (!request_reject_query(request, response))
        return NULL;
    const struct function *function = registry_find(request->registry, request->params[0]);
    if (function == NULL) {
        request_reject_function(request, response);
        return NULL;
    }
    struct json_writer w = {0};
    json_writer_raw(&w, "{");
    write_summary(&w, function);
    write_schemas(&w, function, request);
    json_writer_raw(&w, "}");
    response_json(response, 200, &w);
    return NULL;
}

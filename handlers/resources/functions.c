/* functions - GET /v1/functions and /v1/functions/{name}: the functions and their JSON Schemas. */
#include "handlers/json/schema.h"
#include "handlers/resources/handlers.h"

static void write_function(struct json_writer *w, const struct function *function, const struct limits *limits)
{
    json_writer_raw(w, "{\"name\":");
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
    json_writer_raw(w, ",\"input\":");
    schema_write(w, function->input, limits, &task_object_child_codec);
    json_writer_raw(w, ",\"result\":");
    schema_write(w, function->output, limits, &task_object_child_codec);
    json_writer_raw(w, "}");
}

struct responder *get_functions(struct api *api, const struct request *request, struct response *response)
{
    if (!request_reject_query(request, response))
        return NULL;
    struct json_writer w = {0};
    json_writer_raw(&w, "{\"functions\":[");
    for (const struct function *const *f = function_registry; *f != NULL; f++) {
        json_writer_raw(&w, f == function_registry ? "" : ",");
        write_function(&w, *f, runtime_limits(api->runtime));
    }
    json_writer_raw(&w, "]}");
    response_json(response, 200, &w);
    return NULL;
}

struct responder *get_function(struct api *api, const struct request *request, struct response *response)
{
    if (!request_reject_query(request, response))
        return NULL;
    const struct function *function = function_find(request->params[0]);
    if (function == NULL) {
        request_reject_function(request, response);
        return NULL;
    }
    struct json_writer w = {0};
    write_function(&w, function, runtime_limits(api->runtime));
    response_json(response, 200, &w);
    return NULL;
}

/* operations - the operations of the routes, and their parameters. */
#include "handlers/openapi/openapi_internal.h"
#include "runtime/files/file_methods.h"
#include "runtime/lib/check.h"
#include "runtime/task/task_spec.h"

#include <stdio.h>
#include <string.h>

enum { PATH_SIZE = 128 };

/* -- parameters ---------------------------------------------------------------------------------------------------- */

/* The parameters that are components, besides the options of a task. */
static const struct parameter {
    const char *component, *name, *in, *description, *example;
    int header; /* a condition: enum header_name; else HEADER_COUNT */
} parameters[] = {
    {"RequestId", "X-Request-Id", "header",
     "The client's id for this request: 1 to 128 letters, digits, dots, underscores and hyphens. The response has the\n"
     "same `X-Request-Id`; without a valid id, a generated one. In the log it is `request_id`, in the line about the\n"
     "task (level `debug` if it succeeded, else `info`) or about the rejection of the request (`warn` for a 5xx,\n"
     "`debug` for a 4xx). Connections rejected with `too_many_connections` share one line without it.",
     "order-7.retry-1", HEADER_COUNT},
    {"IfMatch", "If-Match", "header",
     "Proceed only if the file exists (`*`), or if its `ETag` is in this list; weak tags never match. Otherwise the\n"
     "answer is 412. With `PUT`, a malformed list is rejected with 400; with `GET`, it matches nothing.",
     "*", HEADER_IF_MATCH},
    {"IfNoneMatch", "If-None-Match", "header",
     "`GET`: answer 304 if the `ETag` of the content is in this list, or the list is `*`; weak tags match, too, and a\n"
     "malformed list matches nothing. `PUT`: proceed only if the file does not exist (`*`), or if its `ETag` is not\n"
     "in this list; otherwise the answer is 412, and for a malformed list 400.",
     "\"a80210-8-660dd7ae60c35\"", HEADER_IF_NONE_MATCH},
    {"FunctionName", "name", "path", "The name of a function.", "sleep", HEADER_COUNT},
    {"Handle", "handle", "path", "The handle of an open file: its `id`.", "01KAN5C3S0W9TZ3M5X7CEYAK4HQ2", HEADER_COUNT},
    {"FilePathParameter", "path", "path",
     "The path of a file, relative to the file root. Slashes may be percent-encoded: `docs/a.txt` and `docs%2Fa.txt`\n"
     "are the same file.",
     "hello.txt", HEADER_COUNT},
};

static void write_parameter_reference(struct openapi_writer *o, const char *component)
{
    json_writer_item(o->w);
    json_writer_raw(o->w, "{");
    openapi_write_reference(o->w, "parameters", component);
    json_writer_raw(o->w, "}");
}

/* The option `executor` has one component for each set of executors that functions allow; other options have one. */
static void option_component(const struct field *f, const struct function *function, char out[SCHEMA_NAME_SIZE])
{
    if (f->type == &task_executor_type)
        schema_executors_name(function->executors, "ExecutorOption", out);
    else
        schema_name(f->name, "Option", out);
}

static void write_option_references(struct openapi_writer *o, const struct function *function)
{
    for (const struct field *f = task_options_type.fields; f->name != NULL; f++) {
        char component[SCHEMA_NAME_SIZE];
        if (!task_option_applies(f, function))
            continue;
        option_component(f, function, component);
        write_parameter_reference(o, component);
    }
}

static void write_option(struct openapi_writer *o, const struct field *f, const struct function *function)
{
    char component[SCHEMA_NAME_SIZE], description[1024];
    CHECK(snprintf(description, sizeof description, "%s.", f->doc) < (int)sizeof description);
    option_component(f, function, component);
    json_writer_open_object(o->w, component);
    json_writer_member_string(o->w, "name", f->name);
    json_writer_member_string(o->w, "in", "query");
    json_writer_member_string(o->w, "description", description);
    json_writer_open_object(o->w, "schema");
    if (f->type == &task_executor_type)
        schema_executors(&o->schemas, function);
    else
        schema_type(&o->schemas, f->type, false);
    json_writer_raw(o->w, "}");
    if (f->example != NULL && f->type != &task_executor_type) { /* a function allows only some executors */
        json_writer_member(o->w, "example");
        schema_literal(&o->schemas, f->type, f->example);
    }
    json_writer_raw(o->w, "}");
}

static void write_executor_options(struct openapi_writer *o, const struct field *f)
{
    const struct function *const *functions = o->source->functions;
    for (size_t i = 0; functions[i] != NULL; i++) {
        size_t first = 0;
        while (functions[first]->executors != functions[i]->executors)
            first++;
        if (first == i)
            write_option(o, f, functions[i]);
    }
}

void openapi_write_parameters(struct openapi_writer *o)
{
    struct json_writer *w = o->w;
    for (size_t i = 0; i < COUNT_OF(parameters); i++) {
        json_writer_open_object(w, parameters[i].component);
        json_writer_member_string(w, "name", parameters[i].name);
        json_writer_member_string(w, "in", parameters[i].in);
        if (strcmp(parameters[i].in, "path") == 0)
            json_writer_member_raw(w, "required", "true");
        json_writer_member_string(w, "description", parameters[i].description);
        json_writer_member_raw(w, "schema", "{\"type\":\"string\"}");
        json_writer_member_string(w, "example", parameters[i].example);
        json_writer_raw(w, "}");
    }
    for (const struct field *f = task_options_type.fields; f->name != NULL; f++) {
        if (f->type == &task_executor_type)
            write_executor_options(o, f);
        else
            write_option(o, f, NULL);
    }
}

/* Whether the path has a segment {NAME}. */
static bool has_segment(const char *path, const char *name)
{
    char segment[32];
    snprintf(segment, sizeof segment, "{%s}", name);
    return strstr(path, segment) != NULL;
}

static void write_operation_parameters(struct openapi_writer *o, const struct route *route, const char *path,
                                       const struct function *function)
{
    json_writer_open_array(o->w, "parameters");
    for (size_t i = 0; i < COUNT_OF(parameters); i++) {
        bool in_path = strcmp(parameters[i].in, "path") == 0;
        bool condition = parameters[i].header != HEADER_COUNT;
        if (in_path ? has_segment(path, parameters[i].name)
                    : !condition || (route->request_headers & 1U << parameters[i].header) != 0)
            write_parameter_reference(o, parameters[i].component);
    }
    if (route->has_task_options)
        write_option_references(o, function);
    json_writer_raw(o->w, "]");
}

/* -- request bodies ------------------------------------------------------------------------------------------------ */

static void write_examples(struct json_writer *w, const struct function_example *examples)
{
    if (examples == NULL)
        return;
    json_writer_open_object(w, "examples");
    for (const struct function_example *example = examples; example->name != NULL; example++) {
        if (example->query != NULL) /* a body alone would be another call */
            continue;
        json_writer_open_object(w, example->name);
        json_writer_member_string(w, "summary", example->summary);
        json_writer_member_raw(w, "value", example->input);
        if (example->error != 0)
            json_writer_member_string(w, "x-error", error_code(example->error));
        json_writer_raw(w, "}");
    }
    json_writer_raw(w, "}");
}

/* Several records that are the members of one object: a function's input and the options of its task. */
static void write_combined_request(struct schema_set *set, const struct schema_definition *definition)
{
    const struct type *records[] = {definition->function->input, &task_options_type};
    char text[SCHEMA_NAME_SIZE + 64];
    snprintf(text, sizeof text, "The input of `%s` and the options of its task, in one object.",
             definition->function->name);
    json_writer_member_string(set->w, "description", text);
    schema_object(set, records, COUNT_OF(records), definition->function);
}

static bool is_body_required(const struct route *route, const struct function *function)
{
    return route->body != BODY_JSON_OR_NONE || schema_has_required(function->input);
}

static void write_request_body(struct openapi_writer *o, const struct route *route, const struct function *function)
{
    struct json_writer *w = o->w;
    if (route->body == BODY_NONE)
        return;
    json_writer_open_object(w, "requestBody");
    json_writer_member_raw(w, "required", is_body_required(route, function) ? "true" : "false");
    json_writer_open_object(w, "content");
    if (route->body == BODY_STREAM) {
        json_writer_member_raw(w, "application/octet-stream",
                               "{\"schema\":{\"type\":\"string\",\"format\":\"binary\"}}}}");
        return;
    }
    json_writer_open_object(w, "application/json");
    json_writer_open_object(w, "schema");
    if (route->request_name != NULL) {
        struct schema_definition combined = {.write = write_combined_request, .function = function};
        snprintf(combined.name, sizeof combined.name, "%s", route->request_name);
        schema_reference(&o->schemas, &combined);
    } else if (route->request != NULL) {
        schema_type(&o->schemas, route->request, false);
    } else {
        schema_input_reference(&o->schemas, function);
    }
    json_writer_raw(w, "}");
    write_examples(w, route->examples != NULL ? route->examples : function != NULL ? function->examples : NULL);
    json_writer_raw(w, "}}}");
}

/* -- operations ---------------------------------------------------------------------------------------------------- */

static void write_operation(struct openapi_writer *o, const struct route *route, const char *path,
                            const struct function *function)
{
    static const char *const names[] = {
        [METHOD_GET] = "get", [METHOD_POST] = "post", [METHOD_PUT] = "put", [METHOD_DELETE] = "delete"};
    struct json_writer *w = o->w;
    char id[SCHEMA_NAME_SIZE], name[SCHEMA_NAME_SIZE] = "";
    if (route->expansion != EXPAND_NONE)
        schema_name(function->name, "", name);
    CHECK(snprintf(id, sizeof id, "%s%s", route->operation, name) < (int)sizeof id);
    bool in_files = function != NULL && function->executor == EXECUTOR_FILES;
    const char *text = route->summary == NULL ? function->description : route->description;

    json_writer_open_object(w, names[route->method]);
    json_writer_member_string(w, "operationId", id);
    json_writer_open_array(w, "tags");
    json_writer_string(w, str_from(openapi_tag_name(in_files ? TAG_FILES : route->tag)));
    json_writer_raw(w, "]");
    json_writer_member_string(w, "summary", route->summary == NULL ? function->doc : route->summary);
    if (text != NULL)
        json_writer_member_string(w, "description", text);
    write_operation_parameters(o, route, path, function);
    write_request_body(o, route, function);
    openapi_write_answers(o, route, function);
    json_writer_raw(w, "}");
}

/* -- paths --------------------------------------------------------------------------------------------------------- */

/* The path in the document: {path...} is {path}, and the name of the function or method replaces its parameter. */
static void path_of(const struct route *route, const struct function *function, char out[PATH_SIZE])
{
    const char *dots = strstr(route->path, "...}"), *last = strrchr(route->path, '{');
    int len;
    if (dots != NULL)
        len = snprintf(out, PATH_SIZE, "%.*s}", (int)(dots - route->path), route->path);
    else if (route->expansion != EXPAND_NONE)
        len = snprintf(out, PATH_SIZE, "%.*s%s", (int)(last - route->path), route->path, function->name);
    else
        len = snprintf(out, PATH_SIZE, "%s", route->path);
    CHECK(len < PATH_SIZE);
}

/* The function of a row's .function: of the registry, or of an open file. */
static const struct function *find_function(const struct openapi_source *source, const char *name)
{
    if (name == NULL)
        return NULL;
    for (size_t i = 0; source->functions[i] != NULL; i++)
        if (strcmp(source->functions[i]->name, name) == 0)
            return source->functions[i];
    for (size_t i = 0; file_method_functions[i] != NULL; i++)
        if (strcmp(file_method_functions[i]->name, name) == 0)
            return file_method_functions[i];
    CHECK(strcmp(name, function_file_open.name) == 0);
    return &function_file_open;
}

static bool is_first_of_path(const struct openapi_source *source, const struct route *route)
{
    const struct route *const *first = source->routes;
    while (strcmp((*first)->path, route->path) != 0)
        first++;
    return *first == route;
}

/* The operations of all routes with the path of `route`. */
static void write_path(struct openapi_writer *o, const struct route *route, const struct function *function)
{
    char path[PATH_SIZE];
    path_of(route, function, path);
    json_writer_open_object(o->w, path);
    for (const struct route *const *r = o->source->routes; *r != NULL; r++)
        if (strcmp((*r)->path, route->path) == 0)
            write_operation(o, *r, path, function != NULL ? function : find_function(o->source, (*r)->function));
    json_writer_raw(o->w, "}");
}

void openapi_write_paths(struct openapi_writer *o)
{
    for (const struct route *const *route = o->source->routes; *route != NULL; route++) {
        if (!is_first_of_path(o->source, *route))
            continue;
        if ((*route)->expansion == EXPAND_NONE)
            write_path(o, *route, NULL);
        const struct function *const *functions = (*route)->expansion == EXPAND_FUNCTIONS ? o->source->functions
                                                  : (*route)->expansion == EXPAND_METHODS ? file_method_functions
                                                                                          : NULL;
        for (; functions != NULL && *functions != NULL; functions++)
            write_path(o, *route, *functions);
    }
}

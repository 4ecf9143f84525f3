/* task_schemas - the task object by its outcome, and problems: schemas that no single table describes. */
#include "handlers/json/field_types.h"
#include "handlers/openapi/openapi_internal.h"
#include "handlers/resources/task_object.h"
#include "runtime/files/file_methods.h"
#include "runtime/functions/gather.h"

#include <stdio.h>

/* -- a task that succeeded ----------------------------------------------------------------------------------------- */

static void write_task_members(struct schema_set *set, const struct schema_definition *definition)
{
    (void)definition;
    json_writer_member_string(
        set->w, "description",
        "The members of every task, whatever its function and outcome. A member without a value is null.");
    schema_open_object(set, &task_object_type);
}

static void task_members_reference(struct schema_set *set)
{
    schema_reference(set, &(struct schema_definition){.name = "TaskMembers", .write = write_task_members});
}

static void write_succeeded_task(struct schema_set *set, const struct schema_definition *definition)
{
    (void)definition;
    json_writer_member_string(set->w, "description", "The members of every task that succeeded.");
    json_writer_member_raw(set->w, "type", "\"object\"");
    json_writer_member_raw(set->w, "allOf", "[{");
    task_members_reference(set);
    json_writer_raw(set->w, "}]");
    json_writer_member_raw(
        set->w, "properties",
        "{\"state\":{\"type\":\"string\",\"const\":\"succeeded\"},\"done\":{\"type\":\"boolean\",\"const\":true},"
        "\"error\":{\"type\":\"null\"}}");
}

/* A const if the function allows only one. */
static void write_executor(struct schema_set *set, const struct function *function)
{
    if (function->executors == EXECUTOR_BIT(function->executor)) {
        schema_const(set, executor_names[function->executor]);
        return;
    }
    json_writer_member_string(set->w, "description", "The executor that it ran on.");
    schema_executor_names(set, function);
}

static void write_function_task(struct schema_set *set, const struct schema_definition *definition)
{
    char text[SCHEMA_NAME_SIZE + 64];
    snprintf(text, sizeof text, "A task that ran `%s` and succeeded.", definition->function->name);
    json_writer_member_string(set->w, "description", text);
    json_writer_member_raw(set->w, "type", "\"object\"");
    json_writer_member_raw(set->w, "allOf", "[{");
    schema_reference(set, &(struct schema_definition){.name = "SucceededTask", .write = write_succeeded_task});
    json_writer_raw(set->w, "}]");
    json_writer_member_raw(set->w, "required", "[\"function\",\"result\"]");
    json_writer_open_object(set->w, "properties");
    json_writer_open_object(set->w, "function");
    json_writer_member_raw(set->w, "type", "\"string\"");
    json_writer_member_string(set->w, "const", definition->function->name);
    json_writer_raw(set->w, "}");
    json_writer_open_object(set->w, "executor");
    write_executor(set, definition->function);
    json_writer_raw(set->w, "}");
    json_writer_open_object(set->w, "result");
    schema_result_reference(set, definition->function);
    json_writer_raw(set->w, "}}");
    json_writer_member_raw(set->w, "unevaluatedProperties", "false");
}

static struct schema_definition function_task(const struct function *function)
{
    struct schema_definition definition = {.write = write_function_task, .function = function};
    schema_function_name(function, "Task", definition.name);
    return definition;
}

void openapi_task_reference(struct openapi_writer *o, const struct function *function)
{
    struct schema_definition definition = function_task(function);
    schema_reference(&o->schemas, &definition);
}

static void write_any_task(struct schema_set *set, const struct schema_definition *definition)
{
    (void)definition;
    json_writer_member_string(set->w, "description", "A task that succeeded, by its function.");
    schema_union(set, "function", set->functions, function_task);
}

void openapi_any_task_reference(struct openapi_writer *o)
{
    schema_reference(&o->schemas, &(struct schema_definition){.name = "AnyTask", .write = write_any_task});
}

/* -- a task that failed -------------------------------------------------------------------------------------------- */

static void write_names(struct json_writer *w, const struct function *const *functions)
{
    for (; *functions != NULL; functions++) {
        json_writer_item_string(w, (*functions)->name);
    }
}

static void write_failed_task(struct schema_set *set, const struct schema_definition *definition)
{
    struct json_writer *w = set->w;
    (void)definition;
    json_writer_member_string(
        w, "description",
        "A task that failed or was canceled. Only a gather or map has a result: the outcome of its children.");
    json_writer_member_raw(w, "type", "\"object\"");
    json_writer_member_raw(w, "allOf", "[{");
    task_members_reference(set);
    json_writer_raw(w, "}]");
    json_writer_member_raw(w, "required", "[\"function\",\"result\"]");
    json_writer_open_object(w, "properties");
    json_writer_member_raw(w, "function",
                           "{\"description\":\"The function, or the method of an open file.\",\"type\":\"string\","
                           "\"enum\":[");
    write_names(w, set->functions);
    write_names(w, file_method_functions);
    json_writer_item_string(w, function_file_open.name);
    json_writer_raw(w, "]}");
    json_writer_member_raw(w, "state", "{\"type\":\"string\",\"enum\":[\"failed\",\"canceled\"]}");
    json_writer_open_object(w, "error");
    schema_type(set, &task_error_type, false);
    json_writer_raw(w, "}");
    json_writer_member_raw(w, "done", "{\"type\":\"boolean\",\"const\":true}");
    json_writer_open_object(w, "result");
    schema_type(set, &gather_result_type, true);
    json_writer_raw(w, "}}");
    json_writer_member_raw(w, "unevaluatedProperties", "false");
}

/* -- problems ------------------------------------------------------------------------------------------------------ */

static const struct type status_type = {.kind = TYPE_INTEGER, .min = 400, .max = 599};
static const struct type instance_type = {
    .kind = TYPE_STRING, .max = INT64_MAX, .pattern = "^urn:gatherd:request:[A-Za-z0-9._-]{1,128}$"};

/* For the schema: handlers/http/response.c writes problems member by member. */
static const struct field problem_fields[] = {
    {"title", &text_type, 0, FIELD_REQUIRED, NULL, "The meaning of the code; the same for every occurrence", NULL},
    {"status", &status_type, 0, FIELD_REQUIRED, NULL, "The HTTP status of the response", NULL},
    {"detail", &text_type, 0, FIELD_REQUIRED, NULL, "What happened this time: which value, which limit, what to do",
     NULL},
    {"instance", &instance_type, 0, FIELD_REQUIRED, NULL, "The request: its `X-Request-Id` as a URN", NULL},
    {0},
};
static const struct type problem_type = {.kind = TYPE_RECORD, .fields = problem_fields};

static void write_validation_error(struct schema_set *set, const struct schema_definition *definition)
{
    (void)definition;
    json_writer_member_string(
        set->w, "description",
        "One reason why a request is invalid: in its body (`pointer`) or in its query (`parameter`).");
    json_writer_member_raw(set->w, "type", "\"object\"");
    json_writer_member_raw(set->w, "required", "[\"detail\"]");
    json_writer_member_raw(
        set->w, "properties",
        "{\"pointer\":{\"description\":\"A JSON pointer (RFC 6901) into the body; empty for the body as a whole.\","
        "\"type\":\"string\"},"
        "\"parameter\":{\"description\":\"The name of a query parameter.\",\"type\":\"string\"},"
        "\"detail\":{\"description\":\"What is wrong with it.\",\"type\":\"string\",\"minLength\":1}}");
    json_writer_member_raw(set->w, "additionalProperties", "false");
    json_writer_member_raw(set->w, "oneOf", "[{\"required\":[\"pointer\"]},{\"required\":[\"parameter\"]}]");
}

void openapi_write_limit_names(struct json_writer *w, const struct openapi_source *source)
{
    for (size_t i = 0; i < source->limit_record_count; i++)
        for (const struct field *f = source->limit_records[i].type->fields; f->name != NULL; f++)
            json_writer_item_string(w, f->name);
}

static void write_exceeded_limit(struct schema_set *set, const struct schema_definition *definition)
{
    const struct openapi_source *source = definition->user;
    struct json_writer *w = set->w;
    json_writer_member_string(w, "description", "The limit that the request exceeds.");
    json_writer_member_raw(w, "type", "\"object\"");
    json_writer_member_raw(w, "required", "[\"name\",\"value\"]");
    json_writer_member_raw(w, "properties",
                           "{\"name\":{\"description\":\"Its name, as in `GET /v1/limits`.\",\"type\":\"string\","
                           "\"enum\":[");
    openapi_write_limit_names(w, source);
    json_writer_raw(w, "]},\"value\":{\"description\":\"Its value: a number of seconds if its name ends in `_seconds`, "
                       "else a count.\",\"type\":\"number\",\"minimum\":0}}");
    json_writer_member_raw(w, "additionalProperties", "false");
}

static void write_problem(struct schema_set *set, const struct schema_definition *definition)
{
    const struct openapi_source *source = definition->user;
    struct json_writer *w = set->w;
    json_writer_member_string(w, "description",
                              "A problem (RFC 9457): why a request was rejected, or why its task failed.");
    json_writer_member_raw(w, "type", "\"object\"");
    json_writer_member_raw(w, "required", "[\"type\",\"title\",\"status\",\"detail\",\"instance\"]");
    json_writer_open_object(w, "properties");
    json_writer_open_object(w, "type");
    json_writer_member_string(w, "description", "A URN that ends with the error code.");
    json_writer_member_raw(w, "type", "\"string\"");
    openapi_write_problem_types(w, UINT64_MAX);
    json_writer_raw(w, "}");
    schema_members(set, &problem_type);
    json_writer_member_raw(w, "errors",
                           "{\"description\":\"Why the request is invalid: up to 8 errors.\",\"type\":\"array\","
                           "\"minItems\":1,\"maxItems\":8,\"items\":{");
    schema_reference(set, &(struct schema_definition){.name = "ValidationError", .write = write_validation_error});
    json_writer_raw(w, "}}");
    json_writer_open_object(w, "limit");
    schema_reference(
        set, &(struct schema_definition){.name = "ExceededLimit", .write = write_exceeded_limit, .user = source});
    json_writer_raw(w, "}");
    json_writer_member_raw(
        w, "pool", "{\"description\":\"With `pool_full`, the name of the pool.\",\"type\":\"string\",\"minLength\":1}");
    json_writer_open_object(w, "task");
    json_writer_member_string(w, "description",
                              "The task, if the request was accepted and its task failed or was canceled.");
    schema_reference(set, &(struct schema_definition){.name = "FailedTask", .write = write_failed_task});
    json_writer_raw(w, "}}");
    json_writer_member_raw(w, "additionalProperties", "false");
    json_writer_member_raw(
        w, "examples",
        "[{\"type\":\"urn:gatherd:error:invalid\",\"title\":\"Validation failed\",\"status\":422,"
        "\"detail\":\"/seconds must be at least 0\",\"instance\":\"urn:gatherd:request:order-7.retry-1\","
        "\"errors\":[{\"pointer\":\"/seconds\",\"detail\":\"must be at least 0\"}]}]");
}

void openapi_problem_reference(struct openapi_writer *o)
{
    schema_reference(&o->schemas,
                     &(struct schema_definition){.name = "Problem", .write = write_problem, .user = o->source});
}

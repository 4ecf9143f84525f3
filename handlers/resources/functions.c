/* functions - GET /v1/functions and /v1/functions/{name}: the functions and their JSON Schemas. */
#include "handlers/json/field_types.h"
#include "handlers/json/render.h"
#include "handlers/json/schema.h"
#include "handlers/resources/handlers.h"

/* -- the representation -------------------------------------------------------------------------------------------- */

struct function_row {
    struct str name, description;
    int executor;           /* enum executor_kind */
    struct array executors; /* of int, enum executor_kind */
    int cancel_effect;      /* enum cancel_effect */
    bool parallelizable;
};

static const struct type executors_type = {
    .kind = TYPE_ARRAY, .item = &task_executor_type, .min = 1, .max = EXECUTOR_COUNT};

#define FIELD(json, type, member, doc, example) \
    { \
        json, type, offsetof(struct function_row, member), FIELD_REQUIRED, NULL, doc, example \
    }
#define FUNCTION_FIELDS \
    FIELD("name", &string_type, name, "The name of the function", "sleep"), \
        FIELD("description", &text_type, description, "What it does, in a line", "Waits without blocking anything"), \
        FIELD("executor", &task_executor_type, executor, "Its default executor", NULL), \
        FIELD("executors", &executors_type, executors, "The executors that it can run on", NULL), \
        FIELD("cancel_effect", &cancel_effect_type, cancel_effect, \
              "The effect of canceling it while it runs on its executor", NULL), \
        FIELD("parallelizable", &boolean_type, parallelizable, "Whether it takes the option `parallel`", "false")

static const struct field summary_fields[] = {FUNCTION_FIELDS, {0}};
static const struct type summary_type = {.kind = TYPE_RECORD,
                                         .name = "FunctionSummary",
                                         .doc = "A function, without its schemas.",
                                         .fields = summary_fields,
                                         .size = sizeof(struct function_row)};

static const struct type summaries_type = {.kind = TYPE_ARRAY, .item = &summary_type, .max = INT64_MAX};
struct function_list {
    struct array functions;
};
static const struct field list_fields[] = {
    {"functions", &summaries_type, offsetof(struct function_list, functions), FIELD_REQUIRED, NULL,
     "All functions, sorted by name", NULL},
    {0},
};
static const struct type list_type = {.kind = TYPE_RECORD,
                                      .name = "FunctionList",
                                      .doc = "The functions that tasks can run.",
                                      .fields = list_fields,
                                      .size = sizeof(struct function_list)};

/* The schemas are written by schema.c; these rows are for the document only. */
static const struct type schema_object_type = {.kind = TYPE_OUTPUT};
static const struct field function_fields[] = {
    FUNCTION_FIELDS,
    {"input", &schema_object_type, 0, FIELD_REQUIRED, NULL, "The JSON Schema of its input", NULL},
    {"result", &schema_object_type, 0, FIELD_REQUIRED, NULL, "The JSON Schema of its result", NULL},
    {"$defs", &schema_object_type, 0, FIELD_REQUIRED, NULL,
     "The schemas that `input` and `result` refer to, as `#/$defs/NAME`", NULL},
    {0},
};
static const struct type function_type = {.kind = TYPE_RECORD,
                                          .name = "Function",
                                          .doc = "A function, with the JSON Schemas (2020-12) of its input and result.",
                                          .fields = function_fields};

static bool function_row_fill(const struct function *function, struct arena *arena, struct function_row *row)
{
    int *executors = arena_calloc(arena, EXECUTOR_COUNT, sizeof *executors);
    if (executors == NULL)
        return false;
    *row = (struct function_row){
        .name = str_from(function->name),
        .description = str_from(function->doc),
        .executor = (int)function->executor,
        .executors.items = executors,
        .cancel_effect = (int)executor_cancel_effect(function->executor),
        .parallelizable = function->split != NULL,
    };
    for (int i = 0; i < EXECUTOR_COUNT; i++)
        if ((function->executors & EXECUTOR_BIT(i)) != 0)
            executors[row->executors.count++] = i;
    return true;
}

/* -- GET /v1/functions --------------------------------------------------------------------------------------------- */

static struct responder *get_functions(struct api *api, const struct request *request, struct response *response)
{
    (void)api;
    if (!request_reject_query(request, response))
        return NULL;
    const struct function *const *functions = registry_functions(request->registry);
    size_t count = 0;
    while (functions[count] != NULL)
        count++;
    struct function_row *rows = arena_calloc(request->arena, count, sizeof *rows);
    for (size_t i = 0; rows != NULL && i < count; i++)
        if (!function_row_fill(functions[i], request->arena, &rows[i]))
            rows = NULL;
    if (rows == NULL) {
        request_reject_nomem(request, response);
        return NULL;
    }
    struct json_writer w = {0};
    render_value(&w, &list_type, &(struct function_list){{rows, count}}, NULL);
    response_json(response, 200, &w);
    return NULL;
}

/* -- GET /v1/functions/{name} -------------------------------------------------------------------------------------- */

static void write_schemas(struct json_writer *w, const struct function *function, const struct request *request)
{
    struct schema_set set = {
        .w = w,
        .prefix = "#/$defs/",
        .limits = request->limits,
        .functions = registry_functions(request->registry),
        .child = task_object_child_codec.type,
    };
    json_writer_raw(w, ",\"input\":{");
    schema_input_reference(&set, function);
    json_writer_raw(w, "},\"result\":{");
    schema_result_reference(&set, function);
    json_writer_raw(w, "},\"$defs\":{");
    schema_definitions(&set);
    json_writer_raw(w, "}");
    schema_set_free(&set);
}

static struct responder *get_function(struct api *api, const struct request *request, struct response *response)
{
    (void)api;
    if (!request_reject_query(request, response))
        return NULL;
    const struct function *function = registry_find(request->registry, request->params[0]);
    if (function == NULL) {
        request_reject_function(request, response);
        return NULL;
    }
    struct function_row row;
    if (!function_row_fill(function, request->arena, &row)) {
        request_reject_nomem(request, response);
        return NULL;
    }
    struct json_writer w = {0};
    bool first = true;
    json_writer_raw(&w, "{");
    render_members(&w, &summary_type, &row, &first);
    write_schemas(&w, function, request);
    json_writer_raw(&w, "}");
    response_json(response, 200, &w);
    return NULL;
}

/* -- routes -------------------------------------------------------------------------------------------------------- */

static const struct route_answer list_answers[] = {
    {200, "All functions.", "application/json", &list_type, false, 0, NULL},
    {0},
};
static const struct route_answer function_answers[] = {
    {200, "The function.", "application/json", &function_type, false, 0, NULL},
    {0},
};
static const int function_errors[] = {ERR_FUNCTION_NOT_FOUND, 0};

const struct route route_get_functions = {
    .method = METHOD_GET,
    .path = "/v1/functions",
    .handler = get_functions,
    .operation = "listFunctions",
    .tag = TAG_CATALOG,
    .summary = "Lists the functions",
    .answers = list_answers,
};

const struct route route_get_function = {
    .method = METHOD_GET,
    .path = "/v1/functions/{name}",
    .handler = get_function,
    .operation = "getFunction",
    .tag = TAG_CATALOG,
    .summary = "Gets a function, with its schemas",
    .answers = function_answers,
    .errors = function_errors,
};

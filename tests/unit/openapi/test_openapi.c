/* test_openapi - the document of a small registry, and consistency of the whole one. */
#include "handlers/openapi/openapi.h"

#include "handlers/api.h"
#include "handlers/resources/handlers.h"
#include "runtime/types/type_parse.h"
#include "tests/unit/support/alloc_fault.h"
#include "tests/unit/support/builtins.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

/* -- a small registry ---------------------------------------------------------------------------------------------- */

static const struct type count_type = {.kind = TYPE_INTEGER, .min = 0, .max = 100};
static const struct field number_fields[] = {{"n", &count_type, 0, FIELD_REQUIRED, NULL, "A number", "1"}, {0}};
static const struct type number_type = {.kind = TYPE_RECORD, .fields = number_fields};

static const struct function_example crunch_examples[] = {
    {"small", "A small one", JSON({"n" : 1}), NULL, "{\"n\":2}", 0},
    {"parallel", "In two parts", JSON({"n" : 3}), "parallel=2", NULL,
     0}, /* not shown: the body alone is another call */
    {"large", "One that fails", JSON({"n" : 2}), NULL, NULL, ERR_OVERFLOW},
    {0},
};
static const int crunch_errors[] = {ERR_OVERFLOW, 0};
static const struct function crunch = {
    .name = "crunch",
    .doc = "Crunches a number",
    .description = "Slowly.",
    .examples = crunch_examples,
    .errors = crunch_errors,
    .executor = EXECUTOR_PROCESSES,
    .executors = EXECUTOR_BIT(EXECUTOR_THREADS) | EXECUTOR_BIT(EXECUTOR_PROCESSES),
    .input = &number_type,
    .output = &number_type,
};
static const struct function_example nap_examples[] = {
    {"short", "A short one", JSON({"n" : 1}), NULL, NULL, 0},
    {0},
};
static const struct function nap = {
    .name = "nap",
    .doc = "Naps",
    .examples = nap_examples,
    .executor = EXECUTOR_LOOP,
    .executors = EXECUTOR_BIT(EXECUTOR_LOOP),
    .input = &number_type,
    .output = &number_type,
};
static const struct function *const two_functions[] = {&crunch, &nap, NULL};
static const struct route *const some_routes[] = {&route_post_tasks, &route_post_run, &route_get_functions,
                                                  &route_get_livez, NULL};

static struct openapi_source small_source(const struct limits *limits, const struct record_ref *record)
{
    return (struct openapi_source){.routes = some_routes,
                                   .functions = two_functions,
                                   .limits = limits,
                                   .limit_records = record,
                                   .limit_record_count = 1};
}

static struct json_writer render(const struct route *const *routes, const struct function *const *functions,
                                 enum openapi_format format)
{
    struct limits limits;
    record_set_defaults(&limits_type, &limits);
    const struct record_ref record = {.type = &limits_type, .value = &limits};
    struct openapi_source source = small_source(&limits, &record);
    source.routes = routes;
    source.functions = functions;
    struct json_writer w = {0};
    openapi_write(&w, &source, format);
    return w;
}

/* A parsed document. Meanwhile jansson uses malloc(): gatherd's allocator works only inside json_parse(). */
struct parsed {
    json_t *document;
    json_malloc_t malloc_fn; /* gatherd's */
    json_free_t free_fn;
};

static int parsed_new(const struct json_writer *w, struct parsed **out)
{
    struct parsed *parsed = calloc(1, sizeof *parsed);
    if (parsed == NULL)
        return -1;
    json_get_alloc_funcs(&parsed->malloc_fn, &parsed->free_fn);
    json_set_alloc_funcs(malloc, free);
    json_error_t error;
    parsed->document = json_loadb(w->data, w->len, JSON_REJECT_DUPLICATES, &error);
    if (parsed->document == NULL)
        print_message("%s at %d\n", error.text, error.position);
    *out = parsed;
    return parsed->document == NULL ? -1 : 0;
}

static int setup_small(void **state)
{
    struct json_writer w = render(some_routes, two_functions, OPENAPI_JSON);
    int rc = parsed_new(&w, (struct parsed **)state);
    json_writer_free(&w);
    return rc;
}

static int setup_whole(void **state)
{
    struct registry *registry = builtins_new();
    struct json_writer w = render(api_routes, registry_functions(registry), OPENAPI_JSON);
    registry_unref(registry);
    int rc = parsed_new(&w, (struct parsed **)state);
    json_writer_free(&w);
    return rc;
}

static int teardown(void **state)
{
    struct parsed *parsed = *state;
    json_decref(parsed->document);
    json_set_alloc_funcs(parsed->malloc_fn, parsed->free_fn);
    free(parsed);
    return 0;
}

static json_t *document_of(void **state)
{
    return ((struct parsed *)*state)->document;
}

/* -- looking into it ----------------------------------------------------------------------------------------------- */

/* The value at a path of names, separated by blanks. */
static json_t *get(json_t *node, const char *path)
{
    while (node != NULL && *path != '\0') {
        char name[96];
        size_t len = strcspn(path, " ");
        assert_true(len < sizeof name);
        memcpy(name, path, len);
        name[len] = '\0';
        node = json_object_get(node, name);
        path += len + (path[len] == ' ');
    }
    return node;
}

/* The names of an object's members, or the strings of an array, separated by blanks. */
static void expect_names(json_t *node, const char *expected)
{
    char names[4096] = "";
    size_t len = 0, index;
    const char *key;
    json_t *value;
    json_object_foreach(node, key, value)
    {
        len += (size_t)snprintf(names + len, sizeof names - len, "%s%s", len == 0 ? "" : " ", key);
    }
    json_array_foreach(node, index, value)
    {
        len += (size_t)snprintf(names + len, sizeof names - len, "%s%s", len == 0 ? "" : " ", json_string_value(value));
    }
    assert_true(len < sizeof names);
    assert_string_equal(names, expected);
}

static void expect_json(json_t *node, const char *expected)
{
    char *text = json_dumps(node, JSON_COMPACT | JSON_ENCODE_ANY);
    assert_non_null(text);
    assert_string_equal(text, expected);
    free(text);
}

/* The component that {"$ref": "#/components/KIND/NAME"} refers to; another object is returned as it is. */
static json_t *resolve(json_t *document, json_t *node)
{
    static const char prefix[] = "#/components/";
    const char *reference = json_string_value(json_object_get(node, "$ref"));
    if (reference == NULL)
        return node;
    assert_int_equal(strncmp(reference, prefix, strlen(prefix)), 0);
    char path[128];
    snprintf(path, sizeof path, "components %s", reference + strlen(prefix));
    *strchr(path, '/') = ' ';
    return get(document, path);
}

/* The codes of an operation's response with this status. */
static void expect_codes(json_t *document, const char *operation, const char *status, const char *expected)
{
    json_t *response = resolve(document, get(get(get(document, "paths"), operation), status));
    json_t *all = get(response, "content application/problem+json schema allOf");
    json_t *types = get(json_array_get(all, 1), "properties type enum");
    char codes[1024] = "";
    size_t len = 0, index;
    json_t *value;
    json_array_foreach(types, index, value)
    {
        len += (size_t)snprintf(codes + len, sizeof codes - len, "%s%s", len == 0 ? "" : " ",
                                json_string_value(value) + strlen("urn:gatherd:error:"));
    }
    assert_string_equal(codes, expected);
    expect_json(json_array_get(all, 0), "{\"$ref\":\"#/components/schemas/Problem\"}");
}

/* -- the small document -------------------------------------------------------------------------------------------- */

static void document_has_the_parts_of_openapi(void **state)
{
    expect_names(document_of(state), "openapi info servers security tags paths components");
    expect_json(get(document_of(state), "openapi"), "\"3.1.0\"");
    expect_names(get(document_of(state), "info"), "title version summary description license");
    expect_names(get(document_of(state), "components"), "parameters responses headers schemas");
}

static void one_path_for_each_function(void **state)
{
    expect_names(get(document_of(state), "paths"), "/v1/tasks /v1/run/crunch /v1/run/nap /v1/functions /livez");
}

static void operations_are_named_after_functions(void **state)
{
    json_t *paths = get(document_of(state), "paths");
    expect_json(get(paths, "/v1/tasks post operationId"), "\"runTask\"");
    expect_json(get(paths, "/v1/run/crunch post operationId"), "\"runCrunch\"");
    expect_json(get(paths, "/v1/run/crunch post summary"), "\"Crunches a number\"");
    expect_json(get(paths, "/v1/run/crunch post description"), "\"Slowly.\"");
    expect_json(get(paths, "/v1/run/nap post operationId"), "\"runNap\"");
    assert_null(get(paths, "/v1/run/nap post description"));
    expect_json(get(paths, "/v1/functions get operationId"), "\"listFunctions\"");
    expect_json(get(paths, "/livez get operationId"), "\"getLiveness\"");
}

static void responses_have_the_codes_of_their_status(void **state)
{
    json_t *paths = get(document_of(state), "paths");
    static const char nap_503[] = "out_of_memory too_many_tasks too_many_connections shutting_down";
    static const char pool_503[] = "out_of_memory too_many_tasks pool_full too_many_connections shutting_down";

    expect_names(get(paths, "/v1/run/nap post responses"), "200 400 403 413 415 421 422 503 504");
    expect_codes(document_of(state), "/v1/run/nap post responses", "400", "malformed_http malformed_json");
    expect_codes(document_of(state), "/v1/run/nap post responses", "403", "cross_origin_request");
    expect_codes(document_of(state), "/v1/run/nap post responses", "413", "body_too_large");
    expect_codes(document_of(state), "/v1/run/nap post responses", "415", "unsupported_media_type");
    expect_codes(document_of(state), "/v1/run/nap post responses", "421", "misdirected_request");
    expect_codes(document_of(state), "/v1/run/nap post responses", "422", "invalid invalid_argument limit_exceeded");
    expect_codes(document_of(state), "/v1/run/nap post responses", "503", nap_503);
    expect_codes(document_of(state), "/v1/run/nap post responses", "504", "timeout deadline_exceeded");

    expect_names(get(paths, "/v1/run/crunch post responses"), "200 400 403 413 415 421 422 500 503 504");
    expect_codes(document_of(state), "/v1/run/crunch post responses", "403", "cross_origin_request executor_disabled");
    expect_codes(document_of(state), "/v1/run/crunch post responses", "422",
                 "invalid invalid_argument limit_exceeded overflow");
    expect_codes(document_of(state), "/v1/run/crunch post responses", "500", "worker_crashed worker_out_of_memory");
    expect_codes(document_of(state), "/v1/run/crunch post responses", "503", pool_503);

    expect_names(get(paths, "/v1/tasks post responses"), "200 400 403 404 413 415 421 422 500 503 504");
    expect_codes(document_of(state), "/v1/tasks post responses", "404", "function_not_found");
    expect_codes(document_of(state), "/v1/tasks post responses", "503", pool_503);

    expect_names(get(paths, "/v1/functions get responses"), "200 400 403 413 421 422 503");
    expect_codes(document_of(state), "/v1/functions get responses", "400", "malformed_http");
    expect_names(get(paths, "/livez get responses"), "200 400 413 422 503");
    expect_codes(document_of(state), "/livez get responses", "503", "out_of_memory too_many_connections");
}

static void responses_share_components(void **state)
{
    json_t *paths = get(document_of(state), "paths");
    expect_json(get(paths, "/v1/run/crunch post responses 503"),
                "{\"$ref\":\"#/components/responses/ServiceUnavailableTooManyTasksPoolFullShuttingDownWithTask\"}");
    assert_true(
        json_equal(get(paths, "/v1/run/crunch post responses 503"), get(paths, "/v1/tasks post responses 503")));
    expect_names(
        get(document_of(state), "components responses"),
        "BadRequestMalformedJson ForbiddenExecutorDisabled FunctionNotFound ContentTooLarge "
        "UnsupportedMediaType MisdirectedRequest UnprocessableContentLimitExceededOverflowWithTask "
        "WorkerCrashedWorkerOutOfMemory ServiceUnavailableTooManyTasksPoolFullShuttingDownWithTask "
        "TimeoutDeadlineExceeded Forbidden UnprocessableContentLimitExceededWithTask "
        "ServiceUnavailableTooManyTasksShuttingDownWithTask BadRequest UnprocessableContent ServiceUnavailable");
}

static void responses_have_headers(void **state)
{
    json_t *responses = get(document_of(state), "components responses");
    expect_names(get(responses, "BadRequest headers"), "X-Request-Id");
    expect_names(get(responses, "ServiceUnavailable headers"), "X-Request-Id Retry-After");
    expect_names(get(responses, "UnsupportedMediaType headers"), "X-Request-Id Accept-Encoding");
    expect_names(get(responses, "TimeoutDeadlineExceeded headers"), "X-Request-Id Server-Timing");
    expect_names(get(document_of(state), "paths /v1/run/nap post responses 200 headers"), "X-Request-Id Server-Timing");
    /* of these codes, only some come with a task */
    expect_json(get(responses, "ServiceUnavailableTooManyTasksShuttingDownWithTask headers Server-Timing"),
                "{\"$ref\":\"#/components/headers/Task-Timing\"}");
    expect_names(get(document_of(state), "components headers"),
                 "X-Request-Id Server-Timing Retry-After Task-Timing Accept-Encoding");
}

static void response_description_lists_codes(void **state)
{
    json_t *responses = get(document_of(state), "components responses");
    const char *one = json_string_value(get(responses, "FunctionNotFound description"));
    assert_int_equal(strncmp(one, "`function_not_found`: ", 22), 0);
    const char *two = json_string_value(get(responses, "TimeoutDeadlineExceeded description"));
    assert_int_equal(strncmp(two, "- `timeout`: ", 13), 0);
    assert_non_null(strstr(two, "\n- `deadline_exceeded`: "));
}

static void request_bodies_have_schemas_and_examples(void **state)
{
    json_t *paths = get(document_of(state), "paths");
    json_t *crunch_body = get(paths, "/v1/run/crunch post requestBody content application/json");
    expect_json(get(crunch_body, "schema"), "{\"$ref\":\"#/components/schemas/CrunchInput\"}");
    expect_json(get(crunch_body, "examples"),
                "{\"small\":{\"summary\":\"A small one\",\"value\":{\"n\":1}},"
                "\"large\":{\"summary\":\"One that fails\",\"value\":{\"n\":2},\"x-error\":\"overflow\"}}");
    expect_json(get(paths, "/v1/tasks post requestBody content application/json schema"),
                "{\"$ref\":\"#/components/schemas/TaskSpec\"}");
    assert_null(get(paths, "/v1/functions get requestBody"));
}

static void parameters_are_those_that_apply(void **state)
{
    json_t *paths = get(document_of(state), "paths"), *parameters = get(document_of(state), "components parameters");
    json_t *functions_parameters = get(paths, "/v1/functions get parameters");
    expect_json(functions_parameters, "[{\"$ref\":\"#/components/parameters/RequestId\"}]");
    char names[256] = "";
    size_t index, len = 0;
    json_t *value;
    json_array_foreach(get(paths, "/v1/run/crunch post parameters"), index, value)
    {
        const char *name = json_string_value(get(resolve(document_of(state), value), "name"));
        len += (size_t)snprintf(names + len, sizeof names - len, "%s ", name);
    }
    assert_string_equal(names, "X-Request-Id name timeout_seconds deadline_seconds executor pool ");
    len = 0;
    json_array_foreach(get(paths, "/v1/run/nap post parameters"), index, value)
    {
        const char *name = json_string_value(get(resolve(document_of(state), value), "name"));
        len += (size_t)snprintf(names + len, sizeof names - len, "%s ", name);
    }
    assert_string_equal(names, "X-Request-Id name timeout_seconds deadline_seconds executor ");
    assert_non_null(get(parameters, "TimeoutSecondsOption"));
}

/* Lists of names, sorted, so that they do not depend on the order of the first references. */
static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void schemas_of_functions(void **state)
{
    static const char *const expected[] = {
        "AnyTask", "CrunchInput", "CrunchResult", "CrunchTask", "CrunchTaskSpec", "NapInput",    "NapResult",
        "NapTask", "NapTaskSpec", "Problem",      "FailedTask", "SucceededTask",  "TaskMembers", "TaskSpec"};
    json_t *schemas = get(document_of(state), "components schemas");
    for (size_t i = 0; i < COUNT_OF(expected); i++)
        assert_non_null(json_object_get(schemas, expected[i]));
    /* each schema that is named after a function is one of these */
    const char *names[16], *key;
    size_t count = 0;
    json_t *value;
    json_object_foreach(schemas, key, value)
    {
        if (strncmp(key, "Crunch", 6) == 0 && strstr(key, "Child") == NULL)
            names[count++] = key;
        assert_true(count < COUNT_OF(names));
    }
    qsort(names, count, sizeof *names, compare_names);
    assert_int_equal(count, 4);
    assert_string_equal(names[0], "CrunchInput");
    assert_string_equal(names[1], "CrunchResult");
    assert_string_equal(names[2], "CrunchTask");
    assert_string_equal(names[3], "CrunchTaskSpec");
}

static void task_schema_of_function(void **state)
{
    expect_json(get(document_of(state), "components schemas CrunchTask"),
                "{\"description\":\"A task that ran `crunch` and succeeded.\",\"type\":\"object\","
                "\"allOf\":[{\"$ref\":\"#/components/schemas/SucceededTask\"}],\"required\":[\"function\",\"result\"],"
                "\"properties\":{\"function\":{\"type\":\"string\",\"const\":\"crunch\"},"
                "\"executor\":{\"description\":\"The executor that it ran on.\",\"type\":\"string\","
                "\"enum\":[\"threads\",\"processes\"]},"
                "\"result\":{\"$ref\":\"#/components/schemas/CrunchResult\"}},\"unevaluatedProperties\":false}");
    expect_json(get(document_of(state), "components schemas NapTask properties executor"),
                "{\"type\":\"string\",\"const\":\"loop\"}");
    json_t *any = get(document_of(state), "components schemas AnyTask");
    expect_json(get(any, "oneOf"), "[{\"$ref\":\"#/components/schemas/CrunchTask\"},"
                                   "{\"$ref\":\"#/components/schemas/NapTask\"}]");
    expect_json(get(any, "discriminator"), "{\"propertyName\":\"function\",\"mapping\":"
                                           "{\"crunch\":\"#/components/schemas/CrunchTask\","
                                           "\"nap\":\"#/components/schemas/NapTask\"}}");
    expect_json(get(document_of(state), "components schemas CrunchResult examples"), "[{\"n\":2}]");
    expect_json(get(document_of(state), "paths /v1/run/crunch post responses 200 content application/json schema"),
                "{\"$ref\":\"#/components/schemas/CrunchTask\"}");
    expect_json(get(document_of(state), "paths /v1/tasks post responses 200 content application/json schema"),
                "{\"$ref\":\"#/components/schemas/AnyTask\"}");
}

static int setup_short_timeout(void **state)
{
    struct limits limits;
    record_set_defaults(&limits_type, &limits);
    limits.max_timeout_seconds = 1500 * NS_PER_MS;
    const struct record_ref record = {.type = &limits_type, .value = &limits};
    const struct openapi_source source = small_source(&limits, &record);
    struct json_writer w = {0};
    openapi_write(&w, &source, OPENAPI_JSON);
    int rc = parsed_new(&w, (struct parsed **)state);
    json_writer_free(&w);
    return rc;
}

static void limits_in_force_are_maxima(void **state)
{
    json_t *schema = get(document_of(state), "components parameters TimeoutSecondsOption schema");
    expect_json(get(resolve(document_of(state), schema), "maximum"), "1.5");
}

/* -- the whole document -------------------------------------------------------------------------------------------- */

static void check_references(json_t *document, json_t *node, size_t *count)
{
    size_t index;
    const char *key;
    json_t *value;
    if (json_is_string(json_object_get(node, "$ref"))) {
        assert_non_null(resolve(document, node));
        ++*count;
    }
    json_object_foreach(node, key, value)
    {
        check_references(document, value, count);
    }
    json_array_foreach(node, index, value)
    {
        check_references(document, value, count);
    }
}

static void every_reference_resolves(void **state)
{
    json_t *document = document_of(state);
    size_t count = 0;
    check_references(document, document, &count);
    assert_true(count > 500);
}

/* Duplicate names of paths and components are rejected by jansson. */
static void operation_ids_are_unique(void **state)
{
    json_t *document = document_of(state), *ids = json_object();
    const char *path, *method;
    json_t *item, *operation;
    json_object_foreach(get(document, "paths"), path, item)
    {
        json_object_foreach(item, method, operation)
        {
            const char *id = json_string_value(json_object_get(operation, "operationId"));
            assert_non_null(id);
            assert_null(json_object_get(ids, id));
            json_object_set_new(ids, id, json_true());
        }
    }
    assert_true(json_object_size(ids) > 40);
    json_decref(ids);
}

/* A set of codes is one component for each set of headers, and its name is unique. */
static void response_components_differ(void **state)
{
    json_t *document = document_of(state), *sets = json_object();
    const char *name;
    json_t *response;
    json_object_foreach(get(document, "components responses"), name, response)
    {
        json_t *all = get(response, "content application/problem+json schema allOf");
        json_t *types = get(json_array_get(all, 1), "properties type enum");
        assert_true(json_array_size(types) > 0);
        char *headers = json_dumps(get(response, "headers"), JSON_COMPACT), *codes = json_dumps(types, JSON_COMPACT);
        char key[4096];
        assert_true(snprintf(key, sizeof key, "%s%s", codes, headers) < (int)sizeof key);
        assert_null(json_object_get(sets, key));
        json_object_set_new(sets, key, json_true());
        free(headers);
        free(codes);
    }
    json_decref(sets);
}

/* -- YAML and memory ----------------------------------------------------------------------------------------------- */

static void yaml_begins_like_json(void **state)
{
    (void)state;
    struct json_writer w = render(some_routes, two_functions, OPENAPI_YAML);
    static const char start[] = "openapi: '3.1.0'\ninfo:\n  title: gatherd\n  version: ";
    assert_false(w.failed);
    assert_memory_equal(w.data, start, strlen(start));
    json_writer_free(&w);
}

static void oom_at_each_allocation(void **state)
{
    (void)state;
    static const enum openapi_format formats[] = {OPENAPI_JSON, OPENAPI_YAML};
    for (size_t i = 0; i < COUNT_OF(formats); i++) {
        unsigned long n = 0;
        bool failed;
        do {
            alloc_fail_at(++n);
            struct json_writer w = render(some_routes, two_functions, formats[i]);
            failed = alloc_count() >= n;
            alloc_fail_at(0);
            assert_int_equal(w.failed, failed);
            json_writer_free(&w);
        } while (failed);
        assert_true(n > 10);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(document_has_the_parts_of_openapi, setup_small, teardown),
        cmocka_unit_test_setup_teardown(one_path_for_each_function, setup_small, teardown),
        cmocka_unit_test_setup_teardown(operations_are_named_after_functions, setup_small, teardown),
        cmocka_unit_test_setup_teardown(responses_have_the_codes_of_their_status, setup_small, teardown),
        cmocka_unit_test_setup_teardown(responses_share_components, setup_small, teardown),
        cmocka_unit_test_setup_teardown(responses_have_headers, setup_small, teardown),
        cmocka_unit_test_setup_teardown(response_description_lists_codes, setup_small, teardown),
        cmocka_unit_test_setup_teardown(request_bodies_have_schemas_and_examples, setup_small, teardown),
        cmocka_unit_test_setup_teardown(parameters_are_those_that_apply, setup_small, teardown),
        cmocka_unit_test_setup_teardown(schemas_of_functions, setup_small, teardown),
        cmocka_unit_test_setup_teardown(task_schema_of_function, setup_small, teardown),
        cmocka_unit_test_setup_teardown(limits_in_force_are_maxima, setup_short_timeout, teardown),
        cmocka_unit_test_setup_teardown(every_reference_resolves, setup_whole, teardown),
        cmocka_unit_test_setup_teardown(operation_ids_are_unique, setup_whole, teardown),
        cmocka_unit_test_setup_teardown(response_components_differ, setup_whole, teardown),
        cmocka_unit_test(yaml_begins_like_json),
        cmocka_unit_test(oom_at_each_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

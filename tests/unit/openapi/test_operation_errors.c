/* test_operation_errors - the error codes that an operation documents. */
#include "handlers/api.h"
#include "handlers/openapi/openapi_internal.h"
#include "handlers/resources/handlers.h"
#include "runtime/files/file_methods.h"
#include "tests/unit/support/builtins.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* Of any request, and of any request of a page. */
#define HTTP_ERRORS \
    (ERROR_BIT(MALFORMED_HTTP) | ERROR_BIT(BODY_TOO_LARGE) | ERROR_BIT(INVALID) | ERROR_BIT(INVALID_ARGUMENT) | \
     ERROR_BIT(OUT_OF_MEMORY) | ERROR_BIT(TOO_MANY_CONNECTIONS))
#define ORIGIN_ERRORS (ERROR_BIT(CROSS_ORIGIN_REQUEST) | ERROR_BIT(MISDIRECTED_REQUEST))
#define JSON_ERRORS (ERROR_BIT(MALFORMED_JSON) | ERROR_BIT(UNSUPPORTED_MEDIA_TYPE))

/* Of any task, and of its options. */
#define TASK_ERRORS \
    (ERROR_BIT(TOO_MANY_TASKS) | ERROR_BIT(SHUTTING_DOWN) | ERROR_BIT(TIMEOUT) | ERROR_BIT(DEADLINE_EXCEEDED))
#define OPTION_ERRORS ERROR_BIT(LIMIT_EXCEEDED)

#define RUN_ERRORS (HTTP_ERRORS | ORIGIN_ERRORS | JSON_ERRORS | TASK_ERRORS | OPTION_ERRORS)
#define WORKER_ERRORS (ERROR_BIT(WORKER_CRASHED) | ERROR_BIT(WORKER_OUT_OF_MEMORY))
#define PROCESS_ERRORS (ERROR_BIT(POOL_FULL) | ERROR_BIT(EXECUTOR_DISABLED) | WORKER_ERRORS)
#define FILE_ERRORS (ERROR_BIT(POOL_FULL) | ERROR_BIT(EXECUTOR_DISABLED))
#define GATHER_ERRORS \
    (ERROR_BIT(CHILD_FAILED) | ERROR_BIT(FUNCTION_NOT_FOUND) | ERROR_BIT(POOL_FULL) | ERROR_BIT(EXECUTOR_DISABLED))

static int setup(void **state)
{
    *state = builtins_new();
    return 0;
}

static int teardown(void **state)
{
    registry_unref(*state);
    return 0;
}

static uint64_t operation_errors(void **state, const struct route *route, const struct function *function)
{
    const struct openapi_source source = {.functions = registry_functions(*state)};
    return openapi_operation_errors(&source, route, function);
}

static void expect_errors(const char *operation, uint64_t codes, uint64_t expected)
{
    for (int i = 0; i < ERROR_COUNT; i++)
        if (((codes ^ expected) & UINT64_C(1) << i) != 0)
            print_message("%s: %s %s\n", operation, error_code(-1 - i),
                          (codes & UINT64_C(1) << i) != 0 ? "is not expected" : "is missing");
    assert_true(codes == expected);
}

/* -- functions ----------------------------------------------------------------------------------------------------- */

static void errors_of_functions_with_known_sets(void **state)
{
    static const struct {
        const char *function;
        uint64_t own;
    } rows[] = {
        {"sleep", 0}, /* on the loop: no queue can be full */
        {"block", PROCESS_ERRORS},
        {"primes", PROCESS_ERRORS},
        {"sum", PROCESS_ERRORS | ERROR_BIT(OVERFLOW)},
        {"gather", GATHER_ERRORS},
        {"map", GATHER_ERRORS},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        expect_errors(rows[i].function, operation_errors(state, &route_post_run, builtins_find(rows[i].function)),
                      RUN_ERRORS | rows[i].own);
}

static void file_functions_need_the_files_executor(void **state)
{
    size_t count = 0;
    for (const struct function *const *f = registry_functions(*state); *f != NULL; f++) {
        if ((*f)->executor != EXECUTOR_FILES)
            continue;
        uint64_t codes = operation_errors(state, &route_post_run, *f);
        expect_errors((*f)->name, codes & (RUN_ERRORS | FILE_ERRORS | WORKER_ERRORS | ERROR_BIT(CHILD_FAILED)),
                      RUN_ERRORS | FILE_ERRORS);
        count++;
    }
    assert_true(count > 5);
}

static void errors_of_a_function_are_its_own_too(void **state)
{
    for (const struct function *const *f = registry_functions(*state); *f != NULL; f++) {
        uint64_t codes = operation_errors(state, &route_post_run, *f);
        for (const int *error = (*f)->errors; error != NULL && *error != 0; error++)
            assert_true((codes & UINT64_C(1) << (-1 - *error)) != 0);
    }
}

static void any_function_has_errors_of_all(void **state)
{
    uint64_t all = RUN_ERRORS | ERROR_BIT(FUNCTION_NOT_FOUND);
    for (const struct function *const *f = registry_functions(*state); *f != NULL; f++)
        all |= operation_errors(state, &route_post_run, *f);
    expect_errors("runTask", operation_errors(state, &route_post_tasks, NULL), all);
}

static void input_in_body_has_errors_of_gather(void **state)
{
    expect_errors("gather", operation_errors(state, &route_post_gather, builtins_find("gather")),
                  RUN_ERRORS | GATHER_ERRORS);
}

/* -- other routes -------------------------------------------------------------------------------------------------- */

static void errors_of_routes_without_functions(void **state)
{
    const struct {
        const struct route *route;
        uint64_t codes;
    } rows[] = {
        {&route_get_functions, HTTP_ERRORS | ORIGIN_ERRORS},
        {&route_get_function, HTTP_ERRORS | ORIGIN_ERRORS | ERROR_BIT(FUNCTION_NOT_FOUND)},
        {&route_get_pools, HTTP_ERRORS | ORIGIN_ERRORS},
        {&route_get_limits, HTTP_ERRORS | ORIGIN_ERRORS},
        {&route_get_index, HTTP_ERRORS | ORIGIN_ERRORS},
        {&route_get_openapi_json, HTTP_ERRORS | ORIGIN_ERRORS},
        {&route_get_openapi_yaml, HTTP_ERRORS | ORIGIN_ERRORS},
        {&route_get_livez, HTTP_ERRORS}, /* the probes accept any Host and Origin */
        {&route_get_readyz, HTTP_ERRORS | ERROR_BIT(SHUTTING_DOWN)},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        expect_errors(rows[i].route->operation, operation_errors(state, rows[i].route, NULL), rows[i].codes);
}

static void bodies_imply_errors(void **state)
{
    static const struct {
        enum body_kind body;
        uint64_t codes;
    } rows[] = {
        {BODY_NONE, 0},
        {BODY_JSON, JSON_ERRORS},
        {BODY_JSON_OR_NONE, JSON_ERRORS},
        {BODY_STREAM, ERROR_BIT(UNSUPPORTED_MEDIA_TYPE)},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct route route = {.body = rows[i].body};
        expect_errors("body", operation_errors(state, &route, NULL), HTTP_ERRORS | ORIGIN_ERRORS | rows[i].codes);
    }
}

static void request_record_implies_errors(void **state)
{
    static const struct type limited = {.kind = TYPE_INTEGER, .min = 1, .limit = &limits_fields[LIMIT_TASKS]};
    static const struct type limited_array = {.kind = TYPE_ARRAY, .item = &limited};
    static const struct field fields[] = {{"items", &limited_array, 0, FIELD_REQUIRED, NULL, NULL, NULL}, {0}};
    static const struct type inner = {.kind = TYPE_RECORD, .fields = fields};
    static const struct field outer_fields[] = {{"inner", &inner, 0, FIELD_REQUIRED, NULL, NULL, NULL}, {0}};
    static const struct type outer = {.kind = TYPE_RECORD, .fields = outer_fields};
    static const char *const names[] = {"a", NULL};
    static const struct type tag = {.kind = TYPE_ENUM, .names = names};
    static const struct field tag_fields[] = {{"tag", &tag, 0, FIELD_REQUIRED, NULL, NULL, NULL}, {0}};
    static const struct type *const variants[] = {&outer};
    static const struct type tagged = {.kind = TYPE_RECORD, .fields = tag_fields, .variants = variants};
    const struct type *const records[] = {&inner, &outer, &tagged};
    for (size_t i = 0; i < COUNT_OF(records); i++) {
        const struct route route = {.request = records[i]};
        expect_errors("limit of an item", operation_errors(state, &route, NULL),
                      HTTP_ERRORS | ORIGIN_ERRORS | ERROR_BIT(LIMIT_EXCEEDED));
    }
}

static void path_and_method_errors_belong_to_no_operation(void **state)
{
    for (const struct route *const *route = api_routes; *route != NULL; route++) {
        const struct function *const *functions =
            (*route)->expansion == EXPAND_METHODS ? file_method_functions : registry_functions(*state);
        for (const struct function *const *f = functions; *f != NULL; f++) {
            uint64_t codes = operation_errors(state, *route, (*route)->expansion == EXPAND_NONE ? NULL : *f);
            assert_true((codes & (ERROR_BIT(NOT_FOUND) | ERROR_BIT(METHOD_NOT_ALLOWED))) == 0);
            assert_true((codes & HTTP_ERRORS) == HTTP_ERRORS);
            assert_int_equal((codes & ORIGIN_ERRORS) == 0, (*route)->is_probe);
        }
    }
}

/* -- problems with a task ------------------------------------------------------------------------------------------ */

static void codes_that_always_have_a_task(void **state)
{
    (void)state;
    expect_errors("task only", openapi_task_only_errors(UINT64_MAX),
                  ERROR_BIT(TIMEOUT) | ERROR_BIT(DEADLINE_EXCEEDED) | WORKER_ERRORS | ERROR_BIT(CHILD_FAILED) |
                      ERROR_BIT(HOST_NOT_FOUND) | ERROR_BIT(RESOLVE_FAILED));
}

static void codes_of_rejected_requests_have_no_task(void **state)
{
    (void)state;
    const uint64_t rejected = ORIGIN_ERRORS | JSON_ERRORS | ERROR_BIT(MALFORMED_HTTP) | ERROR_BIT(BODY_TOO_LARGE) |
                              ERROR_BIT(INVALID) | ERROR_BIT(TOO_MANY_TASKS) | ERROR_BIT(POOL_FULL) |
                              ERROR_BIT(EXECUTOR_DISABLED) | ERROR_BIT(FUNCTION_NOT_FOUND);
    expect_errors("rejected", openapi_task_errors(rejected), 0);
    uint64_t ended = ERROR_BIT(SHUTTING_DOWN) | ERROR_BIT(OVERFLOW) | ERROR_BIT(FILE_NOT_FOUND);
    ended |= openapi_task_only_errors(UINT64_MAX);
    expect_errors("ended", openapi_task_errors(ended | rejected), ended);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_of_functions_with_known_sets),
        cmocka_unit_test(file_functions_need_the_files_executor),
        cmocka_unit_test(errors_of_a_function_are_its_own_too),
        cmocka_unit_test(any_function_has_errors_of_all),
        cmocka_unit_test(input_in_body_has_errors_of_gather),
        cmocka_unit_test(errors_of_routes_without_functions),
        cmocka_unit_test(bodies_imply_errors),
        cmocka_unit_test(request_record_implies_errors),
        cmocka_unit_test(path_and_method_errors_belong_to_no_operation),
        cmocka_unit_test(codes_that_always_have_a_task),
        cmocka_unit_test(codes_of_rejected_requests_have_no_task),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

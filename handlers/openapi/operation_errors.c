/* operation_errors - the error codes of an operation, derived from its route and the functions that it runs. */
#include "handlers/openapi/openapi_internal.h"
#include "runtime/task/task_spec.h"

/* Of HTTP itself; Host and Origin are not checked for the probes. */
static const uint64_t any_request = ERROR_BIT(MALFORMED_HTTP) | ERROR_BIT(BODY_TOO_LARGE) | ERROR_BIT(INVALID) |
                                    ERROR_BIT(INVALID_ARGUMENT) | ERROR_BIT(OUT_OF_MEMORY) |
                                    ERROR_BIT(TOO_MANY_CONNECTIONS);
static const uint64_t origin_checks = ERROR_BIT(CROSS_ORIGIN_REQUEST) | ERROR_BIT(MISDIRECTED_REQUEST);
static const uint64_t json_body = ERROR_BIT(MALFORMED_JSON) | ERROR_BIT(UNSUPPORTED_MEDIA_TYPE);
static const uint64_t task_admission = ERROR_BIT(TOO_MANY_TASKS) | ERROR_BIT(SHUTTING_DOWN);
static const uint64_t task_clocks = ERROR_BIT(TIMEOUT) | ERROR_BIT(DEADLINE_EXCEEDED);
static const uint64_t worker = ERROR_BIT(WORKER_CRASHED) | ERROR_BIT(WORKER_OUT_OF_MEMORY);

uint64_t openapi_common_errors(void)
{
    return any_request | origin_checks;
}

uint64_t openapi_task_only_errors(uint64_t codes)
{
    return codes &
           (task_clocks | worker | ERROR_BIT(CHILD_FAILED) | ERROR_BIT(HOST_NOT_FOUND) | ERROR_BIT(RESOLVE_FAILED));
}

uint64_t openapi_task_errors(uint64_t codes)
{
    const uint64_t never = origin_checks | json_body | ERROR_BIT(MALFORMED_HTTP) | ERROR_BIT(BODY_TOO_LARGE) |
                           ERROR_BIT(FUNCTION_NOT_FOUND) | ERROR_BIT(TOO_MANY_TASKS) | ERROR_BIT(POOL_FULL) |
                           ERROR_BIT(TOO_MANY_CONNECTIONS) | ERROR_BIT(EXECUTOR_DISABLED) | ERROR_BIT(INVALID) |
                           ERROR_BIT(HANDLE_NOT_FOUND) | ERROR_BIT(STALE_HANDLE);
    return codes & ~never;
}

static uint64_t error_set(const int *errors)
{
    uint64_t codes = 0;
    for (; errors != NULL && *errors != 0; errors++)
        codes |= UINT64_C(1) << (-1 - *errors);
    return codes;
}

/* The errors of a record's fields, besides those of any request. */
static uint64_t record_errors(const struct type *record)
{
    uint64_t codes = 0;
    for (const struct field *f = record->fields; f->name != NULL; f++) {
        const struct type *type = f->type;
        for (; type->kind == TYPE_ARRAY; type = type->item)
            codes |= type->limit != NULL ? ERROR_BIT(LIMIT_EXCEEDED) : 0;
        codes |= type->limit != NULL ? ERROR_BIT(LIMIT_EXCEEDED) : 0;
        if (type->kind == TYPE_RECORD && type != &task_spec_type)
            codes |= record_errors(type);
    }
    for (size_t i = 0; record->variants != NULL && record->fields->type->names[i] != NULL; i++)
        codes |= record_errors(record->variants[i]);
    return codes;
}

static uint64_t executor_errors(unsigned executors)
{
    uint64_t codes = 0;
    if (executors != EXECUTOR_BIT(EXECUTOR_LOOP))
        codes |= ERROR_BIT(POOL_FULL);
    for (int i = 0; i < EXECUTOR_COUNT; i++)
        if ((executors & EXECUTOR_BIT(i)) != 0 && executor_enabling_option((enum executor_kind)i) != NULL)
            codes |= ERROR_BIT(EXECUTOR_DISABLED);
    return codes;
}

static uint64_t function_errors(const struct openapi_source *source, const struct function *function)
{
    uint64_t codes = task_admission | task_clocks | executor_errors(function->executors) | error_set(function->errors) |
                     record_errors(function->input);
    if ((function->executors & EXECUTOR_BIT(EXECUTOR_PROCESSES)) != 0)
        codes |= worker;
    if (function->children == NULL)
        return codes;
    codes |= ERROR_BIT(CHILD_FAILED) | ERROR_BIT(FUNCTION_NOT_FOUND) | ERROR_BIT(LIMIT_EXCEEDED);
    for (const struct function *const *f = source->functions; *f != NULL; f++)
        codes |= executor_errors((*f)->executors);
    return codes;
}

uint64_t openapi_operation_errors(const struct openapi_source *source, const struct route *route,
                                  const struct function *function)
{
    uint64_t codes = any_request | error_set(route->errors);
    if (!route->is_probe)
        codes |= origin_checks;
    if (route->body == BODY_JSON || route->body == BODY_JSON_OR_NONE)
        codes |= json_body;
    if (route->body == BODY_STREAM) /* for its Content-Encoding */
        codes |= ERROR_BIT(UNSUPPORTED_MEDIA_TYPE);
    if (route->request != NULL)
        codes |= record_errors(route->request);
    if (function != NULL)
        codes |= function_errors(source, function);
    if (route->has_task_options || route->request_name != NULL)
        codes |= ERROR_BIT(LIMIT_EXCEEDED);
    if (!route->runs_any_function)
        return codes;
    codes |= ERROR_BIT(FUNCTION_NOT_FOUND) | ERROR_BIT(LIMIT_EXCEEDED);
    for (const struct function *const *f = source->functions; *f != NULL; f++)
        codes |= function_errors(source, *f);
    return codes;
}

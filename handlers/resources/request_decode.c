/* parse - what the routes' parsers share: refusing, and taking in the query and the body. */
#include "handlers/resources/handlers.h"

#include <stdarg.h>
#include <stdio.h>

static const struct field no_fields[] = {{0}};
static const struct type empty_query_type = {.kind = TYPE_RECORD, .fields = no_fields};

void request_reject(const struct request *request, struct handler_result *out, int rc, const char *format, ...)
{
    char detail[640];
    va_list args;
    va_start(args, format);
    vsnprintf(detail, sizeof detail, format, args);
    va_end(args);
    out->kind = RESULT_RESPONSE;
    response_problem(&out->response, request->id, rc, "%s", detail);
}

void request_reject_invalid(struct api *api, const struct request *request, const struct validation_errors *errors,
                            struct handler_result *out)
{
    out->kind = RESULT_RESPONSE;
    response_validation_errors(&out->response, request->id, errors, runtime_limits(api->runtime));
}

bool request_decode_query(struct api *api, const struct request *request, const struct record_ref *record,
                          struct handler_result *out)
{
    struct validation_errors errors;
    const struct limits *limits = runtime_limits(api->runtime);
    if (decode_query(request->query, record, request->arena, limits, &errors) == 0)
        return true;
    request_reject_invalid(api, request, &errors, out);
    return false;
}

bool request_reject_query(struct api *api, const struct request *request, struct handler_result *out)
{
    return request_decode_query(api, request, &(struct record_ref){.type = &empty_query_type}, out);
}

bool request_decode_body(struct api *api, const struct request *request, const struct record_ref *records, size_t count,
                         struct handler_result *out)
{
    struct validation_errors errors;
    const struct limits *limits = runtime_limits(api->runtime);
    if (decode_body(request->body, records, count, request->arena, limits, &errors) == 0)
        return true;
    request_reject_invalid(api, request, &errors, out);
    return false;
}

void request_reject_function(const struct request *request, struct handler_result *out)
{
    struct name_list names = {0};
    for (const struct function *const *f = function_registry; *f != NULL; f++)
        name_list_add(&names, (*f)->name);
    request_reject(request, out, ERR_FUNCTION_NOT_FOUND, "The functions are: %s", names.text);
}

/* request_decode - decodes a request's query and body, and makes the responses that reject it. */
#include "handlers/resources/handlers.h"

#include <stdarg.h>
#include <stdio.h>

static const struct field no_fields[] = {{0}};
static const struct type empty_query_type = {.kind = TYPE_RECORD, .fields = no_fields};

void request_reject(const struct request *request, struct response *response, int rc, const char *format, ...)
{
    char detail[640];
    va_list args;
    va_start(args, format);
    vsnprintf(detail, sizeof detail, format, args);
    va_end(args);
    response_problem(response, request->id, rc, "%s", detail);
}

void request_reject_error(const struct request *request, struct response *response, const struct err *e)
{
    response_error(response, request->id, e, request->limits);
}

void request_reject_nomem(const struct request *request, struct response *response)
{
    struct err e;
    err_nomem(&e);
    request_reject_error(request, response, &e);
}

void request_reject_invalid(const struct request *request, struct response *response,
                            const struct validation_errors *errors)
{
    response_validation_errors(response, request->id, errors, request->limits);
}

bool request_decode_query(const struct request *request, const struct record_ref *record, struct response *response)
{
    struct validation_errors errors;
    const struct decode_context context = {request->limits, request->registry};
    if (decode_query(request->query, record, request->arena, &context, &errors) == 0)
        return true;
    request_reject_invalid(request, response, &errors);
    return false;
}

bool request_reject_query(const struct request *request, struct response *response)
{
    return request_decode_query(request, &(struct record_ref){.type = &empty_query_type}, response);
}

bool request_decode_body(const struct request *request, struct str body, const struct record_ref *records, size_t count,
                         struct response *response)
{
    struct validation_errors errors;
    const struct decode_context context = {request->limits, request->registry};
    if (decode_body(body, records, count, request->arena, &context, &errors) == 0)
        return true;
    request_reject_invalid(request, response, &errors);
    return false;
}

void request_reject_function(const struct request *request, struct response *response)
{
    struct name_list names = {0};
    for (const struct function *const *f = registry_functions(request->registry); *f != NULL; f++)
        name_list_add(&names, (*f)->name);
    char sanitized[SANITIZED_SIZE];
    request_reject(request, response, ERR_FUNCTION_NOT_FOUND, "\"%s\" is not a known function; known functions: %s",
                   decode_sanitize(request->params[0], sanitized), names.text);
}

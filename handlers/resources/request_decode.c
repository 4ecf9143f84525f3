/* parse - what the routes' parsers share: refusing, and taking in the query and the body. */
#include "handlers/resources/handlers.h"

#include <stdarg.h>
#include <stdio.h>

static const struct field no_fields[] = {{0}};
static const struct type no_query_type = {.kind = TYPE_RECORD, .fields = no_fields};

void refuse(const struct request *request, struct handler_result *out, int rc, const char *format, ...)
{
    char detail[512];
    va_list args;
    va_start(args, format);
    vsnprintf(detail, sizeof detail, format, args);
    va_end(args);
    out->kind = OUTCOME_REPLY;
    response_problem(&out->response, request->id, rc, "%s", detail);
}

void refuse_issues(struct api *api, const struct request *request, const struct validation_errors *issues,
                   struct handler_result *out)
{
    out->kind = OUTCOME_REPLY;
    response_issues(&out->response, request->id, issues, runtime_limits(api->runtime));
}

bool query_into(struct api *api, const struct request *request, const struct record_ref *part,
                struct handler_result *out)
{
    struct validation_errors issues = {0};
    const struct limits *limits = runtime_limits(api->runtime);
    if (decode_query(request->query, part, request->arena, limits, &issues) == 0)
        return true;
    refuse_issues(api, request, &issues, out);
    return false;
}

bool no_query(struct api *api, const struct request *request, struct handler_result *out)
{
    return query_into(api, request, &(struct record_ref){.type = &no_query_type}, out);
}

bool body_into(struct api *api, const struct request *request, const struct record_ref *parts, size_t count,
               struct handler_result *out)
{
    struct validation_errors issues = {0};
    const struct limits *limits = runtime_limits(api->runtime);
    if (decode_body(request->body, parts, count, request->arena, limits, &issues) == 0)
        return true;
    refuse_issues(api, request, &issues, out);
    return false;
}

void refuse_function(const struct request *request, struct handler_result *out)
{
    struct name_list names = {0};
    for (const struct function *const *f = function_registry; *f != NULL; f++)
        name_list_add(&names, (*f)->name);
    refuse(request, out, ERR_FUNCTION_NOT_FOUND, "The functions are: %s", names.text);
}

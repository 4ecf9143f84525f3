/* parse - what the routes' parsers share: refusing, and taking in the query and the body. */
#include "handlers/resources/handlers.h"

#include <stdarg.h>
#include <stdio.h>

static const struct field no_fields[] = {{0}};
static const struct type no_query_type = {.kind = TYPE_RECORD, .fields = no_fields};

void refuse(const struct request *request, struct outcome *out, int rc, const char *format, ...)
{
    char detail[512];
    va_list args;
    va_start(args, format);
    vsnprintf(detail, sizeof detail, format, args);
    va_end(args);
    out->kind = OUTCOME_REPLY;
    reply_problem(&out->reply, request->id, rc, "%s", detail);
}

void refuse_issues(struct api *api, const struct request *request, const struct issues *issues, struct outcome *out)
{
    out->kind = OUTCOME_REPLY;
    reply_issues(&out->reply, request->id, issues, runtime_limits(api->runtime));
}

bool query_into(struct api *api, const struct request *request, const struct part *part, struct outcome *out)
{
    struct issues issues = {0};
    const struct limits *limits = runtime_limits(api->runtime);
    if (decode_query(request->query, part, request->arena, limits, &issues) == 0)
        return true;
    refuse_issues(api, request, &issues, out);
    return false;
}

bool no_query(struct api *api, const struct request *request, struct outcome *out)
{
    return query_into(api, request, &(struct part){.type = &no_query_type}, out);
}

bool body_into(struct api *api, const struct request *request, const struct part *parts, size_t count,
               struct outcome *out)
{
    struct issues issues = {0};
    const struct limits *limits = runtime_limits(api->runtime);
    if (decode_body(request->body, parts, count, request->arena, limits, &issues) == 0)
        return true;
    refuse_issues(api, request, &issues, out);
    return false;
}

void refuse_function(const struct request *request, struct outcome *out)
{
    struct name_list names = {0};
    for (const struct function *const *f = functions; *f != NULL; f++)
        name_list_add(&names, (*f)->name);
    refuse(request, out, ERR_UNKNOWN_FUNCTION, "The functions are: %s", names.text);
}

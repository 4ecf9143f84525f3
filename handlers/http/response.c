#include "handlers/http/response.h"

#include "runtime/lib/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char no_memory[] = REPLY_NO_MEMORY;

void response_header(struct response *response, const char *name, const char *format, ...)
{
    CHECK(response->header_count < REPLY_HEADERS);
    struct header *header = &response->headers[response->header_count++];
    header->name = name;
    va_list args;
    va_start(args, format);
    vsnprintf(header->value, sizeof header->value, format, args);
    va_end(args);
}

/* Every 503 is worth another try soon. */
static void finish(struct response *response, int status, const char *content_type, struct json_writer *w)
{
    writer_raw(w, "\n");
    response->status = status;
    response->content_type = content_type;
    response->body = writer_take(w, &response->body_len);
    if (response->body == NULL) {
        response->rc = ERR_OUT_OF_MEMORY;
        response->status = error_status(response->rc);
        response->content_type = REPLY_PROBLEM_JSON;
        response->body = (char *)(uintptr_t)no_memory; /* a static body is never written to, or freed */
        response->body_len = sizeof no_memory - 1;
        response->body_is_static = true;
    }
    if (response->status == 503)
        response_header(response, "Retry-After", "%d", 1);
}

void response_json(struct response *response, int status, struct json_writer *w)
{
    finish(response, status, "application/json", w);
}

void problem_open(struct json_writer *w, struct str request_id, int rc, const char *detail)
{
    writer_raw(w, "{\"type\":\"urn:gatherd:error:");
    for (const char *c = error_code(rc); *c != '\0'; c++)
        writer_bytes(w, *c == '_' ? "-" : c, 1);
    writer_raw(w, "\",\"title\":");
    writer_string(w, str_from(error_title(rc)));
    writer_format(w, ",\"status\":%d,\"detail\":", error_status(rc));
    writer_string(w, str_from(detail));
    writer_raw(w, ",\"instance\":\"urn:gatherd:request:");
    writer_bytes(w, request_id.at, request_id.len);
    writer_raw(w, "\"");
}

void problem_close(struct response *response, int rc, struct json_writer *w)
{
    writer_raw(w, "}");
    response->rc = rc;
    finish(response, error_status(rc), REPLY_PROBLEM_JSON, w);
}

void response_problem(struct response *response, struct str request_id, int rc, const char *format, ...)
{
    char detail[512];
    va_list args;
    va_start(args, format);
    vsnprintf(detail, sizeof detail, format, args);
    va_end(args);
    struct json_writer w = {0};
    problem_open(&w, request_id, rc, detail);
    problem_close(response, rc, &w);
}

static void write_limit(struct json_writer *w, const struct field *limit, const struct limits *limits)
{
    writer_raw(w, ",\"limit\":{\"name\":");
    writer_string(w, str_from(limit->name));
    writer_raw(w, ",\"value\":");
    int64_t value = limits_get(limits, limit);
    if (limit->type->kind == TYPE_SECONDS)
        writer_seconds(w, (uint64_t)value);
    else
        writer_integer(w, value);
    writer_raw(w, "}");
}

void response_error(struct response *response, struct str request_id, const struct err *e, const struct limits *limits)
{
    struct json_writer w = {0};
    problem_open(&w, request_id, e->rc, e->msg);
    if (e->limit != NULL) { /* it is the request as a whole */
        writer_raw(&w, ",\"errors\":[{\"pointer\":\"\",\"detail\":");
        writer_string(&w, str_from(e->msg));
        writer_raw(&w, "}]");
        write_limit(&w, e->limit, limits);
    }
    if (e->pool != NULL) {
        writer_raw(&w, ",\"pool\":");
        writer_string(&w, str_from(e->pool));
    }
    problem_close(response, e->rc, &w);
}

void response_issues(struct response *response, struct str request_id, const struct validation_errors *issues,
                     const struct limits *limits)
{
    CHECK(issues->rc != 0 && issues->count > 0);
    const struct validation_error *first = &issues->items[0];
    char detail[sizeof first->where + sizeof first->detail + 64];
    int n = first->where[0] == '\0' ? snprintf(detail, sizeof detail, "%s", first->detail)
                                    : snprintf(detail, sizeof detail, "%s %s", first->where, first->detail);
    if (issues->count + issues->more > 1)
        snprintf(detail + n, sizeof detail - (size_t)n, "; and %zu more, see errors", issues->count + issues->more - 1);

    struct json_writer w = {0};
    problem_open(&w, request_id, issues->rc, detail);
    writer_raw(&w, ",\"errors\":[");
    for (size_t i = 0; i < issues->count; i++) {
        const struct validation_error *issue = &issues->items[i];
        writer_raw(&w, i == 0 ? "{" : ",{");
        writer_raw(&w, issue->parameter ? "\"parameter\":" : "\"pointer\":");
        writer_string(&w, str_from(issue->where));
        writer_raw(&w, ",\"detail\":");
        writer_string(&w, str_from(issue->detail));
        writer_raw(&w, "}");
    }
    writer_raw(&w, "]");
    if (issues->limit != NULL)
        write_limit(&w, issues->limit, limits);
    problem_close(response, issues->rc, &w);
}

void response_free(struct response *response)
{
    if (!response->body_is_static)
        free(response->body);
    *response = (struct response){0};
}

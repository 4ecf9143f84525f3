#include "handlers/http/response.h"

#include "runtime/lib/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char no_memory[] = REPLY_NO_MEMORY;

void reply_header(struct reply *reply, const char *name, const char *format, ...)
{
    CHECK(reply->header_count < REPLY_HEADERS);
    struct header *header = &reply->headers[reply->header_count++];
    header->name = name;
    va_list args;
    va_start(args, format);
    vsnprintf(header->value, sizeof header->value, format, args);
    va_end(args);
}

/* Every 503 is worth another try soon. */
static void finish(struct reply *reply, int status, const char *content_type, struct writer *w)
{
    writer_raw(w, "\n");
    reply->status = status;
    reply->content_type = content_type;
    reply->body = writer_take(w, &reply->body_len);
    if (reply->body == NULL) {
        reply->rc = ERR_OUT_OF_MEMORY;
        reply->status = error_status(reply->rc);
        reply->content_type = REPLY_PROBLEM_JSON;
        reply->body = (char *)(uintptr_t)no_memory; /* a static body is never written to, or freed */
        reply->body_len = sizeof no_memory - 1;
        reply->body_is_static = true;
    }
    if (reply->status == 503)
        reply_header(reply, "Retry-After", "%d", 1);
}

void reply_json(struct reply *reply, int status, struct writer *w)
{
    finish(reply, status, "application/json", w);
}

void problem_open(struct writer *w, struct text request_id, int rc, const char *detail)
{
    writer_raw(w, "{\"type\":\"urn:gatherd:error:");
    for (const char *c = error_code(rc); *c != '\0'; c++)
        writer_bytes(w, *c == '_' ? "-" : c, 1);
    writer_raw(w, "\",\"title\":");
    writer_string(w, text_of(error_title(rc)));
    writer_format(w, ",\"status\":%d,\"detail\":", error_status(rc));
    writer_string(w, text_of(detail));
    writer_raw(w, ",\"instance\":\"urn:gatherd:request:");
    writer_bytes(w, request_id.at, request_id.len);
    writer_raw(w, "\"");
}

void problem_close(struct reply *reply, int rc, struct writer *w)
{
    writer_raw(w, "}");
    reply->rc = rc;
    finish(reply, error_status(rc), REPLY_PROBLEM_JSON, w);
}

void reply_problem(struct reply *reply, struct text request_id, int rc, const char *format, ...)
{
    char detail[512];
    va_list args;
    va_start(args, format);
    vsnprintf(detail, sizeof detail, format, args);
    va_end(args);
    struct writer w = {0};
    problem_open(&w, request_id, rc, detail);
    problem_close(reply, rc, &w);
}

static void write_limit(struct writer *w, const struct field *limit, const struct limits *limits)
{
    writer_raw(w, ",\"limit\":{\"name\":");
    writer_string(w, text_of(limit->name));
    writer_raw(w, ",\"value\":");
    int64_t value = limit_value(limits, limit);
    if (limit->type->kind == TYPE_SECONDS)
        writer_seconds(w, (uint64_t)value);
    else
        writer_integer(w, value);
    writer_raw(w, "}");
}

void reply_error(struct reply *reply, struct text request_id, const struct err *e, const struct limits *limits)
{
    struct writer w = {0};
    problem_open(&w, request_id, e->rc, e->msg);
    if (e->limit != NULL) { /* it is the request as a whole */
        writer_raw(&w, ",\"errors\":[{\"pointer\":\"\",\"detail\":");
        writer_string(&w, text_of(e->msg));
        writer_raw(&w, "}]");
        write_limit(&w, e->limit, limits);
    }
    if (e->pool != NULL) {
        writer_raw(&w, ",\"pool\":");
        writer_string(&w, text_of(e->pool));
    }
    problem_close(reply, e->rc, &w);
}

void reply_issues(struct reply *reply, struct text request_id, const struct issues *issues, const struct limits *limits)
{
    CHECK(issues->rc != 0 && issues->count > 0);
    const struct issue *first = &issues->items[0];
    char detail[sizeof first->where + sizeof first->detail + 64];
    int n = first->where[0] == '\0' ? snprintf(detail, sizeof detail, "%s", first->detail)
                                    : snprintf(detail, sizeof detail, "%s %s", first->where, first->detail);
    if (issues->count + issues->more > 1)
        snprintf(detail + n, sizeof detail - (size_t)n, "; and %zu more, see errors", issues->count + issues->more - 1);

    struct writer w = {0};
    problem_open(&w, request_id, issues->rc, detail);
    writer_raw(&w, ",\"errors\":[");
    for (size_t i = 0; i < issues->count; i++) {
        const struct issue *issue = &issues->items[i];
        writer_raw(&w, i == 0 ? "{" : ",{");
        writer_raw(&w, issue->parameter ? "\"parameter\":" : "\"pointer\":");
        writer_string(&w, text_of(issue->where));
        writer_raw(&w, ",\"detail\":");
        writer_string(&w, text_of(issue->detail));
        writer_raw(&w, "}");
    }
    writer_raw(&w, "]");
    if (issues->limit != NULL)
        write_limit(&w, issues->limit, limits);
    problem_close(reply, issues->rc, &w);
}

void reply_free(struct reply *reply)
{
    if (!reply->body_is_static)
        free(reply->body);
    *reply = (struct reply){0};
}

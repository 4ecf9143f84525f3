#include "handlers/http/response.h"

#include "runtime/lib/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char out_of_memory_body[] = PROBLEM_OUT_OF_MEMORY;

void response_header(struct response *response, const char *name, const char *format, ...)
{
    CHECK(response->header_count < RESPONSE_HEADERS_MAX);
    struct header *header = &response->headers[response->header_count++];
    header->name = name;
    va_list args;
    va_start(args, format);
    vsnprintf(header->value, sizeof header->value, format, args);
    va_end(args);
}

/* Makes the writer's text the body. A 503 is temporary, so it gets a Retry-After. */
static void response_finish(struct response *response, int status, const char *content_type, struct json_writer *w)
{
    json_writer_raw(w, "\n");
    response->status = status;
    response->content_type = content_type;
    response->body = json_writer_take(w, &response->body_len);
    if (response->body == NULL) {
        response->rc = ERR_OUT_OF_MEMORY;
        response->status = error_status(response->rc);
        response->content_type = PROBLEM_CONTENT_TYPE;
        response->body = (char *)(uintptr_t)out_of_memory_body; /* a static body is neither written nor freed */
        response->body_len = sizeof out_of_memory_body - 1;
        response->body_is_static = true;
    }
    if (response->status == 503)
        response_header(response, "Retry-After", "%d", 1);
}

void response_json(struct response *response, int status, struct json_writer *w)
{
    response_finish(response, status, "application/json", w);
}

void problem_begin(struct json_writer *w, struct str request_id, int rc, const char *detail)
{
    json_writer_format(w, "{\"type\":\"urn:gatherd:error:%s\",\"title\":", error_code(rc));
    json_writer_string(w, str_from(error_title(rc)));
    json_writer_format(w, ",\"status\":%d,\"detail\":", error_status(rc));
    json_writer_string(w, str_from(detail));
    json_writer_raw(w, ",\"instance\":\"urn:gatherd:request:");
    json_writer_bytes(w, request_id.data, request_id.len);
    json_writer_raw(w, "\"");
}

void problem_end(struct response *response, int rc, struct json_writer *w)
{
    json_writer_raw(w, "}");
    response->rc = rc;
    response_finish(response, error_status(rc), PROBLEM_CONTENT_TYPE, w);
}

void response_problem(struct response *response, struct str request_id, int rc, const char *format, ...)
{
    char detail[640]; /* fits a struct name_list */
    va_list args;
    va_start(args, format);
    vsnprintf(detail, sizeof detail, format, args);
    va_end(args);
    struct json_writer w = {0};
    problem_begin(&w, request_id, rc, detail);
    problem_end(response, rc, &w);
}

static void write_limit(struct json_writer *w, const struct field *limit, const struct limits *limits)
{
    json_writer_raw(w, ",\"limit\":{\"name\":");
    json_writer_string(w, str_from(limit->name));
    json_writer_raw(w, ",\"value\":");
    int64_t value = limits_get(limits, limit);
    if (limit->type->kind == TYPE_SECONDS)
        json_writer_seconds(w, (uint64_t)value);
    else
        json_writer_integer(w, value);
    json_writer_raw(w, "}");
}

void response_error(struct response *response, struct str request_id, const struct err *e, const struct limits *limits)
{
    struct json_writer w = {0};
    problem_begin(&w, request_id, e->rc, e->msg);
    if (e->limit != NULL) { /* the whole request exceeds it: the pointer is "" */
        json_writer_raw(&w, ",\"errors\":[{\"pointer\":\"\",\"detail\":");
        json_writer_string(&w, str_from(e->msg));
        json_writer_raw(&w, "}]");
        write_limit(&w, e->limit, limits);
    }
    if (e->pool != NULL) {
        json_writer_raw(&w, ",\"pool\":");
        json_writer_string(&w, str_from(e->pool));
    }
    problem_end(response, e->rc, &w);
}

void response_validation_errors(struct response *response, struct str request_id,
                                const struct validation_errors *errors, const struct limits *limits)
{
    CHECK(errors->rc != 0 && errors->count > 0);
    const struct validation_error *first = &errors->items[0];
    char detail[sizeof first->location + sizeof first->detail + 64];
    int n = first->location[0] == '\0' ? snprintf(detail, sizeof detail, "%s", first->detail)
                                       : snprintf(detail, sizeof detail, "%s %s", first->location, first->detail);
    if (errors->count + errors->more > 1)
        snprintf(detail + n, sizeof detail - (size_t)n, ". Errors in total: %zu (see errors)",
                 errors->count + errors->more);

    struct json_writer w = {0};
    problem_begin(&w, request_id, errors->rc, detail);
    json_writer_raw(&w, ",\"errors\":[");
    for (size_t i = 0; i < errors->count; i++) {
        const struct validation_error *error = &errors->items[i];
        json_writer_raw(&w, i == 0 ? "{" : ",{");
        json_writer_raw(&w, error->in_query ? "\"parameter\":" : "\"pointer\":");
        json_writer_string(&w, str_from(error->location));
        json_writer_raw(&w, ",\"detail\":");
        json_writer_string(&w, str_from(error->detail));
        json_writer_raw(&w, "}");
    }
    json_writer_raw(&w, "]");
    if (errors->limit != NULL)
        write_limit(&w, errors->limit, limits);
    problem_end(response, errors->rc, &w);
}

void response_free(struct response *response)
{
    if (!response->body_is_static)
        free(response->body);
    *response = (struct response){0};
}

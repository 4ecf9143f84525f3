/* answers - the responses of an operation, and the components that they share. */
#include "handlers/openapi/openapi_internal.h"
#include "runtime/lib/check.h"

#include <stdio.h>
#include <string.h>

/* -- headers ------------------------------------------------------------------------------------------------------- */

static const struct {
    const char *component, *name, *description, *schema, *example;
    bool required;
} headers[ANSWER_HEADER_COUNT] = {
    {"Server-Timing", "Server-Timing", "How long the task queued and ran, in milliseconds.",
     "{\"type\":\"string\",\"pattern\":\"^queue;dur=[0-9]+(\\\\.[0-9]+)?, run;dur=[0-9]+(\\\\.[0-9]+)?$\"}",
     "queue;dur=0.028, run;dur=100.187", true},
    {"ETag", "ETag", "The strong entity tag of the content.",
     "{\"type\":\"string\",\"pattern\":\"^\\\"[0-9a-f]+(-[0-9a-f]+-[0-9a-f]+)?\\\"$\"}", "\"a80210-8-660dd7ae60c35\"",
     true},
    {"Last-Modified", "Last-Modified", "The time of the last change, in whole seconds.",
     "{\"type\":\"string\",\"pattern\":\"^[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} "
     "GMT$\"}",
     "Sun, 22 Nov 2026 09:30:00 GMT", true},
    {"Location", "Location", "The path of the open file.",
     "{\"type\":\"string\",\"pattern\":\"^/v1/files/[0-9A-HJKMNP-TV-Z]{28}$\"}",
     "/v1/files/01KAN5C3S0W9TZ3M5X7CEYAK4HQ2", true},
    {"X-Content-Type-Options", "X-Content-Type-Options", "Browsers must not guess the type of the content.",
     "{\"type\":\"string\",\"const\":\"nosniff\"}", "nosniff", true},
    {"Retry-After", "Retry-After", "The time until a retry is useful, in seconds.",
     "{\"type\":\"string\",\"pattern\":\"^[0-9]+$\"}", "1", true},
    {"Task-Timing", "Server-Timing", "How long the task queued and ran, in milliseconds, if the problem has a `task`.",
     "{\"type\":\"string\",\"pattern\":\"^queue;dur=[0-9]+(\\\\.[0-9]+)?, run;dur=[0-9]+(\\\\.[0-9]+)?$\"}",
     "queue;dur=0.028, run;dur=100.187", false},
    {"Accept-Encoding", "Accept-Encoding", "The supported values of `Content-Encoding` (RFC 9110 section 12.5.3).",
     "{\"type\":\"string\",\"const\":\"identity\"}", "identity", false},
};

static void write_header_component(struct json_writer *w, const char *component, const char *description, bool required,
                                   const char *schema, const char *example)
{
    json_writer_open_object(w, component);
    json_writer_member_string(w, "description", description);
    json_writer_member_raw(w, "required", required ? "true" : "false");
    json_writer_member_raw(w, "schema", schema);
    json_writer_member_string(w, "example", example);
    json_writer_raw(w, "}");
}

void openapi_write_headers(struct openapi_writer *o)
{
    write_header_component(o->w, "X-Request-Id", "The id of the request: the client's own, or a generated one.", true,
                           "{\"type\":\"string\",\"pattern\":\"^[A-Za-z0-9._-]{1,128}$\"}", "order-7.retry-1");
    for (int i = 0; i < ANSWER_HEADER_COUNT; i++)
        if ((o->headers & 1U << i) != 0)
            write_header_component(o->w, headers[i].component, headers[i].description, headers[i].required,
                                   headers[i].schema, headers[i].example);
}

static void write_header_references(struct openapi_writer *o, unsigned used)
{
    o->headers |= used;
    json_writer_open_object(o->w, "headers");
    json_writer_open_object(o->w, "X-Request-Id");
    openapi_write_reference(o->w, "headers", "X-Request-Id");
    json_writer_raw(o->w, "}");
    for (int i = 0; i < ANSWER_HEADER_COUNT; i++) {
        if ((used & 1U << i) == 0)
            continue;
        json_writer_open_object(o->w, headers[i].name);
        openapi_write_reference(o->w, "headers", headers[i].component);
        json_writer_raw(o->w, "}");
    }
    json_writer_raw(o->w, "}");
}

/* -- problems ------------------------------------------------------------------------------------------------------ */

static const char *reason_phrase(int status)
{
    switch (status) {
    case 400:
        return "BadRequest";
    case 403:
        return "Forbidden";
    case 413:
        return "ContentTooLarge";
    case 421:
        return "MisdirectedRequest";
    case 422:
        return "UnprocessableContent";
    case 503:
        return "ServiceUnavailable";
    default: /* no code of this status is common to all operations */
        return "";
    }
}

static bool is_name_used(const struct openapi_writer *o, const char *name)
{
    for (size_t i = 0; i < o->problem_count; i++)
        if (strcmp(o->problems[i].name, name) == 0)
            return true;
    return false;
}

/* "BadRequestMalformedJson": the reason phrase, if the set has codes that are common to all operations, and its other
 * codes: up to three, or two and "AndMore". A number is appended if the name is used already. */
static void set_problem_name(const struct openapi_writer *o, struct problem_set *set)
{
    uint64_t common = set->codes & openapi_common_errors(), own = set->codes & ~common;
    int count = __builtin_popcountll(own), max = count <= 3 ? count : 2, named = 0;
    size_t size = sizeof set->name;
    size_t len = (size_t)snprintf(set->name, size, "%s", common != 0 ? reason_phrase(set->status) : "");
    for (int rc = -1; rc >= -ERROR_COUNT && named < max; rc--) {
        char name[SCHEMA_NAME_SIZE];
        if (!error_set_has(own, rc))
            continue;
        schema_name(error_code(rc), "", name);
        len += (size_t)snprintf(set->name + len, size - len, "%s", name);
        CHECK(len < size);
        named++;
    }
    if (count > max)
        len += (size_t)snprintf(set->name + len, size - len, "AndMore");
    CHECK(len < size - sizeof "WithTask" - 4); /* and a number below PROBLEM_SETS_MAX */
    if ((set->headers & ANSWER_TASK_TIMING) != 0)
        len += (size_t)snprintf(set->name + len, size - len, "WithTask");
    for (int number = 2; is_name_used(o, set->name); number++)
        snprintf(set->name + len, size - len, "%d", number);
}

static unsigned problem_headers(const struct problem_set *set, bool runs_task)
{
    unsigned used = set->status == 503 ? ANSWER_RETRY_AFTER : 0;
    if (set->status == 415)
        used |= ANSWER_ACCEPT_ENCODING;
    if (runs_task && openapi_task_only_errors(set->codes) == set->codes)
        used |= ANSWER_SERVER_TIMING;
    else if (runs_task && openapi_task_errors(set->codes) != 0)
        used |= ANSWER_TASK_TIMING;
    return used;
}

static const char *problem_component(struct openapi_writer *o, int status, uint64_t codes, bool runs_task)
{
    struct problem_set set = {.status = status, .codes = codes};
    set.headers = problem_headers(&set, runs_task);
    for (size_t i = 0; i < o->problem_count; i++)
        if (o->problems[i].codes == codes && o->problems[i].headers == set.headers)
            return o->problems[i].name;
    CHECK(o->problem_count < PROBLEM_SETS_MAX);
    set_problem_name(o, &set);
    o->problems[o->problem_count] = set;
    return o->problems[o->problem_count++].name;
}

/* One sentence for each code, as a list if there are several. */
static void write_problem_description(struct json_writer *w, uint64_t codes)
{
    char text[4096];
    size_t len = 0;
    bool list = __builtin_popcountll(codes) > 1;
    for (int rc = -1; rc >= -ERROR_COUNT; rc--) {
        if (!error_set_has(codes, rc))
            continue;
        int n = snprintf(text + len, sizeof text - len, "%s`%s`: %s.%s", list ? "- " : "", error_code(rc),
                         error_doc(rc), list ? "\n" : "");
        CHECK(n > 0 && (size_t)n < sizeof text - len);
        len += (size_t)n;
    }
    json_writer_member_string(w, "description", text);
}

void openapi_write_problem_types(struct json_writer *w, uint64_t codes)
{
    json_writer_open_array(w, "enum");
    for (int rc = -1; rc >= -ERROR_COUNT; rc--) {
        if (!error_set_has(codes, rc))
            continue;
        json_writer_item(w);
        json_writer_format(w, "\"urn:gatherd:error:%s\"", error_code(rc));
    }
    json_writer_raw(w, "]");
}

static void write_problem_component(struct openapi_writer *o, const struct problem_set *set)
{
    struct json_writer *w = o->w;
    json_writer_open_object(w, set->name);
    write_problem_description(w, set->codes);
    write_header_references(o, set->headers);
    json_writer_open_object(w, "content");
    json_writer_open_object(w, PROBLEM_CONTENT_TYPE);
    json_writer_open_object(w, "schema");
    json_writer_member_raw(w, "allOf", "[{");
    openapi_problem_reference(o);
    json_writer_raw(w, "},{");
    json_writer_member_raw(w, "type", "\"object\"");
    json_writer_open_object(w, "properties");
    json_writer_open_object(w, "type");
    json_writer_member_raw(w, "type", "\"string\"");
    openapi_write_problem_types(w, set->codes);
    json_writer_raw(w, "}}}]}}}}");
}

void openapi_write_problem_components(struct openapi_writer *o)
{
    for (size_t i = 0; i < o->problem_count; i++)
        write_problem_component(o, &o->problems[i]);
}

/* The rows of ERROR_TABLE are in the order of their status. */
static void write_problems(struct openapi_writer *o, uint64_t codes, bool runs_task)
{
    for (int rc = -1; rc >= -ERROR_COUNT;) {
        int status = error_status(rc);
        uint64_t set = 0;
        for (; rc >= -ERROR_COUNT && error_status(rc) == status; rc--)
            set |= codes & UINT64_C(1) << (-1 - rc);
        CHECK(rc < -ERROR_COUNT || error_status(rc) > status);
        if (set == 0)
            continue;
        char key[16];
        snprintf(key, sizeof key, "%d", status);
        json_writer_open_object(o->w, key);
        openapi_write_reference(o->w, "responses", problem_component(o, status, set, runs_task));
        json_writer_raw(o->w, "}");
    }
}

/* -- answers ------------------------------------------------------------------------------------------------------- */

/* The limits: the members of several records, which only the service knows. */
static void write_limits(struct schema_set *set, const struct schema_definition *definition)
{
    const struct openapi_source *source = definition->user;
    json_writer_member_string(set->w, "description", "Every limit, with the value in force.");
    json_writer_member_string(set->w, "type", "object");
    json_writer_open_array(set->w, "required");
    openapi_write_limit_names(set->w, source);
    json_writer_raw(set->w, "]");
    json_writer_open_object(set->w, "properties");
    for (size_t i = 0; i < source->limit_record_count; i++)
        schema_members(set, source->limit_records[i].type);
    json_writer_raw(set->w, "}");
    json_writer_member_raw(set->w, "additionalProperties", "false");
}

static void write_schema(struct openapi_writer *o, const struct route *route, const struct route_answer *answer,
                         const struct function *function)
{
    if (strcmp(answer->media_type, "application/json") != 0) {
        json_writer_member_raw(o->w, "type", "\"string\"");
        if (strcmp(answer->media_type, "application/octet-stream") == 0)
            json_writer_member_raw(o->w, "format", "\"binary\"");
    } else if (answer->is_limits) {
        schema_reference(&o->schemas,
                         &(struct schema_definition){.name = "Limits", .write = write_limits, .user = o->source});
    } else if (answer->type != NULL) {
        schema_type(&o->schemas, answer->type, false);
    } else if (route->runs_any_function) {
        openapi_any_task_reference(o);
    } else {
        openapi_task_reference(o, function);
    }
}

void openapi_write_answers(struct openapi_writer *o, const struct route *route, const struct function *function)
{
    struct json_writer *w = o->w;
    json_writer_open_object(w, "responses");
    for (const struct route_answer *answer = route->answers; answer->status != 0; answer++) {
        char key[16];
        snprintf(key, sizeof key, "%d", answer->status);
        json_writer_open_object(w, key);
        json_writer_member_string(w, "description", answer->description);
        write_header_references(o, answer->headers);
        if (answer->media_type != NULL) {
            json_writer_open_object(w, "content");
            json_writer_open_object(w, answer->media_type);
            json_writer_open_object(w, "schema");
            write_schema(o, route, answer, function);
            json_writer_raw(w, "}");
            if (answer->example != NULL)
                json_writer_member_raw(w, "example", answer->example);
            json_writer_raw(w, "}}");
        }
        json_writer_raw(w, "}");
    }
    write_problems(o, openapi_operation_errors(o->source, route, function),
                   function != NULL || route->runs_any_function);
    json_writer_raw(w, "}");
}

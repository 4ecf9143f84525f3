/* The document: info, tags, paths, then the components that the paths refer to. */
#include "handlers/openapi/openapi.h"

#include "gatherd_version.h"
#include "handlers/json/yaml.h"
#include "handlers/openapi/openapi_internal.h"
#include "handlers/resources/task_object.h"

#include <stdlib.h>

enum { YAML_LINE_MAX = 110 };

const char *const openapi_format_names[OPENAPI_FORMAT_COUNT + 1] = {"json", "yaml", NULL};

static const char description[] =
    "gatherd runs tasks concurrently for clients that speak HTTP, and answers in JSON with what ran where, how long\n"
    "it queued and ran, and how it ended.\n"
    "\n"
    "    curl --json '{\"tasks\":[\n"
    "      {\"name\":\"task1\",\"function\":\"sleep\",\"input\":{\"seconds\":1}},\n"
    "      {\"name\":\"task2\",\"function\":\"sleep\",\"input\":{\"seconds\":2}}]}' http://127.0.0.1:8080/v1/gather\n"
    "\n"
    "answers after two seconds, not three.\n"
    "\n"
    "**Executors.** Each function runs on the executor that suits it: waits on the event `loop`, blocking calls in\n"
    "a pool of `threads`, computations in worker `processes`, file access in the pool of `files`.\n"
    "`GET /v1/functions` lists the functions and their executors, `GET /v1/pools` the pools and their load.\n"
    "\n"
    "**Waiting.** A request is answered when its task has ended. If the client disconnects before that, the task\n"
    "and all its children are canceled. A client that closes only its sending half of the connection has\n"
    "disconnected.\n"
    "\n"
    "**Names and units.** Members and query parameters whose names end in `_seconds` are numbers of seconds, with a\n"
    "resolution of a nanosecond; those in `_bytes` are numbers of bytes. Times are RFC 3339 timestamps in UTC, with\n"
    "microseconds. Integers that need more than 53 bits are strings of decimal digits. A value beyond a limit is\n"
    "rejected, never clamped, and a sleep never ends early. Maxima in this document that come from a limit, such as\n"
    "`max_timeout_seconds`, have the value that is configured; `GET /v1/limits` lists all limits. Unknown members,\n"
    "unknown query parameters and duplicate members are rejected.\n"
    "\n"
    "**Errors** are problems (RFC 9457, `application/problem+json`). The last part of `type` is the error code;\n"
    "`errors` says which member or parameter is invalid, and why. A task that failed is an HTTP error too, with the\n"
    "task in the member `task`, so that `curl --fail-with-body` works. A request that is valid by its schema can\n"
    "still fail with `invalid_argument`, for reasons that no schema can express. Two answers do not belong to any\n"
    "operation: a path that is not in this document gets 404 with the code `not_found` (`function_not_found` below\n"
    "`/v1/run/`, `file_method_not_found` below `/v1/files/{handle}/`), and a method that a path does not support\n"
    "gets 405 with the code `method_not_allowed` and the header `Allow`.\n"
    "\n"
    "**Exception.** Requests that are not HTTP, or whose header is too large (400, 413, 414, 431, 505), are\n"
    "answered by the HTTP library, libmicrohttpd: with a short HTML page without `Content-Type`, `Server` and\n"
    "`X-Request-Id`, or not at all. The connection is then closed. A client that does not send its headers or its\n"
    "body in time (`header_timeout_seconds`, `body_timeout_seconds`), or sends more than 256 query parameters, is\n"
    "disconnected without an answer.\n"
    "\n"
    "**HEAD** works wherever GET does, with the same headers and no body. Every JSON answer ends with a newline.\n"
    "Every answer has the header `Server` with the version: `gatherd/VERSION`.\n"
    "\n"
    "**Hosts and origins.** Cross-site browser requests (an `Origin` that differs from `Host`, or a\n"
    "`Sec-Fetch-Site` of `cross-site` or `same-site`) are rejected with 403 on every listener. On loopback\n"
    "listeners, `Host` must be an IP address or `localhost`; other values are rejected with 421. Unix sockets and\n"
    "public listeners, which need `--insecure`, accept any `Host`. The probes `/livez` and `/readyz` are exempt\n"
    "from both checks.\n";

static const struct {
    const char *name, *description;
} tags[TAG_COUNT] = {
    [TAG_TASKS] = {"tasks", "Run a function, or many concurrently, and wait for the results."},
    [TAG_FILES] =
        {"files",
         "Files below the file root (`--files-root DIR`), which no path can leave: functions for whole files,\n"
         "open files whose methods are called one by one, and raw transfers. Without a file root, all of\n"
         "these answer 403 `executor_disabled`. The directory `.gatherd-tmp` in the file root is reserved."},
    [TAG_CATALOG] = {"catalog", "What can run, and how much of it."},
    [TAG_SERVICE] = {"service", "The index, the probes, and this document."},
};

void openapi_write_reference(struct json_writer *w, const char *kind, const char *name)
{
    json_writer_member(w, "$ref");
    json_writer_format(w, "\"#/components/%s/%s\"", kind, name);
}

static void write_info(struct json_writer *w)
{
    json_writer_member_string(w, "openapi", "3.1.0");
    json_writer_open_object(w, "info");
    json_writer_member_string(w, "title", "gatherd");
    json_writer_member_string(w, "version", GATHERD_VERSION);
    json_writer_member_string(w, "summary", "Await anything over HTTP.");
    json_writer_member_string(w, "description", description);
    json_writer_member_raw(w, "license", "{\"name\":\"MIT\",\"identifier\":\"MIT\"}}");
    json_writer_member_raw(w, "servers",
                           "[{\"url\":\"http://127.0.0.1:8080\","
                           "\"description\":\"The default listener, reachable from this machine only.\"}]");
    json_writer_member_raw(w, "security", "[]");
    json_writer_open_array(w, "tags");
    for (size_t i = 0; i < TAG_COUNT; i++) {
        json_writer_item(w);
        json_writer_raw(w, "{");
        json_writer_member_string(w, "name", tags[i].name);
        json_writer_member_string(w, "description", tags[i].description);
        json_writer_raw(w, "}");
    }
    json_writer_raw(w, "]");
}

const char *openapi_tag_name(enum route_tag tag)
{
    return tags[tag].name;
}

static void write_json(struct openapi_writer *o)
{
    struct json_writer *w = o->w;
    json_writer_raw(w, "{");
    write_info(w);
    json_writer_open_object(w, "paths");
    openapi_write_paths(o);
    json_writer_raw(w, "}");
    json_writer_open_object(w, "components");
    json_writer_open_object(w, "parameters");
    openapi_write_parameters(o);
    json_writer_raw(w, "}");
    json_writer_open_object(w, "responses");
    openapi_write_problem_components(o);
    json_writer_raw(w, "}");
    json_writer_open_object(w, "headers");
    openapi_write_headers(o);
    json_writer_raw(w, "}");
    json_writer_open_object(w, "schemas");
    schema_definitions(&o->schemas);
    json_writer_raw(w, "}}}\n");
}

void openapi_write(struct json_writer *w, const struct openapi_source *source, enum openapi_format format)
{
    struct openapi_writer *o = calloc(1, sizeof *o); /* too large for a small stack */
    if (o == NULL) {
        w->failed = true;
        return;
    }
    struct json_writer json = {0};
    struct json_writer *target = format == OPENAPI_JSON ? w : &json;
    o->w = target;
    o->source = source;
    o->schemas = (struct schema_set){
        .w = target,
        .prefix = "#/components/schemas/",
        .limits = source->limits,
        .functions = source->functions,
        .child = task_object_child_codec.type,
        .typed_results = true,
    };
    write_json(o);
    schema_set_free(&o->schemas);
    free(o);
    if (format == OPENAPI_YAML && !json.failed)
        yaml_write_json(w, (struct str){json.data, json.len}, YAML_LINE_MAX);
    w->failed = w->failed || json.failed;
    json_writer_free(&json);
}

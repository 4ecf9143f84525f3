#include "handlers/api.h"

#include "handlers/resources/handlers.h"
#include "runtime/lib/check.h"
#include "runtime/lib/wall_clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct route {
    enum method method;
    const char *
        path; /* segments that are {…} match anything but nothing, and become request->params in order; a last one that is
                       * {…...} matches all segments that are left */
    enum body_kind body;
    parse_fn *handler;
    render_fn *render;
};

static const struct route routes[] = {
    {METHOD_POST, "/v1/tasks", BODY_JSON, post_tasks, render_task},
    {METHOD_POST, "/v1/run/{function}", BODY_JSON, post_run, render_task},
    {METHOD_POST, "/v1/gather", BODY_JSON, post_gather, render_task},
    {METHOD_GET, "/v1/functions", BODY_NONE, get_functions, NULL},
    {METHOD_GET, "/v1/functions/{name}", BODY_NONE, get_function, NULL},
    {METHOD_POST, "/v1/files", BODY_JSON, post_files, render_opened_file},
    {METHOD_GET, "/v1/files", BODY_NONE, get_files, NULL},
    {METHOD_POST, "/v1/files/script", BODY_JSON, post_file_script, render_task},
    {METHOD_GET, "/v1/files/{handle}", BODY_NONE, get_file, NULL},
    {METHOD_DELETE, "/v1/files/{handle}", BODY_NONE, delete_file, render_task},
    {METHOD_POST, "/v1/files/{handle}/{method}", BODY_JSON_OR_NONE, post_file_method, render_task},
    {METHOD_GET, "/v1/fs/{path...}", BODY_NONE, get_file_content, NULL},
    {METHOD_PUT, "/v1/fs/{path...}", BODY_STREAM, put_file_content, NULL},
    {METHOD_GET, "/v1/pools", BODY_NONE, get_pools, NULL},
    {METHOD_GET, "/v1/limits", BODY_NONE, get_limits, NULL},
    {METHOD_GET, "/livez", BODY_NONE, get_livez, NULL},
    {METHOD_GET, "/readyz", BODY_NONE, get_readyz, NULL},
    {METHOD_GET, "/openapi.yaml", BODY_NONE, get_openapi, NULL},
};

static const char *const allow_values[] = {
    [METHOD_GET] = "GET, HEAD", [METHOD_POST] = "POST", [METHOD_PUT] = "PUT", [METHOD_DELETE] = "DELETE"};

int api_new(const struct api_config *config, struct api **out, struct err *e)
{
    struct api *api = calloc(1, sizeof *api);
    if (api == NULL)
        return err_nomem(e);
    api->runtime = config->runtime;
    api->limits = config->limits;
    api->limits_count = config->limits_count;
    api->started_ms = wall_clock_us() / 1000;
    int rc = ids_init(&api->ids, e);
    if (rc != 0) {
        free(api);
        return rc;
    }
    *out = api;
    return 0;
}

void api_free(struct api *api)
{
    free(api);
}

void api_drain(struct api *api)
{
    api->draining = true;
}

void api_generate_id(struct api *api, int64_t now_us, char out[ID_SIZE])
{
    ids_generate(&api->ids, now_us, out);
}

/* Takes the next segment off *path, which begins with a '/'. */
static struct str next_segment(struct str *path)
{
    const char *at = path->data + 1;
    const char *slash = memchr(at, '/', path->len - 1);
    size_t len = slash == NULL ? path->len - 1 : (size_t)(slash - at);
    *path = (struct str){at + len, path->len - 1 - len};
    return (struct str){at, len};
}

enum { SEGMENTS_MAX = 256 }; /* no route has more, and no path that "{...}" takes */

/* Splits first and decodes afterwards, so that a %2F is no separator. -1: more than any route has; -2: a refusal. */
static int split_path(struct request *request, struct str segments[SEGMENTS_MAX], struct response *problem)
{
    struct str path = request->path;
    int count = 0;
    if (path.len == 0 || path.data[0] != '/')
        return -1;
    while (path.len > 0) {
        if (count == SEGMENTS_MAX)
            return -1;
        bool out_of_memory = false;
        if (!decode_percent(next_segment(&path), false, request->arena, &segments[count], &out_of_memory)) {
            response_problem(problem, request->id, out_of_memory ? ERR_OUT_OF_MEMORY : ERR_MALFORMED_HTTP,
                             out_of_memory
                                 ? "There is no memory for the path"
                                 : "Segment %d of the path is not percent-encoded UTF-8 without NUL (RFC 3986)",
                             count + 1);
            return -2;
        }
        count++;
    }
    return count;
}

static bool route_matches(const struct route *route, const struct str *segments, int count,
                          struct str params[PATH_PARAMS_MAX])
{
    struct str path = str_from(route->path);
    int param = 0;
    for (int i = 0; i < count; i++) {
        if (path.len == 0)
            return false;
        struct str segment = next_segment(&path);
        if (segment.data[0] == '{') {
            if (segments[i].len == 0)
                return false;
            CHECK(param < PATH_PARAMS_MAX);
            params[param++] = segments[i];
            if (segment.len > 4 && memcmp(segment.data + segment.len - 4, "...}", 4) == 0)
                return true;
        } else if (segment.len != segments[i].len || memcmp(segment.data, segments[i].data, segment.len) != 0) {
            return false;
        }
    }
    return path.len == 0;
}

static bool is_json(struct str content_type)
{
    static const char json[] = "application/json";
    size_t len = sizeof json - 1;
    if (content_type.len < len || strncasecmp(content_type.data, json, len) != 0)
        return false;
    const char *rest = content_type.data + len + strspn(content_type.data + len, " \t");
    return *rest == '\0' || *rest == ';'; /* RFC 8259 defines no parameter; a charset is harmless */
}

/* Whether the route takes a body of this type and coding. */
static bool check_media_type(const struct route *route, const struct request *request, struct response *problem)
{
    char sanitized[SANITIZED_SIZE];
    bool json = route->body == BODY_JSON || (route->body == BODY_JSON_OR_NONE && request->has_body);
    struct str coding = request->content_encoding;
    if ((json || route->body == BODY_STREAM) && coding.len > 0 && strcasecmp(coding.data, "identity") != 0) {
        response_problem(problem, request->id, ERR_UNSUPPORTED_MEDIA_TYPE,
                         "A body is taken as it is, without a Content-Encoding such as \"%s\"",
                         decode_sanitize(coding, sanitized));
        response_header(problem, "Accept-Encoding", "identity"); /* RFC 9110 section 12.5.3 */
        return false;
    }
    if (!json || is_json(request->content_type))
        return true;
    if (request->content_type.len == 0)
        response_problem(problem, request->id, ERR_UNSUPPORTED_MEDIA_TYPE,
                         "The Content-Type must be application/json, and there is none; curl sends it with --json");
    else
        response_problem(
            problem, request->id, ERR_UNSUPPORTED_MEDIA_TYPE,
            "The Content-Type must be application/json, not \"%s\"; curl sends that with --json in place of -d",
            decode_sanitize(request->content_type, sanitized));
    return false;
}

const struct route *api_route(struct api *api, struct request *request, struct response *problem)
{
    (void)api;
    struct str segments[SEGMENTS_MAX];
    int count = split_path(request, segments, problem);
    if (count == -2)
        return NULL;
    const struct route *matched = NULL;
    char allow[48] = "";
    for (size_t i = 0; count > 0 && i < COUNT_OF(routes); i++) {
        if (!route_matches(&routes[i], segments, count, request->params))
            continue;
        if (matched != NULL && strchr(matched->path, '{') == NULL && strchr(routes[i].path, '{') != NULL)
            continue; /* a path that is named as a whole is no parameter of another */
        matched = &routes[i];
        if (matched->method != request->method) {
            snprintf(allow + strlen(allow), sizeof allow - strlen(allow), "%s%s", allow[0] == '\0' ? "" : ", ",
                     allow_values[matched->method]);
            continue;
        }
        if (!check_media_type(matched, request, problem))
            return NULL;
        return matched;
    }
    if (matched == NULL) {
        response_problem(problem, request->id, ERR_NOT_FOUND,
                         "GET /openapi.yaml describes all paths, GET /v1/functions all functions");
        return NULL;
    }
    response_problem(problem, request->id, ERR_METHOD_NOT_ALLOWED, "This path takes %s", allow);
    response_header(problem, "Allow", "%s", allow);
    return NULL;
}

enum body_kind route_body_kind(const struct route *route)
{
    return route->body;
}

void api_handle(struct api *api, const struct route *route, const struct request *request, struct handler_result *out)
{
    *out = (struct handler_result){.kind = RESULT_RESPONSE};
    route->handler(api, request, out);
}

void api_task_response(struct api *api, const struct route *route, const struct request *request,
                       const struct task *task, const struct task_identity *identity, struct response *response)
{
    route->render(api, request, task, identity, response);
}

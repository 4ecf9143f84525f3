#include "handlers/api.h"

#include "handlers/openapi/openapi.h"
#include "handlers/resources/handlers.h"
#include "runtime/lib/check.h"
#include "runtime/lib/wall_clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

const struct route *const api_routes[] = {
#define X(name) &route_##name,
    ROUTES(X)
#undef X
        NULL,
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
    api->routes = api_routes;
    api->on_task_finished = config->on_task_finished;
    api->user = config->user;
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
    if (api == NULL)
        return;
    openapi_cache_free(api->openapi);
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

/* Removes the first segment from *path, which begins with a '/'. */
static struct str next_segment(struct str *path)
{
    const char *at = path->data + 1;
    const char *slash = memchr(at, '/', path->len - 1);
    size_t len = slash == NULL ? path->len - 1 : (size_t)(slash - at);
    *path = (struct str){at + len, path->len - 1 - len};
    return (struct str){at, len};
}

enum { SEGMENTS_MAX = 16 }; /* that are looked at: more than any route has, except those that {NAME...} matches */

/* Splits before decoding, so that %2F is not a separator. Returns the number of segments; -1 if no route can match; -2
 * if the request is rejected, with *response filled. */
static int split_path(struct request *request, struct str segments[SEGMENTS_MAX], struct response *response)
{
    struct str path = request->path;
    int count = 0;
    if (path.len == 0 || path.data[0] != '/')
        return -1;
    while (path.len > 0 && count < SEGMENTS_MAX) {
        bool out_of_memory = false;
        if (!decode_percent(next_segment(&path), false, request->arena, &segments[count], &out_of_memory)) {
            if (out_of_memory)
                request_reject_nomem(request, response);
            else
                request_reject(request, response, ERR_MALFORMED_HTTP,
                               "Segment %d of the path must be percent-encoded UTF-8 without a NUL (RFC 3986)",
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
    return *rest == '\0' || *rest == ';'; /* parameters are ignored; RFC 8259 defines none */
}

/* Whether the route accepts the body's media type and coding. If not, fills *response. */
static bool check_media_type(const struct route *route, const struct request *request, struct response *response)
{
    char sanitized[SANITIZED_SIZE];
    bool json = route->body == BODY_JSON || (route->body == BODY_JSON_OR_NONE && request->has_body);
    struct str coding = request->headers[HEADER_CONTENT_ENCODING], type = request->headers[HEADER_CONTENT_TYPE];
    if ((json || route->body == BODY_STREAM) && coding.len > 0 && strcasecmp(coding.data, "identity") != 0) {
        request_reject(request, response, ERR_UNSUPPORTED_MEDIA_TYPE,
                       "The Content-Encoding \"%s\" is not supported; send the body without one",
                       decode_sanitize(coding, sanitized));
        response_header(response, "Accept-Encoding", "identity"); /* RFC 9110 section 12.5.3 */
        return false;
    }
    if (!json || is_json(type))
        return true;
    if (type.len == 0)
        request_reject(request, response, ERR_UNSUPPORTED_MEDIA_TYPE,
                       "The Content-Type must be application/json, but is missing; with curl, use --json");
    else
        request_reject(request, response, ERR_UNSUPPORTED_MEDIA_TYPE,
                       "The Content-Type must be application/json, not \"%s\"; with curl, use --json instead of -d",
                       decode_sanitize(type, sanitized));
    return false;
}

static bool method_matches(const struct route *route, enum method method)
{
    return route->method == (method == METHOD_HEAD ? METHOD_GET : method);
}

const struct route *api_route(struct api *api, struct request *request, struct response *response)
{
    struct str segments[SEGMENTS_MAX];
    int count = split_path(request, segments, response);
    if (count == -2)
        return NULL;
    const struct route *matched = NULL;
    char allow[48] = "";
    for (size_t i = 0; count > 0 && api_routes[i] != NULL; i++) {
        if (!route_matches(api_routes[i], segments, count, request->params))
            continue;
        if (matched != NULL && strchr(matched->path, '{') == NULL && strchr(api_routes[i]->path, '{') != NULL)
            continue; /* a literal path takes precedence over one with parameters */
        matched = api_routes[i];
        if (!method_matches(matched, request->method)) {
            snprintf(allow + strlen(allow), sizeof allow - strlen(allow), "%s%s", allow[0] == '\0' ? "" : ", ",
                     allow_values[matched->method]);
            continue;
        }
        if (!check_media_type(matched, request, response) ||
            (matched->check_head != NULL && !matched->check_head(api, request, response)))
            return NULL;
        return matched;
    }
    if (matched == NULL) {
        request_reject(
            request, response, ERR_NOT_FOUND,
            "This path does not exist; GET /openapi.yaml describes the paths, and GET /v1/functions the functions");
        return NULL;
    }
    request_reject(request, response, ERR_METHOD_NOT_ALLOWED, "This path supports only %s", allow);
    response_header(response, "Allow", "%s", allow);
    return NULL;
}

enum body_kind route_body_kind(const struct route *route)
{
    return route->body;
}

const struct limits *api_limits(const struct api *api)
{
    return runtime_limits(api->runtime);
}

const struct registry *api_registry(const struct api *api)
{
    return runtime_registry(api->runtime);
}

struct responder *api_handle(struct api *api, const struct route *route, const struct request *request,
                             struct response *response)
{
    return route->handler(api, request, response);
}

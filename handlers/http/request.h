/* request - a parsed HTTP request, as the handlers see it.
 *
 * Owns:     nothing; all strings are in the request's arena, except `body`, which belongs to the service.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_HANDLERS_HTTP_REQUEST_H
#define GATHERD_HANDLERS_HTTP_REQUEST_H

#include "runtime/lib/arena.h"
#include "runtime/task/registry.h"
#include "runtime/types/limits.h"

/* HEAD uses the routes of GET. */
enum method { METHOD_GET, METHOD_HEAD, METHOD_POST, METHOD_PUT, METHOD_DELETE, METHOD_OTHER };

/* How field lines with the same name are combined. */
enum header_rule {
    HEADER_LAST, /* the last line is used */
    HEADER_LIST, /* joined by commas (RFC 9110 section 5.3), HEADER_LINES_MAX lines at most */
    HEADER_ONCE, /* a second line makes the request malformed */
};

enum { HEADER_LINES_MAX = 8, PATH_PARAMS_MAX = 2 };

/* All header fields that the handlers or the service use; their values are in request->headers. */
#define REQUEST_HEADERS(X) \
    X(CONTENT_ENCODING, "Content-Encoding", HEADER_LIST) \
    X(CONTENT_LENGTH, "Content-Length", HEADER_ONCE) \
    X(CONTENT_RANGE, "Content-Range", HEADER_LAST) \
    X(CONTENT_TYPE, "Content-Type", HEADER_LAST) \
    X(EXPECT, "Expect", HEADER_LAST) \
    X(HOST, "Host", HEADER_ONCE) \
    X(IF_MATCH, "If-Match", HEADER_LIST) \
    X(IF_NONE_MATCH, "If-None-Match", HEADER_LIST) \
    X(IF_UNMODIFIED_SINCE, "If-Unmodified-Since", HEADER_LAST) \
    X(ORIGIN, "Origin", HEADER_LAST) \
    X(SEC_FETCH_SITE, "Sec-Fetch-Site", HEADER_LAST) \
    X(TRANSFER_ENCODING, "Transfer-Encoding", HEADER_ONCE) \
    X(X_REQUEST_ID, "X-Request-Id", HEADER_LAST)

enum header_name {
#define X(id, name, rule) HEADER_##id,
    REQUEST_HEADERS(X)
#undef X
        HEADER_COUNT
};

struct request {
    enum method method;
    struct str path;                    /* percent-encoded, without the query; not NUL-terminated */
    struct str query;                   /* percent-encoded; absent without a '?' */
    struct str headers[HEADER_COUNT];   /* absent: not sent */
    bool has_body;                      /* true also for an empty chunked body */
    struct str id;                      /* the X-Request-Id of the response */
    struct str body;                    /* the whole body; set only while the handler of a BODY_JSON route runs */
    struct str params[PATH_PARAMS_MAX]; /* decoded path segments, set by api_route() */
    void *prepared;                     /* passed from the route's head check to its handler; in the arena */
    const struct limits *limits;        /* borrowed */
    const struct registry *registry;    /* the functions that it can name; borrowed */
    struct arena *arena;                /* owned by the service */
    uint64_t received_ns;               /* uv_hrtime() at the first byte */
    int64_t received_us;                /* the same moment in microseconds since 1970 */
};

#endif

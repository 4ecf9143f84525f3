/* request - what the service asks of a handler, and what the handler makes of it.
 *
 * Owns:     nothing; a request and all it points to belong to the service.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_HANDLERS_RESOURCES_REQUEST_H
#define GATHERD_HANDLERS_RESOURCES_REQUEST_H

#include "handlers/http/response.h"
#include "handlers/json/decode.h"
#include "handlers/resources/ids.h"
#include "handlers/resources/task_object.h"
#include "runtime/files/file_version.h"

/* A method as the routes know it; HEAD finds the routes of GET. */
enum method { METHOD_GET, METHOD_POST, METHOD_PUT, METHOD_DELETE, METHOD_OTHER };

enum { PATH_PARAMS_MAX = 2 };

struct request {
    enum method method;
    struct str path;             /* as it came, still percent-encoded, without the query */
    struct str query;            /* likewise, behind the '?'; absent: none */
    struct str content_type;     /* absent: none */
    struct str content_encoding; /* likewise */
    struct str if_match;         /* absent: none */
    struct str if_none_match;    /* likewise */
    bool has_content_range, has_if_unmodified_since;
    bool has_body;
    struct str id;                      /* what X-Request-Id answers */
    struct str body;                    /* whole; filled before parse */
    struct str params[PATH_PARAMS_MAX]; /* decoded segments that stand for {…} in the route; filled by api_route() */
    struct arena *arena;                /* the request's memory */
    uint64_t received_ns;               /* uv_hrtime() when its first bytes were seen */
    int64_t received_us;                /* the same moment in microseconds since 1970 */
};

enum body_kind {
    BODY_NONE,         /* what comes is discarded */
    BODY_JSON,         /* whole and bounded, application/json */
    BODY_JSON_OR_NONE, /* the same; no body is an empty object */
    BODY_STREAM /* parse comes before the body, which then goes into a sink as it arrives; of any size and type */
};

/* What parse made of a request. */
struct handler_result {
    enum {
        RESULT_RESPONSE,
        RESULT_TASK,
        RESULT_DOWNLOAD, /* a file to be streamed out: api_download_response() once it is open */
        RESULT_UPLOAD,   /* of a BODY_STREAM: a file to be streamed in: api_upload_response() once it is in its place */
    } kind;
    struct str path;                        /* RESULT_DOWNLOAD, RESULT_UPLOAD */
    const struct file_condition *condition; /* RESULT_UPLOAD: of the place; NULL: none */
    struct response response;               /* RESULT_RESPONSE */
    const struct task_spec *spec;           /* RESULT_TASK: to be submitted, in the request's arena */
    struct task_identity identity;          /* RESULT_TASK */
};

#endif

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

enum { PATH_PARAMS = 2 };

struct request {
    enum method method;
    struct text path;             /* as it came, still percent-encoded, without the query */
    struct text query;            /* likewise, behind the '?'; absent: none */
    struct text content_type;     /* absent: none */
    struct text content_encoding; /* likewise */
    struct text if_match;         /* absent: none */
    struct text if_none_match;    /* likewise */
    bool has_content_range, has_unmodified_since;
    bool has_body;
    struct text id;                  /* what X-Request-Id answers */
    struct text body;                /* whole; filled before parse */
    struct text params[PATH_PARAMS]; /* decoded segments that stand for {…} in the route; filled by api_route() */
    struct arena *arena;             /* the request's memory */
    uint64_t received_ns;            /* uv_hrtime() when its first bytes were seen */
    int64_t received_us;             /* the same moment in microseconds since 1970 */
};

enum body_use {
    BODY_NONE,         /* what comes is discarded */
    BODY_JSON,         /* whole and bounded, application/json */
    BODY_JSON_OR_NONE, /* the same; no body is an empty object */
    BODY_STREAM /* parse comes before the body, which then goes into a sink as it arrives; of any size and type */
};

/* What parse made of a request. */
struct outcome {
    enum {
        OUTCOME_REPLY,
        OUTCOME_TASK,
        OUTCOME_SOURCE, /* a file to be streamed out: api_source_reply() once it is open */
        OUTCOME_SINK,   /* of a BODY_STREAM: a file to be streamed in: api_sink_reply() once it is in its place */
    } kind;
    struct text path;                       /* OUTCOME_SOURCE, OUTCOME_SINK */
    const struct file_condition *condition; /* OUTCOME_SINK: of the place; NULL: none */
    struct reply reply;                     /* OUTCOME_REPLY */
    const struct task_spec *spec;           /* OUTCOME_TASK: to be submitted, in the request's arena */
    struct ticket ticket;                   /* OUTCOME_TASK */
};

#endif

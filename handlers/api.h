/* api - the face of handlers/: a request in, and out comes a reply or a task whose end will make the reply.
 *
 *     bytes -> service -> api_route() -> route->parse() -> task_submit() ... done -> api_task_reply() -> service -> bytes
 *
 * A handler never replies by itself and never waits: it returns data, and the service does the rest.
 *
 * Owns:     struct api: the state of issuing ids. A request and all it points to belong to the service.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_HANDLERS_API_H
#define GATHERD_HANDLERS_API_H

#include "handlers/decode.h"
#include "handlers/ids.h"
#include "handlers/reply.h"
#include "handlers/task_json.h"
#include "runtime/file_stamp.h"

struct api;
struct route;

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

struct api_config {
    struct runtime *runtime;   /* borrowed */
    const struct part *limits; /* every record of limits, for GET /v1/limits; borrowed */
    size_t limits_count;
};

int api_new(const struct api_config *config, struct api **out, struct err *e);
void api_free(struct api *api);

/* An id of the form that tasks get, for requests that bring none. */
void api_issue_id(struct api *api, int64_t now_us, char out[ID_SIZE]);

/* From now on /readyz answers that the service is shutting down. */
void api_drain(struct api *api);

/* Finds the route and fills request->params; or returns NULL with *refusal filled (404, 405 with Allow, 415): the head of a
 * request is enough for all of these. */
const struct route *api_route(struct api *api, struct request *request, struct reply *refusal);
enum body_use route_body(const struct route *route);
void api_parse(struct api *api, const struct route *route, const struct request *request, struct outcome *out);

/* Renders a task that is done, as the answer to the request that submitted it. */
void api_task_reply(struct api *api, const struct route *route, const struct request *request, const struct task *task,
                    const struct ticket *ticket, struct reply *reply);

/* The answer to a request for a file, once that is open or e->rc says why it isn't. A reply with `streams` set is to be
 * followed by the source's bytes, stamp->size_bytes of them. */
void api_source_reply(struct api *api, const struct request *request, struct text path, const struct file_stamp *stamp,
                      const struct err *e, struct reply *reply);

/* The answer to an upload, once it is in its place or e->rc says why it isn't. */
void api_sink_reply(struct api *api, const struct request *request, struct text path, const struct file_stamp *stamp,
                    bool created, const struct err *e, struct reply *reply);

#endif

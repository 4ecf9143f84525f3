/* route - a row of the table of routes: the requests that it matches, their handler, and their part of the OpenAPI
 * document.
 *
 * Each resource defines its rows beside their handlers; handlers/router.c lists them. The error codes of an operation
 * are those of any HTTP request, of its kind of body, and of the functions that it runs (handlers/openapi/
 * operation_errors.c). A row's .errors are the others.
 *
 * Owns:     nothing; rows are constants.
 */
#ifndef GATHERD_HANDLERS_RESOURCES_ROUTE_H
#define GATHERD_HANDLERS_RESOURCES_ROUTE_H

#include "handlers/http/request.h"
#include "handlers/responders/responder.h"
#include "runtime/task/function.h"

struct api;

enum body_kind {
    BODY_NONE,         /* discarded */
    BODY_JSON,         /* whole, up to max_body_bytes, application/json */
    BODY_JSON_OR_NONE, /* the same; without a body an empty object */
    BODY_STREAM,       /* passed on as it arrives; any size and type */
};

typedef struct responder *handler_fn(struct api *api, const struct request *request, struct response *response);

/* Rejects a request from its head, before its body is read: false with *response filled. May set request->prepared. */
typedef bool head_check_fn(struct api *api, struct request *request, struct response *response);

enum route_tag { TAG_TASKS, TAG_FILES, TAG_CATALOG, TAG_SERVICE, TAG_COUNT };

/* Headers of an answer, besides those of HTTP and X-Request-Id. */
enum answer_header {
    ANSWER_SERVER_TIMING = 1 << 0,
    ANSWER_ETAG = 1 << 1,
    ANSWER_LAST_MODIFIED = 1 << 2,
    ANSWER_LOCATION = 1 << 3,
    ANSWER_CONTENT_TYPE_OPTIONS = 1 << 4,
    ANSWER_RETRY_AFTER = 1 << 5,
    ANSWER_TASK_TIMING = 1 << 6,     /* Server-Timing, if the problem has a task */
    ANSWER_ACCEPT_ENCODING = 1 << 7, /* if the problem is about Content-Encoding */
    ANSWER_HEADER_COUNT = 8,
};

/* An answer that is not a problem. */
struct route_answer {
    int status; /* 0 ends a table */
    const char *description;
    const char *media_type;  /* NULL: no content */
    const struct type *type; /* of application/json; NULL: the task object */
    bool is_limits;          /* instead of .type: the records of limits, which only the service knows */
    unsigned headers;        /* of enum answer_header */
    const char *example;     /* JSON; may be NULL */
};

/* Which operations a row stands for. */
enum route_expansion {
    EXPAND_NONE,
    EXPAND_FUNCTIONS, /* one for each function, whose name replaces {function} */
    EXPAND_METHODS,   /* one for each method of an open file, whose name replaces {method} */
};

struct route {
    enum method method;
    /* A segment {NAME} matches any one that is not empty, and {NAME...} all that are left; they set request->params. */
    const char *path;
    enum body_kind body;
    handler_fn *handler;
    head_check_fn *check_head; /* NULL: nothing to check before the body */

    const char *operation; /* operationId; of an expanded row, its prefix */
    enum route_tag tag;
    enum route_expansion expansion;
    const char *function;              /* the function that it runs; NULL: none, or any of the expansion */
    bool runs_any_function;            /* the one that the body names */
    bool is_probe;                     /* not subject to the checks of Host and Origin */
    const char *summary, *description; /* of an expanded row or one with .function: NULL, the function's */
    const struct type *request;        /* the body; NULL: the input of the function, or none */
    const char *request_name; /* of the body's schema: the function's input and the task options in one; or NULL */
    bool has_task_options;    /* in the query */
    unsigned request_headers; /* the conditions that it supports: 1 << HEADER_... */
    const struct route_answer *answers;
    const int *errors;                       /* ERR_ codes of the handler; ends with 0. NULL: none */
    const struct function_example *examples; /* of the body; NULL: the function's, or none */
};

#endif

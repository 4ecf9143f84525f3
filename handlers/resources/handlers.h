/* handlers - the routes, and what their handlers share.
 *
 * A handler turns a request into a responder, or fills *response and returns NULL. It never waits.
 *
 * Owns:     nothing.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_HANDLERS_RESOURCES_HANDLERS_H
#define GATHERD_HANDLERS_RESOURCES_HANDLERS_H

#include "handlers/http/request.h"
#include "handlers/resources/ids.h"
#include "handlers/resources/task_object.h"
#include "handlers/responders/responder.h"
#include "runtime/runtime.h"

struct api {
    struct runtime *runtime;         /* borrowed */
    const struct record_ref *limits; /* every record of limits, for GET /v1/limits; borrowed */
    size_t limits_count;
    void (*on_task_finished)(void *user, const struct task_snapshot *task, struct str request_id);
    void *user; /* borrowed; for on_task_finished */
    struct ids ids;
    bool draining;
    int64_t started_ms; /* since 1970; ids issued earlier belong to another process */
};

typedef struct responder *handler_fn(struct api *api, const struct request *request, struct response *response);

/* Rejects a request from its head, before its body is read: false with *response filled. May set request->prepared. */
typedef bool head_check_fn(struct api *api, struct request *request, struct response *response);

/* X(method, path, body, handler, check of the head). A path segment {NAME} matches any one that is not empty, and
 * {NAME...} all that are left; they set request->params. */
#define ROUTES(X) \
    X(METHOD_POST, "/v1/tasks", BODY_JSON, post_tasks, check_task_head) \
    X(METHOD_POST, "/v1/run/{function}", BODY_JSON, post_run, check_run_head) \
    X(METHOD_POST, "/v1/gather", BODY_JSON, post_gather, check_task_head) \
    X(METHOD_GET, "/v1/functions", BODY_NONE, get_functions, check_nothing) \
    X(METHOD_GET, "/v1/functions/{name}", BODY_NONE, get_function, check_nothing) \
    X(METHOD_POST, "/v1/files", BODY_JSON, post_files, check_open_file_head) \
    X(METHOD_GET, "/v1/files", BODY_NONE, get_files, check_nothing) \
    X(METHOD_POST, "/v1/files/script", BODY_JSON, post_run, check_file_script_head) \
    X(METHOD_GET, "/v1/files/{handle}", BODY_NONE, get_file, check_nothing) \
    X(METHOD_DELETE, "/v1/files/{handle}", BODY_NONE, delete_file, check_nothing) \
    X(METHOD_POST, "/v1/files/{handle}/{method}", BODY_JSON_OR_NONE, post_file_method, check_file_method_head) \
    X(METHOD_GET, "/v1/fs/{path...}", BODY_NONE, get_file_content, check_nothing) \
    X(METHOD_PUT, "/v1/fs/{path...}", BODY_STREAM, put_file_content, check_nothing) \
    X(METHOD_GET, "/v1/pools", BODY_NONE, get_pools, check_nothing) \
    X(METHOD_GET, "/v1/limits", BODY_NONE, get_limits, check_nothing) \
    X(METHOD_GET, "/livez", BODY_NONE, get_livez, check_nothing) \
    X(METHOD_GET, "/readyz", BODY_NONE, get_readyz, check_nothing) \
    X(METHOD_GET, "/openapi.yaml", BODY_NONE, get_openapi, check_nothing)

#define X(method, path, body, handler, check_head) \
    handler_fn handler; \
    head_check_fn check_head;
ROUTES(X)
#undef X

/* Submits a task and returns its responder, whose response render() makes; NULL: the task object. `spec` is in the
 * request's arena. */
typedef void task_render_fn(const struct request *request, const struct task_snapshot *task, struct response *response);
struct responder *task_respond(struct api *api, const struct request *request, const struct task_spec *spec,
                               task_render_fn *render, struct response *response);
task_render_fn render_task;

/* Whether a task with this function and these options can be submitted now; false with *response filled. NULL: any
 * task. */
bool check_capacity(struct api *api, const struct request *request, const struct task_spec *spec,
                    struct response *response);

/* request_decode.c: the booleans are false with *response filled. */
bool request_decode_body(const struct request *request, struct str body, const struct record_ref *records, size_t count,
                         struct response *response);
bool request_decode_query(const struct request *request, const struct record_ref *record, struct response *response);
bool request_reject_query(const struct request *request, struct response *response); /* any parameter is an error */
void request_reject(const struct request *request, struct response *response, int rc, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void request_reject_error(const struct request *request, struct response *response, const struct err *e);
void request_reject_nomem(const struct request *request, struct response *response);
void request_reject_invalid(const struct request *request, struct response *response,
                            const struct validation_errors *errors);
void request_reject_function(const struct request *request, struct response *response); /* lists the functions */

#endif

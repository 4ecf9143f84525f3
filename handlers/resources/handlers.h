/* handlers - the routes, each defined beside its handler, and what handlers share.
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
#include "handlers/resources/route.h"
#include "handlers/resources/task_object.h"
#include "handlers/responders/responder.h"
#include "runtime/runtime.h"

struct api {
    struct runtime *runtime;         /* borrowed */
    const struct record_ref *limits; /* all records of limits, for GET /v1/limits; borrowed */
    size_t limits_count;
    void (*on_task_finished)(void *user, const struct task_snapshot *task, struct str request_id);
    void *user;                        /* borrowed; for on_task_finished */
    const struct route *const *routes; /* borrowed; ends with NULL */
    struct openapi_cache *openapi;     /* owned; NULL until the document is requested */
    struct ids ids;
    bool draining;
    int64_t started_ms; /* milliseconds since 1970; an earlier process generated older ids */
};

/* All routes, in the order of the OpenAPI document and of matching: X(NAME) for route_NAME, which is defined beside its
 * handler. Of two paths that match, the one without parameters comes first. */
#define ROUTES(X) \
    X(post_tasks) \
    X(post_gather) \
    X(post_run) \
    X(get_functions) \
    X(get_function) \
    X(post_files) \
    X(get_files) \
    X(post_file_script) \
    X(get_file) \
    X(delete_file) \
    X(post_file_method) \
    X(get_file_content) \
    X(put_file_content) \
    X(get_pools) \
    X(get_limits) \
    X(get_index) \
    X(get_livez) \
    X(get_readyz) \
    X(get_openapi_json) \
    X(get_openapi_yaml)

#define X(name) extern const struct route route_##name;
ROUTES(X)
#undef X

/* Makes the response from a task that has ended. render_task() makes it from the task object. */
typedef void task_render_fn(const struct request *request, const struct task_snapshot *task, struct response *response);
task_render_fn render_task;

/* Submits `spec`, which is in the request's arena, and returns a responder. On failure, fills *response and returns
 * NULL. */
struct responder *task_respond(struct api *api, const struct request *request, const struct task_spec *spec,
                               task_render_fn *render, struct response *response);

/* Whether the task can be submitted now; if `spec` is NULL, whether any task can. If not, fills *response. */
bool check_capacity(struct api *api, const struct request *request, const struct task_spec *spec,
                    struct response *response);

/* request_decode.c: functions that return bool return false, with *response filled, if the request is rejected. */
bool request_decode_body(const struct request *request, struct str body, const struct record_ref *records, size_t count,
                         struct response *response);
bool request_decode_query(const struct request *request, const struct record_ref *record, struct response *response);
bool request_reject_query(const struct request *request, struct response *response); /* rejects any parameter */
void request_reject(const struct request *request, struct response *response, int rc, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void request_reject_error(const struct request *request, struct response *response, const struct err *e);
void request_reject_nomem(const struct request *request, struct response *response);
void request_reject_invalid(const struct request *request, struct response *response,
                            const struct validation_errors *errors);

/* Rejects the unknown function that the path names. */
void request_reject_function(const struct request *request, struct response *response);

#endif

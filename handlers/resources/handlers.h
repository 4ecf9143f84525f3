/* handlers - the handler of each route; the table of routes is in handlers/router.c.
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
    const struct record_ref *limits; /* all records of limits, for GET /v1/limits; borrowed */
    size_t limits_count;
    void (*on_task_finished)(void *user, const struct task_snapshot *task, struct str request_id);
    void *user; /* borrowed; for on_task_finished */
    struct ids ids;
    bool draining;
    int64_t started_ms; /* milliseconds since 1970; an earlier process generated older ids */
};

typedef struct responder *handler_fn(struct api *api, const struct request *request, struct response *response);

/* Checks a request's head, before its body is read. Returns false with *response filled if the request is rejected. May
 * set request->prepared. */
typedef bool head_check_fn(struct api *api, struct request *request, struct response *response);

/* tasks.c */
head_check_fn check_task_head, check_run_head, check_file_script_head;
handler_fn post_tasks, post_run, post_gather;

/* functions.c */
handler_fn get_functions, get_function;

/* limits.c */
handler_fn get_limits;

/* health.c */
handler_fn get_livez, get_readyz;

/* openapi.c */
handler_fn get_openapi;

/* pools.c */
handler_fn get_pools;

/* open_files.c */
head_check_fn check_open_file_head, check_file_method_head;
handler_fn post_files, get_files, get_file, post_file_method, delete_file;

/* file_content.c */
handler_fn get_file_content, put_file_content;

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

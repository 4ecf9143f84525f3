/* handlers - what each route makes of a request; the table of them is in api.c.
 *
 * Owns:     nothing.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_HANDLERS_RESOURCES_HANDLERS_H
#define GATHERD_HANDLERS_RESOURCES_HANDLERS_H

#include "handlers/resources/request.h"
#include "runtime/runtime.h"

struct api {
    struct runtime *runtime;         /* borrowed */
    const struct record_ref *limits; /* every record of limits, for GET /v1/limits; borrowed */
    size_t limits_count;
    struct ids ids;
    bool draining;
    int64_t started_ms; /* since 1970: what was issued before, this process does not know */
};

typedef void parse_fn(struct api *api, const struct request *request, struct handler_result *out);

/* Renders a task that is done; NULL in a route that makes none. */
typedef void render_fn(struct api *api, const struct request *request, const struct task *task,
                       const struct task_identity *identity, struct response *response);

/* tasks.c */
render_fn render_task;
parse_fn post_tasks, post_run, post_gather, post_file_script;

/* catalogue.c */
parse_fn get_functions, get_function, get_limits, get_livez, get_readyz, get_openapi;

/* pools.c */
parse_fn get_pools;

/* files.c */
parse_fn post_files, get_files, get_file, post_file_method, delete_file;
render_fn render_opened_file;

/* fs.c */
parse_fn get_file_content, put_file_content;

/* Makes the outcome a task. */
void handler_result_set_task(struct api *api, const struct request *request, const struct task_spec *spec,
                             struct handler_result *out);

/* parse.c: each fills the outcome with a problem when it says no. */
bool request_decode_body(struct api *api, const struct request *request, const struct record_ref *records, size_t count,
                         struct handler_result *out);
bool request_decode_query(struct api *api, const struct request *request, const struct record_ref *record,
                          struct handler_result *out);
bool request_reject_query(struct api *api, const struct request *request,
                          struct handler_result *out); /* there must be none */
void request_reject(const struct request *request, struct handler_result *out, int rc, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void request_reject_invalid(struct api *api, const struct request *request, const struct validation_errors *errors,
                            struct handler_result *out);
void request_reject_function(const struct request *request,
                             struct handler_result *out); /* there is none of the name; names those there are */

#endif

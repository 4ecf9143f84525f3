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
                       const struct task_identity *ticket, struct response *response);

/* tasks.c */
render_fn render_task;
parse_fn parse_tasks, parse_run, parse_gather, parse_script;

/* catalogue.c */
parse_fn parse_functions, parse_function, parse_limits, parse_livez, parse_readyz, parse_openapi;

/* pools.c */
parse_fn parse_pools;

/* files.c */
parse_fn parse_open, parse_files, parse_file, parse_method, parse_close;
render_fn render_open, render_method;

/* fs.c */
parse_fn parse_download, parse_upload;

/* Makes the outcome a task. */
void accept_task(struct api *api, const struct request *request, const struct task_spec *spec,
                 struct handler_result *out);

/* parse.c: each fills the outcome with a problem when it says no. */
bool body_into(struct api *api, const struct request *request, const struct record_ref *parts, size_t count,
               struct handler_result *out);
bool query_into(struct api *api, const struct request *request, const struct record_ref *part,
                struct handler_result *out);
bool no_query(struct api *api, const struct request *request, struct handler_result *out); /* there must be none */
void refuse(const struct request *request, struct handler_result *out, int rc, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void refuse_issues(struct api *api, const struct request *request, const struct validation_errors *issues,
                   struct handler_result *out);
void refuse_function(const struct request *request,
                     struct handler_result *out); /* there is none of the name; names those there are */

#endif

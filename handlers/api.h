/* api - the interface of handlers/: a request becomes a responder, or a response that is ready.
 *
 *     service: head -> api_route() -> body -> api_handle() -> responder -> response
 *
 * The route alone decides as much as the head allows: unknown paths and functions, media types, disabled executors,
 * full pools. A handler never sends and never waits.
 *
 * Owns:     struct api: the state of issuing ids. A request, and all that it points to, belongs to the service.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_HANDLERS_API_H
#define GATHERD_HANDLERS_API_H

#include "handlers/http/request.h"
#include "handlers/http/response.h"
#include "handlers/resources/ids.h"
#include "handlers/resources/route.h"
#include "handlers/resources/task_object.h"
#include "handlers/responders/responder.h"

struct api;
struct route;

struct api_config {
    struct runtime *runtime;         /* borrowed */
    const struct record_ref *limits; /* every record of limits, for GET /v1/limits; borrowed */
    size_t limits_count;
    /* Runs when a top-level task has ended, before its response is made. The snapshot is valid only during the call. */
    void (*on_task_finished)(void *user, const struct task_snapshot *task, struct str request_id);
    void *user; /* borrowed */
};

int api_new(const struct api_config *config, struct api **out, struct err *e);
void api_free(struct api *api);

/* An id like those of tasks, for a request without an X-Request-Id. */
void api_generate_id(struct api *api, int64_t now_us, char out[ID_SIZE]);

/* /readyz reports from now on that the service is shutting down. */
void api_drain(struct api *api);

const struct limits *api_limits(const struct api *api);
const struct registry *api_registry(const struct api *api);

extern const struct route *const api_routes[]; /* in the order of the OpenAPI document; ends with NULL */

/* Finds the route and sets request->params and request->prepared. If the request can be rejected from its head alone,
 * fills *response and returns NULL. */
const struct route *api_route(struct api *api, struct request *request, struct response *response);
enum body_kind route_body_kind(const struct route *route);

/* To be called when the body is complete; for BODY_STREAM, before the body. NULL: *response is ready. */
struct responder *api_handle(struct api *api, const struct route *route, const struct request *request,
                             struct response *response);

#endif

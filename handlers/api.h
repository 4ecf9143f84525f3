/* api - the interface of handlers/: a request becomes a responder, or a response that is ready.
 *
 *     service: head -> api_route() -> body -> api_handle() -> responder -> response
 *
 * api_route() rejects requests whose head suffices for that: unknown paths and functions, media types, disabled
 * executors, full pools. A handler never sends and never waits.
 *
 * Owns:     struct api, with the state for generating ids and the OpenAPI document. The service owns a request, and all
 *           that it points to.
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
    const struct record_ref *limits; /* all records of limits, for GET /v1/limits; borrowed */
    size_t limits_count;
    /* Runs when a top-level task has ended, before its response is made. The snapshot is valid only during the call. */
    void (*on_task_finished)(void *user, const struct task_snapshot *task, struct str request_id);
    void *user; /* borrowed */
};

int api_new(const struct api_config *config, struct api **out, struct err *e);
void api_free(struct api *api);

/* Generates an id, in the format of task ids, for a request without an X-Request-Id. */
void api_generate_id(struct api *api, int64_t now_us, char out[ID_SIZE]);

/* Makes /readyz report that the service is shutting down. */
void api_drain(struct api *api);

const struct limits *api_limits(const struct api *api);
const struct registry *api_registry(const struct api *api);

extern const struct route *const api_routes[]; /* in the order of the OpenAPI document; ends with NULL */

/* Finds the route, and sets request->params and request->prepared. If the head suffices to reject the request, fills
 * *response and returns NULL. */
const struct route *api_route(struct api *api, struct request *request, struct response *response);
enum body_kind route_body_kind(const struct route *route);

/* To be called when the body is complete; for BODY_STREAM, before the body. Returns NULL if *response is ready. */
struct responder *api_handle(struct api *api, const struct route *route, const struct request *request,
                             struct response *response);

#endif

/* api - the face of handlers/: a request in, and out comes a reply or a task whose end will make the reply.
 *
 *     bytes -> service -> api_route() -> route->parse() -> task_submit() ... done -> api_task_response() -> service -> bytes
 *
 * A handler never replies by itself and never waits: it returns data, and the service does the rest.
 *
 * Owns:     struct api: the state of issuing ids. A request and all it points to belong to the service.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_HANDLERS_API_H
#define GATHERD_HANDLERS_API_H

#include "handlers/resources/file_content.h"
#include "handlers/resources/request.h"
#include "runtime/lib/error.h"

struct route;

struct api_config {
    struct runtime *runtime;         /* borrowed */
    const struct record_ref *limits; /* every record of limits, for GET /v1/limits; borrowed */
    size_t limits_count;
};

int api_new(const struct api_config *config, struct api **out, struct err *e);
void api_free(struct api *api);

/* An id of the form that tasks get, for requests that bring none. */
void api_generate_id(struct api *api, int64_t now_us, char out[ID_SIZE]);

/* From now on /readyz answers that the service is shutting down. */
void api_drain(struct api *api);

/* Finds the route and fills request->params; or returns NULL with *refusal filled (404, 405 with Allow, 415): the head of a
 * request is enough for all of these. */
const struct route *api_route(struct api *api, struct request *request, struct response *problem);
enum body_kind route_body_kind(const struct route *route);
void api_handle(struct api *api, const struct route *route, const struct request *request, struct handler_result *out);

/* Renders a task that is done, as the answer to the request that submitted it. */
void api_task_response(struct api *api, const struct route *route, const struct request *request,
                       const struct task *task, const struct task_identity *identity, struct response *response);

#endif

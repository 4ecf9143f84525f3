/* health - GET /livez and /readyz: the probes. */
#include "handlers/resources/handlers.h"

struct responder *get_livez(struct api *api, const struct request *request, struct response *response)
{
    (void)api;
    if (!request_reject_query(request, response))
        return NULL;
    struct json_writer w = {0};
    json_writer_raw(&w, "{\"status\":\"live\"}");
    response_json(response, 200, &w);
    return NULL;
}

struct responder *get_readyz(struct api *api, const struct request *request, struct response *response)
{
    if (!request_reject_query(request, response))
        return NULL;
    if (api->draining) {
        request_reject(request, response, ERR_SHUTTING_DOWN, "The service is shutting down and accepts no new tasks");
        return NULL;
    }
    struct json_writer w = {0};
    json_writer_raw(&w, "{\"status\":\"ready\"}");
    response_json(response, 200, &w);
    return NULL;
}

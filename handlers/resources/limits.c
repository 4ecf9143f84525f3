/* limits - GET /v1/limits: every limit and its value. */
#include "handlers/json/render.h"
#include "handlers/resources/handlers.h"

struct responder *get_limits(struct api *api, const struct request *request, struct response *response)
{
    if (!request_reject_query(request, response))
        return NULL;
    struct json_writer w = {0};
    bool first = true;
    json_writer_raw(&w, "{");
    for (size_t i = 0; i < api->limits_count; i++)
        render_members(&w, api->limits[i].type, api->limits[i].value, &first);
    json_writer_raw(&w, "}");
    response_json(response, 200, &w);
    return NULL;
}

/* limits - GET /v1/limits: every limit and its value. */
#include "handlers/json/render.h"
#include "handlers/resources/handlers.h"

static struct responder *get_limits(struct api *api, const struct request *request, struct response *response)
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

static const struct route_answer limits_answers[] = {
    {.status = 200, .description = "All limits.", .media_type = "application/json", .is_limits = true},
    {0},
};

const struct route route_get_limits = {
    .method = METHOD_GET,
    .path = "/v1/limits",
    .handler = get_limits,
    .operation = "getLimits",
    .tag = TAG_CATALOG,
    .summary = "Lists all limits",
    .description = "Each limit is set at startup by the option of the same name (`max_tasks`: `--max-tasks`). If the\n"
                   "process may open too few descriptors (`ulimit -Hn`) for `max_connections`, `max_open_files`,\n"
                   "`max_streams` and its worker processes together, gatherd reduces these limits at startup: the\n"
                   "values here are those in force, and the log lists each reduction.",
    .answers = limits_answers,
};

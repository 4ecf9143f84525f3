/* health - GET /livez and /readyz: the probes. */
#include "handlers/json/field_types.h"
#include "handlers/json/render.h"
#include "handlers/resources/handlers.h"

struct probe_status {
    int status; /* always 0: the only name */
};

#define PROBE_TYPE(probe, label, text) \
    static const char *const probe##_names[] = {text, NULL}; \
    static const struct type probe##_status_type = {.kind = TYPE_ENUM, .names = probe##_names}; \
    static const struct field probe##_fields[] = { \
        {"status", &probe##_status_type, offsetof(struct probe_status, status), FIELD_REQUIRED, NULL, \
         "Always `" text "`", NULL}, \
        {0}, \
    }; \
    static const struct type probe##_type = { \
        .kind = TYPE_RECORD, .name = (label), .fields = probe##_fields, .size = sizeof(struct probe_status)}
PROBE_TYPE(live, "Liveness", "live");
PROBE_TYPE(ready, "Readiness", "ready");

static struct responder *probe_respond(const struct type *type, struct response *response)
{
    struct json_writer w = {0};
    render_value(&w, type, &(struct probe_status){0}, NULL);
    response_json(response, 200, &w);
    return NULL;
}

static struct responder *get_livez(struct api *api, const struct request *request, struct response *response)
{
    (void)api;
    if (!request_reject_query(request, response))
        return NULL;
    return probe_respond(&live_type, response);
}

static struct responder *get_readyz(struct api *api, const struct request *request, struct response *response)
{
    if (!request_reject_query(request, response))
        return NULL;
    if (api->draining) {
        request_reject(request, response, ERR_SHUTTING_DOWN, "The service is shutting down and accepts no new tasks");
        return NULL;
    }
    return probe_respond(&ready_type, response);
}

static const struct route_answer live_answers[] = {
    {200, "The event loop is running.", "application/json", &live_type, false, 0, JSON({"status" : "live"})},
    {0},
};
static const struct route_answer ready_answers[] = {
    {200, "New tasks are accepted.", "application/json", &ready_type, false, 0, JSON({"status" : "ready"})},
    {0},
};
static const int ready_errors[] = {ERR_SHUTTING_DOWN, 0};

const struct route route_get_livez = {
    .method = METHOD_GET,
    .path = "/livez",
    .handler = get_livez,
    .operation = "getLiveness",
    .tag = TAG_SERVICE,
    .is_probe = true,
    .summary = "Liveness probe",
    .description = "Answered on the event loop itself, so an answer proves that the loop is not blocked.",
    .answers = live_answers,
};

const struct route route_get_readyz = {
    .method = METHOD_GET,
    .path = "/readyz",
    .handler = get_readyz,
    .operation = "getReadiness",
    .tag = TAG_SERVICE,
    .is_probe = true,
    .summary = "Readiness probe",
    .description = "Answers 503 `shutting_down` as soon as a shutdown has begun.",
    .answers = ready_answers,
    .errors = ready_errors,
};

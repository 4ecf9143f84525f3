/* index - GET /: the name and version of the service, and links. */
#include "gatherd_version.h"
#include "handlers/json/field_types.h"
#include "handlers/json/render.h"
#include "handlers/resources/handlers.h"

struct index_links {
    struct str openapi_json, openapi_yaml, functions, pools, limits, livez, readyz;
};
struct index {
    struct str name, version;
    struct index_links links;
};

#define LINK(member, path, doc) \
    { \
#member, &string_type, offsetof(struct index_links, member), FIELD_REQUIRED, NULL, doc, path \
    }
static const struct field links_fields[] = {
    LINK(openapi_json, "/openapi.json", "The OpenAPI document, as JSON"),
    LINK(openapi_yaml, "/openapi.yaml", "The OpenAPI document, as YAML"),
    LINK(functions, "/v1/functions", "The functions that tasks can run"),
    LINK(pools, "/v1/pools", "The pools, with their current load"),
    LINK(limits, "/v1/limits", "The limits"),
    LINK(livez, "/livez", "The liveness probe"),
    LINK(readyz, "/readyz", "The readiness probe"),
    {0},
};
static const struct type links_type = {.kind = TYPE_RECORD, .fields = links_fields, .size = sizeof(struct index_links)};
static const struct field index_fields[] = {
    {"name", &string_type, offsetof(struct index, name), FIELD_REQUIRED, NULL, "The name of the program", "gatherd"},
    {"version", &string_type, offsetof(struct index, version), FIELD_REQUIRED, NULL, "Its version", GATHERD_VERSION},
    {"links", &links_type, offsetof(struct index, links), FIELD_REQUIRED, NULL, "Paths of this service", NULL},
    {0},
};
static const struct type index_type = {.kind = TYPE_RECORD,
                                       .name = "Index",
                                       .doc = "The name and version of the service, and links.",
                                       .fields = index_fields,
                                       .size = sizeof(struct index)};

static struct responder *get_index(struct api *api, const struct request *request, struct response *response)
{
    (void)api;
    if (!request_reject_query(request, response))
        return NULL;
    struct index index = {.name = STR("gatherd"), .version = STR(GATHERD_VERSION)};
    for (const struct field *f = links_fields; f->name != NULL; f++) {
        struct str path = str_from(f->example);
        memcpy((char *)&index.links + f->offset, &path, sizeof path);
    }
    struct json_writer w = {0};
    render_value(&w, &index_type, &index, NULL);
    response_json(response, 200, &w);
    return NULL;
}

static const struct route_answer index_answers[] = {
    {200, "The index.", "application/json", &index_type, false, 0, NULL},
    {0},
};

const struct route route_get_index = {
    .method = METHOD_GET,
    .path = "/",
    .handler = get_index,
    .operation = "getIndex",
    .tag = TAG_SERVICE,
    .summary = "Gets the index of the service",
    .answers = index_answers,
};

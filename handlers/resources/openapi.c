/* openapi - GET /openapi.yaml: the embedded OpenAPI document. */
#include "handlers/openapi/openapi_embed.h"
#include "handlers/resources/handlers.h"

struct responder *get_openapi(struct api *api, const struct request *request, struct response *response)
{
    (void)api;
    if (!request_reject_query(request, response))
        return NULL;
    *response = (struct response){
        .status = 200,
        .content_type = "application/yaml",
        .body = (char *)(uintptr_t)openapi_yaml, /* not written to: body_is_static */
        .body_len = openapi_yaml_len,
        .body_is_static = true,
    };
    return NULL;
}

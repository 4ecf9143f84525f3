/* openapi_routes - GET /openapi.json and /openapi.yaml: the document, rendered once, at the first request. */
#include "handlers/http/etag.h"
#include "handlers/json/field_types.h"
#include "handlers/openapi/openapi.h"
#include "handlers/resources/handlers.h"

#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>

struct openapi_cache {
    struct openapi_text {
        char *text; /* owned; NULL: not rendered yet */
        size_t len;
        char etag[ETAG_SIZE];
    } formats[OPENAPI_FORMAT_COUNT];
};

void openapi_cache_free(struct openapi_cache *cache)
{
    for (int i = 0; cache != NULL && i < OPENAPI_FORMAT_COUNT; i++)
        free(cache->formats[i].text);
    free(cache);
}

static void set_etag(struct openapi_text *document)
{
    uint8_t digest[SHA256_DIGEST_SIZE];
    struct sha256_ctx sha256;
    sha256_init(&sha256);
    sha256_update(&sha256, document->len, (const uint8_t *)document->text);
    sha256_digest(&sha256, sizeof digest, digest);
    int len = snprintf(document->etag, sizeof document->etag, "\"");
    for (int i = 0; i < 16; i++)
        len += snprintf(document->etag + len, sizeof document->etag - (size_t)len, "%02x", digest[i]);
    snprintf(document->etag + len, sizeof document->etag - (size_t)len, "\"");
}

/* NULL: out of memory. */
static const struct openapi_text *get_text(struct api *api, enum openapi_format format)
{
    if (api->openapi == NULL)
        api->openapi = calloc(1, sizeof *api->openapi);
    if (api->openapi == NULL)
        return NULL;
    struct openapi_text *document = &api->openapi->formats[format];
    if (document->text != NULL)
        return document;
    const struct openapi_source source = {
        .routes = api->routes,
        .functions = registry_functions(runtime_registry(api->runtime)),
        .limits = runtime_limits(api->runtime),
        .limit_records = api->limits,
        .limit_record_count = api->limits_count,
    };
    struct json_writer w = {0};
    openapi_write(&w, &source, format);
    document->text = json_writer_take(&w, &document->len);
    if (document->text == NULL)
        return NULL;
    set_etag(document);
    return document;
}

static struct responder *respond(struct api *api, const struct request *request, enum openapi_format format,
                                 const char *media_type, struct response *response)
{
    if (!request_reject_query(request, response))
        return NULL;
    const struct openapi_text *document = get_text(api, format);
    if (document == NULL) {
        request_reject_nomem(request, response);
        return NULL;
    }
    struct str condition = request->headers[HEADER_IF_NONE_MATCH];
    bool not_modified = condition.data != NULL && etag_match_list(condition, document->etag, true) == ETAG_MATCH;
    *response = (struct response){
        .status = not_modified ? 304 : 200, /* with the length of the 200, and no bytes (RFC 9110 section 8.6) */
        .content_type = not_modified ? NULL : media_type,
        .body = document->text, /* not written to: body_is_static */
        .body_len = document->len,
        .body_is_static = true,
    };
    response_header(response, "ETag", "%s", document->etag);
    return NULL;
}

static struct responder *get_openapi_json(struct api *api, const struct request *request, struct response *response)
{
    return respond(api, request, OPENAPI_JSON, "application/json", response);
}

static struct responder *get_openapi_yaml(struct api *api, const struct request *request, struct response *response)
{
    return respond(api, request, OPENAPI_YAML, "application/yaml", response);
}

static const struct type document_type = {.kind = TYPE_OUTPUT}; /* any object */
#define NOT_MODIFIED \
    { \
        .status = 304, .description = "The document is still the version that `If-None-Match` names.", \
        .headers = ANSWER_ETAG \
    }
static const struct route_answer json_answers[] = {
    {.status = 200,
     .description = "The document.",
     .media_type = "application/json",
     .type = &document_type,
     .headers = ANSWER_ETAG},
    NOT_MODIFIED,
    {0},
};
static const struct route_answer yaml_answers[] = {
    {.status = 200, .description = "The document.", .media_type = "application/yaml", .headers = ANSWER_ETAG},
    NOT_MODIFIED,
    {0},
};

const struct route route_get_openapi_json = {
    .method = METHOD_GET,
    .path = "/openapi.json",
    .handler = get_openapi_json,
    .operation = "getOpenapiJson",
    .tag = TAG_SERVICE,
    .summary = "Gets this document, as JSON",
    .description = "The document describes this process: its functions, its limits and its version.",
    .request_headers = 1 << HEADER_IF_NONE_MATCH,
    .answers = json_answers,
};

const struct route route_get_openapi_yaml = {
    .method = METHOD_GET,
    .path = "/openapi.yaml",
    .handler = get_openapi_yaml,
    .operation = "getOpenapiYaml",
    .tag = TAG_SERVICE,
    .summary = "Gets this document, as YAML",
    .description = "The document describes this process: its functions, its limits and its version.",
    .request_headers = 1 << HEADER_IF_NONE_MATCH,
    .answers = yaml_answers,
};

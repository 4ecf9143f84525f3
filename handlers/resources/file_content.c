#include "handlers/resources/file_content.h"

#include "handlers/http/etag.h"
#include "handlers/resources/handlers.h"
#include "runtime/files/file_root.h"

#include <time.h>

/* The path behind /v1/fs/. Here a slash that came encoded is one like any other: clients that are made from the contract
 * encode those of a parameter, and no file's name has one. Where the path leads to is the file_root's affair. */
static bool decode_path(const struct request *request, struct handler_result *out)
{
    bool out_of_memory = false;
    struct str raw = request->path;
    size_t start = 0; /* behind the third slash: "v1" and "fs" may have come percent-encoded */
    for (int slashes = 0; slashes < 3; start++)
        slashes += raw.data[start] == '/';
    struct str rest = {raw.data + start, raw.len - start};
    if (!decode_percent(rest, false, request->arena, &out->path, &out_of_memory)) {
        request_reject(request, out, out_of_memory ? ERR_OUT_OF_MEMORY : ERR_MALFORMED_HTTP,
                       out_of_memory ? "There is no memory for the path"
                                     : "The path is not percent-encoded UTF-8 without NUL (RFC 3986)");
        return false;
    }
    if (out->path.len <= FILE_PATH_MAX)
        return true;
    request_reject(request, out, ERR_INVALID, "The path must have at most %d bytes", FILE_PATH_MAX);
    return false;
}

void get_file_content(struct api *api, const struct request *request, struct handler_result *out)
{
    if (request_reject_query(api, request, out) && decode_path(request, out))
        out->kind = RESULT_DOWNLOAD;
}

/* What the request demands of the file, in the arena of the request. */
struct preconditions {
    struct str if_match, if_none_match; /* absent: nothing */
};

/* If-Match goes first (RFC 9110 section 13.2.2). */
static int check_if_match(const struct preconditions *preconditions, const struct file_version *current,
                          struct str path, struct err *e)
{
    char tag[ETAG_SIZE];
    if (preconditions->if_match.data == NULL)
        return 0;
    if (current == NULL)
        return file_error_set(
            e, ERR_PRECONDITION_FAILED, path,
            "there is no such file, and If-Match is about one that is there; without it, one is made");
    etag_format(current, tag);
    if (etag_match_list(preconditions->if_match, tag, false) == ETAG_MATCH)
        return 0;
    return file_error_set(
        e, ERR_PRECONDITION_FAILED, path,
        "its ETag is none of those in If-Match (weak ones never are); get it, and try with the ETag it has now");
}

/* A file_condition's: in a thread of the pool. */
static int check_preconditions(const void *data, const struct file_version *current, struct str path, struct err *e)
{
    const struct preconditions *preconditions = data;
    char tag[ETAG_SIZE];
    int rc = check_if_match(preconditions, current, path, e);
    if (rc != 0 || preconditions->if_none_match.data == NULL || current == NULL)
        return rc;
    etag_format(current, tag);
    if (etag_match_list(preconditions->if_none_match, tag, true) != ETAG_MATCH)
        return 0;
    return file_error_set(e, ERR_PRECONDITION_FAILED, path,
                          "there is one that If-None-Match excludes; take another path, or If-Match to replace it");
}

/* A condition that can't be read is no reason to go on as if there were none, and to overwrite what it should have saved. */
static const char *invalid_condition_reason(const struct request *request)
{
    if (request->has_content_range)
        return "Files are put whole: send all of it, without a Content-Range (RFC 9110 section 14.4)";
    if (request->has_if_unmodified_since)
        return "If-Unmodified-Since knows whole seconds only, and can't guard a file: use If-Match with its ETag";
    if (request->if_match.data != NULL && etag_match_list(request->if_match, "", false) == ETAG_MALFORMED)
        return "If-Match must be * or a list of entity-tags (RFC 9110 section 13.1.1)";
    if (request->if_none_match.data != NULL && etag_match_list(request->if_none_match, "", true) == ETAG_MALFORMED)
        return "If-None-Match must be * or a list of entity-tags (RFC 9110 section 13.1.2)";
    return NULL;
}

/* False when there is no memory. */
static bool make_condition(const struct request *request, const struct file_condition **out)
{
    *out = NULL;
    if (request->if_match.data == NULL && request->if_none_match.data == NULL)
        return true;
    struct preconditions *preconditions = arena_alloc(request->arena, sizeof *preconditions);
    struct file_condition *condition = arena_alloc(request->arena, sizeof *condition);
    if (preconditions == NULL || condition == NULL)
        return false;
    *preconditions = (struct preconditions){request->if_match, request->if_none_match};
    *condition = (struct file_condition){check_preconditions, preconditions, request->arena};
    *out = condition;
    return true;
}

void put_file_content(struct api *api, const struct request *request, struct handler_result *out)
{
    if (!request_reject_query(api, request, out) || !decode_path(request, out))
        return;
    const char *reason = invalid_condition_reason(request);
    if (reason != NULL)
        request_reject(request, out, ERR_MALFORMED_HTTP, "%s", reason);
    else if (!make_condition(request, &out->condition))
        request_reject(request, out, ERR_OUT_OF_MEMORY, "There is no memory for the request; try again later");
    else
        out->kind = RESULT_UPLOAD;
}

void api_download_response(struct api *api, const struct request *request, struct str path,
                           const struct file_version *version, const struct err *e, struct response *response)
{
    struct err err = *e;
    struct preconditions preconditions = {request->if_match, request->if_none_match};
    if (err.rc == 0)
        check_if_match(&preconditions, version, path, &err);
    if (err.rc != 0) {
        response_error(response, request->id, &err, runtime_limits(api->runtime));
        return;
    }
    char tag[ETAG_SIZE], date[40];
    time_t seconds = (time_t)(version->modified_us / 1000000);
    struct tm tm;
    etag_format(version, tag);
    response_header(response, "ETag", "%s", tag);
    if (gmtime_r(&seconds, &tm) != NULL && strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &tm) > 0)
        response_header(response, "Last-Modified", "%s", date);
    response->is_stream = true; /* a 304 has the length that a 200 would have, and no body (RFC 9110 section 15.4.5) */
    response->body_len = version->size_bytes;
    if (request->if_none_match.data != NULL && etag_match_list(request->if_none_match, tag, true) == ETAG_MATCH) {
        response->status = 304;
        return;
    }
    response->status = 200;
    response->content_type = "application/octet-stream";
    response_header(response, "X-Content-Type-Options", "nosniff");
}

void api_upload_response(struct api *api, const struct request *request, struct str path,
                         const struct file_version *version, bool created, const struct err *e,
                         struct response *response)
{
    if (e->rc != 0) {
        response_error(response, request->id, e, runtime_limits(api->runtime));
        return;
    }
    struct json_writer w = {0};
    char tag[ETAG_SIZE];
    etag_format(version, tag);
    response_header(response, "ETag", "%s", tag);
    json_writer_raw(&w, "{\"path\":");
    json_writer_string(&w, path);
    json_writer_raw(&w, ",\"size_bytes\":");
    json_writer_integer(&w, (int64_t)version->size_bytes);
    json_writer_raw(&w, created ? ",\"created\":true}" : ",\"created\":false}");
    response_json(response, created ? 201 : 200, &w);
}

/* file_content - GET and PUT /v1/fs/{path}: a file's bytes. */
#include "handlers/http/preconditions.h"
#include "handlers/resources/handlers.h"
#include "handlers/responders/download_responder.h"
#include "handlers/responders/upload_responder.h"
#include "runtime/files/file_root.h"

/* Decodes the path after /v1/fs/. An encoded slash counts as a slash here: generated clients encode the slashes of a
 * parameter, and no file name contains one. The file root confines the path. */
static bool decode_path(const struct request *request, struct str *path, struct response *response)
{
    bool out_of_memory = false;
    struct str raw = request->path;
    size_t start = 0; /* after the third slash; "v1" and "fs" may be percent-encoded */
    for (int slashes = 0; slashes < 3; start++)
        slashes += raw.data[start] == '/';
    struct str rest = {raw.data + start, raw.len - start};
    if (!decode_percent(rest, false, request->arena, path, &out_of_memory)) {
        if (out_of_memory)
            request_reject_nomem(request, response);
        else
            request_reject(request, response, ERR_MALFORMED_HTTP,
                           "The path must be percent-encoded UTF-8 without a NUL (RFC 3986)");
        return false;
    }
    if (path->len <= FILE_PATH_MAX)
        return true;
    request_reject(request, response, ERR_INVALID, "The path must have at most %d bytes", FILE_PATH_MAX);
    return false;
}

struct responder *get_file_content(struct api *api, const struct request *request, struct response *response)
{
    struct str path;
    if (!request_reject_query(request, response) || !decode_path(request, &path, response))
        return NULL;
    return download_responder_new(api->runtime, request, path, response);
}

struct responder *put_file_content(struct api *api, const struct request *request, struct response *response)
{
    struct str path;
    const struct file_condition *condition;
    if (!request_reject_query(request, response) || !decode_path(request, &path, response))
        return NULL;
    const char *reason = preconditions_reject_reason(request);
    if (reason != NULL) {
        request_reject(request, response, ERR_MALFORMED_HTTP, "%s", reason);
        return NULL;
    }
    if (!preconditions_make_condition(request, &condition)) {
        request_reject_nomem(request, response);
        return NULL;
    }
    return upload_responder_new(api->runtime, request, path, condition, response);
}

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
    request_reject(request, response, ERR_INVALID_ARGUMENT, "The path must have at most %d bytes", FILE_PATH_MAX);
    return false;
}

static struct responder *get_file_content(struct api *api, const struct request *request, struct response *response)
{
    struct str path;
    if (!request_reject_query(request, response) || !decode_path(request, &path, response))
        return NULL;
    return download_responder_new(api->runtime, request, path, response);
}

static struct responder *put_file_content(struct api *api, const struct request *request, struct response *response)
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

static const struct route_answer download_answers[] = {
    {200, "The file's bytes.", "application/octet-stream", NULL, false,
     ANSWER_ETAG | ANSWER_LAST_MODIFIED | ANSWER_CONTENT_TYPE_OPTIONS, NULL},
    {304, "The file is still the version that `If-None-Match` names.", NULL, NULL, false,
     ANSWER_ETAG | ANSWER_LAST_MODIFIED, NULL},
    {0},
};
static const struct route_answer upload_answers[] = {
    {200, "An existing file was replaced.", "application/json", &stored_file_type, false, ANSWER_ETAG,
     JSON({"path" : "hello.txt", "size_bytes" : 13, "created" : false})},
    {201, "A new file was created.", "application/json", &stored_file_type, false, ANSWER_ETAG,
     JSON({"path" : "hello.txt", "size_bytes" : 13, "created" : true})},
    {0},
};

#define TRANSFER_ERRORS \
    ERR_EXECUTOR_DISABLED, ERR_PATH_FORBIDDEN, ERR_ACCESS_DENIED, ERR_FILE_NOT_FOUND, ERR_PRECONDITION_FAILED, \
        ERR_INVALID_ARGUMENT, ERR_UNSUPPORTED_FILE_TYPE, ERR_IO_ERROR, ERR_TOO_MANY_TASKS, ERR_POOL_FULL, \
        ERR_TOO_MANY_OPEN_FILES, ERR_TOO_MANY_STREAMS, ERR_SHUTTING_DOWN
static const int download_errors[] = {TRANSFER_ERRORS, 0};
static const int upload_errors[] = {TRANSFER_ERRORS, ERR_INSUFFICIENT_STORAGE, 0};

enum { CONDITIONS = 1 << HEADER_IF_MATCH | 1 << HEADER_IF_NONE_MATCH };

const struct route route_get_file_content = {
    .method = METHOD_GET,
    .path = "/v1/fs/{path...}",
    .handler = get_file_content,
    .operation = "download",
    .tag = TAG_FILES,
    .summary = "Downloads a file",
    .description = "Streams the file's bytes, of any size, in bounded memory. If the file becomes shorter during the\n"
                   "transfer, the connection is closed before `Content-Length` bytes have been sent.",
    .request_headers = CONDITIONS,
    .answers = download_answers,
    .errors = download_errors,
};

const struct route route_put_file_content = {
    .method = METHOD_PUT,
    .path = "/v1/fs/{path...}",
    .body = BODY_STREAM,
    .handler = put_file_content,
    .operation = "upload",
    .tag = TAG_FILES,
    .summary = "Uploads a file",
    .description =
        "Stores the body, of any size and `Content-Type`, as a file, which it creates or replaces. The directory must\n"
        "exist. The file is replaced atomically and durably: after a crash, or if the client disconnects during the\n"
        "upload, the old file is unchanged.\n"
        "\n"
        "`If-None-Match: *` only creates, `If-Match: *` only replaces, and `If-Match` with an `ETag` replaces only\n"
        "that version, which prevents lost updates. Conditions are checked when the body begins, and again in one\n"
        "step with the replacement: of several concurrent uploads that replace the same version, one succeeds and the\n"
        "others get 412. Only uploads take part in this: open files, functions and other programs can change the file\n"
        "in between.\n"
        "\n"
        "`Content-Range` (partial uploads) and `If-Unmodified-Since` (whole seconds cannot protect a version) are\n"
        "rejected with 400.",
    .request_headers = CONDITIONS,
    .answers = upload_answers,
    .errors = upload_errors,
};

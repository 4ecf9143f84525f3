#include "handlers/http/preconditions.h"

#include "handlers/http/etag.h"
#include "runtime/files/file_error.h"

struct preconditions preconditions_of(const struct request *request)
{
    return (struct preconditions){request->headers[HEADER_IF_MATCH], request->headers[HEADER_IF_NONE_MATCH]};
}

int preconditions_check_if_match(const struct preconditions *preconditions, const struct file_version *current,
                                 struct str path, struct err *e)
{
    char tag[ETAG_SIZE];
    if (preconditions->if_match.data == NULL)
        return 0;
    if (current == NULL)
        return file_error_set(e, ERR_PRECONDITION_FAILED, path, "the file does not exist; to create it, omit If-Match");
    etag_format(current, tag);
    if (etag_match_list(preconditions->if_match, tag, false) == ETAG_MATCH)
        return 0;
    return file_error_set(
        e, ERR_PRECONDITION_FAILED, path,
        "If-Match does not list the file's current ETag as a strong tag; get the file and retry with its ETag");
}

bool preconditions_not_modified(const struct preconditions *preconditions, const struct file_version *current)
{
    char tag[ETAG_SIZE];
    if (preconditions->if_none_match.data == NULL)
        return false;
    etag_format(current, tag);
    return etag_match_list(preconditions->if_none_match, tag, true) == ETAG_MATCH;
}

/* A file_condition's check: runs in a thread of the files pool. If-Match is checked first (RFC 9110 section 13.2.2). */
static int check_upload(const void *user, const struct file_version *current, struct str path, struct err *e)
{
    const struct preconditions *preconditions = user;
    int rc = preconditions_check_if_match(preconditions, current, path, e);
    if (rc != 0 || current == NULL || !preconditions_not_modified(preconditions, current))
        return rc;
    return file_error_set(e, ERR_PRECONDITION_FAILED, path,
                          "If-None-Match matches the existing file; to replace the file, use If-Match with its ETag");
}

const char *preconditions_reject_reason(const struct request *request)
{
    struct preconditions preconditions = preconditions_of(request);
    if (request->headers[HEADER_CONTENT_RANGE].data != NULL)
        return "Content-Range is not supported: send the whole file (RFC 9110 section 14.4)";
    if (request->headers[HEADER_IF_UNMODIFIED_SINCE].data != NULL)
        return "If-Unmodified-Since is not supported, as it has a resolution of one second; use If-Match with the ETag";
    if (preconditions.if_match.data != NULL && etag_match_list(preconditions.if_match, "", false) == ETAG_MALFORMED)
        return "If-Match must be * or a list of quoted entity tags (RFC 9110 section 13.1.1)";
    if (preconditions.if_none_match.data != NULL &&
        etag_match_list(preconditions.if_none_match, "", true) == ETAG_MALFORMED)
        return "If-None-Match must be * or a list of quoted entity tags (RFC 9110 section 13.1.2)";
    return NULL;
}

bool preconditions_make_condition(const struct request *request, const struct file_condition **out)
{
    struct preconditions preconditions = preconditions_of(request);
    *out = NULL;
    if (preconditions.if_match.data == NULL && preconditions.if_none_match.data == NULL)
        return true;
    struct preconditions *copy = arena_alloc(request->arena, sizeof *copy);
    struct file_condition *condition = arena_alloc(request->arena, sizeof *condition);
    if (copy == NULL || condition == NULL)
        return false;
    *copy = preconditions;
    *condition = (struct file_condition){check_upload, copy, request->arena};
    *out = condition;
    return true;
}

/* preconditions - If-Match and If-None-Match on a file (RFC 9110 section 13).
 *
 * Owns:     nothing.
 * Threads:  any: uploads check them in threads of the files pool.
 */
#ifndef GATHERD_HANDLERS_HTTP_PRECONDITIONS_H
#define GATHERD_HANDLERS_HTTP_PRECONDITIONS_H

#include "handlers/http/request.h"
#include "runtime/files/file_version.h"

/* The headers of a request; an absent one sets no condition. The strings are in the request's arena. */
struct preconditions {
    struct str if_match, if_none_match;
};

struct preconditions preconditions_of(const struct request *request);

/* Returns 0, or ERR_PRECONDITION_FAILED with *e filled. `current` is NULL if the file does not exist. */
int preconditions_check_if_match(const struct preconditions *preconditions, const struct file_version *current,
                                 struct str path, struct err *e);

/* Whether If-None-Match lists the version's tag, so that a GET is answered with 304. */
bool preconditions_not_modified(const struct preconditions *preconditions, const struct file_version *current);

/* Why an upload must be rejected for its headers (a malformed or unsupported precondition, Content-Range), or NULL.
 * Ignoring such a header could overwrite data that the client wanted to keep. */
const char *preconditions_reject_reason(const struct request *request);

/* Makes the condition for write_stream_open(), in the request's arena; *out is NULL if the request has none. Returns
 * false if out of memory. */
bool preconditions_make_condition(const struct request *request, const struct file_condition **out);

#endif

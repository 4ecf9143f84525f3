/* upload_responder - stores the body of a PUT as a file while the body arrives.
 *
 * Owns:     the stream.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_HANDLERS_RESPONDERS_UPLOAD_RESPONDER_H
#define GATHERD_HANDLERS_RESPONDERS_UPLOAD_RESPONDER_H

#include "handlers/http/request.h"
#include "handlers/responders/responder.h"
#include "runtime/files/file_version.h"

struct runtime;

extern const struct type stored_file_type; /* the body of a successful response */

/* `path` and `condition` (NULL for none) are in the request's arena. On failure, fills *response and returns NULL. */
struct responder *upload_responder_new(struct runtime *runtime, const struct request *request, struct str path,
                                       const struct file_condition *condition, struct response *response);

#endif

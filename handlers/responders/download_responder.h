/* download_responder - responds with a file: its bytes, or only what its version says (HEAD, 304, 412).
 *
 * A request with preconditions looks the version up first, so that a stream is opened only for bytes that are sent.
 *
 * Owns:     the lookup, then the stream.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_HANDLERS_RESPONDERS_DOWNLOAD_RESPONDER_H
#define GATHERD_HANDLERS_RESPONDERS_DOWNLOAD_RESPONDER_H

#include "handlers/http/request.h"
#include "handlers/responders/responder.h"

struct runtime;

/* `path` is in the request's arena. NULL with *response filled on failure. */
struct responder *download_responder_new(struct runtime *runtime, const struct request *request, struct str path,
                                         struct response *response);

#endif

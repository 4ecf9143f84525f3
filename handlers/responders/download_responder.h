/* download_responder - responds with a file's bytes, or only with headers or a problem (HEAD, 304, 412).
 *
 * For HEAD and for a request with preconditions, the file's version is looked up first, so that a stream is opened only
 * if bytes are sent.
 *
 * Owns:     the lookup, then the stream.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_HANDLERS_RESPONDERS_DOWNLOAD_RESPONDER_H
#define GATHERD_HANDLERS_RESPONDERS_DOWNLOAD_RESPONDER_H

#include "handlers/http/request.h"
#include "handlers/responders/responder.h"

struct runtime;

/* `path` is in the request's arena. On failure, fills *response and returns NULL. */
struct responder *download_responder_new(struct runtime *runtime, const struct request *request, struct str path,
                                         struct response *response);

#endif

/* file_content - the answers of /v1/fs/{path}: a file streamed out, and one streamed in.
 *
 * Owns:     nothing.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_HANDLERS_RESOURCES_FILE_CONTENT_H
#define GATHERD_HANDLERS_RESOURCES_FILE_CONTENT_H

#include "handlers/resources/request.h"

struct api;

/* The answer to a request for a file, once that is open or e->rc says why it isn't. A reply with `streams` set is to be
 * followed by the source's bytes, stamp->size_bytes of them. */
void api_download_response(struct api *api, const struct request *request, struct str path,
                           const struct file_version *version, const struct err *e, struct response *response);

/* The answer to an upload, once it is in its place or e->rc says why it isn't. */
void api_upload_response(struct api *api, const struct request *request, struct str path,
                         const struct file_version *version, bool created, const struct err *e,
                         struct response *response);

#endif

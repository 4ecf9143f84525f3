/* raw_response - a response written to the socket directly, where libmicrohttpd cannot send one.
 *
 * Owns:     nothing.
 * Threads:  any.
 */
#ifndef GATHERD_SERVICE_HTTP_RAW_RESPONSE_H
#define GATHERD_SERVICE_HTTP_RAW_RESPONSE_H

#include "handlers/api.h"

/* Sends the response with "Connection: close", without blocking: bytes that do not fit into the socket buffer are
 * lost. The caller must close the connection (service/net/lingering_close.h). */
void raw_response_send(int fd, const struct response *response, struct str request_id);

/* Sends *e as a problem, under a new request id. */
void raw_response_reject(int fd, struct api *api, const struct err *e);

#endif

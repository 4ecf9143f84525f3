/* raw_response - an answer written to a connection by hand, where libmicrohttpd has no say or can't give one.
 *
 * Owns:     nothing.
 * Threads:  any.
 */
#ifndef GATHERD_SERVICE_HTTP_RAW_RESPONSE_H
#define GATHERD_SERVICE_HTTP_RAW_RESPONSE_H

#include "handlers/api.h"

/* Sends the reply with "Connection: close", without waiting: what the socket doesn't take at once is lost. The connection is to
 * be lingered on and closed. */
void raw_response_send(int fd, const struct response *response, struct str request_id);

/* Sends the problem that there is no room for this connection. */
void raw_response_reject(int fd, struct api *api, const struct err *e);

#endif

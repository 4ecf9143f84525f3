/* lingering_close - closes a connection whose client is still sending, without losing the response.
 *
 * Closing a socket with unread data makes the kernel send RST, which discards data that the client has not read yet
 * (RFC 9112 section 9.6). So a FIN is sent, and input is read and discarded until the client closes the connection, up
 * to a limit of time and bytes.
 *
 * Owns:     the descriptors passed to lingering_close(), and a buffer.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_SERVICE_NET_LINGERING_CLOSE_H
#define GATHERD_SERVICE_NET_LINGERING_CLOSE_H

#include "runtime/lib/error.h"

#include <uv.h>

struct lingering_set;

enum {
    MAX_LINGERING = 256
}; /* connections at a time; fewer when descriptors are scarce (service/config/fd_budget.h) */

/* `max` is the number of connections at a time; further ones are closed at once. */
int lingering_set_new(uv_loop_t *loop, int64_t max, struct lingering_set **out, struct err *e);

/* Takes ownership of fd. At the maximum, or out of memory, fd is closed at once. */
void lingering_close(struct lingering_set *set, int fd);

/* Closes all connections. The memory is freed in a close callback of the loop. */
void lingering_set_close(struct lingering_set *set);

#endif

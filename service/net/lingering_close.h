/* lingering_close - closes a connection on which the client is still sending, so that it gets to read the answer.
 *
 * A close with unread data makes the kernel send RST, which destroys what the client has not read yet (RFC 9112 section 9.6).
 * So we send FIN, read and throw away until the client closes, for a while and up to a number of bytes, and close then.
 *
 * Owns:     the descriptors it was given, and a buffer.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_SERVICE_NET_LINGERING_CLOSE_H
#define GATHERD_SERVICE_NET_LINGERING_CLOSE_H

#include "runtime/lib/error.h"

#include <uv.h>

struct lingering_set;

enum { MAX_LINGERING = 256 }; /* at the same time, where there are descriptors enough */

/* `most` of them at the same time: beyond that a connection is closed at once. */
int lingering_set_new(uv_loop_t *loop, int64_t max, struct lingering_set **out, struct err *e);

/* Takes the descriptor over. When there is no room or no memory for it, it is closed at once. */
void lingering_close(struct lingering_set *lingering_set, int fd);

/* Closes all of them. Freed when the loop has run its close callbacks. */
void lingering_set_close(struct lingering_set *lingering_set);

#endif

/* listener - one address that the service listens on, from its text to accepted connections.
 *
 * Addresses: HOST:PORT, [IPV6]:PORT (RFC 3986 brackets; port 0: the kernel picks one), unix:/path. A Unix socket that nobody
 *           listens on any more is replaced; its file is removed at the close.
 * When descriptors run out, the kernel would keep connections waiting in silence. So a spare one is kept, which such a
 * connection gets for as long as it takes to tell it so.
 *
 * Owns:     the listening descriptor and its place in the loop; the spare descriptor.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_SERVICE_NET_LISTENER_H
#define GATHERD_SERVICE_NET_LISTENER_H

#include "runtime/lib/error.h"
#include "runtime/lib/str.h"

#include <sys/socket.h>
#include <uv.h>

struct listener;

/* Whom it tells, each time with `user`. The descriptors of connections are non-blocking and closed on exec. */
struct listener_events {
    /* Takes the connection over. */
    void (*accepted)(void *user, const struct listener *listener, int fd, const struct sockaddr_storage *peer,
                     socklen_t peer_len);
    /* This one can't be kept, and is closed when the call returns. */
    void (*rejected)(void *user, int fd);
    /* Connections wait that can't be accepted, `error` being why: told once a spell, which is over when for
     * LISTENER_QUIET_MS all could be. */
    void (*accept_failed)(void *user, const struct listener *listener, int error);
};

enum { LISTENER_NAME_SIZE = 160, LISTENER_QUIET_MS = 10000 };

/* Binds and listens; accepts nothing before listener_start(). ERR_INVALID when the text is no address, ERR_INTERNAL when the
 * system refuses. */
int listener_open(uv_loop_t *loop, struct str address, struct listener **out, struct err *e);
void listener_start(struct listener *listener, const struct listener_events *events, void *user); /* borrows events */

bool listener_is_local(const struct listener *listener);    /* loopback or a Unix socket: unreachable from elsewhere */
bool listener_is_loopback(const struct listener *listener); /* also what a web page on this machine can reach */

/* Where it is reached: "http://127.0.0.1:8080", "unix:/run/gatherd.sock". */
const char *listener_name(const struct listener *listener);

/* Freed when the loop has run its close callbacks. */
void listener_close(struct listener *listener);

#endif

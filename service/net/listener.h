/* listener - listens on one address and accepts its connections.
 *
 * Addresses are HOST:PORT, [IPV6]:PORT (port 0: chosen by the kernel) and unix:/path. A stale Unix socket file is
 * replaced, and the file is removed when the listener closes. A spare descriptor is kept: on EMFILE it is closed to
 * accept the pending connection, reject and close it, instead of leaving it in the backlog.
 *
 * Owns:     the listening descriptor, the spare descriptor, and its handles.
 * Threads:  the loop thread; listener_open() may block to resolve HOST.
 */
#ifndef GATHERD_SERVICE_NET_LISTENER_H
#define GATHERD_SERVICE_NET_LISTENER_H

#include "runtime/lib/error.h"
#include "runtime/lib/str.h"

#include <sys/socket.h>
#include <uv.h>

struct listener;

/* Callbacks, with the `user` of listener_start(). Descriptors of connections are non-blocking and close-on-exec. */
struct listener_events {
    /* Takes ownership of fd. */
    void (*accepted)(void *user, const struct listener *listener, int fd, const struct sockaddr_storage *peer,
                     socklen_t peer_len);
    /* The connection must be rejected; fd is closed when the callback returns. */
    void (*rejected)(void *user, int fd);
    /* Pending connections cannot be accepted; `error` is the errno. Called once per period of failures; a period ends
     * after LISTENER_QUIET_MS without a failure. */
    void (*accept_failed)(void *user, const struct listener *listener, int error);
};

enum { LISTENER_NAME_SIZE = 160, LISTENER_QUIET_MS = 10000 };

/* Binds and listens, but accepts nothing before listener_start(). ERR_INVALID: malformed or unresolvable address;
 * ERR_INTERNAL: a system call failed; ERR_OUT_OF_MEMORY. */
int listener_open(uv_loop_t *loop, struct str address, struct listener **out, struct err *e);
void listener_start(struct listener *listener, const struct listener_events *events, void *user); /* borrows events */

bool listener_is_local(const struct listener *listener);    /* loopback or a Unix socket */
bool listener_is_loopback(const struct listener *listener); /* web pages in a browser on this machine can reach it */

/* The address that was bound: "http://127.0.0.1:8080", "unix:/run/gatherd.sock". */
const char *listener_name(const struct listener *listener);

/* Stops accepting at once. The memory is freed in a close callback of the loop. */
void listener_close(struct listener *listener);

#endif

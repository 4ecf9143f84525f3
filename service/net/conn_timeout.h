/* conn_timeout - how long a connection may take over what it is about: the head of a request, its body, the next request.
 *
 * Also looks, a little after it began, whether the client has hung up. libmicrohttpd can miss that: it watches edges, and takes a
 * short read for the end of what there is, so that a FIN that came together with the last bytes is never seen.
 *
 * Owns:     nothing; it belongs to whoever embeds it, the descriptor to whom it belongs.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_SERVICE_NET_CONN_TIMEOUT_H
#define GATHERD_SERVICE_NET_CONN_TIMEOUT_H

#include "runtime/lib/timers.h"

enum { CONN_TIMEOUT_HANGUP_CHECK_MS = 50 };

struct conn_timeout {
    struct timers *timers; /* borrowed */
    struct timer timer;
    int fd;                                             /* borrowed */
    uint64_t deadline_ns;                               /* uv_hrtime() */
    void (*expired)(struct conn_timeout *conn_timeout); /* runs when the connection was cut, by shutdown(2) */
};

/* False when there is no memory. */
bool conn_timeout_init(struct conn_timeout *conn_timeout, struct timers *timers, int fd,
                       void (*expired)(struct conn_timeout *conn_timeout));
void conn_timeout_start(struct conn_timeout *conn_timeout, uint64_t ns); /* begins anew when it runs already */
void conn_timeout_stop(struct conn_timeout *conn_timeout);
void conn_timeout_free(struct conn_timeout *conn_timeout);

void conn_timeout_expire(struct conn_timeout *conn_timeout); /* its end, now */

#endif

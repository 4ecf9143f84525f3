/* conn_timeout - limits the time of one phase of a connection: request head, request body, idle.
 *
 * It also checks once, CONN_TIMEOUT_HANGUP_CHECK_MS after the start, whether the client has hung up. libmicrohttpd can
 * miss that: its epoll is edge-triggered, and it takes a short read for the end of the input, so a FIN that arrives
 * together with the last bytes is never read.
 *
 * Owns:     its reservation in `timers`. The struct is embedded by its user, who owns the descriptor.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_SERVICE_NET_CONN_TIMEOUT_H
#define GATHERD_SERVICE_NET_CONN_TIMEOUT_H

#include "runtime/lib/timers.h"

enum { CONN_TIMEOUT_HANGUP_CHECK_MS = 50 };

struct conn_timeout {
    struct timers *timers; /* borrowed */
    struct timer timer;
    int fd;                                        /* borrowed */
    uint64_t deadline_ns;                          /* uv_hrtime() */
    void (*expired)(struct conn_timeout *timeout); /* runs after shutdown(2) of the descriptor */
};

/* Returns false if out of memory. */
bool conn_timeout_init(struct conn_timeout *timeout, struct timers *timers, int fd,
                       void (*expired)(struct conn_timeout *timeout));
void conn_timeout_start(struct conn_timeout *timeout, uint64_t ns); /* restarts a running one */
void conn_timeout_stop(struct conn_timeout *timeout);
void conn_timeout_free(struct conn_timeout *timeout);

/* Expires at once: shuts the connection down, then calls expired(). */
void conn_timeout_expire(struct conn_timeout *timeout);

#endif

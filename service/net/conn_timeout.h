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

enum { PATIENCE_LOOK_MS = 50 };

struct patience {
    struct timers *timers; /* borrowed */
    struct timer timer;
    int fd;                                  /* borrowed */
    uint64_t due_ns;                         /* uv_hrtime() */
    void (*over)(struct patience *patience); /* runs when the connection was cut, by shutdown(2) */
};

/* False when there is no memory. */
bool patience_init(struct patience *patience, struct timers *timers, int fd, void (*over)(struct patience *patience));
void patience_begin(struct patience *patience, uint64_t ns); /* begins anew when it runs already */
void patience_end(struct patience *patience);
void patience_free(struct patience *patience);

void patience_cut(struct patience *patience); /* its end, now */

#endif

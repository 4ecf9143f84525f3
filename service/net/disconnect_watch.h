/* disconnect_watch - tells when a client hangs up while its connection is suspended and nobody reads from it.
 *
 * A watch costs two system calls and a handle, so it begins only when the wait has lasted DISCONNECT_WATCH_DELAY_MS: most are over by then.
 * A client that closes only its sending half looks the same as one that left, and is treated so.
 *
 * Owns:     its handles; a struct watch belongs to whoever embeds it, the descriptor to whom it belongs.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_SERVICE_NET_DISCONNECT_WATCH_H
#define GATHERD_SERVICE_NET_DISCONNECT_WATCH_H

#include "runtime/lib/error.h"
#include "runtime/lib/list.h"

#include <uv.h>

enum { DISCONNECT_WATCH_DELAY_MS = 25 };

struct disconnect_watch_set;
struct disconnect_poll;

struct disconnect_watch {
    struct disconnect_watch_set *disconnect_watch_set; /* borrowed */
    struct list_node link;                             /* in the watches' ring of those that have not begun */
    uint64_t start_ms;                                 /* loop time */
    int fd;                                            /* borrowed */
    struct disconnect_poll *poll;                      /* owned; NULL until it has begun */
    void (*disconnected)(struct disconnect_watch *disconnect_watch); /* runs once, with the watch ended */
};

int disconnect_watch_set_new(uv_loop_t *loop, struct disconnect_watch_set **out, struct err *e);
void disconnect_watch_set_close(
    struct disconnect_watch_set
        *disconnect_watch_set); /* all must have ended; freed when the loop has run its close callbacks */

void disconnect_watch_start(struct disconnect_watch_set *disconnect_watch_set,
                            struct disconnect_watch *disconnect_watch, int fd,
                            void (*disconnected)(struct disconnect_watch *disconnect_watch));
void disconnect_watch_stop(
    struct disconnect_watch *disconnect_watch); /* before the descriptor is closed or read from */

#endif

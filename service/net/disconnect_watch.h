/* disconnect_watch - tells when a client hangs up while its connection is suspended and nobody reads from it.
 *
 * A watch costs two system calls and a handle, so it begins only when the wait has lasted WATCH_AFTER_MS: most are over by then.
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

enum { WATCH_AFTER_MS = 25 };

struct watches;
struct watch_poll;

struct watch {
    struct watches *watches;              /* borrowed */
    struct list_node link;                /* in the watches' ring of those that have not begun */
    uint64_t begin_ms;                    /* loop time */
    int fd;                               /* borrowed */
    struct watch_poll *poll;              /* owned; NULL until it has begun */
    void (*hung_up)(struct watch *watch); /* runs once, with the watch ended */
};

int watches_new(uv_loop_t *loop, struct watches **out, struct err *e);
void watches_close(struct watches *watches); /* all must have ended; freed when the loop has run its close callbacks */

void watch_begin(struct watches *watches, struct watch *watch, int fd, void (*hung_up)(struct watch *watch));
void watch_end(struct watch *watch); /* before the descriptor is closed or read from */

#endif

/* disconnect_watch - detects that a client hung up while its connection is suspended and its socket is not read.
 *
 * Polling costs two system calls and a handle, so it starts only after DISCONNECT_WATCH_DELAY_MS: most waits are
 * shorter. A client that shuts down only its sending side looks the same, and is treated as disconnected.
 *
 *     idle -> pending -> polling
 *      ^         |          |
 *      +---------+----------+    stopped, or disconnected
 *
 * Owns:     the poll handles. struct disconnect_watch is embedded by its user, who owns the descriptor.
 * Threads:  the loop thread.
 * Promise:  disconnected() runs at most once per start, from a loop callback, and never after disconnect_watch_stop().
 */
#ifndef GATHERD_SERVICE_NET_DISCONNECT_WATCH_H
#define GATHERD_SERVICE_NET_DISCONNECT_WATCH_H

#include "runtime/lib/error.h"
#include "runtime/lib/list.h"

#include <uv.h>

enum { DISCONNECT_WATCH_DELAY_MS = 25 };

enum disconnect_watch_state {
    DISCONNECT_WATCH_IDLE,
    DISCONNECT_WATCH_PENDING, /* waits for DISCONNECT_WATCH_DELAY_MS */
    DISCONNECT_WATCH_POLLING,
    DISCONNECT_WATCH_STATE_COUNT
};

struct disconnect_watch_set;
struct disconnect_poll;

/* Private to disconnect_watch.c; zeroed before the first start. */
struct disconnect_watch {
    enum disconnect_watch_state state;
    int fd;                           /* borrowed */
    struct disconnect_watch_set *set; /* borrowed */
    struct list_node link;            /* while pending: in set->pending */
    uint64_t start_ms;                /* while pending: loop time at which polling starts */
    struct disconnect_poll *poll;     /* while polling; owned until stopped, then freed by its close callback */
    void (*disconnected)(struct disconnect_watch *watch);
};

int disconnect_watch_set_new(uv_loop_t *loop, struct disconnect_watch_set **out, struct err *e);

/* All watches must be idle. The memory is freed in a close callback of the loop. */
void disconnect_watch_set_close(struct disconnect_watch_set *set);

/* The watch must be idle; it is idle again when `disconnected` runs. */
void disconnect_watch_start(struct disconnect_watch_set *set, struct disconnect_watch *watch, int fd,
                            void (*disconnected)(struct disconnect_watch *watch));

/* Must be called before the descriptor is read or closed. No effect on an idle watch. */
void disconnect_watch_stop(struct disconnect_watch *watch);

#endif

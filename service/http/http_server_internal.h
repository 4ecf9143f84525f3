/* http_server_internal - shared by http_server.c (the daemon and its connections) and http_connection.c (the requests
 * on a connection), the only files that use libmicrohttpd.
 *
 * Owns:     see struct http_server and struct connection.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_SERVICE_HTTP_HTTP_SERVER_INTERNAL_H
#define GATHERD_SERVICE_HTTP_HTTP_SERVER_INTERNAL_H

#include "runtime/lib/list.h"
#include "service/http/http_server.h"
#include "service/http/mhd_loop.h"
#include "service/net/conn_timeout.h"
#include "service/net/disconnect_watch.h"
#include "service/net/lingering_close.h"

#include <microhttpd.h>

struct http_server {
    struct http_server_config config;
    struct exchange_context exchange_context;
    struct MHD_Daemon *daemon;                         /* owned */
    struct MHD_Response *out_of_memory_response;       /* owned; sent if no other response can be built */
    struct timers timeouts;                            /* one per connection */
    struct disconnect_watch_set *disconnect_watch_set; /* owned */
    struct lingering_set *lingering_set;               /* owned */
    struct list_node connections;                      /* of struct connection */
    size_t count;                                      /* number of connections */
    struct connection *being_added; /* the connection passed to MHD_add_connection() while that runs, else NULL */
    struct mhd_loop mhd_loop;
    bool overloaded; /* connections_rejected has been logged; see clear_overload() */
    bool draining;
    bool drained;     /* config.drained has been called */
    int open_handles; /* how many of mhd_loop and timeouts are not closed yet */
};

/* The state of a connection, by the request on it:
 *
 *     NEW ----> HEAD -> BODY <-> BODY_PAUSED     suspended: the responder takes no more bytes now
 *               ^ |      | +---> WAITING         suspended: until the response is ready
 *               | |      v         v
 *     IDLE -----+ +--> SENDING <---+
 *       ^                ^ +---> SEND_PAUSED     suspended: the responder has no more bytes now
 *       |                +---------+
 *       +-- from every state that is not suspended: libmicrohttpd has completed the request
 *
 *     HEAD, BODY, WAITING -> ABORTED -> IDLE     no response is queued; libmicrohttpd closes the connection
 */
enum connection_state {
    CONNECTION_NEW, /* accepted; its first request has not begun */
    CONNECTION_IDLE,
    CONNECTION_HEAD,
    CONNECTION_BODY,
    CONNECTION_BODY_PAUSED,
    CONNECTION_WAITING,
    CONNECTION_SENDING,
    CONNECTION_SEND_PAUSED,
    CONNECTION_ABORTED,
    CONNECTION_STATE_COUNT
};

struct connection {
    struct list_node link; /* in server->connections */
    struct http_server *server;
    struct MHD_Connection *mhd; /* NULL until libmicrohttpd has taken it */
    struct exchange *exchange;  /* owned; NULL in NEW and IDLE, and if its allocation failed */
    enum connection_state state;
    struct conn_timeout conn_timeout;         /* for the head, for the body, or until the next request */
    struct disconnect_watch disconnect_watch; /* in WAITING, and in SEND_PAUSED if the length is unknown */
    int fd;                                   /* owned by libmicrohttpd */
    /* Properties independent of the state. */
    bool skip_host_check; /* of its listener (service/http/origin_check.h) */
    bool lingering_close; /* close with lingering_close(): the client may still be sending */
};

struct connection *connection_from_mhd(struct MHD_Connection *mhd);
bool connection_is_idle(const struct connection *c);

/* libmicrohttpd's callbacks for a request, in the order of the calls; `user` is the struct http_server. */
void *connection_on_uri(void *user, const char *target, struct MHD_Connection *mhd);
enum MHD_Result connection_on_request(void *user, struct MHD_Connection *mhd, const char *url, const char *method,
                                      const char *version, const char *bytes, size_t *len, void **context);
void connection_on_completed(void *user, struct MHD_Connection *mhd, void **context,
                             enum MHD_RequestTerminationCode reason);

/* exchange_context.wake; `user` is the struct connection. */
void connection_on_wake(void *user);

#endif

/* http_server_internal - what the two files of HTTP share; nobody else includes it.
 *
 * http.c has the daemon and its connections, http_request.c what happens on one: requests and answers. Only they know
 * libmicrohttpd.
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
    struct MHD_Response *out_of_memory_response;       /* owned; the answer when none can be made */
    struct timers timeouts;                            /* one for each connection */
    struct disconnect_watch_set *disconnect_watch_set; /* owned */
    struct lingering_set *lingering_set;               /* owned */
    struct list_node connections;                      /* of struct connection */
    size_t count;                                      /* in the ring */
    struct connection *being_added;                    /* inside MHD_add_connection(): the one it is for */
    struct mhd_loop mhd_loop;
    bool overloaded; /* connections, since there was little room for them last */
    bool draining;
    bool drained;     /* config.drained has been called */
    int open_handles; /* of the pump and the deadlines: how many are not closed yet */
};

struct connection {
    struct list_node link; /* in http->connections */
    struct http_server *server;
    struct MHD_Connection *mhd;               /* NULL until libmicrohttpd has taken it */
    struct exchange *exchange;                /* owned; NULL between requests, and when there was no memory for it */
    struct conn_timeout conn_timeout;         /* for the head, the body, or the next request */
    struct disconnect_watch disconnect_watch; /* while suspended */
    int fd;                                   /* libmicrohttpd's */
    bool skip_host_check;                     /* its requests may name any (service/http/origin_check.h) */
    bool first_request;                       /* no request has begun: its head is due counting from the accept */
    bool head_received;                       /* of the current request */
    bool suspended;
    bool body_paused;     /* the last piece of the body had to wait for the disk */
    bool response_failed; /* not even a stand-in answer could be queued; the handler, entered again, gives up */
    bool lingering_close; /* the client may still be sending when we close */
};

struct connection *connection_from_mhd(struct MHD_Connection *mhd);

/* libmicrohttpd's callbacks for a request, in the order of its life; user is the struct http_server. */
void *connection_on_uri(void *user, const char *target, struct MHD_Connection *mhd);
enum MHD_Result connection_on_request(void *user, struct MHD_Connection *mhd, const char *url, const char *method,
                                      const char *version, const char *bytes, size_t *len, void **context);
void connection_on_completed(void *user, struct MHD_Connection *mhd, void **context,
                             enum MHD_RequestTerminationCode why);

/* An exchange's, for a connection that waits: user is the struct connection. */
void connection_on_ready(struct exchange *exchange, void *user);
void connection_on_resume(struct exchange *exchange, void *user);

#endif

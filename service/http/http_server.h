/* http_server - HTTP/1.1 on the loop: libmicrohttpd's daemon, driven from libuv, and nothing of it seen outside this file.
 *
 * Owns:     every connection from http_server_accept() to its close, and the exchange on it.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_SERVICE_HTTP_HTTP_SERVER_H
#define GATHERD_SERVICE_HTTP_HTTP_SERVER_H

#include "service/http/exchange.h"

#include <sys/socket.h>
#include <uv.h>

struct http_server;

struct http_server_config {
    uv_loop_t *loop; /* borrowed, as all below */
    struct api *api;
    struct log *log;
    const struct http_limits *limits;
    int64_t max_lingering; /* connections that may linger at the same time (service/net/lingering_close.h) */
    void (*drained)(
        void *
            user); /* once http_server_drain() was called: runs when no connection is left, from http_server_iterate() */
    void *user;
};

int http_server_new(const struct http_server_config *config, struct http_server **out, struct err *e);

/* Takes over an accepted connection. Over max_connections it gets a 503. With `skip_host_check` its requests may name any host
 * (service/http/origin_check.h). */
void http_server_accept(struct http_server *server, int fd, const struct sockaddr_storage *peer, socklen_t peer_len,
                        bool skip_host_check);

/* Answers a connection with a 503 that can't be kept, for want of descriptors. It stays the caller's, to be closed at once. */
void http_server_reject(struct http_server *server, int fd);

/* Lets libmicrohttpd do what there is to do; to be called once a turn of the loop, before it blocks. */
void http_server_iterate(struct http_server *server);

size_t http_server_connection_count(const struct http_server *server);

/* Closes idle connections, and every other one after its answer. */
void http_server_drain(struct http_server *server);

/* Cuts every connection, whatever it is about. `drained` follows, when no task holds one of them any more. */
void http_server_abort_connections(struct http_server *server);

/* No connection may be left. Freed when the loop has run its close callbacks. */
void http_server_close(struct http_server *server);

#endif

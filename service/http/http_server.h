/* http_server - HTTP/1.1 on the loop: libmicrohttpd, driven by libuv.
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
    int64_t max_lingering; /* concurrent lingering connections (service/net/lingering_close.h) */
    /* Runs once, from http_server_iterate(), when no connection is left after http_server_drain(). */
    void (*drained)(void *user);
    void *user;
};

int http_server_new(const struct http_server_config *config, struct http_server **out, struct err *e);

/* Takes ownership of an accepted socket; beyond max_connections, rejects it with 503. skip_host_check: see
 * service/http/origin_check.h. */
void http_server_accept(struct http_server *server, int fd, const struct sockaddr_storage *peer, socklen_t peer_len,
                        bool skip_host_check);

/* Rejects a connection with 503, because file descriptors are exhausted. The caller must close fd at once. */
void http_server_reject(struct http_server *server, int fd);

/* Runs libmicrohttpd if it has work. To be called in each loop iteration, before the loop blocks. */
void http_server_iterate(struct http_server *server);

size_t http_server_connection_count(const struct http_server *server);

/* Closes idle connections now, and the others after their response. */
void http_server_drain(struct http_server *server);

/* Closes every connection now. drained() follows when the tasks of suspended connections have ended. */
void http_server_abort_connections(struct http_server *server);

/* No connection may be left. The memory is freed in a close callback of the loop. */
void http_server_close(struct http_server *server);

#endif

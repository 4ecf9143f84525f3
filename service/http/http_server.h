/* http_server - HTTP/1.1 on the loop: libmicrohttpd's daemon, driven from libuv, and nothing of it seen outside this file.
 *
 * Owns:     every connection from http_accept() to its close, and the exchange on it.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_SERVICE_HTTP_HTTP_SERVER_H
#define GATHERD_SERVICE_HTTP_HTTP_SERVER_H

#include "service/http/exchange.h"

#include <sys/socket.h>
#include <uv.h>

struct http;

struct http_config {
    uv_loop_t *loop; /* borrowed, as all below */
    struct api *api;
    struct runtime *runtime;
    struct log *log;
    const struct http_limits *limits;
    int64_t lingers_most;        /* connections that may linger at the same time (service/net/lingering_close.h) */
    void (*drained)(void *user); /* once http_drain() was called: runs when no connection is left, from http_turn() */
    void *user;
};

int http_new(const struct http_config *config, struct http **out, struct err *e);

/* Takes over an accepted connection. Over max_connections it gets a 503. With `any_host` its requests may name any host
 * (service/http/origin_check.h). */
void http_accept(struct http *http, int fd, const struct sockaddr_storage *peer, socklen_t peer_len, bool any_host);

/* Answers a connection with a 503 that can't be kept, for want of descriptors. It stays the caller's, to be closed at once. */
void http_refuse(struct http *http, int fd);

/* Lets libmicrohttpd do what there is to do; to be called once a turn of the loop, before it blocks. */
void http_turn(struct http *http);

size_t http_connections(const struct http *http);

/* Closes idle connections, and every other one after its answer. */
void http_drain(struct http *http);

/* Cuts every connection, whatever it is about. `drained` follows, when no task holds one of them any more. */
void http_cut(struct http *http);

/* No connection may be left. Freed when the loop has run its close callbacks. */
void http_close(struct http *http);

#endif

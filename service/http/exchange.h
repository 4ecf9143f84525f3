/* exchange - one request and its response, as a state machine that drives a responder; independent of libmicrohttpd.
 *
 *     HEAD -> BODY -> WAIT -> SEND -> END
 *       |      +--------------^ |            the response is ready at once
 *       +---------------------^ |            rejected without reading the body
 *       |      |        |       +--> DISCONNECTED -> END     the client has hung up while a stream waits for bytes
 *       +------+--------+-------+--> END     the connection is closed
 *
 * In BODY, WAIT and SEND the exchange may be suspended until wake().
 *
 * If a request is rejected before its body is complete, the rest of the body is read and discarded, so that the
 * connection can be kept. The exchange is aborted instead if the body exceeds a limit, or if the client expects
 * "100 Continue" before it sends the body.
 *
 * Owns:     the request's arena, the body, the responder, and the response until it is taken.
 * Threads:  the loop thread.
 * Promise:  each EXCHANGE_SUSPEND, and each 0 of exchange_read(), is followed by exactly one wake(), later.
 */
#ifndef GATHERD_SERVICE_HTTP_EXCHANGE_H
#define GATHERD_SERVICE_HTTP_EXCHANGE_H

#include "handlers/api.h"
#include "service/config/http_limits.h"
#include "service/http/request_head.h"
#include "service/log/log.h"

#include <sys/types.h>

struct exchange;

/* Shared by all exchanges; borrowed from the service. */
struct exchange_context {
    struct api *api;
    struct log *log;
    const struct http_limits *limits;
    void (*wake)(void *user);
};

enum exchange_action {
    EXCHANGE_CONTINUE, /* pass more of the body, or read more of the response */
    EXCHANGE_RESPOND,  /* send exchange_response() */
    EXCHANGE_SUSPEND,  /* do nothing until wake() */
    EXCHANGE_ABORT,    /* send exchange_response() without reading the rest of the body, and close the connection */
};

/* Returns NULL if out of memory. `target` is copied; `user` is borrowed, and passed to wake(). */
struct exchange *exchange_new(struct exchange_context *context, const char *target, void *user);

/* The caller fills the head before exchange_receive_head(). */
struct request_head *exchange_head(struct exchange *exchange);

/* Returns CONTINUE or ABORT. */
enum exchange_action exchange_receive_head(struct exchange *exchange);

/* *len is the number of bytes; it is set to the number consumed, which is lower only with SUSPEND. Returns CONTINUE,
 * SUSPEND or ABORT. */
enum exchange_action exchange_receive_body(struct exchange *exchange, const char *bytes, size_t *len);

/* Returns RESPOND or SUSPEND. */
enum exchange_action exchange_receive_end(struct exchange *exchange);

/* May be called after wake(). In WAIT returns RESPOND or SUSPEND. In BODY and SEND returns CONTINUE: the caller repeats
 * the call that was suspended. */
enum exchange_action exchange_resume(struct exchange *exchange);

/* The client has hung up: cancels the operation that a suspended exchange waits for. May call wake(). */
void exchange_disconnect(struct exchange *exchange);

bool exchange_expects_body(const struct exchange *exchange); /* after the head */
bool exchange_streams_body(const struct exchange *exchange); /* the body goes to a responder */
struct str exchange_request_id(const struct exchange *exchange);

/* Valid after RESPOND and ABORT. The caller may take ownership of the body and set `body` to NULL. */
struct response *exchange_response(struct exchange *exchange);

/* To be called once, when the response is queued; logs it if it is a rejection. out_of_memory: the exchange's response
 * could not be built, and the server's out_of_memory_response (503) was queued in its place. */
void exchange_response_queued(struct exchange *exchange, bool out_of_memory);

/* Copies up to `max` bytes of a response that is a stream, or returns RESPONDER_READ_*. */
ssize_t exchange_read(struct exchange *exchange, char *out, size_t max);

/* To be called when the response is sent or the connection is closed, but not while the exchange waits for a task. */
void exchange_free(struct exchange *exchange);

#endif

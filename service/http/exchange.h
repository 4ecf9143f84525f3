/* exchange - one request and its response, as a state machine that drives a responder; independent of libmicrohttpd.
 *
 *     HEAD -> BODY -> WAIT -> SEND -> END
 *       |      +--------------^ |            the response is ready at once
 *       +---------------------^ |            rejected without reading the body
 *       |      |        |       +--> DISCONNECTED -> END     the client has hung up while a stream waits for bytes
 *       +------+--------+-------+--> END     the connection is closed
 *
 * In BODY, WAIT and SEND the exchange may be suspended; after wake() the caller calls exchange_resume(). The rest of
 * a body whose request is rejected is read and discarded, so that the connection can be kept; up to a limit, and not
 * if the client expects "100 Continue" before it sends the body.
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
    EXCHANGE_CONTINUE, /* feed the body, or continue to read the response */
    EXCHANGE_RESPOND,  /* send exchange_response() */
    EXCHANGE_SUSPEND,  /* until wake() */
    EXCHANGE_ABORT,    /* send exchange_response() without reading the rest of the body, and close */
};

/* NULL: out of memory. `target` is copied, `user` is borrowed for wake(). */
struct exchange *exchange_new(struct exchange_context *context, const char *target, void *user);

/* To be filled before exchange_receive_head(). */
struct request_head *exchange_head(struct exchange *exchange);

/* CONTINUE or ABORT. */
enum exchange_action exchange_receive_head(struct exchange *exchange);

/* *len is the number of bytes, and set to how many were consumed: fewer with SUSPEND. CONTINUE, SUSPEND or ABORT. */
enum exchange_action exchange_receive_body(struct exchange *exchange, const char *bytes, size_t *len);

/* RESPOND or SUSPEND. */
enum exchange_action exchange_receive_end(struct exchange *exchange);

/* To be called after wake(). CONTINUE: again what was suspended. Otherwise RESPOND or SUSPEND. */
enum exchange_action exchange_resume(struct exchange *exchange);

/* The client has hung up: cancels what a suspended exchange waits for, or ends its stream. wake() may run inside. */
void exchange_disconnect(struct exchange *exchange);

bool exchange_expects_body(const struct exchange *exchange); /* after the head */
bool exchange_streams_body(const struct exchange *exchange); /* the body may be of any size */
struct str exchange_request_id(const struct exchange *exchange);

/* Valid after RESPOND and ABORT. The caller may take the body out. */
struct response *exchange_response(struct exchange *exchange);

/* To be called once, when the response is queued: logs a rejection. out_of_memory: a static 503 is sent instead. */
void exchange_response_queued(struct exchange *exchange, bool out_of_memory);

/* Copies up to `max` bytes of a response that is a stream, or returns RESPONDER_READ_*. */
ssize_t exchange_read(struct exchange *exchange, char *out, size_t max);

/* The response is sent, or the connection is closed. Not while it waits for a task. */
void exchange_free(struct exchange *exchange);

#endif

/* exchange - one request and its answer, from the first line to the last byte; knows nothing of libmicrohttpd.
 *
 *     begin -> head -> body* -> finish -+-> answer -> end
 *                                       +-> (waits for its task) -> ready() -> answer -> end
 *
 * A body that is streamed may make it wait too, and so may an answer that is: then resume() is called.
 *
 * Owns:     the request's arena, the body, the reply until it is taken, and a task from its submission to its end.
 * Threads:  the loop thread.
 * Promise:  when exchange_receive_end() says EXCHANGE_SUSPEND, ready() is called exactly once, later.
 */
#ifndef GATHERD_SERVICE_HTTP_EXCHANGE_H
#define GATHERD_SERVICE_HTTP_EXCHANGE_H

#include "handlers/api.h"
#include "service/config/http_limits.h"
#include "service/http/request_head.h"
#include "service/log/log.h"

#include <sys/types.h>

struct exchange;
struct runtime;

/* What all exchanges share; borrowed from the service. */
struct exchange_context {
    struct api *api;
    struct runtime *runtime;
    struct log *log;
    const struct http_limits *limits;
    void (*ready)(struct exchange *exchange, void *user);  /* the answer is there */
    void (*resume)(struct exchange *exchange, void *user); /* the body, or the answer, can go on */
};

enum exchange_action {
    EXCHANGE_CONTINUE, /* feed it the body, if any, and finish it */
    EXCHANGE_RESPOND,  /* exchange_response() is there */
    EXCHANGE_SUSPEND,  /* for its task */
    EXCHANGE_ABORT,    /* answer with exchange_response() at once, not waiting for the rest of the body, and close */
};

/* `target` is the request target as it came. NULL when there is no memory. */
struct exchange *exchange_new(struct exchange_context *context, const char *target, void *user);

enum exchange_action exchange_receive_head(struct exchange *exchange,
                                           const struct request_head *head); /* goes on, or breaks */
/* Goes on, breaks, or waits: then *taken, which comes as how many there are, is how many it took, and resume() follows. */
enum exchange_action exchange_receive_body(struct exchange *exchange, const char *bytes, size_t *consumed);
enum exchange_action exchange_receive_end(struct exchange *exchange); /* answers, or waits */

/* The client has left: cancels what it waits for. ready() follows, if exchange_receive_end() said that it waits. */
void exchange_disconnect(struct exchange *exchange);

bool exchange_expects_body(const struct exchange *exchange);   /* after head */
struct response *exchange_response(struct exchange *exchange); /* the caller may take its body out */
struct str exchange_request_id(const struct exchange *exchange);

/* To be called when the answer is on its way, once: takes down a refusal. stand_in: there was no memory for the answer, and
 * another says so in its place. */
void exchange_response_queued(struct exchange *exchange, bool out_of_memory);

/* The next bytes of an answer whose reply streams: how many; 0: none yet, resume() follows; -1: it breaks off. */
ssize_t exchange_read(struct exchange *exchange, char *out, size_t max);

bool exchange_streams_body(const struct exchange *exchange); /* then there is no telling how long it may take */

/* The answer is out, or never will be. No task of it runs any more. */
void exchange_free(struct exchange *exchange);

#endif

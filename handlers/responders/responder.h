/* responder - the interface of a response that is not ready at once: of a task, a download or an upload.
 *
 *     body()* -> finish()* -> read()* -> close()       cancel() after a finish() that must wait
 *
 * Operations do not block. One that cannot proceed returns "wait", and is called again after wake(). No wake-up is
 * lost:
 *
 *     IDLE -> RUNNING -+-> IDLE                an operation runs, and completes
 *                      +-> WAITING -> IDLE     it must wait; later wake() is called once
 *                      +-> WOKEN -> RUNNING    woken before the operation returned "wait": it is called again
 *
 * A new kind of response is a struct responder_ops and a struct that begins with a struct responder, which the handler
 * of a route returns.
 *
 * Owns:     itself, in the request's arena; close() releases the rest. `response` is owned by the exchange.
 * Threads:  the loop thread.
 * Promise:  wake() is called exactly once for each operation that returned "wait", never from inside an operation.
 */
#ifndef GATHERD_HANDLERS_RESPONDERS_RESPONDER_H
#define GATHERD_HANDLERS_RESPONDERS_RESPONDER_H

#include "handlers/http/response.h"

#include <sys/types.h>

struct responder;

enum responder_result {
    RESPONDER_CONTINUE, /* body() only: all bytes were consumed */
    RESPONDER_WAIT,     /* call again after wake() */
    RESPONDER_READY,    /* *response is complete, except for the bytes of a stream */
};

enum {
    RESPONDER_READ_WAIT = 0,    /* no bytes now; call again after wake() */
    RESPONDER_READ_FAILED = -1, /* reading failed: the response ends early */
    RESPONDER_READ_END = -2,    /* the end of a response of unknown length */
};

struct responder_ops {
    /* Takes bytes of a BODY_STREAM body; *len is their number, and is set to the number consumed. Returns READY if the
     * request has failed: the rest of the body is discarded, and finish() is not called. May be NULL if the route takes
     * no body. */
    enum responder_result (*body)(struct responder *responder, const char *bytes, size_t *len);
    /* The request is complete. Called again after each wake() until READY. */
    enum responder_result (*finish)(struct responder *responder);
    /* Copies up to `max` bytes of a stream, or returns RESPONDER_READ_*. NULL unless response->is_stream. */
    ssize_t (*read)(struct responder *responder, char *out, size_t max);
    /* The client has disconnected: makes the wait end soon. May be NULL. */
    void (*cancel)(struct responder *responder);
    void (*close)(struct responder *responder);
};

enum responder_state { RESPONDER_IDLE, RESPONDER_RUNNING, RESPONDER_WOKEN, RESPONDER_WAITING, RESPONDER_STATE_COUNT };

struct responder {
    const struct responder_ops *ops;
    struct response *response; /* borrowed from the exchange */
    enum responder_state state;
    void (*wake)(struct responder *responder, void *user); /* set by the exchange */
    void *user;
};

/* -- for the exchange ---------------------------------------------------------------------------------------------- */

enum responder_result responder_body(struct responder *responder, const char *bytes, size_t *len);
enum responder_result responder_finish(struct responder *responder);
ssize_t responder_read(struct responder *responder, char *out, size_t max);
void responder_cancel(struct responder *responder);
void responder_close(struct responder *responder);

/* -- for the kinds of responders ----------------------------------------------------------------------------------- */

void responder_init(struct responder *responder, const struct responder_ops *ops, struct response *response);

/* Tells the exchange that the operation that returned "wait" may proceed. Has no effect if none did. */
void responder_wake(struct responder *responder);

#endif

/* responder - the interface of a response that is not ready at once: of a task, a download, an upload, an event stream.
 *
 *     body()* -> finish()* -> read()* -> close()       cancel() after a finish() that must wait
 *
 * Operations do not block. One that cannot proceed returns "wait", and is called again after wake(). No wake-up is
 * lost:
 *
 *     IDLE -> RUNNING -+-> IDLE                an operation runs, and completes
 *                      +-> WAITING -> IDLE     it must wait; wake() is called, once
 *                      +-> WOKEN -> RUNNING    woken before it has returned: it is called again
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
    RESPONDER_WAIT,     /* wake() follows */
    RESPONDER_READY,    /* *response is complete, except for the bytes of a stream */
};

enum {
    RESPONDER_READ_WAIT = 0,    /* no bytes now; wake() follows */
    RESPONDER_READ_FAILED = -1, /* the response is cut off */
    RESPONDER_READ_END = -2,    /* the end of a response of unknown length */
};

struct responder_ops {
    /* Takes bytes of a BODY_STREAM body; *len is their number, and set to the number consumed. READY: the request has
     * failed; the rest of its body is discarded, and finish() is not called. NULL: the responder takes no body. */
    enum responder_result (*body)(struct responder *responder, const char *bytes, size_t *len);
    /* The request is complete. Called again after each wake() until READY. */
    enum responder_result (*finish)(struct responder *responder);
    /* Copies up to `max` bytes of a stream, or returns RESPONDER_READ_*. NULL unless response->is_stream. */
    ssize_t (*read)(struct responder *responder, char *out, size_t max);
    /* The client has disconnected while finish() must wait: ends the wait soon. NULL: it ends soon anyway. Waits in
     * read() need no cancel(): close() follows. */
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

/* An operation that returned "wait" may proceed. Has no effect if none did. */
void responder_wake(struct responder *responder);

#endif

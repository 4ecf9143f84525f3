#include "handlers/responders/responder.h"

#include "runtime/lib/state.h"

/* allowed transitions */
static const state_set moves[RESPONDER_STATE_COUNT] = {
    [RESPONDER_IDLE] = STATE_BIT(RESPONDER_RUNNING),
    [RESPONDER_RUNNING] = STATE_BIT(RESPONDER_IDLE) | STATE_BIT(RESPONDER_WAITING) | STATE_BIT(RESPONDER_WOKEN),
    [RESPONDER_WOKEN] = STATE_BIT(RESPONDER_RUNNING) | STATE_BIT(RESPONDER_IDLE),
    [RESPONDER_WAITING] = STATE_BIT(RESPONDER_IDLE),
};

static void responder_move(struct responder *responder, enum responder_state to)
{
    responder->state = STATE_MOVE(moves, responder->state, to);
}

void responder_init(struct responder *responder, const struct responder_ops *ops, struct response *response)
{
    *responder = (struct responder){.ops = ops, .response = response, .state = RESPONDER_IDLE};
}

void responder_wake(struct responder *responder)
{
    if (responder->state == RESPONDER_RUNNING) {
        responder_move(responder, RESPONDER_WOKEN);
    } else if (responder->state == RESPONDER_WAITING) {
        responder_move(responder, RESPONDER_IDLE);
        responder->wake(responder, responder->user);
    }
}

/* Sets the state after an operation has returned. Returns whether to call it again: it returned "wait", but was woken
 * before. */
static bool must_repeat(struct responder *responder, bool waits)
{
    bool woken = responder->state == RESPONDER_WOKEN;
    responder_move(responder, !waits ? RESPONDER_IDLE : woken ? RESPONDER_RUNNING : RESPONDER_WAITING);
    return waits && woken;
}

enum responder_result responder_body(struct responder *responder, const char *bytes, size_t *len)
{
    size_t consumed = 0;
    enum responder_result result;
    responder_move(responder, RESPONDER_RUNNING);
    do {
        size_t n = *len - consumed;
        result = responder->ops->body(responder, bytes + consumed, &n);
        consumed += n;
    } while (must_repeat(responder, result == RESPONDER_WAIT));
    *len = consumed;
    return result;
}

enum responder_result responder_finish(struct responder *responder)
{
    enum responder_result result;
    responder_move(responder, RESPONDER_RUNNING);
    do
        result = responder->ops->finish(responder);
    while (must_repeat(responder, result == RESPONDER_WAIT));
    return result;
}

ssize_t responder_read(struct responder *responder, char *out, size_t max)
{
    ssize_t n;
    responder_move(responder, RESPONDER_RUNNING);
    do
        n = responder->ops->read(responder, out, max);
    while (must_repeat(responder, n == RESPONDER_READ_WAIT));
    return n;
}

void responder_cancel(struct responder *responder)
{
    if (responder->ops->cancel != NULL)
        responder->ops->cancel(responder);
}

void responder_close(struct responder *responder)
{
    responder->ops->close(responder);
}

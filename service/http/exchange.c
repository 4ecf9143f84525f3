#include "service/http/exchange.h"

#include "runtime/lib/check.h"
#include "runtime/lib/state.h"
#include "runtime/lib/wall_clock.h"
#include "service/http/origin_check.h"
#include "service/log/log_events.h"

#include <uv.h>

#define MAX_DISCARDED_BODY (INT64_C(64) * 1024 * 1024)

enum exchange_state {
    STATE_HEAD,
    STATE_BODY,
    STATE_WAIT,
    STATE_SEND,
    STATE_DISCONNECTED, /* the client has hung up in SEND */
    STATE_END,
    STATE_COUNT
};

/* allowed transitions */
static const state_set moves[STATE_COUNT] = {
    [STATE_HEAD] = STATE_BIT(STATE_BODY) | STATE_BIT(STATE_SEND) | STATE_BIT(STATE_END),
    [STATE_BODY] = STATE_BIT(STATE_WAIT) | STATE_BIT(STATE_SEND) | STATE_BIT(STATE_END),
    [STATE_WAIT] = STATE_BIT(STATE_SEND) | STATE_BIT(STATE_END),
    [STATE_SEND] = STATE_BIT(STATE_DISCONNECTED) | STATE_BIT(STATE_END),
    [STATE_DISCONNECTED] = STATE_BIT(STATE_END),
};

/* What happens to the bytes of the body. */
enum body_sink {
    BODY_KEPT,      /* collected in exchange->body */
    BODY_FORWARDED, /* passed to the responder */
    BODY_DISCARDED, /* ignored: the route takes no body, or the response is ready */
};

struct exchange {
    struct exchange_context *context; /* borrowed */
    void *user;                       /* borrowed */
    enum exchange_state state;
    enum body_sink body_sink;
    struct request_head head;    /* head.request.arena is owned, and holds this struct */
    const struct route *route;   /* NULL before routing, and if the head was rejected */
    struct responder *responder; /* owned; NULL before the handler runs, and if it returned a response at once */
    struct response response;    /* owned; not ready while status is 0 */
    struct json_writer body;     /* owned */
    int64_t discarded;           /* bytes */
};

static void exchange_move(struct exchange *exchange, enum exchange_state to)
{
    exchange->state = STATE_MOVE(moves, exchange->state, to);
}

struct exchange *exchange_new(struct exchange_context *context, const char *target, void *user)
{
    struct arena *arena = arena_new();
    struct exchange *exchange = arena == NULL ? NULL : arena_alloc(arena, sizeof *exchange);
    if (exchange == NULL) {
        arena_unref(arena);
        return NULL;
    }
    exchange->context = context;
    exchange->user = user;
    struct request *request = &exchange->head.request;
    request->arena = arena;
    request->limits = api_limits(context->api);
    request->registry = api_registry(context->api);
    request->received_ns = uv_hrtime();
    request->received_us = wall_clock_us();
    if (request_head_init(&exchange->head, target))
        return exchange;
    arena_unref(arena);
    return NULL;
}

struct request_head *exchange_head(struct exchange *exchange)
{
    return &exchange->head;
}

struct response *exchange_response(struct exchange *exchange)
{
    return &exchange->response;
}

struct str exchange_request_id(const struct exchange *exchange)
{
    return exchange->head.request.id;
}

bool exchange_expects_body(const struct exchange *exchange)
{
    return exchange->head.request.has_body;
}

bool exchange_streams_body(const struct exchange *exchange)
{
    return exchange->body_sink == BODY_FORWARDED;
}

/* -- responders ---------------------------------------------------------------------------------------------------- */

static void on_responder_wake(struct responder *responder, void *user)
{
    struct exchange *exchange = user;
    (void)responder;
    exchange->context->wake(exchange->user);
}

static void handle(struct exchange *exchange)
{
    exchange->responder =
        api_handle(exchange->context->api, exchange->route, &exchange->head.request, &exchange->response);
    if (exchange->responder == NULL)
        return;
    exchange->responder->wake = on_responder_wake;
    exchange->responder->user = exchange;
}

static bool response_is_ready(const struct exchange *exchange)
{
    return exchange->response.status != 0;
}

static enum exchange_action finish(struct exchange *exchange)
{
    if (exchange->responder != NULL && !response_is_ready(exchange) &&
        responder_finish(exchange->responder) == RESPONDER_WAIT) {
        if (exchange->state != STATE_WAIT)
            exchange_move(exchange, STATE_WAIT);
        return EXCHANGE_SUSPEND;
    }
    exchange_move(exchange, STATE_SEND);
    return EXCHANGE_RESPOND;
}

/* -- the head ------------------------------------------------------------------------------------------------------ */

/* request_head_validate() has set the id if the client sent a valid one. */
static bool assign_request_id(struct exchange *exchange)
{
    struct request *request = &exchange->head.request;
    if (request->id.data != NULL)
        return true;
    char id[ID_SIZE];
    api_generate_id(exchange->context->api, request->received_us, id);
    return arena_str(request->arena, id, ID_LEN, &request->id);
}

static void reject(struct exchange *exchange, int rc, const char *detail)
{
    response_problem(&exchange->response, exchange->head.request.id, rc, "%s", detail);
}

static void reject_body_size(struct exchange *exchange)
{
    response_problem(&exchange->response, exchange->head.request.id, ERR_BODY_TOO_LARGE,
                     "The body exceeds the limit max_body_bytes, %lld bytes (see GET /v1/limits)",
                     (long long)exchange->context->limits->max_body_bytes);
}

/* Checks the origin, finds the route and checks the body's announced size; on rejection, the response is ready. */
static enum body_sink route_request(struct exchange *exchange)
{
    struct err e;
    if (origin_check(&exchange->head, &e) != 0) {
        reject(exchange, e.rc, e.msg);
        return BODY_DISCARDED;
    }
    exchange->route = api_route(exchange->context->api, &exchange->head.request, &exchange->response);
    if (exchange->route == NULL)
        return BODY_DISCARDED;
    switch (route_body_kind(exchange->route)) {
    case BODY_NONE:
        return BODY_DISCARDED;
    case BODY_STREAM:
        handle(exchange);
        return exchange->responder == NULL ? BODY_DISCARDED : BODY_FORWARDED;
    case BODY_JSON:
    case BODY_JSON_OR_NONE:
        break;
    }
    if (exchange->head.content_length <= exchange->context->limits->max_body_bytes)
        return BODY_KEPT;
    reject_body_size(exchange);
    return BODY_DISCARDED;
}

static enum exchange_action abort_exchange(struct exchange *exchange)
{
    exchange_move(exchange, STATE_SEND);
    return EXCHANGE_ABORT;
}

static void reject_discarded(struct exchange *exchange)
{
    if (!response_is_ready(exchange))
        response_problem(&exchange->response, exchange->head.request.id, ERR_BODY_TOO_LARGE,
                         "This route takes no body, and ignores at most %lld bytes of one",
                         (long long)MAX_DISCARDED_BODY);
}

enum exchange_action exchange_receive_head(struct exchange *exchange)
{
    struct request_head *head = &exchange->head;
    struct err e;
    request_head_validate(head);
    if (!assign_request_id(exchange) || head->out_of_memory) {
        err_nomem(&e);
        reject(exchange, e.rc, e.msg);
        return abort_exchange(exchange);
    }
    if (head->malformed != NULL) {
        reject(exchange, ERR_MALFORMED_HTTP, head->malformed);
        return abort_exchange(exchange);
    }
    exchange->body_sink = route_request(exchange);
    bool too_large = exchange->body_sink == BODY_DISCARDED && head->content_length > MAX_DISCARDED_BODY;
    if (too_large)
        reject_discarded(exchange);
    if (too_large || (response_is_ready(exchange) && head->expects_continue))
        return abort_exchange(exchange);
    exchange_move(exchange, STATE_BODY);
    return EXCHANGE_CONTINUE;
}

/* -- the body ------------------------------------------------------------------------------------------------------ */

static enum exchange_action discard_body(struct exchange *exchange, size_t len)
{
    exchange->body_sink = BODY_DISCARDED;
    json_writer_free(&exchange->body);
    exchange->discarded += (int64_t)len;
    if (exchange->discarded <= MAX_DISCARDED_BODY)
        return EXCHANGE_CONTINUE;
    reject_discarded(exchange);
    return abort_exchange(exchange);
}

static enum exchange_action keep_body(struct exchange *exchange, const char *bytes, size_t len)
{
    if (exchange->body.len + len > (size_t)exchange->context->limits->max_body_bytes) {
        reject_body_size(exchange);
        return discard_body(exchange, len);
    }
    json_writer_bytes(&exchange->body, bytes, len);
    return EXCHANGE_CONTINUE;
}

static enum exchange_action forward_body(struct exchange *exchange, const char *bytes, size_t *len)
{
    switch (responder_body(exchange->responder, bytes, len)) {
    case RESPONDER_WAIT:
        return EXCHANGE_SUSPEND;
    case RESPONDER_READY:
        return discard_body(exchange, *len);
    case RESPONDER_CONTINUE:
        break;
    }
    return EXCHANGE_CONTINUE;
}

enum exchange_action exchange_receive_body(struct exchange *exchange, const char *bytes, size_t *len)
{
    CHECK(exchange->state == STATE_BODY);
    switch (exchange->body_sink) {
    case BODY_KEPT:
        return keep_body(exchange, bytes, *len);
    case BODY_FORWARDED:
        return forward_body(exchange, bytes, len);
    case BODY_DISCARDED:
        break;
    }
    return discard_body(exchange, *len);
}

/* -- the response -------------------------------------------------------------------------------------------------- */

enum exchange_action exchange_receive_end(struct exchange *exchange)
{
    struct request *request = &exchange->head.request;
    CHECK(exchange->state == STATE_BODY);
    if (exchange->body.failed) {
        struct err e;
        err_nomem(&e);
        reject(exchange, e.rc, e.msg);
    }
    if (exchange->responder == NULL && !response_is_ready(exchange)) {
        request->body = (struct str){exchange->body.data, exchange->body.len};
        handle(exchange);
        request->body = (struct str){0};
    }
    json_writer_free(&exchange->body);
    return finish(exchange);
}

enum exchange_action exchange_resume(struct exchange *exchange)
{
    return exchange->state == STATE_WAIT ? finish(exchange) : EXCHANGE_CONTINUE;
}

void exchange_disconnect(struct exchange *exchange)
{
    if (exchange->state == STATE_SEND) {
        exchange_move(exchange, STATE_DISCONNECTED);
        responder_wake(exchange->responder);
    } else if (exchange->responder != NULL) {
        responder_cancel(exchange->responder);
    }
}

ssize_t exchange_read(struct exchange *exchange, char *out, size_t max)
{
    if (exchange->state == STATE_DISCONNECTED)
        return RESPONDER_READ_FAILED;
    CHECK(exchange->state == STATE_SEND);
    return responder_read(exchange->responder, out, max);
}

void exchange_response_queued(struct exchange *exchange, bool out_of_memory)
{
    const struct response *response = &exchange->response;
    int rc = out_of_memory ? ERR_OUT_OF_MEMORY : response->rc;
    if (rc != 0 && !response->is_task_result)
        log_request_rejected(exchange->context->log, rc, exchange->head.method, exchange->head.request.path,
                             exchange->head.request.id);
}

void exchange_free(struct exchange *exchange)
{
    exchange_move(exchange, STATE_END);
    if (exchange->responder != NULL)
        responder_close(exchange->responder);
    json_writer_free(&exchange->body);
    response_free(&exchange->response);
    arena_unref(exchange->head.request.arena);
}

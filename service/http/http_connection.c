#include "gatherd_version.h"
#include "runtime/lib/check.h"
#include "runtime/lib/state.h"
#include "service/http/http_server_internal.h"
#include "service/http/raw_response.h"
#include "service/log/log_events.h"

#include <fcntl.h>

enum { STREAM_BLOCK_SIZE = 128 * 1024 }; /* bytes of a streamed response that are sent at a time */

enum { AFTER_REQUEST = STATE_BIT(CONNECTION_IDLE) };

/* allowed transitions */
static const state_set moves[CONNECTION_STATE_COUNT] = {
    [CONNECTION_NEW] = STATE_BIT(CONNECTION_HEAD),
    [CONNECTION_IDLE] = STATE_BIT(CONNECTION_HEAD),
    [CONNECTION_HEAD] =
        STATE_BIT(CONNECTION_BODY) | STATE_BIT(CONNECTION_SENDING) | STATE_BIT(CONNECTION_ABORTED) | AFTER_REQUEST,
    [CONNECTION_BODY] = STATE_BIT(CONNECTION_BODY_PAUSED) | STATE_BIT(CONNECTION_WAITING) |
                        STATE_BIT(CONNECTION_SENDING) | STATE_BIT(CONNECTION_ABORTED) | AFTER_REQUEST,
    [CONNECTION_BODY_PAUSED] = STATE_BIT(CONNECTION_BODY),
    [CONNECTION_WAITING] = STATE_BIT(CONNECTION_SENDING) | STATE_BIT(CONNECTION_ABORTED),
    [CONNECTION_SENDING] = STATE_BIT(CONNECTION_SEND_PAUSED) | AFTER_REQUEST,
    [CONNECTION_SEND_PAUSED] = STATE_BIT(CONNECTION_SENDING),
    [CONNECTION_ABORTED] = AFTER_REQUEST,
};

static void connection_move(struct connection *c, enum connection_state to)
{
    c->state = STATE_MOVE(moves, c->state, to);
}

struct connection *connection_from_mhd(struct MHD_Connection *mhd)
{
    return MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

bool connection_is_idle(const struct connection *c)
{
    return c->state == CONNECTION_NEW || c->state == CONNECTION_IDLE;
}

/* -- suspending ---------------------------------------------------------------------------------------------------- */

static void on_disconnected(struct disconnect_watch *disconnect_watch)
{
    struct connection *c = container_of(disconnect_watch, struct connection, disconnect_watch);
    exchange_disconnect(c->exchange);
}

/* To be called right after the exchange returned EXCHANGE_SUSPEND, so that wake() cannot precede it;
 * connection_on_wake() checks this. */
static void suspend(struct connection *c, enum connection_state state, bool watch)
{
    connection_move(c, state);
    MHD_suspend_connection(c->mhd);
    if (watch)
        disconnect_watch_start(c->server->disconnect_watch_set, &c->disconnect_watch, c->fd, on_disconnected);
}

static void resume(struct connection *c)
{
    MHD_resume_connection(c->mhd);
    mhd_loop_wake(&c->server->mhd_loop); /* MHD_resume_connection() does not wake libmicrohttpd */
}

/* -- responses ----------------------------------------------------------------------------------------------------- */

/* Reads a streamed response. Suspends before it returns 0: otherwise libmicrohttpd would call it again at once. */
static ssize_t on_read_body(void *user, uint64_t offset, char *out, size_t max)
{
    struct connection *c = user;
    (void)offset;
    ssize_t n = exchange_read(c->exchange, out, max);
    if (n == RESPONDER_READ_FAILED)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    if (n == RESPONDER_READ_END)
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (n == RESPONDER_READ_WAIT)
        suspend(c, CONNECTION_SEND_PAUSED, exchange_response(c->exchange)->body_len == RESPONSE_LENGTH_UNKNOWN);
    return n;
}

static struct MHD_Response *make_mhd_response(struct connection *c, struct response *response)
{
    if (response->is_stream) {
        bool unknown = response->body_len == RESPONSE_LENGTH_UNKNOWN;
        struct MHD_Response *mhd = MHD_create_response_from_callback(unknown ? MHD_SIZE_UNKNOWN : response->body_len,
                                                                     STREAM_BLOCK_SIZE, on_read_body, c, NULL);
        /* libmicrohttpd before 0.9.77 sends the last chunk of a chunked response even to HEAD; this closes instead. */
        if (mhd != NULL && unknown && exchange_head(c->exchange)->request.method == METHOD_HEAD)
            MHD_set_response_options(mhd, MHD_RF_HTTP_1_0_COMPATIBLE_STRICT, MHD_RO_END);
        return mhd;
    }
    return MHD_create_response_from_buffer(response->body_len, response->body,
                                           response->body_is_static ? MHD_RESPMEM_PERSISTENT : MHD_RESPMEM_MUST_FREE);
}

static struct MHD_Response *make_response_with_headers(struct connection *c)
{
    struct response *response = exchange_response(c->exchange);
    struct MHD_Response *mhd = make_mhd_response(c, response);
    if (mhd == NULL)
        return NULL;
    response->body = NULL; /* owned by libmicrohttpd now */
    bool ok = MHD_add_response_header(mhd, "Server", GATHERD_PRODUCT) == MHD_YES &&
              (response->content_type == NULL ||
               MHD_add_response_header(mhd, "Content-Type", response->content_type) == MHD_YES) &&
              MHD_add_response_header(mhd, "X-Request-Id", exchange_request_id(c->exchange).data) == MHD_YES;
    for (size_t i = 0; ok && i < response->header_count; i++)
        ok = MHD_add_response_header(mhd, response->headers[i].name, response->headers[i].value) == MHD_YES;
    if (ok && (c->lingering_close || c->server->draining))
        ok = MHD_add_response_header(mhd, "Connection", "close") == MHD_YES;
    if (ok)
        return mhd;
    MHD_destroy_response(mhd);
    return NULL;
}

static enum MHD_Result queue_mhd_response(struct connection *c, unsigned status, struct MHD_Response *response)
{
    enum MHD_Result result = MHD_queue_response(c->mhd, status, response);
    connection_move(c, result == MHD_YES ? CONNECTION_SENDING : CONNECTION_ABORTED);
    return result;
}

static enum MHD_Result queue_response(struct connection *c)
{
    unsigned status = (unsigned)exchange_response(c->exchange)->status;
    struct MHD_Response *response = make_response_with_headers(c);
    exchange_response_queued(c->exchange, response == NULL);
    if (response == NULL)
        return queue_mhd_response(c, MHD_HTTP_SERVICE_UNAVAILABLE, c->server->out_of_memory_response);
    enum MHD_Result result = queue_mhd_response(c, status, response);
    MHD_destroy_response(response); /* the connection holds its own reference */
    return result;
}

/* If the response cannot be queued, the connection is ABORTED: connection_on_request() then returns MHD_NO. */
static void on_waiting_woken(struct connection *c)
{
    if (exchange_resume(c->exchange) == EXCHANGE_SUSPEND)
        return;
    disconnect_watch_stop(&c->disconnect_watch);
    queue_response(c);
    resume(c);
}

void connection_on_wake(void *user)
{
    struct connection *c = user;
    switch (c->state) {
    case CONNECTION_WAITING:
        on_waiting_woken(c);
        break;
    case CONNECTION_BODY_PAUSED:
        connection_move(c, CONNECTION_BODY);
        conn_timeout_start(&c->conn_timeout, c->server->config.limits->body_timeout_seconds);
        resume(c);
        break;
    case CONNECTION_SEND_PAUSED:
        connection_move(c, CONNECTION_SENDING);
        disconnect_watch_stop(&c->disconnect_watch);
        resume(c);
        break;
    case CONNECTION_NEW:
    case CONNECTION_IDLE:
    case CONNECTION_HEAD:
    case CONNECTION_BODY:
    case CONNECTION_SENDING:
    case CONNECTION_ABORTED:
    case CONNECTION_STATE_COUNT:
        UNREACHABLE(); /* wake() follows a suspension */
    }
}

/* -- requests ------------------------------------------------------------------------------------------------------ */

/* libmicrohttpd 0.9.75 lacks memory for about 500 query parameters, and then neither answers nor closes the connection.
 * No route has more than a few. */
static bool has_too_many_parameters(const char *target)
{
    enum { QUERY_PARAMS_MAX = 256 };
    size_t count = 0;
    for (const char *at = strchr(target, '&'); at != NULL && count <= QUERY_PARAMS_MAX; at = strchr(at + 1, '&'))
        count++;
    return count > QUERY_PARAMS_MAX;
}

void *connection_on_uri(void *user, const char *target, struct MHD_Connection *mhd)
{
    struct http_server *server = user;
    struct connection *c = connection_from_mhd(mhd);
    if (c->state == CONNECTION_IDLE) /* for the first request, the timeout has run since the accept */
        conn_timeout_start(&c->conn_timeout, server->config.limits->header_timeout_seconds);
    connection_move(c, CONNECTION_HEAD);
    if (has_too_many_parameters(target))
        conn_timeout_expire(&c->conn_timeout);
    c->exchange = exchange_new(&server->exchange_context, target, c);
    return c->exchange;
}

static enum MHD_Result on_header(void *user, enum MHD_ValueKind kind, const char *name, size_t name_len,
                                 const char *value, size_t value_len)
{
    (void)kind;
    request_head_add_field(user, (struct str){name, name_len}, (struct str){value == NULL ? "" : value, value_len});
    return MHD_YES;
}

static enum MHD_Result receive_head(struct connection *c, const char *method, const char *version)
{
    struct request_head *head = exchange_head(c->exchange);
    head->skip_host_check = c->skip_host_check;
    request_head_set_line(head, method, version);
    MHD_get_connection_values_n(c->mhd, MHD_HEADER_KIND, on_header, head);
    if (exchange_receive_head(c->exchange) == EXCHANGE_ABORT) {
        c->lingering_close = true;
        conn_timeout_stop(&c->conn_timeout);
        return queue_response(c);
    }
    if (exchange_expects_body(c->exchange))
        conn_timeout_start(&c->conn_timeout, c->server->config.limits->body_timeout_seconds);
    else
        conn_timeout_stop(&c->conn_timeout);
    connection_move(c, CONNECTION_BODY);
    return MHD_YES;
}

/* Writes the response to the socket: libmicrohttpd queues no response before the body has been read. */
static enum MHD_Result abort_body(struct connection *c)
{
    c->lingering_close = true;
    raw_response_send(c->fd, exchange_response(c->exchange), exchange_request_id(c->exchange));
    exchange_response_queued(c->exchange, false);
    connection_move(c, CONNECTION_ABORTED);
    return MHD_NO;
}

static enum MHD_Result receive_body(struct connection *c, const char *bytes, size_t *len)
{
    size_t consumed = *len;
    enum exchange_action action = exchange_receive_body(c->exchange, bytes, &consumed);
    if (action == EXCHANGE_ABORT)
        return abort_body(c);
    if (action == EXCHANGE_SUSPEND) {
        conn_timeout_stop(&c->conn_timeout); /* the disk is slow, not the client */
        suspend(c, CONNECTION_BODY_PAUSED, false);
    } else if (exchange_streams_body(c->exchange)) { /* an upload may take any time while it makes progress */
        conn_timeout_start(&c->conn_timeout, c->server->config.limits->body_timeout_seconds);
    }
    *len -= consumed;
    return MHD_YES;
}

static enum MHD_Result receive_end(struct connection *c)
{
    conn_timeout_stop(&c->conn_timeout);
    if (exchange_receive_end(c->exchange) != EXCHANGE_SUSPEND)
        return queue_response(c);
    suspend(c, CONNECTION_WAITING, true);
    return MHD_YES;
}

static enum MHD_Result reject_without_exchange(struct connection *c, const char *method, const char *url)
{
    log_request_rejected(c->server->config.log, ERR_OUT_OF_MEMORY, str_from(method), str_from(url), (struct str){0});
    c->lingering_close = true;
    return queue_mhd_response(c, MHD_HTTP_SERVICE_UNAVAILABLE, c->server->out_of_memory_response);
}

/* The access handler: called with the head, with each part of the body, and at the end of the request. */
enum MHD_Result connection_on_request(void *user, struct MHD_Connection *mhd, const char *url, const char *method,
                                      const char *version, const char *bytes, size_t *len, void **context)
{
    struct connection *c = connection_from_mhd(mhd);
    (void)user;
    (void)context;
    switch (c->state) {
    case CONNECTION_HEAD:
        return c->exchange == NULL ? reject_without_exchange(c, method, url) : receive_head(c, method, version);
    case CONNECTION_BODY:
        return *len > 0 ? receive_body(c, bytes, len) : receive_end(c);
    case CONNECTION_BODY_PAUSED:
    case CONNECTION_WAITING:
    case CONNECTION_SENDING:
    case CONNECTION_SEND_PAUSED:
        return MHD_YES;
    case CONNECTION_NEW:
    case CONNECTION_IDLE:
    case CONNECTION_ABORTED:
    case CONNECTION_STATE_COUNT:
        break;
    }
    return MHD_NO;
}

void connection_on_completed(void *user, struct MHD_Connection *mhd, void **context,
                             enum MHD_RequestTerminationCode reason)
{
    struct http_server *server = user;
    struct connection *c = connection_from_mhd(mhd);
    (void)reason; /* success does not prove that the client has received the response */
    connection_move(c, CONNECTION_IDLE);
    if (c->exchange != NULL)
        exchange_free(c->exchange);
    c->exchange = NULL;
    *context = NULL;
    if (c->lingering_close) {
        int fd = fcntl(c->fd, F_DUPFD_CLOEXEC, 0);
        if (fd >= 0)
            lingering_close(server->lingering_set, fd);
    } else if (server->draining) {
        shutdown(c->fd, SHUT_RD);
        mhd_loop_wake(&server->mhd_loop);
    }
    conn_timeout_start(&c->conn_timeout, server->config.limits->idle_timeout_seconds);
}

#include "service/http/http_server_internal.h"
#include "service/http/raw_response.h"
#include "service/log/log_events.h"

#include <fcntl.h>

enum { STREAM_BLOCK_SIZE = 128 * 1024 }; /* bytes of a streamed answer that are sent at a time */

struct connection *connection_from_mhd(struct MHD_Connection *mhd)
{
    return MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

/* -- answers ------------------------------------------------------------------------------------------------------- */

/* The bytes of an answer that streams. A reader that returned 0 without suspending would be called again at once, for ever. */
static ssize_t on_read_body(void *user, uint64_t offset, char *out, size_t max)
{
    struct connection *c = user;
    (void)offset;
    ssize_t n = exchange_read(c->exchange, out, max);
    if (n < 0)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    if (n == 0) {
        MHD_suspend_connection(c->mhd);
        c->suspended = true;
    }
    return n;
}

static struct MHD_Response *make_mhd_response(struct connection *c, struct response *response)
{
    if (response->is_stream)
        return MHD_create_response_from_callback(response->body_len, STREAM_BLOCK_SIZE, on_read_body, c, NULL);
    return MHD_create_response_from_buffer(response->body_len, response->body,
                                           response->body_is_static ? MHD_RESPMEM_PERSISTENT : MHD_RESPMEM_MUST_FREE);
}

static struct MHD_Response *make_response_with_headers(struct connection *c)
{
    struct response *response = exchange_response(c->exchange);
    struct MHD_Response *mhd = make_mhd_response(c, response);
    if (mhd == NULL)
        return NULL;
    response->body = NULL; /* libmicrohttpd owns it now */
    bool ok = (response->content_type == NULL ||
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

static enum MHD_Result queue_response(struct connection *c)
{
    unsigned status = (unsigned)exchange_response(c->exchange)->status;
    struct MHD_Response *response = make_response_with_headers(c);
    exchange_response_queued(c->exchange, response == NULL);
    if (response == NULL)
        return MHD_queue_response(c->mhd, MHD_HTTP_SERVICE_UNAVAILABLE, c->server->out_of_memory_response);
    enum MHD_Result result = MHD_queue_response(c->mhd, status, response);
    MHD_destroy_response(response); /* our reference; the connection has its own */
    return result;
}

/* The task of a suspended connection is done. */
void connection_on_ready(struct exchange *exchange, void *user)
{
    struct connection *c = user;
    (void)exchange;
    disconnect_watch_stop(&c->disconnect_watch);
    c->suspended = false;
    c->response_failed = queue_response(c) != MHD_YES;
    MHD_resume_connection(c->mhd);
    mhd_loop_wake(&c->server->mhd_loop); /* resuming does not wake libmicrohttpd */
}

/* What made its body or its answer pause is over. */
void connection_on_resume(struct exchange *exchange, void *user)
{
    struct connection *c = user;
    (void)exchange;
    if (!c->suspended)
        return;
    c->suspended = false;
    MHD_resume_connection(c->mhd);
    mhd_loop_wake(&c->server->mhd_loop);
}

static void on_disconnected(struct disconnect_watch *disconnect_watch)
{
    struct connection *c = container_of(disconnect_watch, struct connection, disconnect_watch);
    exchange_disconnect(c->exchange);
}

static enum MHD_Result suspend_until_ready(struct connection *c)
{
    MHD_suspend_connection(c->mhd);
    c->suspended = true;
    disconnect_watch_start(c->server->disconnect_watch_set, &c->disconnect_watch, c->fd, on_disconnected);
    return MHD_YES;
}

/* -- requests ------------------------------------------------------------------------------------------------------ */

void *connection_on_uri(void *user, const char *target, struct MHD_Connection *mhd)
{
    struct http_server *server = user;
    struct connection *c = connection_from_mhd(mhd);
    c->exchange = exchange_new(&server->exchange_context, target, c);
    c->head_received = false;
    if (!c->first_request)
        conn_timeout_start(&c->conn_timeout, server->config.limits->header_timeout_seconds);
    c->first_request = false;
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
    struct request_head head;
    c->head_received = true;
    c->body_paused = false;
    request_head_init(&head, str_from(method), str_from(version));
    head.skip_host_check = c->skip_host_check;
    MHD_get_connection_values_n(c->mhd, MHD_HEADER_KIND, on_header, &head);
    request_head_validate(&head);
    if (exchange_receive_head(c->exchange, &head) == EXCHANGE_ABORT) {
        c->lingering_close = true;
        conn_timeout_stop(&c->conn_timeout);
        return queue_response(c);
    }
    if (exchange_expects_body(c->exchange))
        conn_timeout_start(&c->conn_timeout, c->server->config.limits->body_timeout_seconds);
    else
        conn_timeout_stop(&c->conn_timeout);
    return MHD_YES;
}

static enum MHD_Result receive_body(struct connection *c, const char *bytes, size_t *len)
{
    size_t consumed = *len;
    enum exchange_action action = exchange_receive_body(c->exchange, bytes, &consumed);
    if (action == EXCHANGE_ABORT) {
        c->lingering_close = true;
        raw_response_send(c->fd, exchange_response(c->exchange), exchange_request_id(c->exchange));
        exchange_response_queued(c->exchange, false);
        return MHD_NO;
    }
    /* Of any size: what is bounded is how long it may make no progress. Where it failed while it was paused, the rest of the
     * body, which is thrown away, is bounded as a whole. */
    if (exchange_streams_body(c->exchange) || c->body_paused)
        conn_timeout_start(&c->conn_timeout, c->server->config.limits->body_timeout_seconds);
    c->body_paused = action == EXCHANGE_SUSPEND;
    if (c->body_paused) {
        conn_timeout_stop(&c->conn_timeout); /* it is the disk that is slow */
        MHD_suspend_connection(c->mhd);
        c->suspended = true;
    }
    *len -= consumed;
    return MHD_YES;
}

/* The access handler: called with the head, then for each piece of the body, then once more at the end of the request. */
enum MHD_Result connection_on_request(void *user, struct MHD_Connection *mhd, const char *url, const char *method,
                                      const char *version, const char *bytes, size_t *len, void **context)
{
    struct http_server *server = user;
    struct connection *c = connection_from_mhd(mhd);
    if (*context == NULL) {
        log_request_rejected(server->config.log, ERR_OUT_OF_MEMORY, str_from(method), str_from(url), (struct str){0});
        c->lingering_close = true;
        return MHD_queue_response(mhd, MHD_HTTP_SERVICE_UNAVAILABLE, server->out_of_memory_response);
    }
    if (!c->head_received)
        return receive_head(c, method, version);
    if (c->suspended)
        return MHD_YES;
    if (*len > 0)
        return receive_body(c, bytes, len);
    if (c->response_failed)
        return MHD_NO;
    conn_timeout_stop(&c->conn_timeout);
    return exchange_receive_end(c->exchange) == EXCHANGE_SUSPEND ? suspend_until_ready(c) : queue_response(c);
}

void connection_on_completed(void *user, struct MHD_Connection *mhd, void **context,
                             enum MHD_RequestTerminationCode reason)
{
    struct http_server *server = user;
    struct connection *c = connection_from_mhd(mhd);
    (void)reason; /* even a success is no proof that the client got the answer */
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

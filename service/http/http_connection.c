#include "service/http/http_server_internal.h"
#include "service/http/raw_response.h"
#include "service/log/log_events.h"

#include <fcntl.h>

enum { STREAM_BLOCK = 128 * 1024 }; /* bytes of a streamed answer that are sent at a time */

struct connection *connection_of(struct MHD_Connection *mhd)
{
    return MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

/* -- answers ------------------------------------------------------------------------------------------------------- */

/* The bytes of an answer that streams. A reader that returned 0 without suspending would be called again at once, for ever. */
static ssize_t on_take(void *user, uint64_t offset, char *out, size_t most)
{
    struct connection *c = user;
    (void)offset;
    ssize_t n = exchange_take(c->exchange, out, most);
    if (n < 0)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    if (n == 0) {
        MHD_suspend_connection(c->mhd);
        c->suspended = true;
    }
    return n;
}

static struct MHD_Response *make_body(struct connection *c, struct response *response)
{
    if (response->is_stream)
        return MHD_create_response_from_callback(response->body_len, STREAM_BLOCK, on_take, c, NULL);
    return MHD_create_response_from_buffer(response->body_len, response->body,
                                           response->body_is_static ? MHD_RESPMEM_PERSISTENT : MHD_RESPMEM_MUST_FREE);
}

static struct MHD_Response *make_response(struct connection *c)
{
    struct response *response = exchange_response(c->exchange);
    struct MHD_Response *mhd = make_body(c, response);
    if (mhd == NULL)
        return NULL;
    response->body = NULL; /* libmicrohttpd owns it now */
    bool ok = (response->content_type == NULL ||
               MHD_add_response_header(mhd, "Content-Type", response->content_type) == MHD_YES) &&
              MHD_add_response_header(mhd, "X-Request-Id", exchange_request_id(c->exchange).at) == MHD_YES;
    for (size_t i = 0; ok && i < response->header_count; i++)
        ok = MHD_add_response_header(mhd, response->headers[i].name, response->headers[i].value) == MHD_YES;
    if (ok && (c->linger || c->http->draining))
        ok = MHD_add_response_header(mhd, "Connection", "close") == MHD_YES;
    if (ok)
        return mhd;
    MHD_destroy_response(mhd);
    return NULL;
}

static enum MHD_Result answer(struct connection *c)
{
    unsigned status = (unsigned)exchange_response(c->exchange)->status;
    struct MHD_Response *response = make_response(c);
    exchange_answered(c->exchange, response == NULL);
    if (response == NULL)
        return MHD_queue_response(c->mhd, MHD_HTTP_SERVICE_UNAVAILABLE, c->http->no_memory);
    enum MHD_Result result = MHD_queue_response(c->mhd, status, response);
    MHD_destroy_response(response); /* our reference; the connection has its own */
    return result;
}

/* The task of a suspended connection is done. */
void on_ready(struct exchange *exchange, void *user)
{
    struct connection *c = user;
    (void)exchange;
    watch_end(&c->watch);
    c->suspended = false;
    c->broken = answer(c) != MHD_YES;
    MHD_resume_connection(c->mhd);
    pump_kick(&c->http->pump); /* resuming does not wake libmicrohttpd */
}

/* What made its body or its answer pause is over. */
void on_resume(struct exchange *exchange, void *user)
{
    struct connection *c = user;
    (void)exchange;
    if (!c->suspended)
        return;
    c->suspended = false;
    MHD_resume_connection(c->mhd);
    pump_kick(&c->http->pump);
}

static void on_hung_up(struct watch *watch)
{
    struct connection *c = container_of(watch, struct connection, watch);
    exchange_hangup(c->exchange);
}

static enum MHD_Result wait(struct connection *c)
{
    MHD_suspend_connection(c->mhd);
    c->suspended = true;
    watch_begin(c->http->watches, &c->watch, c->fd, on_hung_up);
    return MHD_YES;
}

/* -- requests ------------------------------------------------------------------------------------------------------ */

void *on_target(void *user, const char *target, struct MHD_Connection *mhd)
{
    struct http *http = user;
    struct connection *c = connection_of(mhd);
    c->exchange = exchange_begin(&http->exchanges, target, c);
    c->head_seen = false;
    if (!c->first)
        patience_begin(&c->patience, http->config.limits->header_timeout_seconds);
    c->first = false;
    return c->exchange;
}

static enum MHD_Result on_field(void *user, enum MHD_ValueKind kind, const char *name, size_t name_len,
                                const char *value, size_t value_len)
{
    (void)kind;
    head_field(user, (struct str){name, name_len}, (struct str){value == NULL ? "" : value, value_len});
    return MHD_YES;
}

static enum MHD_Result on_head(struct connection *c, const char *method, const char *version)
{
    struct head head;
    c->head_seen = true;
    c->paused = false;
    head_begin(&head, str_from(method), str_from(version));
    head.any_host = c->any_host;
    MHD_get_connection_values_n(c->mhd, MHD_HEADER_KIND, on_field, &head);
    head_end(&head);
    if (exchange_head(c->exchange, &head) == EXCHANGE_BREAKS) {
        c->linger = true;
        patience_end(&c->patience);
        return answer(c);
    }
    if (exchange_expects_body(c->exchange))
        patience_begin(&c->patience, c->http->config.limits->body_timeout_seconds);
    else
        patience_end(&c->patience);
    return MHD_YES;
}

static enum MHD_Result on_body(struct connection *c, const char *bytes, size_t *len)
{
    size_t taken = *len;
    enum exchange_step step = exchange_body(c->exchange, bytes, &taken);
    if (step == EXCHANGE_BREAKS) {
        c->linger = true;
        canned_send(c->fd, exchange_response(c->exchange), exchange_request_id(c->exchange));
        exchange_answered(c->exchange, false);
        return MHD_NO;
    }
    /* Of any size: what is bounded is how long it may make no progress. Where it failed while it was paused, the rest of the
     * body, which is thrown away, is bounded as a whole. */
    if (exchange_streams_body(c->exchange) || c->paused)
        patience_begin(&c->patience, c->http->config.limits->body_timeout_seconds);
    c->paused = step == EXCHANGE_WAITS;
    if (c->paused) {
        patience_end(&c->patience); /* it is the disk that is slow */
        MHD_suspend_connection(c->mhd);
        c->suspended = true;
    }
    *len -= taken;
    return MHD_YES;
}

/* The access handler: called with the head, then for each piece of the body, then once more at the end of the request. */
enum MHD_Result on_request(void *user, struct MHD_Connection *mhd, const char *url, const char *method,
                           const char *version, const char *bytes, size_t *len, void **context)
{
    struct http *http = user;
    struct connection *c = connection_of(mhd);
    if (*context == NULL) {
        report_refusal(http->config.log, ERR_OUT_OF_MEMORY, str_from(method), str_from(url), (struct str){0});
        c->linger = true;
        return MHD_queue_response(mhd, MHD_HTTP_SERVICE_UNAVAILABLE, http->no_memory);
    }
    if (!c->head_seen)
        return on_head(c, method, version);
    if (c->suspended)
        return MHD_YES;
    if (*len > 0)
        return on_body(c, bytes, len);
    if (c->broken)
        return MHD_NO;
    patience_end(&c->patience);
    return exchange_finish(c->exchange) == EXCHANGE_WAITS ? wait(c) : answer(c);
}

void on_completed(void *user, struct MHD_Connection *mhd, void **context, enum MHD_RequestTerminationCode why)
{
    struct http *http = user;
    struct connection *c = connection_of(mhd);
    (void)why; /* even a success is no proof that the client got the answer */
    if (c->exchange != NULL)
        exchange_end(c->exchange);
    c->exchange = NULL;
    *context = NULL;
    if (c->linger) {
        int fd = fcntl(c->fd, F_DUPFD_CLOEXEC, 0);
        if (fd >= 0)
            linger(http->lingers, fd);
    } else if (http->draining) {
        shutdown(c->fd, SHUT_RD);
        pump_kick(&http->pump);
    }
    patience_begin(&c->patience, http->config.limits->idle_timeout_seconds);
}

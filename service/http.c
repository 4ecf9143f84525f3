#include "service/http.h"

#include "service/canned.h"
#include "service/linger.h"
#include "service/patience.h"
#include "service/pump.h"
#include "service/watch.h"

#include <fcntl.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    CONNECTION_MEMORY = 32 * 1024, /* bytes that libmicrohttpd gives a connection; its headers have to fit */
    CONNECTION_MARGIN = 64,        /* so that libmicrohttpd's own limit, which hangs in silence, is never met */
};

struct http {
    struct http_config config;
    struct exchange_context exchanges;
    struct MHD_Daemon *daemon;      /* owned */
    struct MHD_Response *no_memory; /* owned; the answer when none can be made */
    struct timers deadlines;        /* one for each connection */
    struct watches *watches;        /* owned */
    struct lingers *lingers;        /* owned */
    struct ring connections;        /* of struct connection */
    size_t count;                   /* in the ring */
    struct connection *adding;      /* inside MHD_add_connection(): the one it is for */
    struct pump pump;
    bool draining;
    bool drained; /* config.drained has been called */
    int closing;  /* of the pump and the deadlines: how many are not closed yet */
};

struct connection {
    struct ring link; /* in http->connections */
    struct http *http;
    struct MHD_Connection *mhd; /* NULL until libmicrohttpd has taken it */
    struct exchange *exchange;  /* owned; NULL between requests, and when there was no memory for it */
    struct patience patience;   /* for the head, the body, or the next request */
    struct watch watch;         /* while suspended */
    int fd;                     /* libmicrohttpd's */
    bool local_socket;
    bool first;     /* no request has begun: its head is due counting from the accept */
    bool head_seen; /* of the current request */
    bool suspended;
    bool broken; /* not even a stand-in answer could be queued; the handler, entered again, gives up */
    bool linger; /* the client may still be sending when we close */
};

/* -- connections --------------------------------------------------------------------------------------------------- */

static struct connection *connection_of(struct MHD_Connection *mhd)
{
    return MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

static void on_over(struct patience *patience)
{
    pump_kick(&container_of(patience, struct connection, patience)->http->pump);
}

static void connection_free(struct connection *c)
{
    struct http *http = c->http;
    patience_free(&c->patience);
    ring_remove(&c->link);
    http->count--;
    free(c);
}

static void on_connection(void *user, struct MHD_Connection *mhd, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct http *http = user;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        http->adding->mhd = mhd;
        *context = http->adding;
    } else {
        connection_free(*context);
    }
}

static void refuse_connection(struct http *http, int fd, int rc)
{
    canned_refuse(fd, http->config.api, rc, http->count, http->config.limits);
    linger(http->lingers, fd);
}

void http_accept(struct http *http, int fd, const struct sockaddr_storage *peer, socklen_t peer_len)
{
    if (http->count >= (size_t)http->config.limits->max_connections) {
        refuse_connection(http, fd, ERR_TOO_MANY_CONNECTIONS);
        return;
    }
    struct connection *c = calloc(1, sizeof *c);
    if (c == NULL || !patience_init(&c->patience, &http->deadlines, fd, on_over)) {
        free(c);
        refuse_connection(http, fd, ERR_OUT_OF_MEMORY);
        return;
    }
    c->http = http;
    c->fd = fd;
    c->local_socket = peer->ss_family == AF_UNIX;
    c->first = true;
    ring_append(&http->connections, &c->link);
    http->count++;
    patience_begin(&c->patience, http->config.limits->header_timeout_seconds);
    http->adding = c;
    MHD_add_connection(http->daemon, fd, (const struct sockaddr *)peer, peer_len); /* closes fd when it fails */
    http->adding = NULL;
    if (c->mhd == NULL)
        connection_free(c);
    pump_kick(&http->pump);
}

/* -- answers ------------------------------------------------------------------------------------------------------- */

static struct MHD_Response *make_response(struct connection *c)
{
    struct reply *reply = exchange_reply(c->exchange);
    struct MHD_Response *response = MHD_create_response_from_buffer(
        reply->body_len, reply->body, reply->body_is_static ? MHD_RESPMEM_PERSISTENT : MHD_RESPMEM_MUST_FREE);
    if (response == NULL)
        return NULL;
    reply->body = NULL; /* the response's, now */
    bool ok = MHD_add_response_header(response, "Content-Type", reply->content_type) == MHD_YES &&
              MHD_add_response_header(response, "X-Request-Id", exchange_request_id(c->exchange).at) == MHD_YES;
    for (size_t i = 0; ok && i < reply->header_count; i++)
        ok = MHD_add_response_header(response, reply->headers[i].name, reply->headers[i].value) == MHD_YES;
    if (ok && (c->linger || c->http->draining))
        ok = MHD_add_response_header(response, "Connection", "close") == MHD_YES;
    if (ok)
        return response;
    MHD_destroy_response(response);
    return NULL;
}

static enum MHD_Result answer(struct connection *c)
{
    unsigned status = (unsigned)exchange_reply(c->exchange)->status;
    struct MHD_Response *response = make_response(c);
    if (response == NULL)
        return MHD_queue_response(c->mhd, MHD_HTTP_SERVICE_UNAVAILABLE, c->http->no_memory);
    enum MHD_Result result = MHD_queue_response(c->mhd, status, response);
    MHD_destroy_response(response); /* our reference; the connection has its own */
    return result;
}

/* The task of a suspended connection is done. */
static void on_ready(struct exchange *exchange, void *user)
{
    struct connection *c = user;
    (void)exchange;
    watch_end(&c->watch);
    c->suspended = false;
    c->broken = answer(c) != MHD_YES;
    MHD_resume_connection(c->mhd);
    pump_kick(&c->http->pump); /* resuming does not wake libmicrohttpd */
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

static void *on_target(void *user, const char *target, struct MHD_Connection *mhd)
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
    head_field(user, (struct text){name, name_len}, (struct text){value == NULL ? "" : value, value_len});
    return MHD_YES;
}

static enum MHD_Result on_head(struct connection *c, const char *method, const char *version)
{
    struct head head;
    c->head_seen = true;
    head_begin(&head, text_of(method), text_of(version));
    head.local_socket = c->local_socket;
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
    if (exchange_body(c->exchange, bytes, *len) == EXCHANGE_BREAKS) {
        c->linger = true;
        canned_send(c->fd, exchange_reply(c->exchange), exchange_request_id(c->exchange));
        return MHD_NO;
    }
    *len = 0;
    return MHD_YES;
}

/* The access handler: called with the head, then for each piece of the body, then once more at the end of the request. */
static enum MHD_Result on_request(void *user, struct MHD_Connection *mhd, const char *url, const char *method,
                                  const char *version, const char *bytes, size_t *len, void **context)
{
    struct http *http = user;
    struct connection *c = connection_of(mhd);
    (void)url;
    if (*context == NULL) {
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

static void on_completed(void *user, struct MHD_Connection *mhd, void **context, enum MHD_RequestTerminationCode why)
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

/* -- the pump ------------------------------------------------------------------------------------------------------ */

static uint64_t run(struct pump *pump)
{
    struct http *http = container_of(pump, struct http, pump);
    MHD_UNSIGNED_LONG_LONG ms;
    MHD_run(http->daemon);
    /* Edge-triggered leftovers are in libmicrohttpd's own list, and show only as a timeout of 0. */
    return MHD_get_timeout(http->daemon, &ms) == MHD_YES ? ms : PUMP_NEVER;
}

void http_turn(struct http *http)
{
    pump_turn(&http->pump);
    if (http->draining && !http->drained && http->count == 0) {
        http->drained = true;
        http->config.drained(http->config.user);
    }
}

/* -- the whole ----------------------------------------------------------------------------------------------------- */

__attribute__((format(printf, 2, 0))) static void on_library_log(void *user, const char *format, va_list args)
{
    struct http *http = user;
    char line[256];
    if (!log_enabled(http->config.log, LOG_DEBUG))
        return;
    vsnprintf(line, sizeof line, format, args);
    line[strcspn(line, "\n")] = '\0';
    log_event(http->config.log, LOG_DEBUG, "libmicrohttpd", LOG_FIELDS(log_text("message", text_of(line))));
}

/* Paths are split before they are decoded, and that is our own business (handlers/api.c). */
static size_t leave_escaped(void *user, struct MHD_Connection *mhd, char *text)
{
    (void)user;
    (void)mhd;
    return strlen(text);
}

static int start_daemon(struct http *http, struct err *e)
{
    const struct http_limits *limits = http->config.limits;
    unsigned idle_seconds = (unsigned)((limits->idle_timeout_seconds + NS_PER_SECOND - 1) / NS_PER_SECOND);
    http->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG | MHD_USE_NO_LISTEN_SOCKET, 0, NULL, NULL,
        on_request, http, MHD_OPTION_EXTERNAL_LOGGER, on_library_log, http, MHD_OPTION_NOTIFY_CONNECTION, on_connection,
        http, MHD_OPTION_NOTIFY_COMPLETED, on_completed, http, MHD_OPTION_URI_LOG_CALLBACK, on_target, http,
        MHD_OPTION_UNESCAPE_CALLBACK, leave_escaped, http, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)limits->max_connections + CONNECTION_MARGIN, MHD_OPTION_CONNECTION_TIMEOUT, idle_seconds,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY, MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1,
        MHD_OPTION_END);
    if (http->daemon == NULL)
        return err_set(e, ERR_INTERNAL, "libmicrohttpd did not start");
    return 0;
}

static int make_fallback(struct http *http, struct err *e)
{
    static const char problem[] = REPLY_NO_MEMORY;
    http->no_memory =
        MHD_create_response_from_buffer(sizeof problem - 1, (void *)(uintptr_t)problem, MHD_RESPMEM_PERSISTENT);
    if (http->no_memory == NULL ||
        MHD_add_response_header(http->no_memory, "Content-Type", REPLY_PROBLEM_JSON) != MHD_YES ||
        MHD_add_response_header(http->no_memory, "Retry-After", "1") != MHD_YES ||
        MHD_add_response_header(http->no_memory, "Connection", "close") != MHD_YES)
        return err_set(e, ERR_OUT_OF_MEMORY, "there is no memory for HTTP");
    return 0;
}

int http_new(const struct http_config *config, struct http **out, struct err *e)
{
    struct http *http = calloc(1, sizeof *http);
    if (http == NULL)
        return err_set(e, ERR_OUT_OF_MEMORY, "there is no memory for HTTP");
    http->config = *config;
    http->exchanges = (struct exchange_context){
        .api = config->api,
        .runtime = config->runtime,
        .log = config->log,
        .limits = config->limits,
        .check_hosts = config->check_hosts,
        .ready = on_ready,
    };
    ring_init(&http->connections);
    int rc = make_fallback(http, e);
    if (rc != 0)
        goto err_after_alloc;
    rc = start_daemon(http, e);
    if (rc != 0)
        goto err_after_alloc;
    rc = watches_new(config->loop, &http->watches, e);
    if (rc != 0)
        goto err_after_daemon;
    rc = lingers_new(config->loop, &http->lingers, e);
    if (rc != 0)
        goto err_after_watches;
    rc = pump_init(&http->pump, config->loop, MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd,
                   run, e);
    if (rc != 0)
        goto err_after_lingers;
    timers_init(&http->deadlines, config->loop, NULL);
    http->closing = 2;
    *out = http;
    return 0;

err_after_lingers:
    lingers_close(http->lingers);
err_after_watches:
    watches_close(http->watches);
err_after_daemon:
    MHD_stop_daemon(http->daemon);
err_after_alloc:
    if (http->no_memory != NULL)
        MHD_destroy_response(http->no_memory);
    free(http);
    return rc;
}

size_t http_connections(const struct http *http)
{
    return http->count;
}

void http_drain(struct http *http)
{
    http->draining = true;
    for (struct ring *r = http->connections.next; r != &http->connections; r = r->next) {
        struct connection *c = container_of(r, struct connection, link);
        if (c->exchange == NULL)
            shutdown(c->fd, SHUT_RD); /* a request that is on its way still gets its answer */
    }
    pump_kick(&http->pump);
}

void http_cut(struct http *http)
{
    for (struct ring *r = http->connections.next; r != &http->connections; r = r->next)
        patience_cut(&container_of(r, struct connection, link)->patience);
}

static void on_closed(struct http *http)
{
    if (--http->closing == 0)
        free(http);
}

static void on_pump_closed(struct pump *pump)
{
    on_closed(container_of(pump, struct http, pump));
}

static void on_deadlines_closed(struct timers *deadlines)
{
    on_closed(container_of(deadlines, struct http, deadlines));
}

void http_close(struct http *http)
{
    PRE(http->count == 0);
    pump_close(&http->pump, on_pump_closed);
    timers_close(&http->deadlines, on_deadlines_closed);
    watches_close(http->watches);
    lingers_close(http->lingers);
    MHD_stop_daemon(http->daemon);
    MHD_destroy_response(http->no_memory);
}

#include "runtime/lib/check.h"
#include "service/http/http_server_internal.h"
#include "service/http/raw_response.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    CONNECTION_MEMORY = 32 * 1024, /* bytes that libmicrohttpd gives a connection; its headers have to fit */
    CONNECTION_MARGIN = 64,        /* so that libmicrohttpd's own limit, which hangs in silence, is never met */
    ROOM_PART = 8,                 /* of max_connections; so much of it has to be free before refusing is news again */
};

/* -- connections --------------------------------------------------------------------------------------------------- */

static void on_over(struct patience *patience)
{
    pump_kick(&container_of(patience, struct connection, patience)->http->pump);
}

/* At the limit each connection that ends makes room for one, and the next is refused: all that is one piece of news. */
static void end_refusing(struct http *http)
{
    size_t most = (size_t)http->config.limits->max_connections;
    if (http->count < most - most / ROOM_PART)
        http->refusing = false;
}

static void connection_free(struct connection *c)
{
    struct http *http = c->http;
    if (http->adding == c)
        http->adding = NULL;
    patience_free(&c->patience);
    list_remove(&c->link);
    http->count--;
    free(c);
    end_refusing(http);
}

/* The connection that libmicrohttpd has begun to serve: inside MHD_add_connection() (0.9.75), or by a later run (1.0.1). */
static struct connection *find_new(struct http *http, int fd)
{
    for (struct list_node *r = http->connections.prev; r != &http->connections; r = r->prev) {
        struct connection *c = container_of(r, struct connection, link);
        if (c->mhd == NULL && c->fd == fd)
            return c;
    }
    UNREACHABLE(); /* libmicrohttpd serves what was added */
}

static void on_connection(void *user, struct MHD_Connection *mhd, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        struct connection *c =
            find_new(user, MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd);
        c->mhd = mhd;
        *context = c;
    } else {
        connection_free(*context);
    }
}

static void refuse_connection(struct http *http, int fd, int rc)
{
    if (!http->refusing)
        log_event(http->config.log, LOG_WARN, "connections_rejected",
                  LOG_FIELDS(log_text("error", str_from(error_code(rc))),
                             log_integer("connections", (int64_t)http->count),
                             log_integer("max_connections", http->config.limits->max_connections)));
    http->refusing = true;
    struct err e;
    err_set(&e, rc, "Try again later; %zu connections are open, and the limit max_connections is %lld", http->count,
            (long long)http->config.limits->max_connections);
    canned_refuse(fd, http->config.api, &e);
    linger(http->lingers, fd);
}

void http_refuse(struct http *http, int fd)
{
    struct err e;
    char bytes[4096];
    err_set(&e, ERR_TOO_MANY_CONNECTIONS,
            "Try again later; as many files and connections as the system allows are open");
    canned_refuse(fd, http->config.api, &e);
    shutdown(fd, SHUT_WR);
    for (int i = 0; i < 16 && recv(fd, bytes, sizeof bytes, MSG_DONTWAIT) > 0; i++)
        continue; /* it can't linger; but a request that is there already is no reason for a reset (service/net/lingering_close.h) */
}

void http_accept(struct http *http, int fd, const struct sockaddr_storage *peer, socklen_t peer_len, bool any_host)
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
    c->any_host = any_host;
    c->first = true;
    list_append(&http->connections, &c->link);
    http->count++;
    patience_begin(&c->patience, http->config.limits->header_timeout_seconds);
    http->adding = c;
    enum MHD_Result added = MHD_add_connection(http->daemon, fd, (const struct sockaddr *)peer, peer_len);
    if (added != MHD_YES && http->adding != NULL) /* fd is closed; and c is gone already if its end was notified */
        connection_free(c);
    http->adding = NULL;
    pump_kick(&http->pump);
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
    log_event(http->config.log, LOG_DEBUG, "libmicrohttpd", LOG_FIELDS(log_text("message", str_from(line))));
}

/* Paths are split before they are decoded, and that is our own business (handlers/router.c). */
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
    static const char problem[] = PROBLEM_OUT_OF_MEMORY;
    http->no_memory =
        MHD_create_response_from_buffer(sizeof problem - 1, (void *)(uintptr_t)problem, MHD_RESPMEM_PERSISTENT);
    if (http->no_memory == NULL ||
        MHD_add_response_header(http->no_memory, "Content-Type", PROBLEM_CONTENT_TYPE) != MHD_YES ||
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
        .ready = on_ready,
        .resume = on_resume,
    };
    list_init(&http->connections);
    int rc = make_fallback(http, e);
    if (rc != 0)
        goto err_after_alloc;
    rc = start_daemon(http, e);
    if (rc != 0)
        goto err_after_alloc;
    rc = watches_new(config->loop, &http->watches, e);
    if (rc != 0)
        goto err_after_daemon;
    rc = lingers_new(config->loop, config->lingers_most, &http->lingers, e);
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
    for (struct list_node *r = http->connections.next; r != &http->connections; r = r->next) {
        struct connection *c = container_of(r, struct connection, link);
        if (c->exchange == NULL)
            shutdown(c->fd, SHUT_RD); /* a request that is on its way still gets its answer */
    }
    pump_kick(&http->pump);
}

void http_cut(struct http *http)
{
    for (struct list_node *r = http->connections.next; r != &http->connections; r = r->next)
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
    CHECK(http->count == 0);
    pump_close(&http->pump, on_pump_closed);
    timers_close(&http->deadlines, on_deadlines_closed);
    watches_close(http->watches);
    lingers_close(http->lingers);
    MHD_stop_daemon(http->daemon);
    MHD_destroy_response(http->no_memory);
}

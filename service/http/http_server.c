#include "gatherd_version.h"
#include "runtime/lib/check.h"
#include "service/http/http_server_internal.h"
#include "service/http/raw_response.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    CONNECTION_MEMORY = 32 * 1024, /* bytes per connection in libmicrohttpd; limits the size of the headers */
    /* Added to max_connections for libmicrohttpd's own limit, beyond which it leaves connections hanging. */
    CONNECTION_MARGIN = 64,
    /* connections_rejected is logged again only after max_connections / OVERLOAD_RECOVERY_DIVISOR have become free. */
    OVERLOAD_RECOVERY_DIVISOR = 8,
};

/* -- connections --------------------------------------------------------------------------------------------------- */

static void on_conn_timeout(struct conn_timeout *conn_timeout)
{
    mhd_loop_wake(&container_of(conn_timeout, struct connection, conn_timeout)->server->mhd_loop);
}

/* Ends an overload, which is logged once, when enough connections are free. One free connection is not enough: at the
 * limit, connections are closed and rejected in turn. */
static void clear_overload(struct http_server *server)
{
    size_t max = (size_t)server->config.limits->max_connections;
    if (server->count < max - max / OVERLOAD_RECOVERY_DIVISOR)
        server->overloaded = false;
}

static void connection_free(struct connection *c)
{
    struct http_server *server = c->server;
    if (server->being_added == c)
        server->being_added = NULL;
    if (c->exchange != NULL) /* libmicrohttpd has rejected the request without completing it */
        exchange_free(c->exchange);
    conn_timeout_free(&c->conn_timeout);
    list_remove(&c->link);
    server->count--;
    free(c);
    clear_overload(server);
}

/* Finds the connection that libmicrohttpd has started: version 0.9.75 starts it inside MHD_add_connection(), 1.0.1 in a
 * later MHD_run(). */
static struct connection *find_added_connection(struct http_server *server, int fd)
{
    for (struct list_node *r = server->connections.prev; r != &server->connections; r = r->prev) {
        struct connection *c = container_of(r, struct connection, link);
        if (c->mhd == NULL && c->fd == fd)
            return c;
    }
    UNREACHABLE(); /* libmicrohttpd starts only connections that were added */
}

static void on_connection(void *user, struct MHD_Connection *mhd, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        struct connection *c =
            find_added_connection(user, MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd);
        c->mhd = mhd;
        *context = c;
    } else {
        connection_free(*context);
    }
}

static void reject_connection(struct http_server *server, int fd, int rc)
{
    if (!server->overloaded)
        log_event(server->config.log, LOG_WARN, "connections_rejected",
                  LOG_FIELDS(log_string("error", str_from(error_code(rc))),
                             log_integer("connections", (int64_t)server->count),
                             log_integer("max_connections", server->config.limits->max_connections)));
    server->overloaded = true;
    struct err e;
    if (rc == ERR_OUT_OF_MEMORY)
        err_nomem(&e);
    else
        err_set(&e, rc, "The limit max_connections, %lld, is reached; try again later",
                (long long)server->config.limits->max_connections);
    raw_response_reject(fd, server->config.api, &e);
    lingering_close(server->lingering_set, fd);
}

void http_server_reject(struct http_server *server, int fd)
{
    struct err e;
    char bytes[4096];
    err_set(&e, ERR_TOO_MANY_CONNECTIONS, "The service is out of file descriptors; try again later");
    raw_response_reject(fd, server->config.api, &e);
    shutdown(fd, SHUT_WR);
    for (int i = 0; i < 16 && recv(fd, bytes, sizeof bytes, MSG_DONTWAIT) > 0; i++)
        continue; /* closing with unread bytes would reset the connection (service/net/lingering_close.h) */
}

void http_server_accept(struct http_server *server, int fd, const struct sockaddr_storage *peer, socklen_t peer_len,
                        bool skip_host_check)
{
    if (server->count >= (size_t)server->config.limits->max_connections) {
        reject_connection(server, fd, ERR_TOO_MANY_CONNECTIONS);
        return;
    }
    struct connection *c = calloc(1, sizeof *c);
    if (c == NULL || !conn_timeout_init(&c->conn_timeout, &server->timeouts, fd, on_conn_timeout)) {
        free(c);
        reject_connection(server, fd, ERR_OUT_OF_MEMORY);
        return;
    }
    c->server = server;
    c->fd = fd;
    c->skip_host_check = skip_host_check;
    list_append(&server->connections, &c->link);
    server->count++;
    conn_timeout_start(&c->conn_timeout, server->config.limits->header_timeout_seconds);
    server->being_added = c;
    enum MHD_Result added = MHD_add_connection(server->daemon, fd, (const struct sockaddr *)peer, peer_len);
    if (added != MHD_YES && server->being_added != NULL) /* fd is closed; if being_added is NULL, c is freed */
        connection_free(c);
    server->being_added = NULL;
    mhd_loop_wake(&server->mhd_loop);
}

/* -- the loop ------------------------------------------------------------------------------------------------------ */

static uint64_t http_server_run_daemon(struct mhd_loop *mhd_loop)
{
    struct http_server *server = container_of(mhd_loop, struct http_server, mhd_loop);
    MHD_UNSIGNED_LONG_LONG ms;
    MHD_run(server->daemon);
    /* libmicrohttpd's epoll is edge-triggered: unfinished work shows only as a timeout of 0. */
    return MHD_get_timeout(server->daemon, &ms) == MHD_YES ? ms : MHD_LOOP_NO_TIMEOUT;
}

void http_server_iterate(struct http_server *server)
{
    mhd_loop_iterate(&server->mhd_loop);
    if (server->draining && !server->drained && server->count == 0) {
        server->drained = true;
        server->config.drained(server->config.user);
    }
}

/* -- creation and shutdown ----------------------------------------------------------------------------------------- */

__attribute__((format(printf, 2, 0))) static void on_mhd_log(void *user, const char *format, va_list args)
{
    struct http_server *server = user;
    char line[256];
    if (!log_enabled(server->config.log, LOG_DEBUG))
        return;
    vsnprintf(line, sizeof line, format, args);
    line[strcspn(line, "\n")] = '\0';
    log_event(server->config.log, LOG_DEBUG, "libmicrohttpd", LOG_FIELDS(log_string("message", str_from(line))));
}

/* Keeps libmicrohttpd from decoding the path: handlers/router.c splits it first. */
static size_t keep_escaped(void *user, struct MHD_Connection *mhd, char *text)
{
    (void)user;
    (void)mhd;
    return strlen(text);
}

static int start_daemon(struct http_server *server, struct err *e)
{
    const struct http_limits *limits = server->config.limits;
    unsigned idle_seconds = (unsigned)((limits->idle_timeout_seconds + NS_PER_SECOND - 1) / NS_PER_SECOND);
    server->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG | MHD_USE_NO_LISTEN_SOCKET, 0, NULL, NULL,
        connection_on_request, server, MHD_OPTION_EXTERNAL_LOGGER, on_mhd_log, server, MHD_OPTION_NOTIFY_CONNECTION,
        on_connection, server, MHD_OPTION_NOTIFY_COMPLETED, connection_on_completed, server,
        MHD_OPTION_URI_LOG_CALLBACK, connection_on_uri, server, MHD_OPTION_UNESCAPE_CALLBACK, keep_escaped, server,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)limits->max_connections + CONNECTION_MARGIN,
        MHD_OPTION_CONNECTION_TIMEOUT, idle_seconds, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
        MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_END);
    if (server->daemon == NULL)
        return err_set(e, ERR_INTERNAL, "libmicrohttpd failed to start");
    return 0;
}

static int make_out_of_memory_response(struct http_server *server, struct err *e)
{
    static const char problem[] = PROBLEM_OUT_OF_MEMORY;
    server->out_of_memory_response =
        MHD_create_response_from_buffer(sizeof problem - 1, (void *)(uintptr_t)problem, MHD_RESPMEM_PERSISTENT);
    if (server->out_of_memory_response == NULL ||
        MHD_add_response_header(server->out_of_memory_response, "Server", GATHERD_PRODUCT) != MHD_YES ||
        MHD_add_response_header(server->out_of_memory_response, "Content-Type", PROBLEM_CONTENT_TYPE) != MHD_YES ||
        MHD_add_response_header(server->out_of_memory_response, "Retry-After", "1") != MHD_YES ||
        MHD_add_response_header(server->out_of_memory_response, "Connection", "close") != MHD_YES)
        return err_nomem(e);
    return 0;
}

int http_server_new(const struct http_server_config *config, struct http_server **out, struct err *e)
{
    struct http_server *server = calloc(1, sizeof *server);
    if (server == NULL)
        return err_nomem(e);
    server->config = *config;
    server->exchange_context = (struct exchange_context){
        .api = config->api,
        .log = config->log,
        .limits = config->limits,
        .wake = connection_on_wake,
    };
    list_init(&server->connections);
    int rc = make_out_of_memory_response(server, e);
    if (rc != 0)
        goto err_after_alloc;
    rc = start_daemon(server, e);
    if (rc != 0)
        goto err_after_alloc;
    rc = disconnect_watch_set_new(config->loop, &server->disconnect_watch_set, e);
    if (rc != 0)
        goto err_after_daemon;
    rc = lingering_set_new(config->loop, config->max_lingering, &server->lingering_set, e);
    if (rc != 0)
        goto err_after_disconnect_watch_set;
    rc = mhd_loop_init(&server->mhd_loop, config->loop,
                       MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd, http_server_run_daemon,
                       e);
    if (rc != 0)
        goto err_after_lingering_set;
    timers_init(&server->timeouts, config->loop, NULL);
    server->open_handles = 2;
    *out = server;
    return 0;

err_after_lingering_set:
    lingering_set_close(server->lingering_set);
err_after_disconnect_watch_set:
    disconnect_watch_set_close(server->disconnect_watch_set);
err_after_daemon:
    MHD_stop_daemon(server->daemon);
err_after_alloc:
    if (server->out_of_memory_response != NULL)
        MHD_destroy_response(server->out_of_memory_response);
    free(server);
    return rc;
}

size_t http_server_connection_count(const struct http_server *server)
{
    return server->count;
}

void http_server_drain(struct http_server *server)
{
    server->draining = true;
    for (struct list_node *r = server->connections.next; r != &server->connections; r = r->next) {
        struct connection *c = container_of(r, struct connection, link);
        if (connection_is_idle(c))
            shutdown(c->fd, SHUT_RD); /* a request that has already arrived is still answered */
    }
    mhd_loop_wake(&server->mhd_loop);
}

void http_server_abort_connections(struct http_server *server)
{
    for (struct list_node *r = server->connections.next; r != &server->connections; r = r->next)
        conn_timeout_expire(&container_of(r, struct connection, link)->conn_timeout);
}

static void http_server_on_closed(struct http_server *server)
{
    if (--server->open_handles == 0)
        free(server);
}

static void on_mhd_loop_closed(struct mhd_loop *mhd_loop)
{
    http_server_on_closed(container_of(mhd_loop, struct http_server, mhd_loop));
}

static void on_timeouts_closed(struct timers *timeouts)
{
    http_server_on_closed(container_of(timeouts, struct http_server, timeouts));
}

void http_server_close(struct http_server *server)
{
    CHECK(server->count == 0);
    mhd_loop_close(&server->mhd_loop, on_mhd_loop_closed);
    timers_close(&server->timeouts, on_timeouts_closed);
    disconnect_watch_set_close(server->disconnect_watch_set);
    lingering_set_close(server->lingering_set);
    MHD_stop_daemon(server->daemon);
    MHD_destroy_response(server->out_of_memory_response);
}

/* A response of unknown length over a real connection: events that the test sends. */
#include "handlers/api.h"
#include "runtime/lib/check.h"
#include "runtime/lib/util.h"
#include "runtime/types/type_parse.h"
#include "service/http/http_server.h"
#include "service/net/listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { MAX_RECEIVED = 4 * 1024 * 1024, RUN_TIMEOUT_MS = 60 * 1000 };

/* -- handlers ------------------------------------------------------------------------------------------------------ */

/* This file defines the functions of handlers/api.h that the server calls, so the linker takes none from handlers/. */

enum event_stream_state { STREAM_NOT_READY, STREAM_OPEN, STREAM_ENDED, STREAM_FAILED };

struct event_stream {
    struct responder base;
    struct api *api;
    enum event_stream_state state;
    const char *unread; /* borrowed */
    size_t unread_len;
};

struct api {
    struct limits limits;
    bool finish_waits;           /* the response of the next stream is not ready at once */
    struct event_stream *stream; /* the latest one; dangling when all are closed */
    int opened, closed, canceled, reads;
};

static struct event_stream *event_stream_of(struct responder *base)
{
    return container_of(base, struct event_stream, base);
}

static void write_head(struct response *response)
{
    response->status = 200;
    response->content_type = "text/event-stream";
    response->is_stream = true;
    response->body_len = RESPONSE_LENGTH_UNKNOWN;
}

static enum responder_result event_stream_finish(struct responder *base)
{
    struct event_stream *stream = event_stream_of(base);
    if (stream->state == STREAM_NOT_READY)
        return RESPONDER_WAIT;
    write_head(base->response);
    return RESPONDER_READY;
}

static ssize_t event_stream_read(struct responder *base, char *out, size_t max)
{
    struct event_stream *stream = event_stream_of(base);
    stream->api->reads++;
    if (stream->unread_len == 0)
        return stream->state == STREAM_OPEN    ? RESPONDER_READ_WAIT
               : stream->state == STREAM_ENDED ? RESPONDER_READ_END
                                               : RESPONDER_READ_FAILED;
    size_t n = stream->unread_len < max ? stream->unread_len : max;
    memcpy(out, stream->unread, n);
    stream->unread += n;
    stream->unread_len -= n;
    return (ssize_t)n;
}

static void event_stream_cancel(struct responder *base)
{
    struct event_stream *stream = event_stream_of(base);
    stream->api->canceled++;
    stream->state = STREAM_FAILED;
    responder_wake(base);
}

static void event_stream_close(struct responder *base)
{
    event_stream_of(base)->api->closed++;
}

static const struct responder_ops event_stream_ops = {
    .finish = event_stream_finish,
    .read = event_stream_read,
    .cancel = event_stream_cancel,
    .close = event_stream_close,
};

const struct limits *api_limits(const struct api *api)
{
    return &api->limits;
}

const struct registry *api_registry(const struct api *api)
{
    (void)api;
    return NULL;
}

void api_generate_id(struct api *api, int64_t now_us, char out[ID_SIZE])
{
    (void)api;
    (void)now_us;
    memset(out, '0', ID_LEN);
    out[ID_LEN] = '\0';
}

const struct route *api_route(struct api *api, struct request *request, struct response *response)
{
    static const struct route route = {.body = BODY_NONE};
    (void)api;
    (void)request;
    (void)response;
    return &route;
}

enum body_kind route_body_kind(const struct route *route)
{
    return route->body;
}

struct responder *api_handle(struct api *api, const struct route *route, const struct request *request,
                             struct response *response)
{
    (void)route;
    struct event_stream *stream = arena_alloc(request->arena, sizeof *stream);
    CHECK(stream != NULL);
    responder_init(&stream->base, &event_stream_ops, response);
    stream->api = api;
    stream->state = api->finish_waits ? STREAM_NOT_READY : STREAM_OPEN;
    stream->unread_len = 0;
    api->stream = stream;
    api->opened++;
    return &stream->base;
}

/* -- the server and a client --------------------------------------------------------------------------------------- */

struct fixture {
    uv_loop_t loop;
    uv_prepare_t prepare;
    uv_timer_t timeout;
    bool (*condition)(const struct fixture *f); /* stops the loop */
    struct api api;
    struct log log;
    struct http_limits limits;
    struct listener *listener;
    struct http_server *server;
    bool drained;

    int client; /* -1: closed */
    uv_poll_t client_poll;
    bool at_end; /* the client has read the end of its input, or an error */
    int error;   /* the errno */
    size_t expected_len;
    size_t received_len;
    char received[MAX_RECEIVED];
};

static void on_prepare(uv_prepare_t *prepare)
{
    struct fixture *f = container_of(prepare, struct fixture, prepare);
    http_server_iterate(f->server);
    if (f->condition(f))
        uv_stop(&f->loop);
}

static void on_accepted(void *user, const struct listener *listener, int fd, const struct sockaddr_storage *peer,
                        socklen_t peer_len)
{
    struct fixture *f = user;
    (void)listener;
    http_server_accept(f->server, fd, peer, peer_len, false);
}

static void on_drained(void *user)
{
    struct fixture *f = user;
    f->drained = true;
}

static int setup_server(void **state)
{
    static const struct listener_events events = {.accepted = on_accepted};
    struct fixture *f = calloc(1, sizeof *f);
    if (f == NULL || uv_loop_init(&f->loop) != 0)
        return -1;
    log_open(&f->log, STDERR_FILENO, LOG_TEXT, LOG_ERROR);
    record_set_defaults(&limits_type, &f->api.limits);
    record_set_defaults(&http_limits_type, &f->limits);
    f->limits.idle_timeout_seconds = NS_PER_SECOND;
    const struct http_server_config config = {.loop = &f->loop,
                                              .api = &f->api,
                                              .log = &f->log,
                                              .limits = &f->limits,
                                              .max_lingering = 1,
                                              .drained = on_drained,
                                              .user = f};
    if (http_server_new(&config, &f->server, NULL) != 0 ||
        listener_open(&f->loop, STR("127.0.0.1:0"), &f->listener, NULL) != 0)
        return -1;
    listener_start(f->listener, &events, f);
    uv_prepare_init(&f->loop, &f->prepare);
    uv_prepare_start(&f->prepare, on_prepare);
    uv_timer_init(&f->loop, &f->timeout);
    f->client = -1;
    *state = f;
    return 0;
}

static void on_timeout(uv_timer_t *timeout)
{
    uv_stop(timeout->loop);
}

/* Runs the loop until condition(f) holds; false after `ms`. */
static bool run_for(struct fixture *f, bool (*condition)(const struct fixture *f), uint64_t ms)
{
    f->condition = condition;
    uv_update_time(&f->loop);
    uv_timer_start(&f->timeout, on_timeout, ms, 0);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    uv_timer_stop(&f->timeout);
    return condition(f);
}

static void run_until(struct fixture *f, bool (*condition)(const struct fixture *f))
{
    assert_true(run_for(f, condition, RUN_TIMEOUT_MS));
}

static bool never(const struct fixture *f)
{
    (void)f;
    return false;
}

static bool all_streams_are_closed(const struct fixture *f)
{
    return f->api.opened > 0 && f->api.closed == f->api.opened;
}

static bool stream_is_open(const struct fixture *f)
{
    return f->api.opened == f->api.closed + 1;
}

static bool no_connection_is_left(const struct fixture *f)
{
    return http_server_connection_count(f->server) == 0;
}

static bool client_is_at_end(const struct fixture *f)
{
    return f->at_end;
}

static bool stream_is_read(const struct fixture *f)
{
    return f->api.reads > 0;
}

static bool has_received_expected(const struct fixture *f)
{
    return f->received_len >= f->expected_len;
}

static bool has_received_head(const struct fixture *f)
{
    return strstr(f->received, "\r\n\r\n") != NULL;
}

static void on_client_readable(uv_poll_t *poll, int status, int events)
{
    struct fixture *f = container_of(poll, struct fixture, client_poll);
    (void)status;
    (void)events;
    ssize_t n = recv(f->client, f->received + f->received_len, MAX_RECEIVED - 1 - f->received_len, MSG_DONTWAIT);
    if (n > 0)
        f->received_len += (size_t)n;
    if (n > 0 || (n < 0 && errno == EAGAIN))
        return;
    f->error = n < 0 ? errno : 0;
    f->at_end = true;
    uv_poll_stop(poll);
}

static void client_read(struct fixture *f)
{
    uv_poll_start(&f->client_poll, UV_READABLE, on_client_readable);
}

static void client_connect(struct fixture *f)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    addr.sin_port = htons((uint16_t)strtoul(strrchr(listener_name(f->listener), ':') + 1, NULL, 10));
    f->client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(f->client >= 0);
    assert_int_equal(connect(f->client, (struct sockaddr *)&addr, sizeof addr), 0);
    assert_int_equal(uv_poll_init(&f->loop, &f->client_poll, f->client), 0);
    f->at_end = false;
    client_read(f);
}

static void client_send(struct fixture *f, const char *text)
{
    assert_int_equal(send(f->client, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void on_client_closed(uv_handle_t *handle)
{
    container_of((uv_poll_t *)handle, struct fixture, client_poll)->client = -1;
}

static bool client_is_closed(const struct fixture *f)
{
    return f->client < 0;
}

static void client_close(struct fixture *f, bool reset)
{
    struct linger abort = {.l_onoff = 1, .l_linger = 0};
    uv_close((uv_handle_t *)&f->client_poll, on_client_closed);
    if (reset)
        assert_int_equal(setsockopt(f->client, SOL_SOCKET, SO_LINGER, &abort, sizeof abort), 0);
    close(f->client);
    run_until(f, client_is_closed);
}

static void forget_received(struct fixture *f)
{
    memset(f->received, 0, f->received_len);
    f->received_len = 0;
}

/* Runs the loop until the client has received `text`; more may follow. */
static void expect_prefix(struct fixture *f, const char *text)
{
    f->expected_len = strlen(text);
    assert_true(run_for(f, has_received_expected, RUN_TIMEOUT_MS));
    assert_memory_equal(f->received, text, f->expected_len);
}

static void expect_received(struct fixture *f, const char *text)
{
    expect_prefix(f, text);
    assert_int_equal(f->received_len, f->expected_len);
    forget_received(f);
}

static int teardown_server(void **state)
{
    struct fixture *f = *state;
    if (f->client >= 0)
        client_close(f, false);
    listener_close(f->listener);
    if (!run_for(f, no_connection_is_left, RUN_TIMEOUT_MS))
        return -1;
    http_server_close(f->server);
    uv_close((uv_handle_t *)&f->prepare, NULL);
    uv_close((uv_handle_t *)&f->timeout, NULL);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    int rc = uv_loop_close(&f->loop);
    log_close(&f->log);
    bool closed = f->api.closed == f->api.opened;
    free(f);
    return rc == 0 && closed ? 0 : -1;
}

#define GET_1_1 "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n"
#define GET_1_0 "GET /events HTTP/1.0\r\nHost: localhost\r\n\r\n"

static void stream_send(struct fixture *f, const char *event)
{
    f->api.stream->unread = event;
    f->api.stream->unread_len = strlen(event);
    responder_wake(&f->api.stream->base);
}

static void stream_set_state(struct fixture *f, enum event_stream_state to)
{
    f->api.stream->state = to;
    responder_wake(&f->api.stream->base);
}

/* Sends a request, and receives the head of the response. */
static void open_stream(struct fixture *f, const char *request)
{
    client_connect(f);
    client_send(f, request);
    run_until(f, has_received_head);
    assert_memory_equal(f->received, "HTTP/1.1 200 ", 13);
    assert_non_null(strstr(f->received, "\r\nContent-Type: text/event-stream\r\n"));
    assert_null(strstr(f->received, "Content-Length"));
}

/* -- tests --------------------------------------------------------------------------------------------------------- */

static void events_are_sent_as_they_arrive(void **state)
{
    struct fixture *f = *state;
    open_stream(f, GET_1_1);
    assert_non_null(strstr(f->received, "\r\nTransfer-Encoding: chunked\r\n"));
    for (int i = 0; i < 2; i++) { /* two responses on one connection */
        forget_received(f);
        assert_true(stream_is_open(f));
        stream_send(f, "data: 1\n\n");
        expect_received(f, "9\r\ndata: 1\n\n\r\n");
        stream_send(f, "data: 20\n\n");
        expect_received(f, "A\r\ndata: 20\n\n\r\n");
        stream_set_state(f, STREAM_ENDED);
        expect_received(f, "0\r\n\r\n");
        run_until(f, all_streams_are_closed);
        client_send(f, GET_1_1);
        run_until(f, has_received_head);
    }
}

static void http_1_0_response_ends_with_the_connection(void **state)
{
    struct fixture *f = *state;
    open_stream(f, GET_1_0);
    assert_null(strstr(f->received, "Transfer-Encoding"));
    forget_received(f);
    stream_send(f, "data: 1\n\n");
    expect_received(f, "data: 1\n\n");
    stream_send(f, "data: 2\n\n");
    expect_received(f, "data: 2\n\n");
    stream_set_state(f, STREAM_ENDED);
    run_until(f, client_is_at_end);
    assert_int_equal(f->error, 0);
    expect_received(f, "");
    run_until(f, all_streams_are_closed);
}

static void head_reads_no_event(void **state)
{
    struct fixture *f = *state;
    static const char *const requests[] = {"HEAD /events HTTP/1.1\r\nHost: localhost\r\n\r\n",
                                           "HEAD /events HTTP/1.0\r\nHost: localhost\r\n\r\n"};
    for (size_t i = 0; i < COUNT_OF(requests); i++) {
        open_stream(f, requests[i]);
        run_until(f, client_is_at_end);
        assert_string_equal(strstr(f->received, "\r\n\r\n"), "\r\n\r\n");
        assert_true(all_streams_are_closed(f));
        forget_received(f);
        client_close(f, false);
    }
    assert_int_equal(f->api.reads, 0);
}

static void disconnect_is_noticed_while_waiting(void **state)
{
    struct fixture *f = *state;
    enum { HTTP_1_0 = 1, RESET = 2, AFTER_EVENT = 4, HALF_CLOSE = 8, UNREAD_BYTES = 16, ALL = 32 };
    for (int i = 0; i < ALL; i++) {
        f->api = (struct api){.limits = f->api.limits};
        forget_received(f);
        open_stream(f, (i & HTTP_1_0) != 0 ? GET_1_0 : GET_1_1);
        forget_received(f);
        if ((i & AFTER_EVENT) != 0) {
            stream_send(f, "x");
            expect_received(f, (i & HTTP_1_0) != 0 ? "x" : "1\r\nx\r\n");
        }
        run_until(f, stream_is_read);
        if ((i & UNREAD_BYTES) != 0)
            client_send(f, GET_1_1);
        if ((i & HALF_CLOSE) != 0)
            shutdown(f->client, SHUT_WR);
        else
            client_close(f, (i & RESET) != 0);
        run_until(f, all_streams_are_closed);
        run_until(f, no_connection_is_left);
        assert_int_equal(f->api.opened, 1);
        assert_int_equal(f->api.canceled, 0);
        if (f->client >= 0)
            client_close(f, false);
    }
}

static void disconnect_is_noticed_before_the_response(void **state)
{
    struct fixture *f = *state;
    f->api.finish_waits = true;
    client_connect(f);
    client_send(f, GET_1_1);
    run_until(f, stream_is_open);
    client_close(f, false);
    run_until(f, all_streams_are_closed);
    assert_int_equal(f->api.canceled, 1);
}

static void stream_may_begin_late(void **state)
{
    struct fixture *f = *state;
    f->api.finish_waits = true;
    client_connect(f);
    client_send(f, GET_1_1);
    run_until(f, stream_is_open);
    stream_set_state(f, STREAM_OPEN);
    run_until(f, has_received_head);
    forget_received(f);
    stream_send(f, "x");
    expect_received(f, "1\r\nx\r\n");
    stream_set_state(f, STREAM_ENDED);
    expect_received(f, "0\r\n\r\n");
}

static void failure_cuts_the_response_off(void **state)
{
    struct fixture *f = *state;
    static const char *const requests[] = {GET_1_1, GET_1_0};
    for (size_t i = 0; i < COUNT_OF(requests); i++) {
        open_stream(f, requests[i]);
        forget_received(f);
        stream_set_state(f, STREAM_FAILED);
        run_until(f, client_is_at_end);
        expect_received(f, "");
        run_until(f, all_streams_are_closed);
        client_close(f, false);
    }
}

static void pipelined_request_waits_for_the_end(void **state)
{
    struct fixture *f = *state;
    open_stream(f, GET_1_1 GET_1_1);
    forget_received(f);
    stream_send(f, "x");
    expect_received(f, "1\r\nx\r\n");
    assert_int_equal(f->api.opened, 1);
    stream_set_state(f, STREAM_ENDED);
    expect_prefix(f, "0\r\n\r\nHTTP/1.1 200 ");
    assert_int_equal(f->api.opened, 2);
}

static void long_event_is_sent_whole(void **state)
{
    struct fixture *f = *state;
    enum { LEN = MAX_RECEIVED / 2 };
    char *event = malloc(LEN + 1);
    assert_non_null(event);
    memset(event, 'x', LEN);
    event[LEN] = '\0';
    open_stream(f, GET_1_0);
    forget_received(f);
    stream_send(f, event);
    expect_received(f, event);
    free(event);
    stream_set_state(f, STREAM_ENDED);
    run_until(f, client_is_at_end);
}

/* The client does not read: the server waits for space in the socket buffer, not for events. */
static void slow_client_is_disconnected(void **state)
{
    struct fixture *f = *state;
    enum { LEN = 64 * 1024 * 1024 };
    char *event = malloc(LEN + 1);
    assert_non_null(event);
    memset(event, 'x', LEN);
    event[LEN] = '\0';
    for (int hangs_up = 0; hangs_up <= 1; hangs_up++) {
        forget_received(f);
        open_stream(f, GET_1_1);
        uv_poll_stop(&f->client_poll);
        stream_send(f, event);
        assert_false(run_for(f, all_streams_are_closed, 50));
        if (hangs_up)
            client_close(f, false);
        run_until(f, all_streams_are_closed); /* after the idle timeout, or before it */
        if (!hangs_up)
            client_close(f, false);
    }
    free(event);
}

static void wait_may_exceed_idle_timeout(void **state)
{
    struct fixture *f = *state;
    open_stream(f, GET_1_1);
    forget_received(f);
    assert_false(run_for(f, never, 1500));
    stream_send(f, "x");
    expect_received(f, "1\r\nx\r\n");
}

static void drain_waits_for_the_end(void **state)
{
    struct fixture *f = *state;
    open_stream(f, GET_1_1);
    forget_received(f);
    http_server_drain(f->server);
    stream_send(f, "x");
    expect_received(f, "1\r\nx\r\n");
    assert_false(f->drained);
    stream_set_state(f, STREAM_ENDED);
    run_until(f, client_is_at_end);
    expect_received(f, "0\r\n\r\n");
    run_until(f, no_connection_is_left);
    run_until(f, all_streams_are_closed);
    assert_true(f->drained);
}

static void abort_ends_waiting_stream(void **state)
{
    struct fixture *f = *state;
    open_stream(f, GET_1_1);
    http_server_drain(f->server);
    http_server_abort_connections(f->server);
    run_until(f, no_connection_is_left);
    run_until(f, all_streams_are_closed);
}

#define SERVER_TEST(f) cmocka_unit_test_setup_teardown(f, setup_server, teardown_server)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVER_TEST(events_are_sent_as_they_arrive),
        SERVER_TEST(http_1_0_response_ends_with_the_connection),
        SERVER_TEST(head_reads_no_event),
        SERVER_TEST(disconnect_is_noticed_while_waiting),
        SERVER_TEST(disconnect_is_noticed_before_the_response),
        SERVER_TEST(stream_may_begin_late),
        SERVER_TEST(failure_cuts_the_response_off),
        SERVER_TEST(pipelined_request_waits_for_the_end),
        SERVER_TEST(long_event_is_sent_whole),
        SERVER_TEST(slow_client_is_disconnected),
        SERVER_TEST(wait_may_exceed_idle_timeout),
        SERVER_TEST(drain_waits_for_the_end),
        SERVER_TEST(abort_ends_waiting_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

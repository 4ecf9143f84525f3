/* test_exchange - exchanges: how a request is received, rejected, suspended and answered. */
#include "runtime/types/type_parse.h"
#include "service/http/exchange.h"
#include "service/log/log.h"
#include "tests/unit/support/alloc_fault.h"
#include "tests/unit/support/runtime_fixture.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { DISCARD_LIMIT = 64 * 1024 * 1024 };

struct server {
    struct fixture *fixture;
    struct api *api;
    struct log log;
    int log_fd;
    struct http_limits limits;
    struct exchange_context context;
    int finished_tasks;
};

/* The client of one exchange. */
struct client {
    struct server *server;
    struct exchange *exchange;
    int wakes;
};

static void on_wake(void *user)
{
    struct client *client = user;
    client->wakes++;
}

static void on_task_finished(void *user, const struct task_snapshot *task, struct str request_id)
{
    struct server *server = user;
    (void)task;
    (void)request_id;
    server->finished_tasks++;
}

static int setup_server(void **state)
{
    struct server *server = calloc(1, sizeof *server);
    struct err e;
    if (server == NULL || (server->fixture = fixture_new(NULL)) == NULL)
        return -1;
    server->log_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    log_open(&server->log, server->log_fd, LOG_TEXT, LOG_ERROR);
    record_set_defaults(&http_limits_type, &server->limits);
    const struct api_config config = {
        .runtime = server->fixture->runtime, .on_task_finished = on_task_finished, .user = server};
    if (api_new(&config, &server->api, &e) != 0)
        return -1;
    server->context =
        (struct exchange_context){.api = server->api, .log = &server->log, .limits = &server->limits, .wake = on_wake};
    *state = server;
    return 0;
}

static int teardown_server(void **state)
{
    struct server *server = *state;
    bool clean = fixture_free(server->fixture);
    api_free(server->api);
    log_close(&server->log);
    close(server->log_fd);
    free(server);
    return clean ? 0 : -1;
}

static void add_field(struct request_head *head, const char *name, const char *value)
{
    request_head_add_field(head, str_from(name), str_from(value));
}

/* Sends the head of a request with a JSON body; content_length NULL: the body is chunked. */
static enum exchange_action send_head(struct client *client, struct server *server, const char *method,
                                      const char *target, const char *content_length, bool expects_continue)
{
    *client = (struct client){.server = server};
    client->exchange = exchange_new(&server->context, target, client);
    assert_non_null(client->exchange);
    struct request_head *head = exchange_head(client->exchange);
    request_head_set_line(head, method, "HTTP/1.1");
    add_field(head, "Host", "localhost");
    add_field(head, "Content-Type", "application/json");
    add_field(head, content_length == NULL ? "Transfer-Encoding" : "Content-Length",
              content_length == NULL ? "chunked" : content_length);
    if (expects_continue)
        add_field(head, "Expect", "100-continue");
    return exchange_receive_head(client->exchange);
}

static enum exchange_action send_body(struct client *client, const char *bytes, size_t len)
{
    size_t consumed = len;
    enum exchange_action action = exchange_receive_body(client->exchange, bytes, &consumed);
    assert_int_equal(consumed, len);
    return action;
}

/* Sends a whole request, whose head and body must be accepted; returns the action after its end. */
static enum exchange_action send_request(struct client *client, struct server *server, const char *target,
                                         const char *body)
{
    assert_int_equal(send_head(client, server, "POST", target, NULL, false), EXCHANGE_CONTINUE);
    assert_int_equal(send_body(client, body, strlen(body)), EXCHANGE_CONTINUE);
    return exchange_receive_end(client->exchange);
}

static void expect_status(struct client *client, int status)
{
    const struct response *response = exchange_response(client->exchange);
    assert_int_equal(response->status, status);
    exchange_response_queued(client->exchange, false);
    exchange_free(client->exchange);
}

static bool is_woken(const void *of)
{
    const struct client *client = of;
    return client->wakes > 0;
}

static void task_that_ends_at_once_is_not_suspended(void **state)
{
    struct server *server = *state;
    struct client client;
    assert_int_equal(send_request(&client, server, "/v1/run/sleep", "{\"seconds\": 0}"), EXCHANGE_RESPOND);
    assert_int_equal(client.wakes, 0);
    assert_int_equal(server->finished_tasks, 1);
    expect_status(&client, 200);
}

static void suspended_exchange_is_woken_once(void **state)
{
    struct server *server = *state;
    struct client client;
    assert_int_equal(send_request(&client, server, "/v1/run/sleep", "{\"seconds\": 0.001}"), EXCHANGE_SUSPEND);
    assert_int_equal(client.wakes, 0);
    assert_true(run_until(server->fixture, is_woken, &client));
    assert_int_equal(exchange_resume(client.exchange), EXCHANGE_RESPOND);
    assert_true(run_until_idle(server->fixture));
    assert_int_equal(client.wakes, 1);
    expect_status(&client, 200);
}

static void disconnect_cancels_task(void **state)
{
    struct server *server = *state;
    struct client client;
    assert_int_equal(send_request(&client, server, "/v1/run/sleep", "{\"seconds\": 1000}"), EXCHANGE_SUSPEND);
    exchange_disconnect(client.exchange);
    assert_true(run_until(server->fixture, is_woken, &client));
    assert_int_equal(exchange_resume(client.exchange), EXCHANGE_RESPOND);
    assert_int_equal(exchange_response(client.exchange)->rc, ERR_CANCELED);
    assert_true(exchange_response(client.exchange)->is_task_result);
    expect_status(&client, error_status(ERR_CANCELED));
}

static void rejected_body_is_discarded(void **state)
{
    struct server *server = *state;
    struct client client;
    assert_int_equal(send_request(&client, server, "/v1/run/nothing", "{malformed"), EXCHANGE_RESPOND);
    expect_status(&client, 404);
    assert_int_equal(send_request(&client, server, "/v1/run/sleep?nothing=1", "{malformed"), EXCHANGE_RESPOND);
    expect_status(&client, 422);
    assert_int_equal(server->finished_tasks, 0);
}

static void rejection_under_expect_continue_aborts(void **state)
{
    struct server *server = *state;
    struct client client;
    assert_int_equal(send_head(&client, server, "POST", "/v1/run/nothing", "9", true), EXCHANGE_ABORT);
    expect_status(&client, 404);
    assert_int_equal(send_head(&client, server, "POST", "/v1/run/sleep", "9", true), EXCHANGE_CONTINUE);
    exchange_free(client.exchange);
}

static void body_over_discard_limit_aborts(void **state)
{
    struct server *server = *state;
    struct client client;
    assert_int_equal(send_head(&client, server, "POST", "/v1/run/nothing", "67108864", false), EXCHANGE_CONTINUE);
    exchange_free(client.exchange);
    assert_int_equal(send_head(&client, server, "POST", "/v1/run/nothing", "67108865", false), EXCHANGE_ABORT);
    expect_status(&client, 404);
    assert_int_equal(send_head(&client, server, "GET", "/livez", "67108865", false), EXCHANGE_ABORT);
    expect_status(&client, 413);

    static char piece[1024 * 1024];
    assert_int_equal(send_head(&client, server, "GET", "/livez", NULL, false), EXCHANGE_CONTINUE);
    for (int i = 0; i < DISCARD_LIMIT / (int)sizeof piece; i++)
        assert_int_equal(send_body(&client, piece, sizeof piece), EXCHANGE_CONTINUE);
    assert_int_equal(send_body(&client, piece, 1), EXCHANGE_ABORT);
    expect_status(&client, 413);
}

static void body_limit_is_independent_of_pieces(void **state)
{
    struct server *server = *state;
    struct client client;
    static char body[5000];
    server->limits.max_body_bytes = 1000;
    for (size_t piece = 100; piece <= sizeof body; piece *= 50) {
        assert_int_equal(send_head(&client, server, "GET", "/livez", NULL, false), EXCHANGE_CONTINUE);
        for (size_t sent = 0; sent < sizeof body; sent += piece)
            assert_int_equal(send_body(&client, body, piece), EXCHANGE_CONTINUE);
        assert_int_equal(exchange_receive_end(client.exchange), EXCHANGE_RESPOND);
        expect_status(&client, 200);

        assert_int_equal(send_head(&client, server, "POST", "/v1/tasks", NULL, false), EXCHANGE_CONTINUE);
        for (size_t sent = 0; sent < sizeof body; sent += piece)
            assert_int_equal(send_body(&client, body, piece), EXCHANGE_CONTINUE);
        assert_int_equal(exchange_receive_end(client.exchange), EXCHANGE_RESPOND);
        expect_status(&client, 413);
    }
}

static void draining_rejects_tasks_from_head(void **state)
{
    struct server *server = *state;
    struct client client;
    runtime_reject_new(server->fixture->runtime);
    static const char *const targets[] = {"/v1/tasks", "/v1/run/sleep", "/v1/gather"};
    for (size_t i = 0; i < COUNT_OF(targets); i++) {
        assert_int_equal(send_head(&client, server, "POST", targets[i], "9", true), EXCHANGE_ABORT);
        expect_status(&client, 503);
    }
}

/* Each failed allocation leads to a 503, or no exchange is made; nothing leaks. */
static void out_of_memory_is_reported(void **state)
{
    struct server *server = *state;
    unsigned long n = 0;
    bool failed;
    do {
        struct client client = {.server = server};
        int status = 503;
        alloc_fail_at(++n);
        client.exchange = exchange_new(&server->context, "/v1/run/sleep?name=a", &client);
        if (client.exchange != NULL) {
            struct request_head *head = exchange_head(client.exchange);
            request_head_set_line(head, "POST", "HTTP/1.1");
            add_field(head, "Host", "localhost");
            add_field(head, "Content-Type", "application/json");
            add_field(head, "Transfer-Encoding", "chunked");
            static const char body[] = "{\"seconds\": 0}";
            size_t len = sizeof body - 1;
            if (exchange_receive_head(client.exchange) == EXCHANGE_CONTINUE &&
                exchange_receive_body(client.exchange, body, &len) == EXCHANGE_CONTINUE)
                assert_int_equal(exchange_receive_end(client.exchange), EXCHANGE_RESPOND);
            status = exchange_response(client.exchange)->status;
            exchange_free(client.exchange);
        }
        failed = alloc_count() >= n;
        alloc_fail_at(0);
        assert_int_equal(status, failed ? 503 : 200);
    } while (failed);
    assert_true(n > 3);
}

#define SERVER_TEST(f) cmocka_unit_test_setup_teardown(f, setup_server, teardown_server)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVER_TEST(task_that_ends_at_once_is_not_suspended),
        SERVER_TEST(suspended_exchange_is_woken_once),
        SERVER_TEST(disconnect_cancels_task),
        SERVER_TEST(rejected_body_is_discarded),
        SERVER_TEST(rejection_under_expect_continue_aborts),
        SERVER_TEST(body_over_discard_limit_aborts),
        SERVER_TEST(body_limit_is_independent_of_pieces),
        SERVER_TEST(draining_rejects_tasks_from_head),
        SERVER_TEST(out_of_memory_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_disconnect_watch - a disconnect is reported once, only while it is watched, and also if allocations fail. */
#include "runtime/lib/util.h"
#include "service/net/disconnect_watch.h"
#include "tests/unit/support/alloc_fault.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    uv_loop_t loop;
    uv_timer_t ticker; /* keeps uv_run() from blocking */
    struct disconnect_watch_set *set;
    struct disconnect_watch watch;
    int fds[2]; /* the ends of the service and of the client */
    int disconnects;
};

static void on_tick(uv_timer_t *ticker)
{
    (void)ticker;
}

static void on_disconnected(struct disconnect_watch *watch)
{
    if (watch->state == DISCONNECT_WATCH_IDLE)
        container_of(watch, struct fixture, watch)->disconnects++;
}

static int setup_watch(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    if (f == NULL || uv_loop_init(&f->loop) != 0 || disconnect_watch_set_new(&f->loop, &f->set, NULL) != 0)
        return -1;
    uv_timer_init(&f->loop, &f->ticker);
    uv_timer_start(&f->ticker, on_tick, 5, 5);
    *state = f;
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, f->fds);
}

static int teardown_watch(void **state)
{
    struct fixture *f = *state;
    alloc_fail_at(0);
    disconnect_watch_stop(&f->watch);
    disconnect_watch_set_close(f->set);
    uv_close((uv_handle_t *)&f->ticker, NULL);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    close(f->fds[0]);
    if (f->fds[1] >= 0)
        close(f->fds[1]);
    int rc = uv_loop_close(&f->loop);
    free(f);
    return rc;
}

static void start(struct fixture *f)
{
    uv_update_time(&f->loop);
    disconnect_watch_start(f->set, &f->watch, f->fds[0], on_disconnected);
    assert_int_equal(f->watch.state, DISCONNECT_WATCH_PENDING);
}

static void hang_up(struct fixture *f)
{
    close(f->fds[1]);
    f->fds[1] = -1;
}

static void run_until_state(struct fixture *f, enum disconnect_watch_state expected)
{
    for (int i = 0; i < 2000 && f->watch.state != expected; i++)
        uv_run(&f->loop, UV_RUN_ONCE);
    assert_int_equal(f->watch.state, expected);
}

static void disconnect_is_reported_once(void **state)
{
    struct fixture *f = *state;
    start(f);
    run_until_state(f, DISCONNECT_WATCH_POLLING);
    hang_up(f);
    run_until_state(f, DISCONNECT_WATCH_IDLE);
    assert_int_equal(f->disconnects, 1);
    disconnect_watch_stop(&f->watch); /* no effect */
    for (int i = 0; i < 10; i++)
        uv_run(&f->loop, UV_RUN_ONCE);
    assert_int_equal(f->disconnects, 1);
}

static void pending_watch_reports_earlier_disconnect(void **state)
{
    struct fixture *f = *state;
    hang_up(f);
    start(f);
    run_until_state(f, DISCONNECT_WATCH_IDLE);
    assert_int_equal(f->disconnects, 1);
}

static void sent_bytes_are_no_disconnect(void **state)
{
    struct fixture *f = *state;
    start(f);
    run_until_state(f, DISCONNECT_WATCH_POLLING);
    assert_int_equal(write(f->fds[1], "x", 1), 1);
    for (int i = 0; i < 10; i++)
        uv_run(&f->loop, UV_RUN_ONCE);
    assert_int_equal(f->watch.state, DISCONNECT_WATCH_POLLING);
    assert_int_equal(f->disconnects, 0);
}

static void stopped_watch_reports_nothing(void **state)
{
    struct fixture *f = *state;
    start(f);
    disconnect_watch_stop(&f->watch);
    assert_int_equal(f->watch.state, DISCONNECT_WATCH_IDLE);
    start(f);
    run_until_state(f, DISCONNECT_WATCH_POLLING);
    hang_up(f);
    disconnect_watch_stop(&f->watch);
    for (int i = 0; i < 10; i++)
        uv_run(&f->loop, UV_RUN_ONCE);
    assert_int_equal(f->disconnects, 0);
}

static void failed_allocation_is_retried(void **state)
{
    struct fixture *f = *state;
    start(f);
    alloc_fail_at(1);
    hang_up(f);
    while (alloc_count() == 0)
        uv_run(&f->loop, UV_RUN_ONCE);
    assert_int_equal(f->watch.state, DISCONNECT_WATCH_PENDING);
    run_until_state(f, DISCONNECT_WATCH_IDLE);
    assert_int_equal(f->disconnects, 1);
}

#define WATCH_TEST(f) cmocka_unit_test_setup_teardown(f, setup_watch, teardown_watch)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WATCH_TEST(disconnect_is_reported_once),  WATCH_TEST(pending_watch_reports_earlier_disconnect),
        WATCH_TEST(sent_bytes_are_no_disconnect), WATCH_TEST(stopped_watch_reports_nothing),
        WATCH_TEST(failed_allocation_is_retried),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* listener - which addresses are loopback, and what becomes of connections when there is no descriptor for them. */
#include "runtime/lib/util.h"
#include "service/net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

enum { CLIENTS = 8 };

struct fixture {
    uv_loop_t loop;
    uv_timer_t turn; /* so that the loop never blocks for ever */
    struct listener *listener;
    struct rlimit before;
    int clients[CLIENTS];
    int accepted, refused, exhausted; /* how often each was told */
    int error;                        /* that was told last */
    int taken[CLIENTS];               /* accepted ones */
};

static void on_accepted(void *user, const struct listener *listener, int fd, const struct sockaddr_storage *peer,
                        socklen_t peer_len)
{
    struct fixture *f = user;
    (void)listener;
    (void)peer;
    (void)peer_len;
    f->taken[f->accepted++] = fd;
}

static void on_refused(void *user, int fd)
{
    struct fixture *f = user;
    (void)fd;
    f->refused++;
}

static void on_exhausted(void *user, const struct listener *listener, int error)
{
    struct fixture *f = user;
    (void)listener;
    f->exhausted++;
    f->error = error;
}

static const struct listener_events events = {
    .accepted = on_accepted, .refused = on_refused, .exhausted = on_exhausted};

static void on_turn(uv_timer_t *turn)
{
    (void)turn;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    if (f == NULL || uv_loop_init(&f->loop) != 0 ||
        listener_open(&f->loop, STR("127.0.0.1:0"), &f->listener, NULL) != 0)
        return -1;
    uv_timer_init(&f->loop, &f->turn);
    uv_timer_start(&f->turn, on_turn, 5, 5);
    listener_start(f->listener, &events, f);
    uv_run(&f->loop, UV_RUN_NOWAIT); /* what the loop opens for itself is open now */
    for (int i = 0; i < CLIENTS; i++)
        f->clients[i] = -1;
    *state = f;
    return getrlimit(RLIMIT_NOFILE, &f->before);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    setrlimit(RLIMIT_NOFILE, &f->before);
    for (int i = 0; i < CLIENTS; i++)
        if (f->clients[i] >= 0)
            close(f->clients[i]);
    for (int i = 0; i < f->accepted; i++)
        close(f->taken[i]);
    if (f->listener != NULL)
        listener_close(f->listener);
    uv_close((uv_handle_t *)&f->turn, NULL);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    int rc = uv_loop_close(&f->loop);
    free(f);
    return rc;
}

/* The connection is complete, and waits in the kernel. */
static void dial(struct fixture *f, int i)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const char *port = strrchr(listener_name(f->listener), ':') + 1;
    to.sin_port = htons((uint16_t)strtoul(port, NULL, 10));
    f->clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(f->clients[i] >= 0);
    assert_int_equal(connect(f->clients[i], (struct sockaddr *)&to, sizeof to), 0);
}

/* From now on there is no descriptor but those in use, and `more`. */
static void allow_only(struct fixture *f, int more)
{
    struct rlimit limit = f->before;
    int next[1 + CLIENTS];
    for (int i = 0; i <= more; i++)
        assert_true((next[i] = dup(0)) >= 0);
    for (int i = 0; i <= more; i++)
        close(next[i]);
    limit.rlim_cur = (rlim_t)next[more];
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    if (more == 0)
        assert_true(dup(0) < 0 && errno == EMFILE);
}

static bool turn_until(struct fixture *f, const int *count, int wanted)
{
    for (int i = 0; i < 2000 && *count < wanted; i++)
        uv_run(&f->loop, UV_RUN_ONCE);
    return *count == wanted;
}

/* Whether the other side has closed it. */
static bool ended(int client)
{
    char byte;
    return recv(client, &byte, 1, MSG_DONTWAIT) == 0;
}

static void what_others_can_reach_is_not_loopback(void **state)
{
    struct fixture *f = *state;
    char path[64];
    snprintf(path, sizeof path, "unix:/tmp/gatherd-listener-%d", (int)getpid());
    const struct {
        const char *address;
        bool local, loopback;
    } rows[] = {
        {"127.0.0.1:0", true, true}, {"127.1.2.3:0", true, true}, {"localhost:0", true, true},
        {"0.0.0.0:0", false, false}, {path, true, false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct listener *listener;
        assert_int_equal(listener_open(&f->loop, str_from(rows[i].address), &listener, NULL), 0);
        bool local = listener_is_local(listener), loopback = listener_is_loopback(listener);
        listener_close(listener);
        assert_int_equal(local, rows[i].local);
        assert_int_equal(loopback, rows[i].loopback);
    }
}

static void with_no_descriptor_left_each_is_refused_at_once(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < CLIENTS; i++)
        dial(f, i);
    allow_only(f, 0);
    assert_true(turn_until(f, &f->refused, CLIENTS));
    assert_int_equal(f->accepted, 0);
    assert_int_equal(f->exhausted, 1);
    assert_int_equal(f->error, EMFILE);
    for (int i = 0; i < CLIENTS; i++)
        assert_true(ended(f->clients[i]));
}

static void the_last_descriptor_is_used_without_a_complaint(void **state)
{
    struct fixture *f = *state;
    dial(f, 0);
    dial(f, 1);
    allow_only(f, 2);
    assert_true(turn_until(f, &f->accepted, 2));
    for (int i = 0; i < 20; i++)
        uv_run(&f->loop, UV_RUN_ONCE);
    assert_int_equal(f->refused + f->exhausted, 0);
}

static void it_goes_on_when_there_are_descriptors_again(void **state)
{
    struct fixture *f = *state;
    dial(f, 0);
    allow_only(f, 0);
    assert_true(turn_until(f, &f->refused, 1));
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &f->before), 0);
    dial(f, 1);
    assert_true(turn_until(f, &f->accepted, 1));
    dial(f, 2);
    allow_only(f, 0);
    assert_true(turn_until(f, &f->refused, 2));
    assert_int_equal(f->exhausted, 1); /* of the same spell */
    assert_false(ended(f->clients[1]));
}

#define LISTENER_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LISTENER_TEST(what_others_can_reach_is_not_loopback),
        LISTENER_TEST(with_no_descriptor_left_each_is_refused_at_once),
        LISTENER_TEST(the_last_descriptor_is_used_without_a_complaint),
        LISTENER_TEST(it_goes_on_when_there_are_descriptors_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_listener - kinds of addresses, connections while descriptors are exhausted, existing Unix socket files. */
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
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

enum { CLIENTS = 8 };

struct fixture {
    uv_loop_t loop;
    uv_timer_t ticker; /* keeps uv_run() from blocking */
    struct listener *listener;
    struct rlimit saved_limit;
    int clients[CLIENTS];
    int accepted, rejected, accept_failed; /* calls of each callback */
    int error;                             /* the errno passed to the last accept_failed */
    int accepted_fds[CLIENTS];
};

static void on_accepted(void *user, const struct listener *listener, int fd, const struct sockaddr_storage *peer,
                        socklen_t peer_len)
{
    struct fixture *f = user;
    (void)listener;
    (void)peer;
    (void)peer_len;
    f->accepted_fds[f->accepted++] = fd;
}

static void on_rejected(void *user, int fd)
{
    struct fixture *f = user;
    (void)fd;
    f->rejected++;
}

static void on_accept_failed(void *user, const struct listener *listener, int error)
{
    struct fixture *f = user;
    (void)listener;
    f->accept_failed++;
    f->error = error;
}

static const struct listener_events events = {
    .accepted = on_accepted, .rejected = on_rejected, .accept_failed = on_accept_failed};

static void on_tick(uv_timer_t *ticker)
{
    (void)ticker;
}

static int setup_listener(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    if (f == NULL || uv_loop_init(&f->loop) != 0 ||
        listener_open(&f->loop, STR("127.0.0.1:0"), &f->listener, NULL) != 0)
        return -1;
    uv_timer_init(&f->loop, &f->ticker);
    uv_timer_start(&f->ticker, on_tick, 5, 5);
    listener_start(f->listener, &events, f);
    uv_run(&f->loop, UV_RUN_NOWAIT); /* makes the loop open its own descriptors, before they are limited */
    for (int i = 0; i < CLIENTS; i++)
        f->clients[i] = -1;
    *state = f;
    return getrlimit(RLIMIT_NOFILE, &f->saved_limit);
}

static int teardown_listener(void **state)
{
    struct fixture *f = *state;
    setrlimit(RLIMIT_NOFILE, &f->saved_limit);
    for (int i = 0; i < CLIENTS; i++)
        if (f->clients[i] >= 0)
            close(f->clients[i]);
    for (int i = 0; i < f->accepted; i++)
        close(f->accepted_fds[i]);
    if (f->listener != NULL)
        listener_close(f->listener);
    uv_close((uv_handle_t *)&f->ticker, NULL);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    int rc = uv_loop_close(&f->loop);
    free(f);
    return rc;
}

/* Connects client `i`; the connection is then in the listener's backlog. */
static void connect_client(struct fixture *f, int i)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const char *port = strrchr(listener_name(f->listener), ':') + 1;
    addr.sin_port = htons((uint16_t)strtoul(port, NULL, 10));
    f->clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(f->clients[i] >= 0);
    assert_int_equal(connect(f->clients[i], (struct sockaddr *)&addr, sizeof addr), 0);
}

/* Lowers RLIMIT_NOFILE so that only `free_fds` more descriptors can be opened. */
static void limit_fds(struct fixture *f, int free_fds)
{
    struct rlimit limit = f->saved_limit;
    int fds[1 + CLIENTS];
    for (int i = 0; i <= free_fds; i++)
        assert_true((fds[i] = dup(0)) >= 0);
    for (int i = 0; i <= free_fds; i++)
        close(fds[i]);
    limit.rlim_cur = (rlim_t)fds[free_fds];
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    if (free_fds == 0)
        assert_true(dup(0) < 0 && errno == EMFILE);
}

static bool run_until_count(struct fixture *f, const int *count, int expected)
{
    for (int i = 0; i < 2000 && *count < expected; i++)
        uv_run(&f->loop, UV_RUN_ONCE);
    return *count == expected;
}

static bool is_closed_by_peer(int client)
{
    char byte;
    return recv(client, &byte, 1, MSG_DONTWAIT) == 0;
}

static void only_loopback_addresses_are_loopback(void **state)
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

static void fd_exhaustion_rejects_connections(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < CLIENTS; i++)
        connect_client(f, i);
    limit_fds(f, 0);
    assert_true(run_until_count(f, &f->rejected, CLIENTS));
    assert_int_equal(f->accepted, 0);
    assert_int_equal(f->accept_failed, 1);
    assert_int_equal(f->error, EMFILE);
    for (int i = 0; i < CLIENTS; i++)
        assert_true(is_closed_by_peer(f->clients[i]));
}

static void last_fd_is_used_without_error(void **state)
{
    struct fixture *f = *state;
    connect_client(f, 0);
    connect_client(f, 1);
    limit_fds(f, 2);
    assert_true(run_until_count(f, &f->accepted, 2));
    for (int i = 0; i < 20; i++)
        uv_run(&f->loop, UV_RUN_ONCE);
    assert_int_equal(f->rejected + f->accept_failed, 0);
}

static void accepting_resumes_when_fds_are_available(void **state)
{
    struct fixture *f = *state;
    connect_client(f, 0);
    limit_fds(f, 0);
    assert_true(run_until_count(f, &f->rejected, 1));
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &f->saved_limit), 0);
    connect_client(f, 1);
    assert_true(run_until_count(f, &f->accepted, 1));
    connect_client(f, 2);
    limit_fds(f, 0);
    assert_true(run_until_count(f, &f->rejected, 2));
    assert_int_equal(f->accept_failed, 1); /* called once for each period of failures */
    assert_false(is_closed_by_peer(f->clients[1]));
}

/* -- Unix sockets -------------------------------------------------------------------------------------------------- */

static int listen_error; /* the errno with which the next listen() fails; 0: none */

/* Replaces the C library's listen() in this executable. */
int listen(int fd, int n)
{
    int error = listen_error;
    listen_error = 0;
    if (error == 0)
        return (int)syscall(SYS_listen, fd, n);
    errno = error;
    return -1;
}

static struct sockaddr_un unix_address(char address[64])
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    snprintf(addr.sun_path, sizeof addr.sun_path, "/tmp/gatherd-listener-%d", (int)getpid());
    snprintf(address, 64, "unix:/tmp/gatherd-listener-%d", (int)getpid());
    unlink(addr.sun_path);
    return addr;
}

static int unix_socket(int flags)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    assert_true(fd >= 0);
    return fd;
}

static void stale_socket_is_replaced(void **state)
{
    struct fixture *f = *state;
    char address[64];
    struct sockaddr_un addr = unix_address(address);
    int fd = unix_socket(0);
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof addr), 0);
    close(fd);
    assert_int_equal(access(addr.sun_path, F_OK), 0);
    struct listener *listener;
    assert_int_equal(listener_open(&f->loop, str_from(address), &listener, NULL), 0);
    listener_close(listener);
    assert_int_equal(access(addr.sun_path, F_OK), -1);
}

/* connect(2) to a socket with a full backlog blocks; alarm(2) ends the test if listener_open() blocks. */
static void live_socket_with_full_backlog_is_kept(void **state)
{
    struct fixture *f = *state;
    char address[64];
    struct sockaddr_un addr = unix_address(address);
    int server = unix_socket(0), clients[CLIENTS], count = 0;
    assert_int_equal(bind(server, (struct sockaddr *)&addr, sizeof addr), 0);
    assert_int_equal(listen(server, 0), 0);
    bool full = false;
    while (!full && count < CLIENTS) {
        clients[count] = unix_socket(SOCK_NONBLOCK);
        full = connect(clients[count++], (struct sockaddr *)&addr, sizeof addr) != 0;
    }
    assert_true(full && errno == EAGAIN);

    struct listener *listener;
    struct err e;
    alarm(20);
    assert_int_equal(listener_open(&f->loop, str_from(address), &listener, &e), ERR_INTERNAL);
    alarm(0);
    assert_non_null(strstr(e.msg, strerror(EADDRINUSE)));
    assert_int_equal(access(addr.sun_path, F_OK), 0);
    while (count > 0)
        close(clients[--count]);
    close(server);
    unlink(addr.sun_path);
}

static void failed_listen_removes_socket(void **state)
{
    struct fixture *f = *state;
    char address[64];
    struct sockaddr_un addr = unix_address(address);
    struct listener *listener;
    struct err e;
    listen_error = ENOBUFS;
    assert_int_equal(listener_open(&f->loop, str_from(address), &listener, &e), ERR_INTERNAL);
    assert_non_null(strstr(e.msg, strerror(ENOBUFS)));
    assert_int_equal(access(addr.sun_path, F_OK), -1);
}

#define LISTENER_TEST(f) cmocka_unit_test_setup_teardown(f, setup_listener, teardown_listener)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LISTENER_TEST(only_loopback_addresses_are_loopback),
        LISTENER_TEST(fd_exhaustion_rejects_connections),
        LISTENER_TEST(last_fd_is_used_without_error),
        LISTENER_TEST(accepting_resumes_when_fds_are_available),
        LISTENER_TEST(stale_socket_is_replaced),
        LISTENER_TEST(live_socket_with_full_backlog_is_kept),
        LISTENER_TEST(failed_listen_removes_socket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

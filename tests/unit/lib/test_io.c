/* test_io - short and interrupted transfers are continued; errors are returned with the number of bytes transferred. */
#include "runtime/lib/io.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

enum { PIPE_BYTES = 1 << 20 }; /* exceeds the capacity of a pipe, so that transfers block */

static void fill(char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        bytes[i] = (char)(i * 7 + i / 251);
}

/* A thread at the other end of a pipe. It transfers PIPE_BYTES in several calls, and signals the test's thread before
 * each. */
struct peer {
    int fd;
    bool writes;
    pthread_t target; /* the test's thread */
    char bytes[PIPE_BYTES];
};

static void *peer_main(void *arg)
{
    struct peer *peer = arg;
    enum { PIECE = 1000 };
    for (size_t at = 0; at < sizeof peer->bytes;) {
        size_t len = sizeof peer->bytes - at < PIECE ? sizeof peer->bytes - at : PIECE;
        pthread_kill(peer->target, SIGUSR1);
        ssize_t n = peer->writes ? write(peer->fd, peer->bytes + at, len) : read(peer->fd, peer->bytes + at, len);
        if (n <= 0)
            break;
        at += (size_t)n;
    }
    close(peer->fd);
    return NULL;
}

static void on_signal(int number)
{
    (void)number;
}

static void pipe_transfer_survives_signals(void **state)
{
    (void)state;
    static struct peer peer;
    static char bytes[PIPE_BYTES + 1];
    struct sigaction interrupting = {.sa_handler = on_signal}, previous; /* without SA_RESTART, calls fail with EINTR */
    assert_int_equal(sigaction(SIGUSR1, &interrupting, &previous), 0);
    for (int writes = 0; writes < 2; writes++) {
        int fds[2];
        size_t written = 0;
        pthread_t thread;
        assert_int_equal(pipe(fds), 0);
        peer = (struct peer){.fd = fds[writes], .writes = writes == 1, .target = pthread_self()};
        fill(writes == 1 ? peer.bytes : bytes, PIPE_BYTES);
        assert_int_equal(pthread_create(&thread, NULL, peer_main, &peer), 0);
        if (writes == 1) {
            memset(bytes, 0, sizeof bytes);
            assert_int_equal(io_read_full(fds[0], bytes, sizeof bytes), PIPE_BYTES); /* then the pipe ends */
            close(fds[0]);
        } else {
            assert_int_equal(io_write_full(fds[1], bytes, PIPE_BYTES, &written), 0);
            assert_int_equal(written, PIPE_BYTES);
            close(fds[1]);
        }
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_memory_equal(bytes, peer.bytes, PIPE_BYTES);
    }
    assert_int_equal(sigaction(SIGUSR1, &previous, NULL), 0);
}

struct signaler {
    pthread_t target;
    atomic_bool stop;
};

static void *signaler_main(void *arg)
{
    struct signaler *signaler = arg;
    while (!atomic_load(&signaler->stop))
        pthread_kill(signaler->target, SIGUSR1);
    return NULL;
}

static bool is_zeroed(const unsigned char *bytes, size_t len)
{
    size_t i = 0;
    while (i < len && bytes[i] == 0)
        i++;
    return i == len;
}

/* getrandom(2) of more than 256 bytes can be interrupted, and then returns fewer. */
static void random_bytes_are_complete_despite_signals(void **state)
{
    (void)state;
    enum { LEN = 100000, PIECE = 32 };
    static unsigned char bytes[LEN];
    struct sigaction interrupting = {.sa_handler = on_signal}, previous;
    struct signaler signaler = {.target = pthread_self()};
    pthread_t thread;
    assert_int_equal(sigaction(SIGUSR1, &interrupting, &previous), 0);
    assert_int_equal(pthread_create(&thread, NULL, signaler_main, &signaler), 0);
    for (int i = 0; i < 10; i++) {
        memset(bytes, 0, sizeof bytes);
        assert_int_equal(io_random(bytes, LEN), 0);
        for (size_t at = 0; at < LEN; at += PIECE)
            assert_false(is_zeroed(bytes + at, PIECE));
    }
    atomic_store(&signaler.stop, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(sigaction(SIGUSR1, &previous, NULL), 0);
}

static void positioned_transfer_keeps_position(void **state)
{
    (void)state;
    char bytes[16] = {0};
    size_t written = 0;
    int fd = memfd_create("io", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(io_pwrite_full(fd, "cdef", 4, 2, &written), 0);
    assert_int_equal(written, 4);
    assert_int_equal(io_write_full(fd, "ab", 2, NULL), 0);
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 2);
    assert_int_equal(io_pread_full(fd, bytes, sizeof bytes, 1), 5); /* fewer than requested: the file ends */
    assert_memory_equal(bytes, "bcdef", 5);
    assert_int_equal(io_read_full(fd, bytes, 3), 3);
    assert_memory_equal(bytes, "cde", 3);
    assert_int_equal(io_pread_full(fd, bytes, 1, 100), 0);
    close(fd);
}

static void failed_transfer_returns_errno(void **state)
{
    (void)state;
    static char bytes[PIPE_BYTES];
    char byte;
    size_t written = 1;
    int fds[2];
    errno = 0;
    assert_int_equal(io_read_full(-1, &byte, 1), -1);
    assert_int_equal(errno, EBADF);
    assert_int_equal(io_pread_full(-1, &byte, 1, 0), -1);
    assert_int_equal(io_write_full(-1, "x", 1, &written), EBADF);
    assert_int_equal(written, 0);
    int fd = memfd_create("io", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_true(fd >= 0);
    assert_int_equal(io_pwrite_full(fd, "x", 1, -2, NULL), EINVAL);
    close(fd);
    assert_int_equal(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0); /* the capacity is less than sizeof bytes */
    assert_int_equal(io_write_full(fds[1], bytes, sizeof bytes, &written), EAGAIN);
    assert_true(written > 0 && written < sizeof bytes);
    close(fds[0]);
    close(fds[1]);
}

static void empty_transfer_makes_no_call(void **state)
{
    (void)state;
    char byte;
    assert_int_equal(io_read_full(-1, &byte, 0), 0);
    assert_int_equal(io_write_full(-1, "", 0, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pipe_transfer_survives_signals),
        cmocka_unit_test(random_bytes_are_complete_despite_signals),
        cmocka_unit_test(positioned_transfer_keeps_position),
        cmocka_unit_test(failed_transfer_returns_errno),
        cmocka_unit_test(empty_transfer_makes_no_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

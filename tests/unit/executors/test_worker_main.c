/* test_worker_main - the program of a worker process, tested through its socket. */
#include "runtime/executors/worker_main.h"
#include "runtime/types/type_serialize.h"
#include "tests/unit/support/faulty_function.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct worker {
    pid_t pid;
    int fd;
};

/* Starts a worker with this memory limit in bytes; INTEGER_ABSENT: none. */
static struct worker spawn_worker(int64_t memory)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        const struct function *function = &function_faulty;
        struct registry *registry;
        if (registry_new(&function, 1, &registry, NULL) != 0)
            _exit(99);
        close(fds[0]);
        if (dup2(fds[1], WORKER_FD) != WORKER_FD)
            _exit(99);
        if (fds[1] != WORKER_FD)
            close(fds[1]);
        int status = worker_serve(registry, memory);
        registry_unref(registry);
        _exit(status);
    }
    close(fds[1]);
    return (struct worker){pid, fds[0]};
}

static void socket_read(const struct worker *w, void *bytes, size_t len)
{
    for (size_t received = 0; received < len;) {
        ssize_t n = read(w->fd, (char *)bytes + received, len - received);
        assert_true(n > 0);
        received += (size_t)n;
    }
}

/* Writes `len` bytes, `chunk` bytes at a time. */
static void socket_write(const struct worker *w, const void *bytes, size_t len, size_t chunk)
{
    for (size_t written = 0; written < len;) {
        ssize_t n = write(w->fd, (const char *)bytes + written, len - written < chunk ? len - written : chunk);
        assert_true(n > 0);
        written += (size_t)n;
    }
}

static void check_ready_frame(const struct worker *w)
{
    struct response_frame ready;
    socket_read(w, &ready, sizeof ready);
    assert_int_equal(ready.number, 0);
    assert_int_equal(ready.len, 0);
    assert_int_equal(ready.rc, 0);
}

/* Closes the test's end of the socket, and asserts that the worker then exits with status 0. */
static void stop_worker(const struct worker *w)
{
    int status;
    close(w->fd);
    assert_int_equal(waitpid(w->pid, &status, 0), w->pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* A serialized request; the caller frees it. */
static char *encode_request(struct fixture *f, uint64_t number, enum action action, int64_t argument, const char *text,
                            size_t *len)
{
    struct task_spec spec = faulty_spec(f, action, argument, text);
    size_t size = type_serialized_size(spec.function->input, spec.input);
    struct request_frame frame = {.number = number, .len = size, .function = "action"};
    char *bytes = malloc(sizeof frame + size);
    assert_non_null(bytes);
    memcpy(bytes, &frame, sizeof frame);
    type_serialize(spec.function->input, spec.input, bytes + sizeof frame);
    *len = sizeof frame + size;
    arena_unref(f->arena);
    f->arena = arena_new();
    return bytes;
}

/* Reads a response and decodes its output into *out. */
static struct response_frame read_response(const struct worker *w, struct arena *arena, struct faulty_output *out)
{
    struct response_frame frame;
    socket_read(w, &frame, sizeof frame);
    char *bytes = malloc(frame.len + 1);
    assert_non_null(bytes);
    socket_read(w, bytes, frame.len);
    struct reader reader = {bytes, bytes + frame.len};
    if (frame.rc == 0)
        assert_int_equal(type_deserialize(function_faulty.output, &reader, arena, out), 0);
    assert_ptr_equal(reader.at, reader.end);
    free(bytes);
    return frame;
}

static void worker_responds_to_requests(void **state)
{
    struct fixture *f = *state;
    struct worker w = spawn_worker(INTEGER_ABSENT);
    check_ready_frame(&w);
    static const size_t chunks[] = {100000, 1, 7, 48, 49};
    for (size_t i = 0; i < COUNT_OF(chunks); i++) {
        size_t len;
        char *bytes = encode_request(f, 1000 + i, ACTION_ECHO, (int64_t)i, "text", &len);
        socket_write(&w, bytes, len, chunks[i]);
        free(bytes);
        struct arena *arena = arena_new();
        struct faulty_output out = {0};
        struct response_frame response = read_response(&w, arena, &out);
        assert_int_equal(response.number, 1000 + i);
        assert_int_equal(response.rc, 0);
        assert_int_equal(out.number, i);
        assert_int_equal(out.pid, w.pid);
        assert_string_equal(out.text.data, "text");
        assert_true(response.peak_rss_bytes > 0);
        arena_unref(arena);
    }
    stop_worker(&w);
}

/* Requests that are written together are answered one by one. */
static void pipelined_requests(void **state)
{
    struct fixture *f = *state;
    struct worker w = spawn_worker(INTEGER_ABSENT);
    check_ready_frame(&w);
    enum { REQUESTS = 50 };
    for (size_t i = 0; i < REQUESTS; i++) {
        size_t len;
        char *bytes = encode_request(f, i + 1, i % 3 == 0 ? ACTION_FAIL : ACTION_ECHO,
                                     i % 3 == 0 ? ERR_OVERFLOW : (int64_t)i, "why", &len);
        socket_write(&w, bytes, len, len);
        free(bytes);
    }
    for (size_t i = 0; i < REQUESTS; i++) {
        struct arena *arena = arena_new();
        struct faulty_output out = {0};
        struct response_frame response = read_response(&w, arena, &out);
        assert_int_equal(response.number, i + 1);
        assert_int_equal(response.rc, i % 3 == 0 ? ERR_OVERFLOW : 0);
        assert_string_equal(response.msg, i % 3 == 0 ? "why" : "");
        assert_true(i % 3 == 0 ? response.len == 0 : out.number == (int64_t)i);
        arena_unref(arena);
    }
    stop_worker(&w);
}

static void worker_exits_on_eof(void **state)
{
    struct fixture *f = *state;
    for (int moment = 0; moment < 4; moment++) {
        struct worker w = spawn_worker(INTEGER_ABSENT);
        size_t len;
        char *bytes = encode_request(f, 1, ACTION_ECHO, 1, "text", &len);
        check_ready_frame(&w);
        if (moment == 1)
            socket_write(&w, bytes, 10, 10); /* in the middle of a header */
        if (moment == 2)
            socket_write(&w, bytes, sizeof(struct request_frame), 100);
        if (moment == 3)
            socket_write(&w, bytes, len - 1, 100);
        free(bytes);
        stop_worker(&w);
    }
}

static void worker_exits_on_closed_socket(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        int status;
        struct worker w = spawn_worker(INTEGER_ABSENT);
        close(w.fd);
        assert_int_equal(waitpid(w.pid, &status, 0), w.pid);
        assert_true(WIFEXITED(status) ? WEXITSTATUS(status) == 0 : WTERMSIG(status) == SIGPIPE);
    }
}

static void input_larger_than_memory_limit(void **state)
{
    struct fixture *f = *state;
    const char *build = getenv("GATHERD_BUILD");
    if (build != NULL && strcmp(build, "release") != 0)
        skip(); /* sanitizers reserve terabytes of address space */
    struct worker w = spawn_worker(1 << 20);
    check_ready_frame(&w);
    char *text = malloc(8 << 20);
    assert_non_null(text);
    memset(text, 't', 8 << 20);
    text[(8 << 20) - 1] = '\0';
    for (uint64_t i = 1; i <= 6; i++) {
        size_t len;
        char *bytes = encode_request(f, i, ACTION_ECHO, 1, i % 2 == 1 ? text : "short", &len);
        socket_write(&w, bytes, len, len);
        free(bytes);
        struct arena *arena = arena_new();
        struct faulty_output out = {0};
        struct response_frame response = read_response(&w, arena, &out);
        assert_int_equal(response.number, i);
        assert_int_equal(response.rc, i % 2 == 1 ? ERR_WORKER_OUT_OF_MEMORY : 0);
        arena_unref(arena);
    }
    free(text);
    stop_worker(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(worker_responds_to_requests),
        cmocka_unit_test(pipelined_requests),
        cmocka_unit_test(worker_exits_on_eof),
        cmocka_unit_test(worker_exits_on_closed_socket),
        cmocka_unit_test(input_larger_than_memory_limit),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}

/* A worker process seen from its socket: what it says to whom, and when it ends. */
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

struct end {
    pid_t pid;
    int fd;
};

/* A worker with the deed, and so much memory. */
static struct end start(int64_t memory)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        const struct function *const table[] = {&function_deed, NULL};
        close(fds[0]);
        if (dup2(fds[1], WORKER_FD) != WORKER_FD)
            _exit(99);
        if (fds[1] != WORKER_FD)
            close(fds[1]);
        _exit(worker_run(table, memory));
    }
    close(fds[1]);
    return (struct end){pid, fds[0]};
}

static void read_all(const struct end *w, void *bytes, size_t len)
{
    for (size_t have = 0; have < len;) {
        ssize_t n = read(w->fd, (char *)bytes + have, len - have);
        assert_true(n > 0);
        have += (size_t)n;
    }
}

/* Writes in pieces of this size. */
static void write_all(const struct end *w, const void *bytes, size_t len, size_t piece)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = write(w->fd, (const char *)bytes + done, len - done < piece ? len - done : piece);
        assert_true(n > 0);
        done += (size_t)n;
    }
}

static void check_hello(const struct end *w)
{
    struct answer_frame hello;
    read_all(w, &hello, sizeof hello);
    assert_int_equal(hello.number, 0);
    assert_int_equal(hello.len, 0);
    assert_int_equal(hello.rc, 0);
}

/* It ends with 0 when our end is closed. */
static void finish(const struct end *w)
{
    int status;
    close(w->fd);
    assert_int_equal(waitpid(w->pid, &status, 0), w->pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* The bytes of a request; the caller frees them. */
static char *request_of(struct fixture *f, uint64_t number, enum deed deed, int64_t argument, const char *text,
                        size_t *len)
{
    struct task_spec spec = deed_of(f, deed, argument, text);
    size_t size = type_serialized_size(spec.function->input, spec.input);
    struct request_frame frame = {.number = number, .len = size, .function = "deed"};
    char *bytes = malloc(sizeof frame + size);
    assert_non_null(bytes);
    memcpy(bytes, &frame, sizeof frame);
    type_serialize(spec.function->input, spec.input, bytes + sizeof frame);
    *len = sizeof frame + size;
    arena_unref(f->arena);
    f->arena = arena_new();
    return bytes;
}

/* Reads an answer; its output is put into *out. */
static struct answer_frame answer_from(const struct end *w, struct arena *arena, struct deed_output *out)
{
    struct answer_frame frame;
    read_all(w, &frame, sizeof frame);
    char *bytes = malloc(frame.len + 1);
    assert_non_null(bytes);
    read_all(w, bytes, frame.len);
    struct reader reader = {bytes, bytes + frame.len};
    if (frame.rc == 0)
        assert_int_equal(type_deserialize(function_deed.output, &reader, arena, out), 0);
    assert_ptr_equal(reader.at, reader.end);
    free(bytes);
    return frame;
}

static void it_answers_what_it_is_asked(void **state)
{
    struct fixture *f = *state;
    struct end w = start(INTEGER_ABSENT);
    check_hello(&w);
    static const size_t pieces[] = {100000, 1, 7, 48, 49};
    for (size_t i = 0; i < COUNT_OF(pieces); i++) {
        size_t len;
        char *bytes = request_of(f, 1000 + i, DEED_ECHO, (int64_t)i, "text", &len);
        write_all(&w, bytes, len, pieces[i]);
        free(bytes);
        struct arena *arena = arena_new();
        struct deed_output out = {0};
        struct answer_frame answer = answer_from(&w, arena, &out);
        assert_int_equal(answer.number, 1000 + i);
        assert_int_equal(answer.rc, 0);
        assert_int_equal(out.number, i);
        assert_int_equal(out.pid, w.pid);
        assert_string_equal(out.text.at, "text");
        assert_true(answer.peak_rss_bytes > 0);
        arena_unref(arena);
    }
    finish(&w);
}

/* Nothing is lost between requests that come at once, and nothing of one is in the next. */
static void one_request_after_the_other(void **state)
{
    struct fixture *f = *state;
    struct end w = start(INTEGER_ABSENT);
    check_hello(&w);
    enum { REQUESTS = 50 };
    for (size_t i = 0; i < REQUESTS; i++) {
        size_t len;
        char *bytes = request_of(f, i + 1, i % 3 == 0 ? DEED_FAIL : DEED_ECHO, i % 3 == 0 ? ERR_OVERFLOW : (int64_t)i,
                                 "why", &len);
        write_all(&w, bytes, len, len);
        free(bytes);
    }
    for (size_t i = 0; i < REQUESTS; i++) {
        struct arena *arena = arena_new();
        struct deed_output out = {0};
        struct answer_frame answer = answer_from(&w, arena, &out);
        assert_int_equal(answer.number, i + 1);
        assert_int_equal(answer.rc, i % 3 == 0 ? ERR_OVERFLOW : 0);
        assert_string_equal(answer.msg, i % 3 == 0 ? "why" : "");
        assert_true(i % 3 == 0 ? answer.len == 0 : out.number == (int64_t)i);
        arena_unref(arena);
    }
    finish(&w);
}

static void it_ends_when_nobody_is_there(void **state)
{
    struct fixture *f = *state;
    for (int moment = 0; moment < 4; moment++) {
        struct end w = start(INTEGER_ABSENT);
        size_t len;
        char *bytes = request_of(f, 1, DEED_ECHO, 1, "text", &len);
        check_hello(&w);
        if (moment == 1)
            write_all(&w, bytes, 10, 10); /* in the middle of a head */
        if (moment == 2)
            write_all(&w, bytes, sizeof(struct request_frame), 100);
        if (moment == 3)
            write_all(&w, bytes, len - 1, 100);
        free(bytes);
        finish(&w);
    }
}

static void nobody_is_there_from_the_start(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        int status;
        struct end w = start(INTEGER_ABSENT);
        close(w.fd);
        assert_int_equal(waitpid(w.pid, &status, 0), w.pid);
        assert_true(WIFEXITED(status) ? WEXITSTATUS(status) == 0 : WTERMSIG(status) == SIGPIPE);
    }
}

static void an_input_beyond_its_memory(void **state)
{
    struct fixture *f = *state;
    const char *build = getenv("GATHERD_BUILD");
    if (build != NULL && strcmp(build, "release") != 0)
        skip(); /* sanitizers take terabytes of addresses */
    struct end w = start(1 << 20);
    check_hello(&w);
    char *text = malloc(8 << 20);
    assert_non_null(text);
    memset(text, 't', 8 << 20);
    text[(8 << 20) - 1] = '\0';
    for (uint64_t i = 1; i <= 6; i++) {
        size_t len;
        char *bytes = request_of(f, i, DEED_ECHO, 1, i % 2 == 1 ? text : "short", &len);
        write_all(&w, bytes, len, len);
        free(bytes);
        struct arena *arena = arena_new();
        struct deed_output out = {0};
        struct answer_frame answer = answer_from(&w, arena, &out);
        assert_int_equal(answer.number, i);
        assert_int_equal(answer.rc, i % 2 == 1 ? ERR_WORKER_OUT_OF_MEMORY : 0);
        arena_unref(arena);
    }
    free(text);
    finish(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_answers_what_it_is_asked),  cmocka_unit_test(one_request_after_the_other),
        cmocka_unit_test(it_ends_when_nobody_is_there), cmocka_unit_test(nobody_is_there_from_the_start),
        cmocka_unit_test(an_input_beyond_its_memory),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}

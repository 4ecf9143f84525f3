/* test_log - each event is one line, whatever its values contain; writing never blocks. */
#include "runtime/types/type.h"
#include "service/log/log.h"
#include "tests/unit/support/alloc_fault.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <regex.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#define TIME_PATTERN "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{6}Z"

struct fixture {
    struct log log;
    int fds[2];   /* of a pipe or file: for reading; for writing by the log */
    char *read;   /* output of the log so far, NUL-terminated */
    size_t count; /* length of the output in bytes */
};

static int teardown_log(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 2; i++)
        if (f->fds[i] >= 0)
            close(f->fds[i]);
    free(f->read);
    free(f);
    return 0;
}

static int setup_fds(void **state, int (*make)(int fds[2]))
{
    struct fixture *f = calloc(1, sizeof *f);
    if (f == NULL)
        return -1;
    *state = f;
    return make(f->fds);
}

static int make_pipe(int fds[2])
{
    return pipe2(fds, O_CLOEXEC);
}

static int make_sockets(int fds[2])
{
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds);
}

static int make_file(int fds[2])
{
    char path[] = "/tmp/gatherd_test_log_XXXXXX";
    fds[1] = mkstemp(path);
    fds[0] = open(path, O_RDONLY | O_CLOEXEC);
    unlink(path);
    return fds[0] < 0 || fds[1] < 0;
}

static int setup_pipe(void **state)
{
    return setup_fds(state, make_pipe);
}

static int setup_sockets(void **state)
{
    return setup_fds(state, make_sockets);
}

static int setup_file(void **state)
{
    return setup_fds(state, make_file);
}

/* Appends the available output to f->read. */
static void read_available(struct fixture *f)
{
    char chunk[65536];
    fcntl(f->fds[0], F_SETFL, fcntl(f->fds[0], F_GETFL) | O_NONBLOCK);
    for (ssize_t n; (n = read(f->fds[0], chunk, sizeof chunk)) > 0;) {
        f->read = realloc(f->read, f->count + (size_t)n + 1);
        assert_non_null(f->read);
        memcpy(f->read + f->count, chunk, (size_t)n);
        f->count += (size_t)n;
        f->read[f->count] = '\0';
    }
}

static void flush_and_read(struct fixture *f)
{
    do {
        log_flush(&f->log);
        read_available(f);
    } while (log_pending(&f->log));
}

static void clear_output(struct fixture *f)
{
    free(f->read);
    f->read = NULL;
    f->count = 0;
}

static void assert_matches(const char *text, const char *pattern)
{
    regex_t regex;
    assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
    int rc = regexec(&regex, text, 0, NULL, 0);
    regfree(&regex);
    if (rc != 0)
        fail_msg("\"%s\" does not match \"%s\"", text, pattern);
}

/* Logs an event with one value in text format, and returns the value as it was written. */
static const char *logged_value(struct fixture *f, struct str value)
{
    clear_output(f);
    log_event(&f->log, LOG_INFO, "seen", LOG_FIELDS(log_string("value", value)));
    flush_and_read(f);
    char *at = strstr(f->read, " info seen value=");
    assert_non_null(at);
    assert_ptr_equal(strchr(f->read, '\n'), f->read + f->count - 1); /* one line */
    f->read[f->count - 1] = '\0';
    return at + strlen(" info seen value=");
}

static void text_format_writes_all_fields(void **state)
{
    struct fixture *f = *state;
    log_open(&f->log, f->fds[1], LOG_TEXT, LOG_INFO);
    assert_false(log_pending(&f->log));
    log_event(&f->log, LOG_INFO, "task_failed",
              LOG_FIELDS(log_string("id", STR("01ABC")), log_string("function", STR("sleep")),
                         log_string("error", STR("timed out")), log_integer("pid", -12),
                         log_seconds("duration_seconds", 1500000000)));
    assert_true(log_pending(&f->log));
    log_event(&f->log, LOG_ERROR, "bare", NULL, 0);
    log_event(&f->log, LOG_WARN, "empty",
              LOG_FIELDS(log_string("none", str_from(NULL)), log_integer("no_number", INT64_MIN),
                         log_seconds("no_time", SECONDS_ABSENT)));
    flush_and_read(f);
    assert_matches(
        f->read,
        "^" TIME_PATTERN
        " info task_failed id=01ABC function=sleep error=\"timed out\" pid=-12 duration_seconds=1.5\n" TIME_PATTERN
        " error bare\n" TIME_PATTERN " warn empty\n$");
    log_close(&f->log);
}

static void text_values_are_quoted_and_sanitized(void **state)
{
    static const char right_to_left[] = {'\xE2', '\x80', '\xAE', '\0'}; /* U+202E */
    static const struct {
        const char *value, *line;
    } rows[] = {
        {"", "\"\""},
        {"plain/1.5-x_[::1]:80", "plain/1.5-x_[::1]:80"},
        {"two words", "\"two words\""},
        {"a=b", "\"a=b\""},
        {"say \"no\"", "\"say \\\"no\\\"\""},
        {"back\\slash", "\"back\\\\slash\""},
        {"x\n2026-11-22T12:05:46.123456Z error forged", "\"x\\n2026-11-22T12:05:46.123456Z error forged\""},
        {"\r\t\v\x1B[31m", "\"\\r\\t\\u000b\\u001b[31m\""},
        {"gr\xC3\xBC\xC3\x9F", "gr\xC3\xBC\xC3\x9F"},
        {"del\x7F", "del\xEF\xBF\xBD"},
        {"\xC2\x9B"
         "31m",
         "\xEF\xBF\xBD"
         "31m"},                          /* CSI, U+009B */
        {"\xE2\x80\xA8", "\xEF\xBF\xBD"}, /* line separator */
        {right_to_left, "\xEF\xBF\xBD"},
        {"\xE2\x80\xA7", "\xE2\x80\xA7"},
        {"\xFF\xC3", "\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"\xE2\x82", "\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"\xE2\x82z", "\xEF\xBF\xBD\xEF\xBF\xBDz"},
        {"\xF0\x9F\x99\x82", "\xF0\x9F\x99\x82"},
        {"\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
    };
    struct fixture *f = *state;
    log_open(&f->log, f->fds[1], LOG_TEXT, LOG_INFO);
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        assert_string_equal(logged_value(f, str_from(rows[i].value)), rows[i].line);
    assert_string_equal(logged_value(f, (struct str){"a\0b", 3}), "\"a\\u0000b\"");
    log_close(&f->log);
}

static void long_values_are_truncated(void **state)
{
    struct fixture *f = *state;
    log_open(&f->log, f->fds[1], LOG_TEXT, LOG_INFO);
    static char text[1 << 20];
    memset(text, 'x', sizeof text);
    assert_int_equal(strlen(logged_value(f, (struct str){text, LOG_MAX_VALUE})), LOG_MAX_VALUE);
    const char *truncated = logged_value(f, (struct str){text, sizeof text});
    assert_int_equal(strlen(truncated), LOG_MAX_VALUE + 3);
    assert_string_equal(truncated + LOG_MAX_VALUE - 1, "x...");

    for (size_t i = 1; i + 1 < sizeof text; i += 2)
        text[i] = '\xC3', text[i + 1] = '\xA4';
    truncated = logged_value(f, (struct str){text, sizeof text}); /* must not be truncated within a character */
    assert_int_equal(strlen(truncated), LOG_MAX_VALUE - 1 + 3);
    assert_true(str_eq(str_from(truncated + LOG_MAX_VALUE - 3), "\xC3\xA4..."));

    memset(text, '\x80', sizeof text); /* each invalid byte becomes U+FFFD, three bytes */
    assert_int_equal(strlen(logged_value(f, (struct str){text, sizeof text})), LOG_MAX_VALUE / 3 * 3 + 3);
    log_close(&f->log);
}

static void json_format_writes_all_fields(void **state)
{
    struct fixture *f = *state;
    const char unsafe[] = "a\"b\\c\n\x1B \xC3\xA4 \xFF=\0end";
    log_open(&f->log, f->fds[1], LOG_JSON, LOG_INFO);
    log_event(&f->log, LOG_WARN, "odd",
              LOG_FIELDS(log_string("value", (struct str){unsafe, sizeof unsafe - 1}), log_integer("n", INT64_MAX),
                         log_seconds("duration_seconds", 250000000), log_string("none", str_from(NULL))));
    flush_and_read(f);
    assert_ptr_equal(strchr(f->read, '\n'), f->read + f->count - 1);
    json_t *line = json_loads(f->read, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(line);
    assert_int_equal(json_object_size(line), 6);
    assert_matches(json_string_value(json_object_get(line, "time")), "^" TIME_PATTERN "$");
    assert_string_equal(json_string_value(json_object_get(line, "level")), "warn");
    assert_string_equal(json_string_value(json_object_get(line, "event")), "odd");
    const char expected[] = "a\"b\\c\n\x1B \xC3\xA4 \xEF\xBF\xBD=\0end";
    json_t *value = json_object_get(line, "value");
    assert_int_equal(json_string_length(value), sizeof expected - 1);
    assert_memory_equal(json_string_value(value), expected, sizeof expected - 1);
    assert_true(json_integer_value(json_object_get(line, "n")) == INT64_MAX);
    assert_true(json_real_value(json_object_get(line, "duration_seconds")) == 0.25);
    json_decref(line);

    clear_output(f);
    log_event(&f->log, LOG_INFO, "bare", NULL, 0);
    flush_and_read(f);
    assert_matches(f->read, "^\\{\"time\":\"" TIME_PATTERN "\",\"level\":\"info\",\"event\":\"bare\"\\}\n$");
    log_close(&f->log);
}

static void only_enabled_levels_are_logged(void **state)
{
    struct fixture *f = *state;
    for (enum log_level level = LOG_ERROR; level < LOG_LEVELS; level++) {
        clear_output(f);
        log_open(&f->log, f->fds[1], LOG_TEXT, level);
        for (enum log_level event = LOG_ERROR; event < LOG_LEVELS; event++) {
            assert_int_equal(log_enabled(&f->log, event), event <= level);
            log_event(&f->log, event, "tick", NULL, 0);
        }
        flush_and_read(f);
        size_t lines = 0;
        for (const char *at = f->read; (at = strchr(at, '\n')) != NULL; at++)
            lines++;
        assert_int_equal(lines, (int)level + 1);
        assert_non_null(strstr(f->read, log_level_names[level]));
        log_close(&f->log);
    }
}

/* Logs `count` events, numbered from `first`. */
static void log_numbered(struct fixture *f, int64_t first, int64_t count)
{
    static const char filler[] = "0123456789012345678901234567890123456789012345678901234567890123456789";
    for (int64_t i = first; i < first + count; i++)
        log_event(&f->log, LOG_INFO, "number", LOG_FIELDS(log_integer("n", i), log_string("filler", STR(filler))));
}

/* Asserts that the events of log_numbered() are in order from 0, and that at each gap a log_dropped line has the right
 * count. Returns the number of gaps; *end is set to the last number + 1. */
static int check_numbered(const struct fixture *f, int64_t *end)
{
    int drop_reports = 0;
    int64_t next = 0;
    assert_true(f->count > 0 && f->read[f->count - 1] == '\n');
    for (char *line = f->read; *line != '\0'; line = strchr(line, '\n') + 1) {
        const char *number = strstr(line, " info number n="), *drop_report = strstr(line, " warn log_dropped lines=");
        const char *line_end = strchr(line, '\n');
        if (number != NULL && number < line_end) {
            assert_int_equal(strtoll(number + strlen(" info number n="), NULL, 10), next);
            next++;
        } else {
            assert_true(drop_report != NULL && drop_report < line_end);
            next += strtoll(drop_report + strlen(" warn log_dropped lines="), NULL, 10);
            drop_reports++;
        }
    }
    *end = next;
    return drop_reports;
}

/* Logs without reading until lines are dropped, then reads the output. */
static void overflow_then_read(struct fixture *f)
{
    const int64_t total = 20000; /* exceeds the buffers of the log and the kernel */
    for (int64_t i = 0; i < total; i += 100) {
        log_numbered(f, i, 100);
        log_flush(&f->log);
    }
    assert_true(log_pending(&f->log));
    assert_true(f->log.len <= LOG_BUFFER_SIZE);
    uint64_t dropped = f->log.dropped;
    assert_true(dropped > 0);

    int64_t end;
    flush_and_read(f);
    assert_int_equal(f->log.dropped, 0);
    assert_int_equal(check_numbered(f, &end), 1);
    assert_int_equal(end, total);

    log_numbered(f, total, 5);
    flush_and_read(f);
    assert_int_equal(check_numbered(f, &end), 1);
    assert_int_equal(end, total + 5);
}

static void full_pipe_drops_lines(void **state)
{
    struct fixture *f = *state;
    log_open(&f->log, f->fds[1], LOG_TEXT, LOG_INFO);
    assert_true(f->log.owns_fd);
    assert_int_equal(fcntl(f->fds[1], F_GETFL) & O_NONBLOCK, 0); /* the open file description is not changed */
    assert_int_equal(fcntl(f->log.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    overflow_then_read(f);
    int reopened = f->log.fd;
    log_close(&f->log);
    assert_int_equal(fcntl(reopened, F_GETFD), -1);
    assert_int_not_equal(fcntl(f->fds[1], F_GETFD), -1);
}

static void full_inherited_pipe_drops_lines(void **state)
{
    struct fixture *f = *state;
    log_open(&f->log, f->fds[1], LOG_TEXT, LOG_INFO);
    close(f->log.fd); /* sets the state that log_open() leaves if the pipe can't be opened again */
    f->log.fd = f->fds[1];
    f->log.owns_fd = false;
    f->log.write_mode = LOG_WRITE_POLLED;
    overflow_then_read(f);
    log_close(&f->log);
}

static void full_socket_drops_lines(void **state)
{
    struct fixture *f = *state;
    log_open(&f->log, f->fds[1], LOG_TEXT, LOG_INFO);
    assert_int_equal(f->log.write_mode, LOG_WRITE_SOCKET);
    overflow_then_read(f);
    log_close(&f->log);
}

/* With varying numbers of lines for each flush, the end of the ring buffer meets every offset of a line. */
static void buffer_wraps_around(void **state)
{
    struct fixture *f = *state;
    log_open(&f->log, f->fds[1], LOG_TEXT, LOG_INFO);
    int64_t next = 0, end;
    for (int round = 0; round < 300; round++) {
        log_numbered(f, next, 37 + round % 5);
        next += 37 + round % 5;
        log_flush(&f->log);
        if (round % 7 == 0)
            read_available(f);
    }
    flush_and_read(f);
    assert_int_equal(check_numbered(f, &end), 0);
    assert_int_equal(end, next);
    log_close(&f->log);
}

static void regular_file_receives_all_lines(void **state)
{
    struct fixture *f = *state;
    int64_t end;
    log_open(&f->log, f->fds[1], LOG_TEXT, LOG_INFO);
    assert_false(f->log.owns_fd);
    log_numbered(f, 0, 1000);
    log_flush(&f->log);
    assert_false(log_pending(&f->log));
    log_numbered(f, 1000, 1);
    log_close(&f->log); /* writes the last event */
    read_available(f);
    assert_int_equal(check_numbered(f, &end), 0);
    assert_int_equal(end, 1001);
}

static void *read_until_eof(void *user)
{
    struct fixture *f = user;
    size_t capacity = 8 << 20;
    f->read = malloc(capacity);
    for (ssize_t n; f->read != NULL && (n = read(f->fds[0], f->read + f->count, capacity - 1 - f->count)) > 0;)
        f->count += (size_t)n;
    return NULL;
}

static void close_writes_pending_lines(void **state)
{
    struct fixture *f = *state;
    pthread_t reader;
    int64_t end;
    log_open(&f->log, f->fds[1], LOG_TEXT, LOG_INFO);
    log_numbered(f, 0, 1900); /* exceeds the capacity of a pipe several times */
    assert_int_equal(f->log.dropped, 0);
    assert_int_equal(pthread_create(&reader, NULL, read_until_eof, f), 0);
    log_close(&f->log);
    close(f->fds[1]);
    f->fds[1] = -1;
    pthread_join(reader, NULL);
    assert_non_null(f->read);
    f->read[f->count] = '\0';
    assert_int_equal(check_numbered(f, &end), 0);
    assert_int_equal(end, 1900);
}

/* A FIFO without a reader can't be opened again for writing (ENXIO), so the log polls the descriptor it was given. */
static void fifo_without_reader_is_polled(void **state)
{
    struct fixture *f = *state;
    char path[] = "/tmp/gatherd_test_log_XXXXXX";
    close(f->fds[0]);
    close(f->fds[1]);
    f->fds[0] = f->fds[1] = -1;
    assert_non_null(mkdtemp(path));
    char fifo[sizeof path + 2];
    snprintf(fifo, sizeof fifo, "%s/f", path);
    if (mkfifo(fifo, 0600) == 0) {
        f->fds[0] = open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        f->fds[1] = open(fifo, O_WRONLY | O_CLOEXEC);
        unlink(fifo);
    }
    rmdir(path);
    assert_true(f->fds[0] >= 0 && f->fds[1] >= 0);
    close(f->fds[0]);
    f->fds[0] = -1;
    log_open(&f->log, f->fds[1], LOG_TEXT, LOG_INFO);
    assert_int_equal(f->log.write_mode, LOG_WRITE_POLLED);
    assert_false(f->log.owns_fd);
    log_numbered(f, 0, 10);
    log_flush(&f->log);
    assert_true(log_pending(&f->log));
    log_close(&f->log);
}

static void close_returns_without_reader(void **state)
{
    struct fixture *f = *state;
    log_open(&f->log, f->fds[1], LOG_TEXT, LOG_INFO);
    log_numbered(f, 0, 3000);
    log_close(&f->log);
    assert_false(log_pending(&f->log));
}

static void write_errors_are_ignored(void **state)
{
    struct fixture *f = *state;
    log_open(&f->log, f->fds[1], LOG_TEXT, LOG_INFO);
    log_numbered(f, 0, 10);
    close(f->fds[0]);
    f->fds[0] = -1;
    log_flush(&f->log);
    log_numbered(f, 10, 10000);
    log_flush(&f->log);
    log_close(&f->log);

    close(f->fds[1]);
    log_open(&f->log, f->fds[1], LOG_TEXT, LOG_INFO);
    assert_int_equal(f->log.fd, -1); /* so that a file that gets this descriptor later is not written to */
    f->fds[1] = -1;
    log_numbered(f, 0, 10);
    log_flush(&f->log);
    log_close(&f->log);

    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_true(full >= 0);
    log_open(&f->log, full, LOG_TEXT, LOG_INFO);
    log_numbered(f, 0, 10);
    log_flush(&f->log);
    assert_true(log_pending(&f->log));
    log_close(&f->log);
    close(full);
}

static void out_of_memory_drops_lines(void **state)
{
    struct fixture *f = *state;
    unsigned long n = 0;
    bool failed;
    do {
        clear_output(f);
        log_open(&f->log, f->fds[1], LOG_TEXT, LOG_INFO);
        alloc_fail_at(++n);
        log_numbered(f, 0, 1);
        failed = alloc_count() >= n;
        alloc_fail_at(0);
        assert_int_equal(f->log.dropped, failed ? 1 : 0);
        log_numbered(f, 1, 1);
        int64_t end;
        flush_and_read(f);
        assert_int_equal(check_numbered(f, &end), failed ? 1 : 0);
        assert_int_equal(end, 2);
        log_close(&f->log);
    } while (failed);
    assert_true(n > 1);

    clear_output(f);
    log_open(&f->log, f->fds[1], LOG_TEXT, LOG_INFO);
    for (int i = 0; i < 3; i++) { /* the second allocation to fail is that of the log_dropped line */
        alloc_fail_at(1);
        log_numbered(f, i, 1);
    }
    alloc_fail_at(0);
    log_numbered(f, 3, 1);
    flush_and_read(f);
    int64_t end;
    assert_int_equal(check_numbered(f, &end), 1);
    assert_int_equal(end, 4);
    log_close(&f->log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(text_format_writes_all_fields, setup_pipe, teardown_log),
        cmocka_unit_test_setup_teardown(text_values_are_quoted_and_sanitized, setup_pipe, teardown_log),
        cmocka_unit_test_setup_teardown(long_values_are_truncated, setup_pipe, teardown_log),
        cmocka_unit_test_setup_teardown(json_format_writes_all_fields, setup_pipe, teardown_log),
        cmocka_unit_test_setup_teardown(only_enabled_levels_are_logged, setup_pipe, teardown_log),
        cmocka_unit_test_setup_teardown(full_pipe_drops_lines, setup_pipe, teardown_log),
        cmocka_unit_test_setup_teardown(full_inherited_pipe_drops_lines, setup_pipe, teardown_log),
        cmocka_unit_test_setup_teardown(full_socket_drops_lines, setup_sockets, teardown_log),
        cmocka_unit_test_setup_teardown(buffer_wraps_around, setup_pipe, teardown_log),
        cmocka_unit_test_setup_teardown(regular_file_receives_all_lines, setup_file, teardown_log),
        cmocka_unit_test_setup_teardown(close_writes_pending_lines, setup_pipe, teardown_log),
        cmocka_unit_test_setup_teardown(close_returns_without_reader, setup_pipe, teardown_log),
        cmocka_unit_test_setup_teardown(write_errors_are_ignored, setup_pipe, teardown_log),
        cmocka_unit_test_setup_teardown(fifo_without_reader_is_polled, setup_pipe, teardown_log),
        cmocka_unit_test_setup_teardown(out_of_memory_drops_lines, setup_pipe, teardown_log),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

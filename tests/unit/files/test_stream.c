/* test_stream - read_stream and write_stream: content, errors, the limit on their number, and closing at each step. */
#include "runtime/files/read_stream.h"
#include "runtime/files/stream.h"
#include "runtime/files/write_stream.h"
#include "runtime/types/type_parse.h"
#include "tests/unit/support/alloc_fault.h"
#include "tests/unit/support/file_root_fixture.h"
#include "tests/unit/support/runtime_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct streams {
    struct tree *tree;
    struct fixture *f;
    bool can_mount;
    int callbacks;     /* calls of ready() */
    int rc;            /* of the last call */
    char message[256]; /* of the last call */
};

static void on_read_ready(struct read_stream *reader, const struct err *e, void *user)
{
    struct streams *s = user;
    (void)reader;
    s->callbacks++;
    s->rc = e->rc;
    snprintf(s->message, sizeof s->message, "%s", e->rc == 0 ? "" : e->msg);
}

static void on_write_ready(struct write_stream *writer, const struct err *e, void *user)
{
    struct streams *s = user;
    (void)writer;
    s->callbacks++;
    s->rc = e->rc;
    snprintf(s->message, sizeof s->message, "%s", e->rc == 0 ? "" : e->msg);
}

static bool callback_ran(const void *arg)
{
    return ((const struct streams *)arg)->callbacks > 0;
}

static bool all_streams_closed(const void *arg)
{
    return ((const struct streams *)arg)->f->runtime->streams == 0;
}

static int stream_setup(void **state)
{
    static struct streams s;           /* static: tests run one at a time */
    bool can_mount = tree_can_mount(); /* must be called before threads are started */
    s = (struct streams){.tree = tree_new(NULL, NULL), .can_mount = can_mount};
    if (s.tree == NULL)
        return -1;
    char path[128];
    snprintf(path, sizeof path, "%s/a.txt", s.tree->root);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0 || write(fd, "a file", 6) != 6 || close(fd) != 0)
        return -1;
    struct limits limits;
    record_set_defaults(&limits_type, &limits);
    limits.max_streams = 2;
    s.f = fixture_start(&(struct runtime_config){.limits = &limits,
                                                 .options.files_root = str_from(s.tree->root),
                                                 .options.files_threads = 1,
                                                 .options.files_source = ""});
    *state = &s;
    return s.f == NULL ? -1 : 0;
}

static int stream_teardown(void **state)
{
    struct streams *s = *state;
    bool ok = fixture_free(s->f);
    return tree_free(s->tree) && ok ? 0 : -1;
}

static int open_read_stream(struct streams *s, struct read_stream **out, struct err *e)
{
    return read_stream_open(s->f->runtime, STR("a.txt"), false, on_read_ready, s, out, e);
}

static int open_write_stream(struct streams *s, struct write_stream **out, struct err *e)
{
    return write_stream_open(s->f->runtime, STR("b.txt"), NULL, on_write_ready, s, out, e);
}

static void streams_over_limit_are_rejected(void **state)
{
    struct streams *s = *state;
    struct read_stream *reader, *rejected_reader;
    struct write_stream *writer, *rejected_writer;
    struct err e = {0};
    assert_int_equal(open_read_stream(s, &reader, &e), 0);
    assert_int_equal(open_write_stream(s, &writer, &e), 0);
    assert_int_equal(open_read_stream(s, &rejected_reader, &e), ERR_TOO_MANY_STREAMS);
    assert_int_equal(open_write_stream(s, &rejected_writer, &e), ERR_TOO_MANY_STREAMS);
    assert_string_equal(e.msg, "2 uploads and downloads are active; the limit max_streams is 2. Try again later");
    assert_true(run_until(s->f, callback_ran, s));
    assert_int_equal(s->rc, 0);

    read_stream_close(reader);
    /* The descriptor of the read_stream is not closed yet. */
    assert_int_equal(open_write_stream(s, &rejected_writer, &e), ERR_TOO_MANY_STREAMS);
    assert_true(run_until_idle(s->f));
    assert_int_equal(open_read_stream(s, &reader, &e), 0);
    write_stream_close(writer);
    read_stream_close(reader);
    assert_true(run_until(s->f, all_streams_closed, s));
    assert_true(run_until_idle(s->f));
}

static void failed_open_counts_until_close(void **state)
{
    struct streams *s = *state;
    struct read_stream *reader;
    struct err e = {0};
    assert_int_equal(read_stream_open(s->f->runtime, STR("missing"), false, on_read_ready, s, &reader, &e), 0);
    assert_true(run_until(s->f, callback_ran, s));
    assert_int_equal(s->rc, ERR_FILE_NOT_FOUND);
    assert_int_equal(s->f->runtime->streams, 1);
    read_stream_close(reader);
    assert_int_equal(s->f->runtime->streams, 0);
}

static void out_of_memory_releases_slot(void **state)
{
    struct streams *s = *state;
    for (int kind = 0; kind < 2; kind++) {
        unsigned long n = 0;
        int rc;
        do {
            struct read_stream *reader;
            struct write_stream *writer;
            struct err e = {0};
            alloc_fail_at(++n);
            rc = kind == 0 ? open_read_stream(s, &reader, &e) : open_write_stream(s, &writer, &e);
            alloc_fail_at(0);
            assert_int_equal(s->f->runtime->streams, rc == 0 ? 1 : 0);
            if (rc != 0)
                assert_int_equal(rc, ERR_OUT_OF_MEMORY);
            else if (kind == 0)
                read_stream_close(reader);
            else
                write_stream_close(writer);
        } while (rc != 0);
        assert_true(n > 4);
        assert_true(run_until(s->f, all_streams_closed, s));
        assert_true(run_until_idle(s->f));
    }
}

/* Opens a read_stream and waits until the file is open. */
static struct read_stream *open_and_wait(struct streams *s, const char *path)
{
    struct read_stream *reader = NULL;
    struct err e = {0};
    s->callbacks = 0;
    assert_int_equal(read_stream_open(s->f->runtime, str_from(path), false, on_read_ready, s, &reader, &e), 0);
    assert_true(run_until(s->f, callback_ran, s));
    assert_int_equal(s->rc, 0);
    return reader;
}

/* Reads `max` bytes, all of which must be `expected`, or until a failure. Returns the number of bytes read. */
static size_t read_bytes(struct streams *s, struct read_stream *reader, char expected, size_t max)
{
    static char chunk[100000];
    size_t total = 0;
    while (total < max) {
        s->callbacks = 0;
        ssize_t n = read_stream_read(reader, chunk, sizeof chunk);
        if (n == READ_STREAM_FAILED)
            break;
        for (ssize_t i = 0; i < n; i++)
            assert_int_equal(chunk[i], expected);
        total += (size_t)n;
        if (n == READ_STREAM_EMPTY)
            assert_true(run_until(s->f, callback_ran, s));
    }
    return total;
}

enum { LARGE = 3 * 1024 * 1024 + 17 }; /* bytes: several blocks and part of one */

static void read_stream_reads_whole_file(void **state)
{
    struct streams *s = *state;
    struct file_version version;
    char byte;
    assert_true(tree_fill_file(s->tree, "large", 'l', LARGE) && tree_write_file(s->tree, "empty", ""));
    struct read_stream *reader = open_and_wait(s, "large");
    read_stream_get_version(reader, &version);
    assert_int_equal(version.size_bytes, LARGE);
    assert_int_equal(read_bytes(s, reader, 'l', LARGE), LARGE);
    assert_int_equal(read_stream_read(reader, &byte, 1), READ_STREAM_FAILED); /* a read beyond size_bytes */
    read_stream_close(reader);
    reader = open_and_wait(s, "empty");
    assert_int_equal(read_stream_read(reader, &byte, 1), READ_STREAM_FAILED);
    read_stream_close(reader);
    assert_true(run_until(s->f, all_streams_closed, s));
    assert_true(run_until_idle(s->f));
}

/* Two blocks are read ahead before the file is truncated; reading the third block fails. */
static void truncated_file_fails_read(void **state)
{
    struct streams *s = *state;
    char path[256];
    assert_true(tree_fill_file(s->tree, "large", 'l', LARGE));
    struct read_stream *reader = open_and_wait(s, "large");
    assert_true(run_until_idle(s->f));
    snprintf(path, sizeof path, "%s/large", s->tree->root);
    assert_int_equal(truncate(path, 1), 0);
    assert_int_equal(read_bytes(s, reader, 'l', LARGE), 2 * 256 * 1024);
    assert_int_equal(s->rc, ERR_IO_ERROR);
    assert_string_equal(s->message, "large: the file was truncated while it was read");
    read_stream_close(reader);
    assert_true(run_until(s->f, all_streams_closed, s));
    assert_true(run_until_idle(s->f));
}

/* The file in sysfs can be opened and has a size, but read(2) fails. */
static void failed_read_reports_errno(void **state)
{
    static const char path[] = "sys/devices/virtual/net/lo/speed";
    struct streams *s = *state;
    char full_path[256], byte, expected[128];
    snprintf(full_path, sizeof full_path, "%s/%s", s->tree->root, path);
    if (!s->can_mount || !tree_mount(s->tree, "sys", "sysfs", NULL))
        skip();
    int fd = open(full_path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : pread(fd, &byte, 1, 0);
    int error = errno;
    if (fd >= 0)
        close(fd);
    if (n >= 0)
        skip();
    snprintf(expected, sizeof expected, "%s: %s", path, strerror(error));
    struct read_stream *reader = NULL;
    struct err e = {0};
    assert_int_equal(read_stream_open(s->f->runtime, str_from(path), false, on_read_ready, s, &reader, &e), 0);
    assert_true(run_until(s->f, callback_ran, s));
    s->callbacks = 0;
    assert_int_equal(read_stream_read(reader, &byte, 1), READ_STREAM_EMPTY);
    assert_true(run_until(s->f, callback_ran, s));
    assert_string_equal(s->message, expected);
    assert_int_equal(read_stream_read(reader, &byte, 1), READ_STREAM_FAILED);
    read_stream_close(reader);
    assert_true(run_until(s->f, all_streams_closed, s));
    assert_true(run_until_idle(s->f));
}

/* Writes LARGE bytes; waits for ready() when the stream takes fewer. */
static void write_all(struct streams *s, struct write_stream *writer)
{
    static char chunk[100000];
    memset(chunk, 'w', sizeof chunk);
    for (size_t left = LARGE; left > 0;) {
        s->callbacks = 0;
        size_t len = left < sizeof chunk ? left : sizeof chunk, n = write_stream_write(writer, chunk, len);
        left -= n;
        if (n < len)
            assert_true(run_until(s->f, callback_ran, s));
    }
}

static void finish_and_wait(struct streams *s, struct write_stream *writer)
{
    s->callbacks = 0;
    write_stream_finish(writer);
    assert_true(run_until(s->f, callback_ran, s));
    assert_true(run_until_idle(s->f));
    assert_int_equal(s->callbacks, 1);
}

static void write_stream_writes_whole_file(void **state)
{
    struct streams *s = *state;
    struct file_version version;
    for (int i = 0; i < 2; i++) {
        struct write_stream *writer;
        struct err e = {0};
        bool created;
        assert_int_equal(open_write_stream(s, &writer, &e), 0);
        write_all(s, writer);
        finish_and_wait(s, writer);
        assert_int_equal(s->rc, 0);
        write_stream_get_result(writer, &version, &created);
        assert_true(version.size_bytes == LARGE && created == (i == 0));
        write_stream_close(writer);
        assert_true(tree_file_is_filled(s->tree, "b.txt", 'w', LARGE));
        assert_int_equal(tree_count_temp_files(s->tree), 0);
    }
}

static void failed_write_discards_file(void **state)
{
    struct streams *s = *state;
    struct write_stream *writer;
    struct err e = {0};
    assert_true(tree_mkdir(s->tree, "dir"));
    assert_int_equal(write_stream_open(s->f->runtime, STR("dir/b"), NULL, on_write_ready, s, &writer, &e), 0);
    write_all(s, writer);
    char path[256], moved[256];
    snprintf(path, sizeof path, "%s/dir", s->tree->root);
    snprintf(moved, sizeof moved, "%s/moved", s->tree->root);
    assert_int_equal(rename(path, moved), 0); /* the commit will fail: the directory does not exist any more */
    finish_and_wait(s, writer);
    assert_int_equal(s->rc, ERR_FILE_NOT_FOUND);
    assert_true(write_stream_failed(writer, &e));
    assert_int_equal(tree_count_temp_files(s->tree), 0); /* removed although the stream is not closed */
    assert_int_equal(write_stream_write(writer, "x", 1), 1);
    write_stream_close(writer);
    assert_true(run_until(s->f, all_streams_closed, s));
}

/* The stream is closed at each step of a write. */
static void closed_write_leaves_nothing(void **state)
{
    struct streams *s = *state;
    for (int step = 0; step < 4; step++) {
        struct write_stream *writer;
        struct err e = {0};
        assert_int_equal(open_write_stream(s, &writer, &e), 0);
        if (step > 0)
            assert_true(run_until_idle(s->f));
        if (step > 1)
            write_all(s, writer);
        if (step > 2)
            assert_true(run_until_idle(s->f));
        write_stream_close(writer);
        assert_true(run_until(s->f, all_streams_closed, s));
        assert_true(run_until_idle(s->f));
        assert_false(tree_exists(s->tree, "b.txt"));
        assert_int_equal(tree_count_temp_files(s->tree), 0);
    }
}

/* After a shutdown, no work can be submitted to the pool: work in progress ends, and streams are closed on the loop. */
static void shutdown_closes_streams(void **state)
{
    struct streams *s = *state;
    struct read_stream *reader;
    struct write_stream *writer;
    struct err e = {0};
    assert_true(tree_fill_file(s->tree, "large", 'l', LARGE));
    reader = open_and_wait(s, "large");
    assert_int_equal(open_write_stream(s, &writer, &e), 0);
    assert_true(run_until_idle(s->f));
    runtime_shutdown(s->f->runtime);
    read_bytes(s, reader, 'l', LARGE);
    write_all(s, writer);
    s->callbacks = 0;
    write_stream_finish(writer);
    assert_int_equal(s->callbacks, 1);
    assert_int_equal(s->rc, ERR_SHUTTING_DOWN);
    read_stream_close(reader);
    write_stream_close(writer);
    assert_int_equal(s->f->runtime->streams, 0);
    assert_int_equal(tree_count_temp_files(s->tree), 0);
}

#define STREAM_TEST(f) cmocka_unit_test_setup_teardown(f, stream_setup, stream_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STREAM_TEST(streams_over_limit_are_rejected), STREAM_TEST(failed_open_counts_until_close),
        STREAM_TEST(out_of_memory_releases_slot),     STREAM_TEST(read_stream_reads_whole_file),
        STREAM_TEST(truncated_file_fails_read),       STREAM_TEST(failed_read_reports_errno),
        STREAM_TEST(write_stream_writes_whole_file),  STREAM_TEST(failed_write_discards_file),
        STREAM_TEST(closed_write_leaves_nothing),     STREAM_TEST(shutdown_closes_streams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

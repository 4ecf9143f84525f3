/* streams - files on their way in and out count together, until the last of what each holds is given back. */
#include "runtime/files/read_stream.h"
#include "runtime/files/stream.h"
#include "runtime/files/write_stream.h"
#include "runtime/types/type_parse.h"
#include "tests/unit/support/alloc_fault.h"
#include "tests/unit/support/file_root_fixture.h"
#include "tests/unit/support/runtime_fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct streams {
    struct tree *tree;
    struct fixture *f;
    int callbacks, rc; /* by a source or a sink: how often, and what last */
};

static void on_read_ready(struct read_stream *reader, const struct err *e, void *user)
{
    struct streams *s = user;
    (void)reader;
    s->callbacks++;
    s->rc = e->rc;
}

static void on_write_ready(struct write_stream *writer, const struct err *e, void *user)
{
    struct streams *s = user;
    (void)writer;
    s->callbacks++;
    s->rc = e->rc;
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
    static struct streams s; /* one test at a time */
    s = (struct streams){.tree = tree_new(NULL, NULL)};
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
    s.f = fixture_start(&(struct runtime_config){
        .limits = &limits, .files_root = s.tree->root, .files_threads = 1, .files_source = ""});
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
    return read_stream_open(s->f->runtime, STR("a.txt"), on_read_ready, s, out, e);
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
    assert_string_equal(e.msg, "2 files are on their way in or out, and the limit max_streams is 2; try again later");
    assert_true(run_until(s->f, callback_ran, s));
    assert_int_equal(s->rc, 0);

    read_stream_close(reader);
    assert_int_equal(open_write_stream(s, &rejected_writer, &e),
                     ERR_TOO_MANY_STREAMS); /* its descriptor is not closed yet */
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
    assert_int_equal(read_stream_open(s->f->runtime, STR("missing"), on_read_ready, s, &reader, &e), 0);
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

#define STREAM_TEST(f) cmocka_unit_test_setup_teardown(f, stream_setup, stream_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STREAM_TEST(streams_over_limit_are_rejected),
        STREAM_TEST(failed_open_counts_until_close),
        STREAM_TEST(out_of_memory_releases_slot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

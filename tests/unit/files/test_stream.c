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
    int told, rc; /* by a source or a sink: how often, and what last */
};

static void on_source(struct read_stream *source, const struct err *e, void *user)
{
    struct streams *s = user;
    (void)source;
    s->told++;
    s->rc = e->rc;
}

static void on_sink(struct write_stream *sink, const struct err *e, void *user)
{
    struct streams *s = user;
    (void)sink;
    s->told++;
    s->rc = e->rc;
}

static bool is_told(const void *of)
{
    return ((const struct streams *)of)->told > 0;
}

static bool none_left(const void *of)
{
    return ((const struct streams *)of)->f->runtime->streams == 0;
}

static int setup(void **state)
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

static int teardown(void **state)
{
    struct streams *s = *state;
    bool ok = fixture_free(s->f);
    return tree_free(s->tree) && ok ? 0 : -1;
}

static int open_source(struct streams *s, struct read_stream **out, struct err *e)
{
    return source_open(s->f->runtime, STR("a.txt"), on_source, s, out, e);
}

static int open_sink(struct streams *s, struct write_stream **out, struct err *e)
{
    return sink_open(s->f->runtime, STR("b.txt"), NULL, on_sink, s, out, e);
}

static void those_beyond_the_limit_are_refused(void **state)
{
    struct streams *s = *state;
    struct read_stream *source, *no_source;
    struct write_stream *sink, *no_sink;
    struct err e = {0};
    assert_int_equal(open_source(s, &source, &e), 0);
    assert_int_equal(open_sink(s, &sink, &e), 0);
    assert_int_equal(open_source(s, &no_source, &e), ERR_TOO_MANY_STREAMS);
    assert_int_equal(open_sink(s, &no_sink, &e), ERR_TOO_MANY_STREAMS);
    assert_string_equal(e.msg, "2 files are on their way in or out, and the limit max_streams is 2; try again later");
    assert_true(run_until(s->f, is_told, s));
    assert_int_equal(s->rc, 0);

    source_close(source);
    assert_int_equal(open_sink(s, &no_sink, &e), ERR_TOO_MANY_STREAMS); /* its descriptor is not closed yet */
    assert_true(run_until_idle(s->f));
    assert_int_equal(open_source(s, &source, &e), 0);
    sink_close(sink);
    source_close(source);
    assert_true(run_until(s->f, none_left, s));
    assert_true(run_until_idle(s->f));
}

static void one_that_could_not_be_opened_counts_until_it_is_closed(void **state)
{
    struct streams *s = *state;
    struct read_stream *source;
    struct err e = {0};
    assert_int_equal(source_open(s->f->runtime, STR("missing"), on_source, s, &source, &e), 0);
    assert_true(run_until(s->f, is_told, s));
    assert_int_equal(s->rc, ERR_FILE_NOT_FOUND);
    assert_int_equal(s->f->runtime->streams, 1);
    source_close(source);
    assert_int_equal(s->f->runtime->streams, 0);
}

static void one_that_is_refused_for_want_of_memory_does_not_count(void **state)
{
    struct streams *s = *state;
    for (int kind = 0; kind < 2; kind++) {
        unsigned long n = 0;
        int rc;
        do {
            struct read_stream *source;
            struct write_stream *sink;
            struct err e = {0};
            alloc_fail_at(++n);
            rc = kind == 0 ? open_source(s, &source, &e) : open_sink(s, &sink, &e);
            alloc_fail_at(0);
            assert_int_equal(s->f->runtime->streams, rc == 0 ? 1 : 0);
            if (rc != 0)
                assert_int_equal(rc, ERR_OUT_OF_MEMORY);
            else if (kind == 0)
                source_close(source);
            else
                sink_close(sink);
        } while (rc != 0);
        assert_true(n > 4);
        assert_true(run_until(s->f, none_left, s));
        assert_true(run_until_idle(s->f));
    }
}

#define STREAMS_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STREAMS_TEST(those_beyond_the_limit_are_refused),
        STREAMS_TEST(one_that_could_not_be_opened_counts_until_it_is_closed),
        STREAMS_TEST(one_that_is_refused_for_want_of_memory_does_not_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

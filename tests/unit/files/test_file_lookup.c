/* test_file_lookup - a file's version is found without a stream slot; errors are those of a download. */
#include "runtime/files/file_lookup.h"
#include "runtime/types/type_parse.h"
#include "tests/unit/support/alloc_fault.h"
#include "tests/unit/support/file_root_fixture.h"
#include "tests/unit/support/runtime_fixture.h"

#include <fcntl.h>
#include <unistd.h>

struct lookup_test {
    struct tree *tree;
    struct fixture *f;
    int callbacks;
    bool close_in_callback;
    struct err e;
    struct file_version version;
};

static int lookup_setup(void **state)
{
    static struct lookup_test t; /* static: tests run one at a time */
    struct limits limits;
    record_set_defaults(&limits_type, &limits);
    limits.max_streams = 1;
    t = (struct lookup_test){.tree = tree_new(NULL, NULL)};
    if (t.tree == NULL || !tree_write_file(t.tree, "a.txt", "a file"))
        return -1;
    t.f = fixture_start(&(struct runtime_config){.limits = &limits,
                                                 .options.files_root = str_from(t.tree->root),
                                                 .options.files_threads = 1,
                                                 .options.files_source = ""});
    *state = &t;
    return t.f == NULL ? -1 : 0;
}

static int lookup_teardown(void **state)
{
    struct lookup_test *t = *state;
    bool ok = fixture_free(t->f);
    return tree_free(t->tree) && ok ? 0 : -1;
}

static void on_lookup(struct file_lookup *lookup, const struct file_version *version, const struct err *e, void *user)
{
    struct lookup_test *t = user;
    t->callbacks++;
    t->e = *e;
    t->version = *version;
    if (t->close_in_callback)
        file_lookup_close(lookup);
}

static bool lookup_ran(const void *arg)
{
    return ((const struct lookup_test *)arg)->callbacks > 0;
}

static int start_lookup(struct lookup_test *t, const char *path, struct file_lookup **out)
{
    return file_lookup_start(t->f->runtime, str_from(path), on_lookup, t, out, &t->e);
}

static void version_is_found_without_a_slot(void **state)
{
    struct lookup_test *t = *state;
    struct file_lookup *lookup;
    struct stat st;
    t->f->runtime->streams = 1; /* the maximum, max_streams */
    assert_int_equal(start_lookup(t, "a.txt", &lookup), 0);
    assert_true(run_until(t->f, lookup_ran, t));
    file_lookup_close(lookup);
    assert_int_equal(t->f->runtime->streams, 1);
    t->f->runtime->streams = 0;
    assert_int_equal(t->e.rc, 0);
    assert_int_equal(file_root_stat(t->tree->file_root, STR("a.txt"), true, &st, NULL), 0);
    struct file_version expected = file_version_of(&st);
    assert_memory_equal(&t->version, &expected, sizeof expected);
}

static void missing_file_is_reported(void **state)
{
    struct lookup_test *t = *state;
    struct file_lookup *lookup;
    t->close_in_callback = true;
    assert_int_equal(start_lookup(t, "missing", &lookup), 0);
    assert_true(run_until(t->f, lookup_ran, t));
    assert_int_equal(t->e.rc, ERR_FILE_NOT_FOUND);
    t->callbacks = 0;
    assert_true(tree_mkdir(t->tree, "dir"));
    assert_int_equal(start_lookup(t, "dir", &lookup), 0);
    assert_true(run_until(t->f, lookup_ran, t));
    assert_int_equal(t->e.rc, ERR_UNSUPPORTED_FILE_TYPE);
}

static void closed_lookup_calls_nothing(void **state)
{
    struct lookup_test *t = *state;
    struct file_lookup *lookup;
    assert_int_equal(start_lookup(t, "a.txt", &lookup), 0);
    file_lookup_close(lookup);
    assert_true(run_until_idle(t->f));
    assert_int_equal(t->callbacks, 0);
}

static void each_failed_allocation_is_reported(void **state)
{
    struct lookup_test *t = *state;
    struct file_lookup *lookup;
    unsigned long n = 0;
    int rc;
    do {
        alloc_fail_at(++n);
        rc = start_lookup(t, "a.txt", &lookup);
        alloc_fail_at(0);
        if (rc != 0)
            assert_int_equal(rc, ERR_OUT_OF_MEMORY);
    } while (rc != 0);
    assert_true(n > 2);
    file_lookup_close(lookup);
    assert_true(run_until_idle(t->f));
}

#define LOOKUP_TEST(f) cmocka_unit_test_setup_teardown(f, lookup_setup, lookup_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOKUP_TEST(version_is_found_without_a_slot),
        LOOKUP_TEST(missing_file_is_reported),
        LOOKUP_TEST(closed_lookup_calls_nothing),
        LOOKUP_TEST(each_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

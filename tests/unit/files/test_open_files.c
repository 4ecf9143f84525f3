/* test_open_files - a file is listed from the success of its open until its close; unused files are closed when their
 * lease expires. */
#include "runtime/files/file_methods.h"
#include "runtime/types/type_parse.h"
#include "tests/unit/support/alloc_fault.h"
#include "tests/unit/support/file_root_fixture.h"
#include "tests/unit/support/task_asserts.h"

#include <stdio.h>
#include <string.h>

enum { LIST_SIZE = 128 };

struct open_files_test {
    struct tree *tree;
    struct fixture *f;
    struct open_files *files;
    struct waiter waiter;
};

static int open_files_setup(void **state)
{
    static struct open_files_test t; /* static: tests run one at a time */
    struct limits limits;
    record_set_defaults(&limits_type, &limits);
    limits.max_open_files = 3;
    t = (struct open_files_test){.tree = tree_new(NULL, NULL)};
    if (t.tree == NULL || !tree_write_file(t.tree, "a.txt", "a file"))
        return -1;
    t.f = fixture_start(&(struct runtime_config){.limits = &limits,
                                                 .options.files_root = str_from(t.tree->root),
                                                 .options.files_threads = 1,
                                                 .options.files_source = ""});
    if (t.f == NULL)
        return -1;
    t.files = runtime_open_files(t.f->runtime);
    *state = &t;
    return 0;
}

static int open_files_teardown(void **state)
{
    struct open_files_test *t = *state;
    bool ok = fixture_free(t->f);
    return tree_free(t->tree) && ok ? 0 : -1;
}

static void append_id(struct open_file *file, void *user)
{
    char *ids = user;
    size_t len = strlen(ids);
    snprintf(ids + len, LIST_SIZE - len, "%s ", file->id);
}

static void expect_listed(struct open_files_test *t, const char *expected)
{
    char ids[LIST_SIZE] = "";
    open_files_for_each(t->files, append_id, ids);
    assert_string_equal(ids, expected);
}

static struct open_file *submit_open(struct open_files_test *t, const char *id, const char *path, uint64_t lease_ns)
{
    struct fixture *f = t->f;
    struct err e;
    struct open_file *file = NULL;
    struct file_call *call = arena_alloc(f->arena, sizeof *call);
    assert_int_equal(open_files_add(t->files, id, str_from(path), FILE_R, ENCODING_UTF8, lease_ns, f->arena, &file, &e),
                     0);
    call->file = file;
    struct task_spec spec = {.function = &function_file_open, .input = call, .options = task_options_none};
    t->waiter = (struct waiter){0};
    assert_int_equal(submit(f, &spec, &t->waiter), 0);
    return file;
}

static void submit_call(struct open_files_test *t, struct open_file *file, enum file_op op)
{
    struct file_call *call = arena_alloc(t->f->arena, sizeof *call);
    struct task_spec spec;
    assert_true(open_file_ref(file, t->f->arena));
    file_call_spec(file, op, call, &spec);
    t->waiter = (struct waiter){0};
    assert_int_equal(submit(t->f, &spec, &t->waiter), 0);
}

static void expect_done(struct open_files_test *t, enum task_state state)
{
    wait_until_done(t->f, &t->waiter);
    assert_int_equal(t->waiter.info.state, state);
}

static void close_file(struct open_files_test *t, struct open_file *file)
{
    submit_call(t, file, FILE_OP_CLOSE);
    assert_ptr_equal(open_files_find(t->files, str_from(file->id)), file);
    expect_done(t, TASK_SUCCEEDED);
    expect_listed(t, "");
    task_release(t->waiter.task);
}

static void file_is_listed_once_it_is_open(void **state)
{
    struct open_files_test *t = *state;
    struct open_file *file = submit_open(t, "one", "a.txt", MS(60000));
    expect_listed(t, "");
    assert_null(open_files_find(t->files, STR("one")));
    expect_done(t, TASK_SUCCEEDED);
    expect_listed(t, "one ");
    assert_ptr_equal(open_files_find(t->files, STR("one")), file);
    assert_null(open_files_find(t->files, STR("on")));
    assert_null(open_files_find(t->files, STR("a handle that is longer than any")));
    task_release(t->waiter.task);

    close_file(t, file);
}

static void failed_open_is_never_listed(void **state)
{
    struct open_files_test *t = *state;
    submit_open(t, "one", "missing", MS(60000));
    expect_done(t, TASK_FAILED);
    expect_listed(t, "");
    task_release(t->waiter.task);
}

/* A call of open that waits for the test before it opens the file. */
struct held_call {
    struct file_call call; /* the input */
    uv_sem_t started, may_open;
};

static int run_held_open(const void *in, void *out, struct run_context *run)
{
    struct held_call *held = (struct held_call *)container_of((const struct file_call *)in, struct held_call, call);
    uv_sem_post(&held->started);
    uv_sem_wait(&held->may_open);
    return function_file_open.run(in, out, run);
}

/* The handle is known to no client: the file is closed, not kept until its lease ends. */
static void canceled_open_is_never_listed(void **state)
{
    struct open_files_test *t = *state;
    struct err e;
    struct held_call held = {0};
    struct function held_open = function_file_open;
    held_open.run = run_held_open;
    assert_int_equal(uv_sem_init(&held.started, 0), 0);
    assert_int_equal(uv_sem_init(&held.may_open, 0), 0);
    assert_int_equal(open_files_add(t->files, "one", STR("a.txt"), FILE_R, ENCODING_UTF8, MS(60000), t->f->arena,
                                    &held.call.file, &e),
                     0);
    struct task_spec spec = {.function = &held_open, .input = &held.call, .options = task_options_none};
    assert_int_equal(submit(t->f, &spec, &t->waiter), 0);
    uv_sem_wait(&held.started);
    cancel(t->f, t->waiter.task, CANCEL_CLIENT);
    task_drain(t->f->runtime);
    expect_done(t, TASK_CANCELED);
    expect_listed(t, "");
    task_release(t->waiter.task);
    uv_sem_post(&held.may_open);
    assert_true(run_until(t->f, no_abandoned_jobs, t->f));
    expect_listed(t, "");
    uv_sem_destroy(&held.started);
    uv_sem_destroy(&held.may_open);
}

/* The thread may have opened the file before the cancel, which then comes too late. */
static void cancel_races_with_open(void **state)
{
    struct open_files_test *t = *state;
    for (int round = 0; round < 100; round++) {
        struct open_file *file = submit_open(t, "one", "a.txt", MS(60000));
        cancel(t->f, t->waiter.task, CANCEL_CLIENT);
        wait_until_done(t->f, &t->waiter);
        bool canceled = t->waiter.info.state == TASK_CANCELED;
        assert_int_equal(t->waiter.info.state, canceled ? TASK_CANCELED : TASK_SUCCEEDED);
        assert_int_equal(t->waiter.info.cancel_effect, canceled ? EFFECT_ABANDONED : EFFECT_TOO_LATE);
        expect_listed(t, canceled ? "" : "one ");
        task_release(t->waiter.task);
        assert_true(run_until(t->f, no_abandoned_jobs, t->f));
        if (!canceled)
            close_file(t, file);
    }
}

static bool none_listed(const void *arg)
{
    const struct open_files_test *t = arg;
    return open_files_find(t->files, STR("one")) == NULL;
}

static void expired_lease_closes_file(void **state)
{
    struct open_files_test *t = *state;
    submit_open(t, "one", "a.txt", MS(1));
    expect_done(t, TASK_SUCCEEDED);
    task_release(t->waiter.task);
    assert_true(run_until(t->f, none_listed, t));
    assert_true(run_until_idle(t->f));
    struct open_file *file = submit_open(t, "one", "a.txt", MS(60000)); /* the id is free again */
    expect_done(t, TASK_SUCCEEDED);
    expect_listed(t, "one ");
    task_release(t->waiter.task);
    close_file(t, file);
}

/* Files that are being opened count too. */
static void files_over_limit_are_rejected(void **state)
{
    struct open_files_test *t = *state;
    struct arena *arena = arena_new();
    struct open_file *file;
    struct err e;
    static const char *const ids[] = {"one", "two", "three"};
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(open_files_add(t->files, ids[i], STR("a.txt"), FILE_R, ENCODING_UTF8, MS(1), arena, &file, &e),
                         0);
    assert_int_equal(open_files_add(t->files, "four", STR("a.txt"), FILE_R, ENCODING_UTF8, MS(1), arena, &file, &e),
                     ERR_TOO_MANY_OPEN_FILES);
    arena_unref(arena); /* frees the files, whose opens were not submitted */
    expect_listed(t, "");
    file = submit_open(t, "four", "a.txt", MS(60000));
    expect_done(t, TASK_SUCCEEDED);
    expect_listed(t, "four ");
    task_release(t->waiter.task);
    close_file(t, file);
}

static void each_failed_allocation_is_reported(void **state)
{
    struct open_files_test *t = *state;
    struct arena *arena = arena_new();
    unsigned long n = 0;
    int rc;
    do {
        struct open_file *file;
        struct err e;
        alloc_fail_at(++n);
        rc = open_files_add(t->files, "one", STR("a.txt"), FILE_R, ENCODING_UTF8, MS(1), arena, &file, &e);
        alloc_fail_at(0);
        if (rc != 0)
            assert_int_equal(rc, ERR_OUT_OF_MEMORY);
    } while (rc != 0);
    assert_true(n > 2);
    arena_unref(arena);
    expect_listed(t, "");
}

#define OPEN_FILES_TEST(f) cmocka_unit_test_setup_teardown(f, open_files_setup, open_files_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        OPEN_FILES_TEST(file_is_listed_once_it_is_open),     OPEN_FILES_TEST(failed_open_is_never_listed),
        OPEN_FILES_TEST(canceled_open_is_never_listed),      OPEN_FILES_TEST(cancel_races_with_open),
        OPEN_FILES_TEST(expired_lease_closes_file),          OPEN_FILES_TEST(files_over_limit_are_rejected),
        OPEN_FILES_TEST(each_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

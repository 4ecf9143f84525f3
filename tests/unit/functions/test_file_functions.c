/* test_file_functions - the file functions, called as a pool thread calls them: results, errors, effects on disk, and
 * confinement to the file root. */
#include "runtime/files/file_io.h"
#include "runtime/files/temp_file.h"
#include "tests/unit/support/alloc_fault.h"
#include "tests/unit/support/builtins.h"
#include "tests/unit/support/file_root_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cmocka.h>

static const char path_in_temp_dir[] = TEMP_DIR_NAME "/x"; /* forbidden for all functions */

static void full_path(const struct tree *t, const char *path, char out[8192])
{
    snprintf(out, 8192, "%s/%s", t->root, path);
}

static void expect_text(struct tree *t, const char *field, struct str text)
{
    struct str found = tree_output_str(t, field);
    assert_int_equal(found.len, text.len);
    assert_memory_equal(found.data, text.data, text.len + 1); /* including the NUL */
}

static void expect_ok(struct tree *t, int rc)
{
    if (rc != 0)
        fail_msg("%s: %s: %s", t->function->name, error_code(rc), t->e.msg);
}

static void expect_error(struct tree *t, int rc, int expected)
{
    if (rc != expected)
        fail_msg("%s gave %s (%s) instead of %s", t->function->name, rc == 0 ? "a result" : error_code(rc), t->e.msg,
                 error_code(expected));
    assert_int_equal(t->e.rc, rc);
    assert_true(t->e.msg[0] != '\0');
}

static mode_t permissions(struct tree *t, const char *path)
{
    char at[8192];
    struct stat stat;
    full_path(t, path, at);
    assert_int_equal(lstat(at, &stat), 0);
    return stat.st_mode & 07777;
}

static uint64_t free_blocks(struct tree *t)
{
    struct statvfs v;
    assert_int_equal(statvfs(t->root, &v), 0);
    return v.f_bfree;
}

/* -- the table ----------------------------------------------------------------------------------------------------- */

static void file_functions_use_files_executor(void **state)
{
    static const char *const names[] = {"write_file",  "read_file",      "stat_file", "list_directory", "remove_file",
                                        "rename_file", "make_directory", "copy_file", "sha256_file"};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        const struct function *f = builtins_find(names[i]);
        assert_non_null(f);
        assert_int_equal(f->executor, EXECUTOR_FILES);
        assert_int_equal(f->executors, EXECUTOR_BIT(EXECUTOR_FILES));
    }
}

/* -- write_file ---------------------------------------------------------------------------------------------------- */

static void write_file_modes(void **state)
{
    struct tree *t = *state;
    static const char *const atomic[] = {"false", "true"};
    for (size_t i = 0; i < 2; i++) {
        expect_ok(t, tree_call(t, "write_file", "path", "a", "data", "hello, file", "atomic", atomic[i], NULL));
        assert_int_equal(tree_output_integer(t, "written_bytes"), 11);
        assert_int_equal(tree_output_integer(t, "size_bytes"), 11);
        assert_true(tree_file_equals(t, "a", "hello, file"));
        expect_ok(t, tree_call(t, "write_file", "path", "a", "data", "less", "atomic", atomic[i], NULL));
        assert_true(tree_file_equals(t, "a", "less"));
        assert_int_equal(tree_output_integer(t, "size_bytes"), 4);
        expect_ok(t, tree_call(t, "write_file", "path", "a", "data", "", "atomic", atomic[i], "fsync", "true", NULL));
        assert_true(tree_file_equals(t, "a", ""));
        expect_error(t, tree_call(t, "write_file", "path", "a", "data", "b", "mode", "x", "atomic", atomic[i], NULL),
                     ERR_FILE_EXISTS);
        assert_true(tree_file_equals(t, "a", ""));
        expect_ok(t, tree_call(t, "write_file", "path", i == 0 ? "x0" : "x1", "data", "b", "mode", "x", "atomic",
                               atomic[i], "fsync", "true", NULL));
        assert_true(tree_file_equals(t, i == 0 ? "x0" : "x1", "b"));
    }
    expect_ok(t, tree_call(t, "write_file", "path", "a", "data", "one ", "mode", "a", NULL));
    expect_ok(t, tree_call(t, "write_file", "path", "a", "data", "two", "mode", "a", "fsync", "true", NULL));
    assert_int_equal(tree_output_integer(t, "written_bytes"), 3);
    assert_int_equal(tree_output_integer(t, "size_bytes"), 7);
    assert_true(tree_file_equals(t, "a", "one two"));
    expect_ok(t, tree_call(t, "write_file", "path", "appended", "data", "x", "mode", "a", NULL));
    assert_true(tree_file_equals(t, "appended", "x"));
    expect_error(t, tree_call(t, "write_file", "path", "a", "data", "x", "mode", "a", "atomic", "true", NULL),
                 ERR_INVALID);
    assert_non_null(strstr(t->e.msg, "/atomic"));
    assert_int_equal(tree_count_temp_files(t), 0);
}

static void write_file_binary_data(void **state)
{
    struct tree *t = *state;
    expect_ok(t, tree_call_data(t, "write_file", "data", STR("a\0b"), "path", "nul", NULL));
    assert_int_equal(tree_output_integer(t, "size_bytes"), 3);
    expect_ok(t, tree_call(t, "read_file", "path", "nul", NULL));
    expect_text(t, "data", STR("a\0b"));
    expect_ok(t, tree_call(t, "write_file", "path", "b", "data", "AP+A", "encoding", "base64", NULL));
    assert_int_equal(tree_output_integer(t, "written_bytes"), 3);
    expect_ok(t, tree_call(t, "read_file", "path", "b", "encoding", "base64", NULL));
    expect_text(t, "data", STR("AP+A"));
    expect_error(t, tree_call(t, "write_file", "path", "b", "data", "AP+", "encoding", "base64", NULL),
                 ERR_INVALID_ARGUMENT);
    assert_non_null(strstr(t->e.msg, "not base64"));
    expect_error(
        t,
        tree_call(t, "write_file", "path", "c/d", "create_parents", "true", "data", "\n", "encoding", "base64", NULL),
        ERR_INVALID_ARGUMENT);
    assert_false(tree_exists(t, "c")); /* an invalid request changes nothing */
    expect_ok(t, tree_call(t, "read_file", "path", "b", "encoding", "base64", NULL));
    expect_text(t, "data", STR("AP+A"));
}

static void write_file_in_directories(void **state)
{
    struct tree *t = *state;
    expect_error(t, tree_call(t, "write_file", "path", "a/b/c", "data", "x", NULL), ERR_FILE_NOT_FOUND);
    assert_string_equal(t->e.msg, "a/b/c: parent directory not found");
    expect_ok(t, tree_call(t, "write_file", "path", "a/b/c", "data", "x", "create_parents", "true", NULL));
    expect_ok(
        t, tree_call(t, "write_file", "path", "d/e/f", "data", "x", "create_parents", "true", "atomic", "true", NULL));
    assert_true(tree_file_equals(t, "a/b/c", "x") && tree_file_equals(t, "d/e/f", "x"));
    static const char *const modes[] = {"w", "a", "x"};
    for (size_t i = 0; i < COUNT_OF(modes); i++) {
        assert_int_not_equal(tree_call(t, "write_file", "path", "a/b", "data", "x", "mode", modes[i], NULL), 0);
        expect_error(t, tree_call(t, "write_file", "path", "new/", "data", "x", "mode", modes[i], NULL),
                     ERR_UNSUPPORTED_FILE_TYPE);
        expect_error(t, tree_call(t, "write_file", "path", "a/b/c/d", "data", "x", "mode", modes[i], NULL),
                     ERR_UNSUPPORTED_FILE_TYPE);
    }
    expect_error(t, tree_call(t, "write_file", "path", "new/", "data", "x", "mode", "x", "atomic", "true", NULL),
                 ERR_UNSUPPORTED_FILE_TYPE);
    expect_error(t, tree_call(t, "write_file", "path", "a/b", "data", "x", "atomic", "true", NULL),
                 ERR_UNSUPPORTED_FILE_TYPE);
    expect_error(t, tree_call(t, "write_file", "path", ".", "data", "x", NULL), ERR_UNSUPPORTED_FILE_TYPE);
    assert_false(tree_exists(t, "new"));
}

static void trailing_slash_replaces_nothing(void **state)
{
    struct tree *t = *state;
    static const char *const paths[] = {"file/", "link/", "dangling/", "dir/", "to_dir/", "new/"};
    assert_true(tree_write_file(t, "file", "old") && tree_write_file(t, "from", "new") && tree_mkdir(t, "dir"));
    assert_true(tree_symlink(t, "file", "link") && tree_symlink(t, "missing", "dangling") &&
                tree_symlink(t, "dir", "to_dir"));
    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        static const char *const modes[] = {"w", "a", "x", "w", "x"};
        static const char *const atomic[] = {"false", "false", "false", "true", "true"};
        for (size_t m = 0; m < COUNT_OF(modes); m++)
            expect_error(t,
                         tree_call(t, "write_file", "path", paths[i], "data", "new", "mode", modes[m], "atomic",
                                   atomic[m], NULL),
                         ERR_UNSUPPORTED_FILE_TYPE);
        for (int replace = 0; replace < 2; replace++)
            expect_error(
                t,
                tree_call(t, "copy_file", "from", "from", "to", paths[i], "replace", replace ? "true" : "false", NULL),
                ERR_UNSUPPORTED_FILE_TYPE);
    }
    assert_string_equal(t->e.msg, "new/: the path of a file must not end in a slash");
    assert_true(tree_file_equals(t, "file", "old") && !tree_exists(t, "missing") && !tree_exists(t, "new"));
}

static void symlinks_inside_root_are_followed(void **state)
{
    struct tree *t = *state;
    assert_true(tree_mkdir(t, "d") && tree_write_file(t, "d/file", "old") && tree_symlink(t, "d/file", "link"));
    assert_true(tree_symlink(t, "d/new", "dangling") && tree_symlink(t, "d/newer", "dangling2") &&
                tree_symlink(t, "../link", "d/2"));
    expect_ok(t, tree_call(t, "write_file", "path", "link", "data", "one", NULL));
    assert_true(tree_file_equals(t, "d/file", "one"));
    expect_ok(t, tree_call(t, "write_file", "path", "d/2", "data", "two", "atomic", "true", NULL));
    assert_true(tree_file_equals(t, "d/file", "two"));
    expect_ok(t, tree_call(t, "write_file", "path", "link", "data", "!", "mode", "a", NULL));
    assert_true(tree_file_equals(t, "d/file", "two!"));
    expect_error(t, tree_call(t, "write_file", "path", "dangling", "data", "x", "mode", "x", NULL), ERR_FILE_EXISTS);
    expect_error(t, tree_call(t, "write_file", "path", "dangling", "data", "x", "mode", "x", "atomic", "true", NULL),
                 ERR_FILE_EXISTS);
    expect_ok(t, tree_call(t, "write_file", "path", "dangling", "data", "three", NULL));
    expect_ok(t, tree_call(t, "write_file", "path", "dangling2", "data", "four", "atomic", "true", NULL));
    assert_true(tree_file_equals(t, "d/new", "three") && tree_file_equals(t, "d/newer", "four"));
    char path[8192], target[64];
    full_path(t, "link", path);
    assert_int_equal(readlink(path, target, sizeof target), 6); /* "link" is still a symlink */
    expect_ok(t, tree_call(t, "read_file", "path", "d/2", NULL));
    expect_text(t, "data", STR("two!"));
    expect_ok(t, tree_call(t, "sha256_file", "path", "link", NULL));
    expect_ok(t, tree_call(t, "copy_file", "from", "link", "to", "dangling", "replace", "true", NULL));
    assert_true(tree_file_equals(t, "d/new", "two!"));
}

static void created_files_honor_umask(void **state)
{
    struct tree *t = *state;
    char path[8192];
    mode_t mask = umask(027);
    expect_ok(t, tree_call(t, "write_file", "path", "a", "data", "x", NULL));
    expect_ok(t, tree_call(t, "write_file", "path", "b", "data", "x", "atomic", "true", NULL));
    expect_ok(t, tree_call(t, "make_directory", "path", "d", NULL));
    umask(mask);
    assert_int_equal(permissions(t, "a"), 0640);
    assert_int_equal(permissions(t, "b"), 0640);
    assert_int_equal(permissions(t, "d"), 0750);
    full_path(t, "a", path);
    assert_int_equal(chmod(path, 0604), 0);
    expect_ok(t, tree_call(t, "write_file", "path", "a", "data", "y", "atomic", "true", NULL));
    assert_int_equal(permissions(t, "a"), 0604);
    expect_ok(t, tree_call(t, "copy_file", "from", "a", "to", "c", NULL));
    assert_int_equal(permissions(t, "c"), 0604);
}

/* -- no space ------------------------------------------------------------------------------------------------------ */

enum { OLD_LEN = 24000, LARGE_LEN = 80000 };

/* The root has 64 KiB. A failed write changes no file and leaves no block allocated. */
static void no_space_preserves_file(void **state)
{
    struct tree *t = *state;
    static char large_data[LARGE_LEN + 1];
    memset(large_data, 'n', LARGE_LEN);
    assert_true(tree_fill_file(t, "old", 'o', OLD_LEN) && tree_symlink(t, "old", "link"));
    uint64_t before = free_blocks(t);
    static const char *const write_file_modes[][4] = {
        /* path, mode, atomic */
        {"old", "w", "false"}, {"old", "a", "false"}, {"old", "w", "true"},  {"link", "w", "false"},
        {"new", "w", "false"}, {"new", "a", "false"}, {"new", "x", "false"}, {"new", "w", "true"},
        {"new", "x", "true"},  {"link", "w", "true"},
    };
    for (size_t i = 0; i < COUNT_OF(write_file_modes); i++) {
        expect_error(t,
                     tree_call(t, "write_file", "data", large_data, "path", write_file_modes[i][0], "mode",
                               write_file_modes[i][1], "atomic", write_file_modes[i][2], NULL),
                     ERR_INSUFFICIENT_STORAGE);
        assert_non_null(strstr(t->e.msg, "no space left on the file system"));
        assert_true(tree_file_is_filled(t, "old", 'o', OLD_LEN));
        assert_false(tree_exists(t, "new"));
        assert_int_equal(tree_count_temp_files(t), 0);
        assert_int_equal(free_blocks(t), before);
    }
    large_data[OLD_LEN] = '\0'; /* now fits the root once, but not in addition to the old content */
    assert_true(tree_fill_file(t, "other", 'p', OLD_LEN));
    before = free_blocks(t);
    expect_error(t, tree_call(t, "copy_file", "from", "old", "to", "other", "replace", "true", NULL),
                 ERR_INSUFFICIENT_STORAGE);
    expect_error(t, tree_call(t, "copy_file", "from", "old", "to", "new", NULL), ERR_INSUFFICIENT_STORAGE);
    expect_error(t, tree_call(t, "write_file", "path", "other", "data", large_data, "atomic", "true", NULL),
                 ERR_INSUFFICIENT_STORAGE);
    assert_true(tree_file_is_filled(t, "other", 'p', OLD_LEN) && !tree_exists(t, "new") &&
                tree_count_temp_files(t) == 0);
    assert_int_equal(free_blocks(t), before);
    expect_ok(t,
              tree_call(t, "write_file", "path", "other", "data", large_data, NULL)); /* fits when written in place */
    assert_true(tree_file_is_filled(t, "other", 'n', OLD_LEN));
}

/* If file_write_at() and file_append() fail for lack of space, the file is unchanged. */
static void no_space_at_offset_preserves_file(void **state)
{
    struct tree *t = *state;
    static char large_data[LARGE_LEN];
    struct str bytes = {large_data, LARGE_LEN};
    int64_t size;
    bool reserved = false;
    int fd;
    assert_true(tree_fill_file(t, "old", 'o', OLD_LEN));
    uint64_t before = free_blocks(t);
    static const int64_t offsets[] = {0, 1, OLD_LEN - 1, OLD_LEN, OLD_LEN + 5000, 1 << 20};
    assert_int_equal(file_root_open(t->file_root, STR("old"), O_RDWR, 0, &fd, &t->e), 0);
    for (size_t i = 0; i < COUNT_OF(offsets); i++) {
        assert_int_equal(file_write_at(fd, offsets[i], bytes, STR("old"), &t->e), ERR_INSUFFICIENT_STORAGE);
        assert_int_equal(file_reserve(fd, offsets[i], LARGE_LEN, &reserved, STR("old"), &t->e),
                         ERR_INSUFFICIENT_STORAGE);
        assert_true(tree_file_is_filled(t, "old", 'o', OLD_LEN));
        assert_int_equal(free_blocks(t), before);
    }
    assert_int_equal(file_reserve(fd, 0, OLD_LEN, &reserved, STR("old"), &t->e), 0);
    assert_true(reserved);
    assert_int_equal(file_write_at(fd, OLD_LEN + 10, STR("end"), STR("old"), &t->e), 0);
    struct stat stat;
    assert_int_equal(fstat(fd, &stat), 0);
    assert_int_equal(stat.st_size, OLD_LEN + 13);
    close(fd);
    assert_int_equal(file_root_open(t->file_root, STR("old"), O_WRONLY | O_APPEND, 0, &fd, &t->e), 0);
    assert_int_equal(file_append(fd, bytes, STR("old"), &size, &t->e), ERR_INSUFFICIENT_STORAGE);
    assert_int_equal(file_append(fd, STR("!"), STR("old"), &size, &t->e), 0);
    assert_int_equal(size, OLD_LEN + 14);
    close(fd);
}

struct appender {
    struct tree *t;
    char byte;
    size_t appended;
};

enum { RECORD = 1000 };

static void *append_until_full(void *arg)
{
    struct appender *a = arg;
    char record[RECORD];
    int64_t size;
    int fd, failures = 0;
    memset(record, a->byte, sizeof record);
    if (file_root_open(a->t->file_root, STR("log"), O_WRONLY | O_APPEND, 0, &fd, NULL) != 0)
        return NULL;
    while (failures < 20) { /* tries again, because a failed append of the other writer frees space */
        int rc = file_append(fd, (struct str){record, RECORD}, STR("log"), &size, NULL);
        a->appended += rc == 0;
        failures += rc != 0;
    }
    close(fd);
    return NULL;
}

/* Two writers append to one file until the disk is full: the file contains each successful append completely. */
static void no_space_with_concurrent_appends(void **state)
{
    struct tree *t = *state;
    for (int round = 0; round < 50; round++) {
        struct appender a = {.t = t, .byte = 'a'}, b = {.t = t, .byte = 'b'};
        pthread_t thread;
        assert_true(tree_write_file(t, "log", ""));
        assert_int_equal(pthread_create(&thread, NULL, append_until_full, &b), 0);
        append_until_full(&a);
        pthread_join(thread, NULL);
        assert_true(a.appended + b.appended > 50);
        char path[8192], record[RECORD];
        size_t found = 0;
        full_path(t, "log", path);
        FILE *file = fopen(path, "r");
        assert_non_null(file);
        while (fread(record, 1, RECORD, file) == RECORD) {
            found++;
            for (size_t i = 1; i < RECORD; i++)
                assert_int_equal(record[i], record[0]);
        }
        assert_int_equal(ftell(file), found * RECORD);
        fclose(file);
        assert_int_equal(found, a.appended + b.appended);
    }
}

/* On a file system without fallocate(2), part of the data is written before a write fails. RLIMIT_FSIZE stands in for a
 * full disk. */
static void failed_write_is_rolled_back(void **state)
{
    struct tree *t = *state;
    static char large_data[LARGE_LEN + 1];
    struct rlimit before, small;
    memset(large_data, 'n', LARGE_LEN);
    file_root_free(t->file_root);
    t->file_root = NULL;
    char path[8192];
    full_path(t, "ram", path);
    assert_true(tree_mount(t, "ram", "ramfs", ""));
    assert_int_equal(file_root_new(path, &t->file_root, &t->e), 0);
    assert_true(tree_fill_file(t, "ram/old", 'o', OLD_LEN));
    bool reserved = true;
    int fd;
    assert_int_equal(file_root_open(t->file_root, STR("old"), O_RDWR, 0, &fd, &t->e), 0);
    assert_int_equal(file_reserve(fd, 0, OLD_LEN, &reserved, STR("old"), &t->e), 0);
    close(fd);
    assert_false(reserved);

    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 50000;
    static const char *const modes[] = {"w", "a", "x"}, *const paths[] = {"old", "new"};
    for (size_t i = 0; i < COUNT_OF(modes) * 2; i++) {
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        int rc = tree_call(t, "write_file", "path", paths[i % 2], "data", large_data, "mode", modes[i / 2], NULL);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        expect_error(t, rc, i == 4 ? ERR_FILE_EXISTS : ERR_INSUFFICIENT_STORAGE);
        assert_true(tree_file_is_filled(t, "ram/old", 'o', OLD_LEN) && !tree_exists(t, "ram/new"));
    }
    expect_ok(t, tree_call(t, "write_file", "path", "old", "data", large_data, NULL));
    assert_true(tree_file_is_filled(t, "ram/old", 'n', LARGE_LEN));
    expect_ok(t, tree_call(t, "write_file", "path", "new", "data", large_data, NULL));
    expect_ok(t, tree_call(t, "copy_file", "from", "new", "to", "copy", NULL));
    assert_true(tree_file_is_filled(t, "ram/copy", 'n', LARGE_LEN));
    file_root_free(t->file_root);
    t->file_root = NULL;
}

static void mounted_file_systems_in_root(void **state)
{
    struct tree *t = *state;
    assert_true(tree_mount(t, "m", "tmpfs", "size=64k") && tree_write_file(t, "a", "text"));
    expect_ok(t, tree_call(t, "write_file", "path", "m/a", "data", "x", NULL)); /* in place, without a rename */
    expect_ok(t, tree_call(t, "write_file", "path", "m/a", "data", "y", NULL));
    expect_ok(t, tree_call(t, "read_file", "path", "m/a", NULL));
    expect_text(t, "data", STR("y"));
    expect_error(t, tree_call(t, "write_file", "path", "m/a", "data", "z", "atomic", "true", NULL),
                 ERR_UNSUPPORTED_FILE_TYPE);
    expect_error(t, tree_call(t, "copy_file", "from", "a", "to", "m/b", NULL), ERR_UNSUPPORTED_FILE_TYPE);
    expect_error(t, tree_call(t, "rename_file", "from", "a", "to", "m/b", NULL), ERR_UNSUPPORTED_FILE_TYPE);
    assert_non_null(strstr(t->e.msg, "m/b: can't be renamed across file systems"));
    expect_ok(t, tree_call(t, "rename_file", "from", "m/a", "to", "m/b", NULL));
    expect_ok(t,
              tree_call(t, "copy_file", "from", "m/b", "to", "c", NULL)); /* copy_file_range(2) may not support this */
    assert_true(tree_file_equals(t, "c", "y"));
    expect_error(t, tree_call(t, "remove_file", "path", "m", "directory", "true", NULL), ERR_UNSUPPORTED_FILE_TYPE);
    assert_int_equal(tree_count_temp_files(t), 0);
}

/* -- read_file ----------------------------------------------------------------------------------------------------- */

static void expect_chunk(struct tree *t, struct str data, int64_t read_bytes, bool eof)
{
    expect_text(t, "data", data);
    assert_int_equal(tree_output_integer(t, "read_bytes"), read_bytes);
    assert_int_equal(tree_output_integer(t, "eof"), eof);
}

static void read_file_ranges(void **state)
{
    struct tree *t = *state;
    assert_true(tree_write_file(t, "a", "0123456789") && tree_write_file(t, "empty", ""));
    expect_ok(t, tree_call(t, "read_file", "path", "a", NULL));
    expect_chunk(t, STR("0123456789"), 10, true);
    assert_int_equal(tree_output_integer(t, "size_bytes"), 10);
    expect_ok(t, tree_call(t, "read_file", "path", "a", "offset", "3", "length", "4", NULL));
    expect_chunk(t, STR("3456"), 4, false);
    expect_ok(t, tree_call(t, "read_file", "path", "a", "offset", "6", "length", "4", NULL));
    expect_chunk(t, STR("6789"), 4, true);
    expect_ok(t, tree_call(t, "read_file", "path", "a", "offset", "6", "length", "5", "encoding", "base64", NULL));
    expect_chunk(t, STR("Njc4OQ=="), 4, true);
    expect_ok(t, tree_call(t, "read_file", "path", "a", "length", "0", NULL));
    expect_chunk(t, STR(""), 0, false);
    expect_ok(t, tree_call(t, "read_file", "path", "a", "offset", "10", NULL));
    expect_chunk(t, STR(""), 0, true);
    expect_ok(t, tree_call(t, "read_file", "path", "a", "offset", "9007199254740992", "encoding", "base64", NULL));
    expect_chunk(t, STR(""), 0, true);
    expect_ok(t, tree_call(t, "read_file", "path", "empty", NULL));
    expect_chunk(t, STR(""), 0, true);
    expect_error(t, tree_call(t, "read_file", "path", "no", NULL), ERR_FILE_NOT_FOUND);
    assert_string_equal(t->e.msg, "no: file not found");
}

static void read_file_honors_limit(void **state)
{
    struct tree *t = *state;
    t->limits.max_read_bytes = 4;
    assert_true(tree_write_file(t, "a", "0123456789"));
    expect_ok(t, tree_call(t, "read_file", "path", "a", NULL));
    expect_chunk(t, STR("0123"), 4, false);
    expect_ok(t, tree_call(t, "read_file", "path", "a", "length", "4", NULL));
    expect_error(t, tree_call(t, "read_file", "path", "a", "length", "5", NULL), ERR_LIMIT_EXCEEDED);
    assert_string_equal(t->e.msg, "must be at most 4");
    assert_string_equal(file_read_length_type.limit->name, "max_read_bytes"); /* the decoder's errors name the limit */
}

static void read_file_whole_characters(void **state)
{
    struct tree *t = *state;
    assert_true(tree_write_file(t, "a",
                                "a\xE2\x82\xAC"
                                "b"));
    static const struct {
        const char *offset, *length, *data;
        bool eof;
    } rows[] = {
        {"0", "1", "a", false},
        {"0", "2", "a", false},
        {"0", "3", "a", false},
        {"0", "4", "a\xE2\x82\xAC", false},
        {"0", "5",
         "a\xE2\x82\xAC"
         "b",
         true},
        {"1", "1", "\xE2\x82\xAC", false}, /* at least one character */
        {"1", "3", "\xE2\x82\xAC", false},
        {"4", "1", "b", true},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        expect_ok(t, tree_call(t, "read_file", "path", "a", "offset", rows[i].offset, "length", rows[i].length, NULL));
        expect_chunk(t, str_from(rows[i].data), (int64_t)strlen(rows[i].data), rows[i].eof);
    }
    expect_error(t, tree_call(t, "read_file", "path", "a", "offset", "2", NULL), ERR_INVALID_UTF8);
    assert_true(tree_write_file(t, "cut", "a\xE2\x82")); /* not UTF-8: the last character is incomplete */
    expect_error(t, tree_call(t, "read_file", "path", "cut", NULL), ERR_INVALID_UTF8);
    assert_non_null(strstr(t->e.msg, "base64"));
    expect_ok(t, tree_call(t, "read_file", "path", "cut", "length", "1", NULL));
    expect_ok(t, tree_call(t, "read_file", "path", "cut", "encoding", "base64", NULL));
    expect_chunk(t, STR("YeKC"), 3, true);
}

/* For each length, consecutive reads of that length return the whole file. */
static void consecutive_reads_cover_file(void **state)
{
    struct tree *t = *state;
    static const char content[] = "z\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80\n\xF0\x9F\x98\x80\xE2\x82\xAC\xC3\xA4z";
    assert_true(tree_write_file(t, "a", content));
    for (int length = 1; length < (int)sizeof content; length++) {
        char all[64] = "", offset[32], max_bytes[32];
        size_t at = 0;
        do {
            snprintf(offset, sizeof offset, "%zu", at);
            snprintf(max_bytes, sizeof max_bytes, "%d", length);
            expect_ok(t, tree_call(t, "read_file", "path", "a", "offset", offset, "length", max_bytes, NULL));
            struct str data = tree_output_str(t, "data");
            assert_true(data.len > 0 && at + data.len < sizeof all);
            memcpy(all + at, data.data, data.len);
            at += data.len;
        } while (!tree_output_integer(t, "eof"));
        assert_string_equal(all, content);
    }
}

static int read_line(struct run_context *run, int fd, int64_t offset, int64_t max_bytes, enum encoding encoding,
                     struct file_chunk *piece)
{
    struct file_range range = {
        .fd = fd, .offset = offset, .max_bytes = max_bytes, .encoding = encoding, .path = STR("a")};
    return file_read_line(&range, run, piece);
}

static void read_line_at_offset(void **state)
{
    struct tree *t = *state;
    struct file_chunk piece;
    struct arena *arena = arena_new();
    int fd;
    assert_non_null(arena);
    atomic_llong read_quota = 1000000;
    struct run_context run = {
        .arena = arena, .limits = &t->limits, .read_quota = &read_quota, .file_root = t->file_root, .e = &t->e};
    assert_true(tree_write_file(t, "a", "one\n\ntw\xC3\xB6\nlast"));
    assert_int_equal(file_root_open(t->file_root, STR("a"), O_RDONLY, 0, &fd, &t->e), 0);
    static const char *const lines[] = {"one\n", "\n", "tw\xC3\xB6\n", "last", ""};
    int64_t at = 0;
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        assert_int_equal(read_line(&run, fd, at, 1000, ENCODING_UTF8, &piece), 0);
        assert_string_equal(piece.data.data, lines[i]);
        assert_int_equal(piece.read_bytes, strlen(lines[i]));
        assert_int_equal(piece.eof, i >= 3);
        at += piece.read_bytes;
    }
    assert_int_equal(read_line(&run, fd, 5, 3, ENCODING_UTF8, &piece), 0);
    assert_string_equal(piece.data.data, "tw"); /* the next character does not fit */
    assert_int_equal(read_line(&run, fd, 5, 0, ENCODING_UTF8, &piece), 0);
    assert_string_equal(piece.data.data, "");
    assert_int_equal(read_line(&run, fd, 0, 1000, ENCODING_BASE64, &piece), 0);
    assert_string_equal(piece.data.data, "b25lCg==");
    close(fd);
    assert_true(tree_fill_file(t, "b", 'x', 10000)); /* longer than LINE_CHUNK */
    assert_int_equal(file_root_open(t->file_root, STR("b"), O_RDWR, 0, &fd, &t->e), 0);
    assert_int_equal(file_write_at(fd, 9000, STR("\n"), STR("b"), &t->e), 0);
    assert_int_equal(read_line(&run, fd, 0, 100000, ENCODING_UTF8, &piece), 0);
    assert_int_equal(piece.read_bytes, 9001);
    assert_int_equal(read_line(&run, fd, 0, 9000, ENCODING_UTF8, &piece), 0);
    assert_int_equal(piece.read_bytes, 9000);
    struct str bytes;
    struct file_range range = {.fd = fd, .offset = 8999, .max_bytes = 3, .path = STR("b")};
    assert_int_equal(file_read_bytes(&range, &run, &bytes), 0);
    assert_string_equal(bytes.data, "x\nx");
    close(fd);

    struct str rest = STR("a\n\nb"), line;
    assert_true(file_next_line(&rest, &line) && line.len == 2 && file_next_line(&rest, &line) && line.len == 1);
    assert_true(file_next_line(&rest, &line) && line.len == 1 && line.data[0] == 'b' && !file_next_line(&rest, &line));
    arena_unref(arena);
}

/* -- other functions ----------------------------------------------------------------------------------------------- */

static void stat_file_fields(void **state)
{
    struct tree *t = *state;
    char path[8192];
    assert_true(tree_write_file(t, "a", "12345") && tree_symlink(t, "a", "link") &&
                tree_symlink(t, "@/outside/secret", "out"));
    full_path(t, "a", path);
    struct timespec times[2] = {{.tv_sec = 1, .tv_nsec = 2000}, {.tv_sec = -1, .tv_nsec = 999999999}};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    assert_int_equal(chmod(path, 0604), 0);
    static const char *const paths[] = {"a", "link"};
    for (size_t i = 0; i < 2; i++) {
        expect_ok(t, tree_call(t, "stat_file", "path", paths[i], NULL));
        assert_int_equal(tree_output_integer(t, "type"), FILE_TYPE_FILE);
        assert_int_equal(tree_output_integer(t, "size_bytes"), 5);
        expect_text(t, "mode", STR("0604"));
        assert_int_equal(tree_output_integer(t, "links"), 1);
        assert_int_equal(tree_output_integer(t, "accessed_at"), 1000002);
        assert_int_equal(tree_output_integer(t, "modified_at"), -1);
        assert_true(tree_output_integer(t, "changed_at") > INT64_C(1000000000000000));
    }
    expect_ok(t, tree_call(t, "stat_file", "path", "link", "follow", "false", NULL));
    assert_int_equal(tree_output_integer(t, "type"), FILE_TYPE_SYMLINK);
    expect_ok(t, tree_call(t, "stat_file", "path", "out", "follow", "false", NULL)); /* the symlink itself is inside */
    expect_error(t, tree_call(t, "stat_file", "path", "out", NULL), ERR_PATH_FORBIDDEN);
    expect_ok(t, tree_call(t, "stat_file", "path", ".", NULL));
    assert_int_equal(tree_output_integer(t, "type"), FILE_TYPE_DIRECTORY);
    expect_ok(t, tree_call(t, "stat_file", "path", ".", "follow", "false", NULL));
    full_path(t, "fifo", path);
    assert_int_equal(mkfifo(path, 0666), 0);
    expect_ok(t, tree_call(t, "stat_file", "path", "fifo", NULL));
    assert_int_equal(tree_output_integer(t, "type"), FILE_TYPE_OTHER);
    expect_error(t, tree_call(t, "stat_file", "path", "no", NULL), ERR_FILE_NOT_FOUND);
}

/* The name of the i-th entry of the last list_directory; sets *type and *size. */
static struct str entry_name(struct tree *t, size_t i, int64_t *type, int64_t *size)
{
    const struct field *entries = t->function->output->fields;
    const struct type *entry = entries->type->item;
    struct array list;
    memcpy(&list, (const char *)t->output + entries->offset, sizeof list);
    assert_true(i < list.count);
    const char *at = (const char *)list.items + i * entry->size;
    struct str name;
    memcpy(&name, at + entry->fields[0].offset, sizeof name);
    *type = *(const int *)(const void *)(at + entry->fields[1].offset);
    *size = *(const int64_t *)(const void *)(at + entry->fields[2].offset);
    return name;
}

static size_t entry_count(struct tree *t)
{
    struct array list;
    memcpy(&list, (const char *)t->output + t->function->output->fields->offset, sizeof list);
    return list.count;
}

static void expect_names(struct tree *t, const char *names, bool truncated)
{
    char found[1024] = "";
    int64_t type, size;
    for (size_t i = 0; i < entry_count(t); i++) {
        strncat(found, entry_name(t, i, &type, &size).data, 300);
        strncat(found, " ", 2);
    }
    assert_string_equal(found, names);
    assert_int_equal(tree_output_integer(t, "truncated"), truncated);
}

static void list_directory_cases(void **state)
{
    struct tree *t = *state;
    int64_t type, size;
    char path[8192];
    expect_ok(t, tree_call(t, "list_directory", NULL));
    expect_names(t, "", false);
    assert_true(tree_write_file(t, "b", "12345") && tree_mkdir(t, "a") && tree_write_file(t, "a/x", "") &&
                tree_symlink(t, "b", "c"));
    assert_true(tree_write_file(t, "B", "") && tree_write_file(t, ".hidden", "") &&
                tree_write_file(t, "\xC3\xA4", "") && tree_write_file(t, "bad\xFF", ""));
    full_path(t, "fifo", path);
    assert_int_equal(mkfifo(path, 0666), 0);
    expect_ok(t, tree_call(t, "list_directory", NULL));
    expect_names(t, ".hidden B a b c fifo \xC3\xA4 ", false);
    assert_int_equal(tree_output_integer(t, "skipped_non_utf8"), 1);
    static const int types[] = {FILE_TYPE_FILE,    FILE_TYPE_FILE,  FILE_TYPE_DIRECTORY, FILE_TYPE_FILE,
                                FILE_TYPE_SYMLINK, FILE_TYPE_OTHER, FILE_TYPE_FILE};
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        entry_name(t, i, &type, &size);
        assert_int_equal(type, types[i]);
        assert_int_equal(size, type != FILE_TYPE_FILE ? INTEGER_ABSENT : i == 3 ? 5 : 0);
    }
    expect_ok(t, tree_call(t, "list_directory", "limit", "3", NULL));
    expect_names(t, ".hidden B a ", true);
    expect_ok(t, tree_call(t, "list_directory", "limit", "3", "after", "a", NULL));
    expect_names(t, "b c fifo ", true);
    expect_ok(t, tree_call(t, "list_directory", "limit", "1", "after", "fifo", NULL));
    expect_names(t, "\xC3\xA4 ", false);
    expect_ok(t, tree_call(t, "list_directory", "after", "\xC3\xA4", NULL));
    expect_names(t, "", false);
    expect_ok(t, tree_call(t, "list_directory", "path", "a/", NULL));
    expect_names(t, "x ", false);
    expect_error(t, tree_call(t, "list_directory", "path", "b", NULL), ERR_UNSUPPORTED_FILE_TYPE);
    expect_error(t, tree_call(t, "list_directory", "path", "fifo", NULL), ERR_UNSUPPORTED_FILE_TYPE);
    expect_error(t, tree_call(t, "list_directory", "path", "no", NULL), ERR_FILE_NOT_FOUND);
    expect_error(t, tree_call(t, "list_directory", "path", TEMP_DIR_NAME, NULL), ERR_PATH_FORBIDDEN);
    assert_int_equal(tree_call(t, "list_directory", "limit", "10001", NULL), ERR_INVALID);
}

/* Pages of 700 entries of a large directory, which the file system lists in an order of its own. */
static void list_directory_in_pages(void **state)
{
    enum { FILES = 5000, PAGE = 700 };
    struct tree *t = *state;
    char name[32], after[32] = "";
    int64_t type, size;
    size_t seen = 0;
    for (int i = 0; i < FILES; i++) { /* creates each number once, because 2357 and 5000 are coprime */
        snprintf(name, sizeof name, "%05d", i * 2357 % FILES);
        assert_true(tree_write_file(t, name, ""));
    }
    bool truncated = true;
    while (truncated) {
        expect_ok(t, tree_call(t, "list_directory", "limit", "700", seen == 0 ? NULL : "after", after, NULL));
        truncated = tree_output_integer(t, "truncated");
        assert_int_equal(entry_count(t), truncated ? PAGE : FILES % PAGE);
        for (size_t i = 0; i < entry_count(t); i++) {
            snprintf(name, sizeof name, "%05zu", seen++);
            assert_string_equal(entry_name(t, i, &type, &size).data, name);
        }
        snprintf(after, sizeof after, "%s", name);
    }
    assert_int_equal(seen, FILES);
    expect_ok(t, tree_call(t, "list_directory", NULL));
    assert_int_equal(entry_count(t), FILES);
    atomic_store(&t->canceled, true);
    expect_error(t, tree_call(t, "list_directory", NULL), ERR_CANCELED);
}

static void remove_file_cases(void **state)
{
    struct tree *t = *state;
    char path[8192];
    assert_true(tree_write_file(t, "a", "x") && tree_mkdir(t, "d") && tree_write_file(t, "d/x", "x") &&
                tree_mkdir(t, "e"));
    assert_true(tree_symlink(t, "@/outside/secret", "out") && tree_symlink(t, "@/outside", "outdir") &&
                tree_symlink(t, "d", "in"));
    full_path(t, "fifo", path);
    assert_int_equal(mkfifo(path, 0666), 0);
    static const char *const paths[] = {"a", "out", "outdir", "in", "fifo"}; /* symlinks are not followed */
    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        expect_ok(t, tree_call(t, "remove_file", "path", paths[i], NULL));
        assert_true(tree_output_integer(t, "removed"));
        assert_false(tree_exists(t, paths[i]));
        expect_error(t, tree_call(t, "remove_file", "path", paths[i], NULL), ERR_FILE_NOT_FOUND);
        expect_ok(t, tree_call(t, "remove_file", "path", paths[i], "missing_ok", "true", NULL));
        assert_false(tree_output_integer(t, "removed"));
    }
    expect_ok(t, tree_call(t, "remove_file", "path", "no/no", "missing_ok", "true", NULL));
    assert_true(tree_exists(t, "d/x") && tree_outside_is_intact(t));
    expect_error(t, tree_call(t, "remove_file", "path", "e", NULL), ERR_UNSUPPORTED_FILE_TYPE);
    assert_non_null(strstr(t->e.msg, "\"directory\": true"));
    expect_error(t, tree_call(t, "remove_file", "path", "d", "directory", "true", NULL), ERR_FILE_EXISTS);
    assert_string_equal(t->e.msg, "d: the directory is not empty");
    expect_error(t, tree_call(t, "remove_file", "path", "d/x", "directory", "true", NULL), ERR_UNSUPPORTED_FILE_TYPE);
    expect_ok(t, tree_call(t, "remove_file", "path", "e/", "directory", "true", NULL));
    assert_false(tree_exists(t, "e"));
    expect_error(t, tree_call(t, "remove_file", "path", ".", "directory", "true", NULL), ERR_UNSUPPORTED_FILE_TYPE);
    expect_error(t, tree_call(t, "remove_file", "path", TEMP_DIR_NAME, "directory", "true", NULL), ERR_PATH_FORBIDDEN);
    expect_error(t, tree_call(t, "remove_file", "path", "..", "directory", "true", NULL), ERR_PATH_FORBIDDEN);
    expect_error(t, tree_call(t, "remove_file", "path", "../outside/secret", "missing_ok", "true", NULL),
                 ERR_PATH_FORBIDDEN);
}

static void rename_file_cases(void **state)
{
    struct tree *t = *state;
    assert_true(tree_write_file(t, "a", "a") && tree_write_file(t, "b", "b") && tree_mkdir(t, "d") &&
                tree_mkdir(t, "e"));
    assert_true(tree_symlink(t, "@/outside/secret", "out") && tree_write_file(t, "e/x", "") &&
                tree_symlink(t, "b", "link"));
    expect_error(t, tree_call(t, "rename_file", "from", "a", "to", "b", NULL), ERR_FILE_EXISTS);
    assert_string_equal(t->e.msg, "b: file already exists");
    expect_ok(t, tree_call(t, "rename_file", "from", "a", "to", "d/a", NULL));
    assert_int_equal(tree_output_integer(t, "type"), FILE_TYPE_FILE);
    assert_true(tree_file_equals(t, "d/a", "a") && !tree_exists(t, "a"));
    /* Replaces the symlink, not its target. */
    expect_ok(t, tree_call(t, "rename_file", "from", "d/a", "to", "link", "replace", "true", NULL));
    assert_true(tree_file_equals(t, "link", "a") && tree_file_equals(t, "b", "b"));
    expect_ok(t, tree_call(t, "rename_file", "from", "out", "to", "d/out", NULL));
    assert_int_equal(tree_output_integer(t, "type"), FILE_TYPE_SYMLINK);
    expect_ok(t, tree_call(t, "rename_file", "from", "b", "to", "d/out", "replace", "true", NULL));
    assert_true(tree_file_equals(t, "d/out", "b") && tree_outside_is_intact(t));
    expect_ok(t, tree_call(t, "rename_file", "from", "e", "to", "f/", NULL));
    assert_int_equal(tree_output_integer(t, "type"), FILE_TYPE_DIRECTORY);
    assert_true(tree_exists(t, "f/x"));
    expect_error(t, tree_call(t, "rename_file", "from", "f", "to", "d", "replace", "true", NULL), ERR_FILE_EXISTS);
    expect_error(t, tree_call(t, "rename_file", "from", "link", "to", "d", "replace", "true", NULL),
                 ERR_UNSUPPORTED_FILE_TYPE);
    expect_error(t, tree_call(t, "rename_file", "from", "link", "to", "g/", NULL), ERR_UNSUPPORTED_FILE_TYPE);
    expect_error(t, tree_call(t, "rename_file", "from", "link", "to", "no/g", NULL), ERR_FILE_NOT_FOUND);
    expect_error(t, tree_call(t, "rename_file", "from", "no", "to", "g", NULL), ERR_FILE_NOT_FOUND);
    assert_string_equal(t->e.msg, "no: file not found");
    expect_error(t, tree_call(t, "rename_file", "from", "link", "to", path_in_temp_dir, NULL), ERR_PATH_FORBIDDEN);
    expect_error(t, tree_call(t, "rename_file", "from", TEMP_DIR_NAME, "to", "g", NULL), ERR_PATH_FORBIDDEN);
    expect_error(t, tree_call(t, "rename_file", "from", "d", "to", "d/d", NULL), ERR_UNSUPPORTED_FILE_TYPE);
    expect_error(t, tree_call(t, "rename_file", "from", "d", "to", "d/d", "replace", "true", NULL),
                 ERR_UNSUPPORTED_FILE_TYPE);
}

static void make_directory_cases(void **state)
{
    struct tree *t = *state;
    assert_true(tree_write_file(t, "file", "") && tree_symlink(t, "@/outside", "out") &&
                tree_symlink(t, "@/outside/new", "dangling"));
    expect_ok(t, tree_call(t, "make_directory", "path", "a", NULL));
    assert_true(tree_output_integer(t, "created") && tree_exists(t, "a"));
    expect_error(t, tree_call(t, "make_directory", "path", "a", NULL), ERR_FILE_EXISTS);
    expect_ok(t, tree_call(t, "make_directory", "path", "a/", "exist_ok", "true", NULL));
    assert_false(tree_output_integer(t, "created"));
    expect_error(t, tree_call(t, "make_directory", "path", "b/c/d", NULL), ERR_FILE_NOT_FOUND);
    expect_ok(t, tree_call(t, "make_directory", "path", "b/c/d/", "parents", "true", NULL));
    assert_true(tree_exists(t, "b/c/d"));
    expect_error(t, tree_call(t, "make_directory", "path", "file", "exist_ok", "true", NULL), ERR_FILE_EXISTS);
    expect_error(t, tree_call(t, "make_directory", "path", "out", "exist_ok", "true", NULL), ERR_FILE_EXISTS);
    expect_error(t, tree_call(t, "make_directory", "path", "dangling", "exist_ok", "true", NULL), ERR_FILE_EXISTS);
    expect_error(t, tree_call(t, "make_directory", "path", "out/x", "parents", "true", NULL), ERR_PATH_FORBIDDEN);
    expect_error(t, tree_call(t, "make_directory", "path", "file/x", "parents", "true", NULL),
                 ERR_UNSUPPORTED_FILE_TYPE);
    expect_error(t, tree_call(t, "make_directory", "path", path_in_temp_dir, NULL), ERR_PATH_FORBIDDEN);
    assert_true(tree_outside_is_intact(t));
}

static void copy_file_cases(void **state)
{
    struct tree *t = *state;
    enum { LARGE = 3 << 20 };
    assert_true(tree_write_file(t, "a", "text") && tree_write_file(t, "empty", "") &&
                tree_fill_file(t, "large", 'l', LARGE));
    assert_true(tree_mkdir(t, "d") && tree_symlink(t, "@/outside/new", "out"));
    expect_ok(t, tree_call(t, "copy_file", "from", "a", "to", "b", NULL));
    assert_int_equal(tree_output_integer(t, "size_bytes"), 4);
    assert_true(tree_file_equals(t, "b", "text"));
    expect_ok(t, tree_call(t, "copy_file", "from", "empty", "to", "c", "fsync", "true", NULL));
    assert_true(tree_file_equals(t, "c", ""));
    expect_error(t, tree_call(t, "copy_file", "from", "large", "to", "b", NULL), ERR_FILE_EXISTS);
    expect_ok(t, tree_call(t, "copy_file", "from", "large", "to", "b", "replace", "true", NULL));
    assert_true(tree_file_is_filled(t, "b", 'l', LARGE));
    expect_ok(t, tree_call(t, "copy_file", "from", "b", "to", "b", "replace", "true", NULL)); /* onto itself */
    assert_true(tree_file_is_filled(t, "b", 'l', LARGE));
    expect_error(t, tree_call(t, "copy_file", "from", "a", "to", "d", NULL), ERR_FILE_EXISTS);
    expect_error(t, tree_call(t, "copy_file", "from", "a", "to", "d", "replace", "true", NULL),
                 ERR_UNSUPPORTED_FILE_TYPE);
    expect_error(t, tree_call(t, "copy_file", "from", "a", "to", "e/", NULL), ERR_UNSUPPORTED_FILE_TYPE);
    expect_error(t, tree_call(t, "copy_file", "from", "a", "to", "out", NULL), ERR_FILE_EXISTS);
    expect_error(t, tree_call(t, "copy_file", "from", "a", "to", "out", "replace", "true", NULL), ERR_PATH_FORBIDDEN);
    expect_error(t, tree_call(t, "copy_file", "from", "d", "to", "e", NULL), ERR_UNSUPPORTED_FILE_TYPE);
    expect_error(t, tree_call(t, "copy_file", "from", "no", "to", "e", NULL), ERR_FILE_NOT_FOUND);
    atomic_store(&t->canceled, true);
    expect_error(t, tree_call(t, "copy_file", "from", "large", "to", "e", NULL), ERR_CANCELED);
    expect_error(t, tree_call(t, "write_file", "path", "e", "data", "x", "atomic", "true", NULL), ERR_CANCELED);
    expect_error(t, tree_call(t, "sha256_file", "path", "large", NULL), ERR_CANCELED);
    assert_true(!tree_exists(t, "e") && tree_outside_is_intact(t));
    assert_int_equal(tree_count_temp_files(t), 0);
}

/* Files in /proc have size 0, so copy_file_range(2) copies no bytes. */
static void copy_file_without_kernel_copy(void **state)
{
    struct tree *t = *state;
    assert_true(tree_mount(t, "proc", "bind", "/proc"));
    expect_ok(t, tree_call(t, "copy_file", "from", "proc/version", "to", "b", NULL));
    assert_true(tree_output_integer(t, "size_bytes") > 10);
    expect_ok(t, tree_call(t, "read_file", "path", "b", NULL));
    assert_memory_equal(tree_output_str(t, "data").data, "Linux version", 13);
}

static void sha256_file_known_vectors(void **state)
{
    struct tree *t = *state;
    assert_true(tree_write_file(t, "empty", "") && tree_write_file(t, "abc", "abc") &&
                tree_fill_file(t, "million", 'a', 1000000));
    static const char *const rows[][2] = {
        /* FIPS 180-4 */
        {"empty", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"million", "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        expect_ok(t, tree_call(t, "sha256_file", "path", rows[i][0], NULL));
        expect_text(t, "sha256", str_from(rows[i][1]));
    }
    assert_int_equal(tree_output_integer(t, "size_bytes"), 1000000);
    expect_error(t, tree_call(t, "sha256_file", "path", ".", NULL), ERR_UNSUPPORTED_FILE_TYPE);
}

/* -- confinement and blocking -------------------------------------------------------------------------------------- */

/* Calls every function with the path in each of its path fields, and "a" in the other path field. Returns the number of
 * calls that succeeded, and counts the forbidden calls in *forbidden. */
static size_t call_all(struct tree *t, const char *path, size_t *forbidden)
{
    int rcs[] = {
        tree_call(t, "write_file", "path", path, "data", "x", NULL),
        tree_call(t, "write_file", "path", path, "data", "x", "mode", "a", NULL),
        tree_call(t, "write_file", "path", path, "data", "x", "mode", "x", NULL),
        tree_call(t, "write_file", "path", path, "data", "x", "atomic", "true", NULL),
        tree_call(t, "write_file", "path", path, "data", "x", "create_parents", "true", NULL),
        tree_call(t, "read_file", "path", path, NULL),
        tree_call(t, "stat_file", "path", path, NULL),
        tree_call(t, "list_directory", "path", path, NULL),
        tree_call(t, "make_directory", "path", path, "exist_ok", "true", NULL),
        tree_call(t, "make_directory", "path", path, "parents", "true", NULL),
        tree_call(t, "copy_file", "from", path, "to", "copy", NULL),
        tree_call(t, "copy_file", "from", "a", "to", path, NULL),
        tree_call(t, "copy_file", "from", "a", "to", path, "replace", "true", NULL),
        tree_call(t, "sha256_file", "path", path, NULL),
    };
    size_t count = 0;
    *forbidden = 0;
    for (size_t i = 0; i < COUNT_OF(rcs); i++) {
        count += rcs[i] == 0;
        *forbidden += rcs[i] == ERR_PATH_FORBIDDEN;
    }
    return count;
}

static void no_function_escapes_root(void **state)
{
    struct tree *t = *state;
    size_t forbidden;
    assert_true(tree_write_file(t, "a", "a") && tree_mkdir(t, "d") && tree_mount(t, "proc", "bind", "/proc"));
    assert_true(tree_symlink(t, "@/outside/secret", "secret") && tree_symlink(t, "../outside/new", "new"));
    assert_true(tree_symlink(t, "@/outside", "out") && tree_symlink(t, "../../outside", "d/up"));
    static const char *const paths[] = {
        "../x",
        "../outside/secret",
        "../outside/new",
        "/etc/passwd",
        "d/.././../x",
        "d/../../x",
        "secret",
        "new",
        "out/secret",
        "out/new",
        "d/up/secret",
        "d/up/new",
        "d/../out/new",
        "..",
        "/",
        "proc/self/cwd",
        "proc/self/root/etc",
        "proc/self/fd/0",
        "proc/self/exe",
        "proc/self/root/tmp/new",
    };
    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        size_t escaped = call_all(t, paths[i], &forbidden);
        if (escaped > 0 || forbidden == 0)
            fail_msg("%s: %zu calls succeeded, %zu were forbidden", paths[i], escaped, forbidden);
        bool link = strcmp(paths[i], "secret") == 0 || strcmp(paths[i], "new") == 0;
        bool proc = strncmp(paths[i], "proc/", 5) == 0;
        if (!link) { /* for a symlink these succeed, because they do not follow it */
            assert_int_not_equal(tree_call(t, "remove_file", "path", paths[i], NULL), 0);
            assert_int_not_equal(tree_call(t, "remove_file", "path", paths[i], "directory", "true", NULL), 0);
            assert_int_not_equal(tree_call(t, "rename_file", "from", paths[i], "to", "z", NULL), 0);
            assert_int_not_equal(tree_call(t, "rename_file", "from", "a", "to", paths[i], NULL), 0);
            assert_int_not_equal(tree_call(t, "rename_file", "from", "a", "to", paths[i], "replace", "true", NULL), 0);
        }
        if (!link && !proc) /* as above; paths in proc may also be symlinks */
            assert_int_not_equal(tree_call(t, "stat_file", "path", paths[i], "follow", "false", NULL), 0);
        assert_true(tree_outside_is_intact(t));
        assert_true(tree_file_equals(t, "a", "a") && !tree_exists(t, "copy") && !tree_exists(t, "z"));
    }
    char path[5001];
    memset(path, 'x', 5000);
    path[5000] = '\0';
    assert_int_equal(call_all(t, path, &forbidden), 0);
    for (size_t i = 0; i < 5000; i += 3)
        memcpy(path + i, "../", i + 3 <= 5000 ? 3 : 5000 - i);
    assert_int_equal(call_all(t, path, &forbidden), 0);
    path[3000] = '\0';
    assert_int_equal(call_all(t, path, &forbidden), 0);
    assert_int_equal(call_all(t, "", &forbidden), 0);
    assert_int_equal(tree_call_data(t, "read_file", "path", STR("a\0/../../outside/secret"), NULL), ERR_INVALID);
    assert_int_equal(tree_call_data(t, "read_file", "path", STR("a\0"), NULL), ERR_INVALID);
    assert_true(tree_outside_is_intact(t));
}

static void fifo_does_not_block(void **state)
{
    struct tree *t = *state;
    char path[8192];
    size_t forbidden;
    full_path(t, "fifo", path);
    assert_int_equal(mkfifo(path, 0666), 0);
    assert_true(tree_write_file(t, "a", "a") && tree_symlink(t, "fifo", "link"));
    static const char *const paths[] = {"fifo", "link"};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(call_all(t, paths[i], &forbidden), 1); /* only stat_file succeeds */
        expect_error(t, tree_call(t, "read_file", "path", paths[i], NULL), ERR_UNSUPPORTED_FILE_TYPE);
        expect_error(t, tree_call(t, "write_file", "path", paths[i], "data", "x", NULL), ERR_UNSUPPORTED_FILE_TYPE);
        expect_error(t, tree_call(t, "write_file", "path", paths[i], "data", "x", "mode", "a", NULL),
                     ERR_UNSUPPORTED_FILE_TYPE);
        expect_error(t, tree_call(t, "write_file", "path", paths[i], "data", "x", "atomic", "true", NULL),
                     ERR_UNSUPPORTED_FILE_TYPE);
    }
    struct stat stat;
    assert_int_equal(lstat(path, &stat), 0);
    assert_true(S_ISFIFO(stat.st_mode));
    int reader = open(path, O_RDONLY | O_NONBLOCK); /* with a reader, the FIFO can be opened for writing */
    assert_true(reader >= 0);
    expect_error(t, tree_call(t, "write_file", "path", "fifo", "data", "x", NULL), ERR_UNSUPPORTED_FILE_TYPE);
    close(reader);
}

static int call_during_swap(struct tree *t, int operation)
{
    int rc;
    switch (operation) {
    case 0:
        rc = tree_call(t, "read_file", "path", "d/secret", NULL);
        return rc == 0 && !str_eq(tree_output_str(t, "data"), "inside") ? 1 : rc;
    case 1:
        return tree_call(t, "write_file", "path", "d/w", "data", "x", NULL);
    case 2:
        return tree_call(t, "write_file", "path", "d/w", "data", "x", "atomic", "true", NULL);
    case 3:
        return tree_call(t, "remove_file", "path", "d/w", NULL);
    case 4:
        return tree_call(t, "write_file", "path", "d/p/q", "data", "x", "create_parents", "true", NULL);
    case 5:
        return tree_call(t, "rename_file", "from", "d/p/q", "to", "d/r", "replace", "true", NULL);
    case 6:
        return tree_call(t, "copy_file", "from", "d/secret", "to", "d/c", "replace", "true", NULL);
    case 7:
        return tree_call(t, "make_directory", "path", "d/m", NULL);
    case 8:
        return tree_call(t, "remove_file", "path", "d/m", "directory", "true", NULL);
    case 9:
        rc = tree_call(t, "list_directory", "path", "d", NULL);
        return rc == 0 && entry_count(t) < 2 ? 1 : rc; /* BASE/outside has one entry */
    case 10:
        rc = tree_call(t, "stat_file", "path", "d/secret", NULL);
        return rc == 0 && tree_output_integer(t, "size_bytes") != 6 ? 1 : rc;
    default:
        return tree_call(t, "sha256_file", "path", "d/secret", NULL);
    }
}

static void swapped_directory_does_not_escape(void **state)
{
    struct tree *t = *state;
    struct swapper s = {.stop = false};
    pthread_t thread;
    assert_true(tree_mkdir(t, "d") && tree_write_file(t, "d/secret", "inside") && tree_write_file(t, "d/other", ""));
    assert_true(tree_symlink(t, "@/outside", "l"));
    full_path(t, "d", s.directory);
    full_path(t, "l", s.link);
    assert_int_equal(pthread_create(&thread, NULL, swapper_main, &s), 0);
    size_t inside = 0, rejected = 0, escapes_seen = 0, changes = 0;
    bool was_inside = false;
    for (size_t i = 0; i < 300000 && (i < 12000 || changes < 1000); i++) {
        int rc = call_during_swap(t, (int)(i % 12));
        inside += rc == 0;
        rejected += rc < 0;
        escapes_seen += rc > 0;
        changes += was_inside != (rc == 0);
        was_inside = rc == 0;
    }
    atomic_store(&s.stop, true);
    pthread_join(thread, NULL);
    print_message("inside %zu, refused %zu, in turn %zu\n", inside, rejected, changes);
    assert_int_equal(escapes_seen, 0);
    assert_true(inside > 0 && rejected > 0);
    assert_true(tree_outside_is_intact(t));
    assert_int_equal(tree_count_temp_files(t), 0);
}

/* -- out of memory ------------------------------------------------------------------------------------------------- */

static int call_nth(struct tree *t, size_t index)
{
    switch (index) {
    case 0:
        return tree_call(t, "write_file", "path", "w", "data", "bmV3", "encoding", "base64", NULL);
    case 1:
        return tree_call(t, "write_file", "path", "w", "data", "new", "atomic", "true", NULL);
    case 2:
        return tree_call(t, "read_file", "path", "a", NULL);
    case 3:
        return tree_call(t, "read_file", "path", "a", "encoding", "base64", NULL);
    case 4:
        return tree_call(t, "stat_file", "path", "a", NULL);
    case 5:
        return tree_call(t, "list_directory", NULL);
    case 6:
        return tree_call(t, "copy_file", "from", "a", "to", "c", "replace", "true", NULL);
    case 7:
        return tree_call(t, "copy_file", "from", "proc/version", "to", "c", "replace", "true", NULL);
    default:
        return tree_call(t, "sha256_file", "path", "a", NULL);
    }
}

static void file_functions_out_of_memory(void **state)
{
    struct tree *t = *state;
    static char large[100001]; /* exceeds a block of an arena */
    memset(large, 'l', 100000);
    assert_true(tree_write_file(t, "w", "old") && tree_write_file(t, "a", large) &&
                tree_mount(t, "proc", "bind", "/proc"));
    for (size_t index = 0; index < 9; index++) {
        unsigned long n = 0;
        int rc;
        do {
            alloc_fail_at(++n);
            rc = call_nth(t, index);
            bool reached = alloc_count() >= n;
            alloc_fail_at(0);
            assert_true(rc == (reached ? ERR_OUT_OF_MEMORY : 0));
            if (index <= 1 && reached)
                assert_true(tree_file_equals(t, "w", "old"));
            if (!reached)
                break;
        } while (true);
        assert_true(n > 1 && rc == 0);
        assert_int_equal(tree_count_temp_files(t), 0);
        assert_true(tree_write_file(t, "w", "old"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(file_functions_use_files_executor),
        TREE_TEST(write_file_modes),
        TREE_TEST(write_file_binary_data),
        TREE_TEST(write_file_in_directories),
        TREE_TEST(trailing_slash_replaces_nothing),
        TREE_TEST(symlinks_inside_root_are_followed),
        TREE_TEST(created_files_honor_umask),
        TREE_SMALL_TEST(no_space_preserves_file),
        TREE_SMALL_TEST(no_space_at_offset_preserves_file),
        TREE_SMALL_TEST(no_space_with_concurrent_appends),
        TREE_MOUNT_TEST(failed_write_is_rolled_back),
        TREE_MOUNT_TEST(mounted_file_systems_in_root),
        TREE_TEST(read_file_ranges),
        TREE_TEST(read_file_honors_limit),
        TREE_TEST(read_file_whole_characters),
        TREE_TEST(consecutive_reads_cover_file),
        TREE_TEST(read_line_at_offset),
        TREE_TEST(stat_file_fields),
        TREE_TEST(list_directory_cases),
        TREE_SMALL_TEST(list_directory_in_pages),
        TREE_TEST(remove_file_cases),
        TREE_TEST(rename_file_cases),
        TREE_TEST(make_directory_cases),
        TREE_TEST(copy_file_cases),
        TREE_MOUNT_TEST(copy_file_without_kernel_copy),
        TREE_TEST(sha256_file_known_vectors),
        TREE_MOUNT_TEST(no_function_escapes_root),
        TREE_TEST(fifo_does_not_block),
        TREE_SMALL_TEST(swapped_directory_does_not_escape),
        TREE_MOUNT_TEST(file_functions_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* file_root_fixture - a temporary directory that holds a file root, and next to it a directory that no path may reach.
 *
 *     BASE/root              the file root
 *     BASE/outside/secret    a file with the content SECRET
 *
 * Owns:     everything below BASE, mounts included; tree_free() removes it.
 * Threads:  one; the functions that take a path relative to the root may be called by any.
 */
#ifndef GATHERD_TESTS_UNIT_SUPPORT_FILE_ROOT_FIXTURE_H
#define GATHERD_TESTS_UNIT_SUPPORT_FILE_ROOT_FIXTURE_H

#include "runtime/executors/run_context.h"
#include "runtime/files/file_root.h"
#include "runtime/functions/builtin.h"
#include "runtime/types/limits.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define SECRET "unreachable content"

struct tree {
    char base[64], root[80], outside[80];
    struct file_root *file_root;
    struct limits limits;
    struct registry *registry;
    int mounts;

    /* of the last tree_call() */
    struct arena *arena;
    const struct function *function;
    void *output;
    struct err e;

    atomic_bool canceled; /* run->canceled of the next calls */
};

/* Creates the directories. `type` is the file system to mount as the root, such as "tmpfs", with options as for
 * mount(8), or NULL: the root is a plain directory. On failure prints a message and returns NULL. */
struct tree *tree_new(const char *type, const char *options);
bool tree_free(struct tree *t); /* false: BASE could not be removed */

int tree_setup(void **state);       /* for cmocka: sets *state to a tree whose root is a plain directory */
int tree_small_setup(void **state); /* the root is a tmpfs of 64 KiB, for tests of ENOSPC */
int tree_teardown(void **state);

/* Whether this process may mount file systems. Moves the process to new namespaces, without network. Its mounts are
 * removed when it ends, but in a chroot by tree_free(). To be called while the process has one thread. */
bool tree_can_mount(void);

/* Mounts an empty file over a system file, if that exists, for this process. False: not permitted. */
bool tree_mask_file(const char *path);

/* Rows of a table of cmocka tests: a test with a plain tree; a test that mounts file systems in it; a test with a small
 * tree. The last two are skipped if mounting is not permitted. */
#define TREE_TEST(f) cmocka_unit_test_setup_teardown(f, tree_setup, tree_teardown)
#define TREE_MOUNT_TEST(f) tree_mount_test(#f, f, tree_setup)
#define TREE_SMALL_TEST(f) tree_mount_test(#f, f, tree_small_setup)
struct CMUnitTest tree_mount_test(const char *name, CMUnitTestFunction test, CMFixtureFunction setup);

/* Mounts a file system on a new directory of the root, until tree_free(). False: failed. */
bool tree_mount(struct tree *t, const char *name, const char *type, const char *options);

/* These functions take paths relative to the root, and do not use file_root. False: failed. */
bool tree_write_file(struct tree *t, const char *path, const char *content);
bool tree_fill_file(struct tree *t, const char *path, char byte, size_t count); /* writes `count` times the byte */
bool tree_file_equals(struct tree *t, const char *path, const char *content);
bool tree_file_is_filled(struct tree *t, const char *path, char byte, size_t count);
bool tree_exists(struct tree *t, const char *path);                      /* true for a dangling symlink */
bool tree_symlink(struct tree *t, const char *target, const char *path); /* "@" at the start of `target` means BASE */
bool tree_mkdir(struct tree *t, const char *path);
size_t tree_count_temp_files(struct tree *t);
bool tree_outside_is_intact(struct tree *t); /* BASE/outside contains only the file secret, unchanged */

/* Input of a thread that exchanges a directory and a symlink, with renameat2(2), until `stop`. */
struct swapper {
    char directory[8192], link[8192];
    atomic_bool stop;
};
void *swapper_main(void *arg); /* a struct swapper */

/* Calls a function of the registry. The other arguments are pairs of a field of its input and the value as text, then
 * NULL; other fields have their defaults. Returns what the function returns, or the error of an invalid value. Output
 * and error are in *t until the next call. */
#define tree_call(t, function, ...) tree_call_fields(t, function, NULL, STR(""), (const char *const[]){__VA_ARGS__})

/* As tree_call(), with one more field, whose value may contain any bytes. */
#define tree_call_data(t, function, field, data, ...) \
    tree_call_fields(t, function, field, data, (const char *const[]){__VA_ARGS__})

int tree_call_fields(struct tree *t, const char *function, const char *field, struct str data,
                     const char *const pairs[]); /* field may be NULL */

/* A field of the last output. */
int64_t tree_output_integer(struct tree *t, const char *field); /* INTEGER, ENUM or BOOLEAN */
struct str tree_output_str(struct tree *t, const char *field);

#endif

/* file_root_fixture - a directory of its own for a test of files: a root with a file_root around it, and beside it what no path may reach.
 *
 *     BASE/root       the root of files
 *     BASE/outside    holds the file secret
 *
 * Owns:     all below BASE, mounts included; tree_free() removes it.
 * Threads:  one, but for what only takes paths.
 */
#ifndef GATHERD_TESTS_UNIT_SUPPORT_FILE_ROOT_FIXTURE_H
#define GATHERD_TESTS_UNIT_SUPPORT_FILE_ROOT_FIXTURE_H

#include "runtime/executors/run_context.h"
#include "runtime/files/file_root.h"
#include "runtime/task/function.h"
#include "runtime/types/limits.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define SECRET "nobody may read this"

struct tree {
    char base[64], root[80], outside[80];
    struct file_root *file_root;
    struct limits limits;
    int mounts;

    /* the last call of a function */
    struct arena *arena;
    const struct function *function;
    void *output;
    struct err e;
    atomic_bool canceled; /* for the next ones */
};

/* Makes it, with a root of this file system type ("tmpfs", with options as for mount(8); NULL for where temporary files
 * are). NULL when that is impossible, having said why. */
struct tree *tree_new(const char *type, const char *options);
bool tree_free(struct tree *t); /* false when something was left open or mounted */

int tree_setup(void **state);       /* for cmocka: with an ordinary root, in *state */
int tree_small_setup(void **state); /* with a tmpfs of 64 KiB for a root: no space is soon reached */
int tree_teardown(void **state);

/* Whether this process may mount file systems. From then on it is in namespaces of its own: there is no network, and mounts end
 * with it (in a chroot: with the tree). To be called while it has only one thread. */
bool tree_can_mount(void);

/* Makes a file of the system empty for this process, if there is such a file; false when that is not allowed. */
bool tree_mask_file(const char *path);

/* Rows of cmocka's tables: a test with an ordinary tree, one that mounts in it, one with a small tree. Where mounting is not
 * allowed, the last two are skipped. */
#define TREE_TEST(f) cmocka_unit_test_setup_teardown(f, tree_setup, tree_teardown)
#define TREE_MOUNT_TEST(f) tree_mount_test(#f, f, tree_setup)
#define TREE_SMALL_TEST(f) tree_mount_test(#f, f, tree_small_setup)
struct CMUnitTest tree_mount_test(const char *name, CMUnitTestFunction test, CMFixtureFunction setup);

/* Mounts something on a new directory of the root; it goes with the tree. */
bool tree_mount(struct tree *t, const char *name, const char *type, const char *options);

/* All of these take paths relative to the root, without the file_root; false when something failed. */
bool tree_write_file(struct tree *t, const char *path, const char *content);
bool tree_fill_file(struct tree *t, const char *path, char byte, size_t count); /* count times the same */
bool tree_file_equals(struct tree *t, const char *path, const char *content);
bool tree_file_is_filled(struct tree *t, const char *path, char byte, size_t count);
bool tree_exists(struct tree *t, const char *path);                      /* a dangling symlink does */
bool tree_symlink(struct tree *t, const char *target, const char *path); /* "@" at its head stands for BASE */
bool tree_mkdir(struct tree *t, const char *path);
size_t tree_count_temp_files(struct tree *t); /* files in the directory for temporary files */
bool tree_outside_is_intact(struct tree *t);  /* the secret, and nothing else, is there */

/* A thread's main: makes a directory a symlink, and back, as fast as can be. */
struct swapper {
    char directory[8192], link[8192];
    atomic_bool stop;
};
void *swapper_main(void *arg); /* a struct swapper */

/* Calls a function: pairs of a field's name and its value as text, then NULL; other fields have their defaults. What the
 * types refuse comes back as it would from decoding. The result's code; output and error are in the tree until the next. */
#define tree_call(t, function, ...) tree_call_fields(t, function, NULL, STR(""), (const char *const[]){__VA_ARGS__})

/* A call with a value that contains anything: `data` goes to the field of this name, the rest as above. */
#define tree_call_data(t, function, field, data, ...) \
    tree_call_fields(t, function, field, data, (const char *const[]){__VA_ARGS__})

int tree_call_fields(struct tree *t, const char *function, const char *field, struct str data,
                     const char *const pairs[]); /* field may be NULL */

/* Fields of the last output. */
int64_t tree_output_integer(struct tree *t, const char *field); /* ENUM and BOOLEAN too */
struct str tree_output_str(struct tree *t, const char *field);

#endif

/* file_root_fixture - a temporary directory with a root of files, and beside it a directory that no path may reach.
 *
 *     BASE/root       the root of files
 *     BASE/outside    holds the file secret
 *
 * Owns:     everything below BASE, mounts included; tree_free() removes it.
 * Threads:  one, except for functions that only take paths.
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

    /* of the last call of a function */
    struct arena *arena;
    const struct function *function;
    void *output;
    struct err e;
    atomic_bool canceled; /* for the calls that follow */
};

/* Creates the directories. `type` is the file system of the root ("tmpfs", with options as for mount(8)); NULL: a plain
 * directory. Returns NULL on failure, with a message printed. */
struct tree *tree_new(const char *type, const char *options);
bool tree_free(struct tree *t); /* false if a descriptor or a mount was left */

int tree_setup(void **state);       /* for cmocka: a plain root, in *state */
int tree_small_setup(void **state); /* with a tmpfs of 64 KiB as the root, for ENOSPC */
int tree_teardown(void **state);

/* Whether this process may mount file systems. Moves it to new namespaces, without network; mounts end with the process
 * (in a chroot: with the tree). Call it while the process has one thread. */
bool tree_can_mount(void);

/* Hides a system file, if it exists, behind an empty one, for this process. False if not permitted. */
bool tree_mask_file(const char *path);

/* Rows of cmocka's tables: a test with a plain tree, one that mounts in it, one with a small tree. The last two are
 * skipped if mounting is not permitted. */
#define TREE_TEST(f) cmocka_unit_test_setup_teardown(f, tree_setup, tree_teardown)
#define TREE_MOUNT_TEST(f) tree_mount_test(#f, f, tree_setup)
#define TREE_SMALL_TEST(f) tree_mount_test(#f, f, tree_small_setup)
struct CMUnitTest tree_mount_test(const char *name, CMUnitTestFunction test, CMFixtureFunction setup);

/* Mounts a file system on a new directory of the root, until tree_free(). */
bool tree_mount(struct tree *t, const char *name, const char *type, const char *options);

/* These take paths relative to the root, and don't use file_root. False on failure. */
bool tree_write_file(struct tree *t, const char *path, const char *content);
bool tree_fill_file(struct tree *t, const char *path, char byte, size_t count);
bool tree_file_equals(struct tree *t, const char *path, const char *content);
bool tree_file_is_filled(struct tree *t, const char *path, char byte, size_t count);
bool tree_exists(struct tree *t, const char *path);                      /* true for a dangling symlink */
bool tree_symlink(struct tree *t, const char *target, const char *path); /* "@" at the start of the target is BASE */
bool tree_mkdir(struct tree *t, const char *path);
size_t tree_count_temp_files(struct tree *t);
bool tree_outside_is_intact(struct tree *t); /* contains the secret and nothing else */

/* A thread that swaps a directory and a symlink in a tight loop. */
struct swapper {
    char directory[8192], link[8192];
    atomic_bool stop;
};
void *swapper_main(void *arg); /* a struct swapper */

/* Calls a function with pairs of a field's name and its value as text, then NULL; other fields have their defaults.
 * Returns the result code; values that the types reject fail as in decoding. Output and error are in the tree until the
 * next call. */
#define tree_call(t, function, ...) tree_call_fields(t, function, NULL, STR(""), (const char *const[]){__VA_ARGS__})

/* The same, with one field set to arbitrary bytes. */
#define tree_call_data(t, function, field, data, ...) \
    tree_call_fields(t, function, field, data, (const char *const[]){__VA_ARGS__})

int tree_call_fields(struct tree *t, const char *function, const char *field, struct str data,
                     const char *const pairs[]); /* field may be NULL */

/* Fields of the last output. */
int64_t tree_output_integer(struct tree *t, const char *field); /* also ENUM and BOOLEAN */
struct str tree_output_str(struct tree *t, const char *field);

#endif

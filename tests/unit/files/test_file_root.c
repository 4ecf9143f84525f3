/* test_file_root - file_root and temp_file: paths that leave the root, types of files, commits, stale temporary files,
 * and the error for each errno. */
#include "runtime/files/temp_file.h"
#include "tests/unit/support/alloc_fault.h"
#include "tests/unit/support/file_root_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static void file_root_path_of(const struct tree *t, const char *path, char out[8192])
{
    snprintf(out, 8192, "%s/%s", t->root, path);
}

static int open_rc(struct tree *t, const char *path, int flags)
{
    int fd = -1;
    int rc = file_root_open(t->file_root, str_from(path), flags, 0666, &fd, &t->e);
    assert_true((rc == 0) == (fd >= 0));
    if (fd >= 0)
        close(fd);
    return rc;
}

static int open_dir_rc(struct tree *t, const char *path)
{
    int fd = -1;
    int rc = file_root_open_dir(t->file_root, str_from(path), &fd, &t->e);
    if (fd >= 0)
        close(fd);
    return rc;
}

static int stat_rc(struct tree *t, const char *path)
{
    struct stat stat;
    return file_root_stat(t->file_root, str_from(path), true, &stat, &t->e);
}

typedef int find_fn(const struct file_root *file_root, struct str path, struct file_entry *out, struct err *e);

static int find_entry_rc(struct tree *t, find_fn *find, const char *path, const char *name)
{
    struct file_entry entry = {.dir_fd = -1};
    int rc = find(t->file_root, str_from(path), &entry, &t->e);
    assert_true((rc == 0) == (entry.dir_fd >= 0));
    if (rc != 0)
        return rc;
    close(entry.dir_fd);
    if (name != NULL)
        assert_string_equal(entry.name, name);
    return 0;
}

static void expect_message(const struct tree *t, const char *message)
{
    assert_string_equal(t->e.msg, message);
}

/* -- the root ------------------------------------------------------------------------------------------------------ */

static void root_must_be_a_directory(void **state)
{
    struct tree *t = *state;
    struct file_root *file_root = NULL;
    char path[8192];
    assert_true(tree_write_file(t, "file", "x"));
    file_root_path_of(t, "file", path);
    assert_int_equal(file_root_new(path, &file_root, &t->e), ERR_INVALID);
    assert_non_null(strstr(t->e.msg, "Can't open the file root"));
    assert_non_null(strstr(t->e.msg, ": Not a directory"));
    file_root_path_of(t, "missing", path);
    assert_int_equal(file_root_new(path, &file_root, &t->e), ERR_INVALID);
    assert_non_null(strstr(t->e.msg, "No such file"));
    assert_null(file_root);
    file_root_free(NULL);
}

static void temp_dir_name_taken_is_rejected(void **state)
{
    struct tree *t = *state;
    struct file_root *file_root = NULL;
    char path[8192];
    assert_true(tree_mkdir(t, "a") && tree_mkdir(t, "b"));
    assert_true(tree_write_file(t, "a/" TEMP_DIR_NAME, "x"));
    assert_true(tree_symlink(t, "@/outside", "b/" TEMP_DIR_NAME));
    file_root_path_of(t, "a", path);
    assert_int_equal(file_root_new(path, &file_root, &t->e), ERR_INVALID);
    file_root_path_of(t, "b", path); /* stale files are not removed from the target of a symlink */
    assert_int_equal(file_root_new(path, &file_root, &t->e), ERR_INVALID);
    assert_non_null(strstr(t->e.msg, "must be a directory"));
    assert_true(tree_outside_is_intact(t));
}

static void temp_dir_is_private(void **state)
{
    struct tree *t = *state;
    struct stat stat;
    char path[8192];
    file_root_path_of(t, TEMP_DIR_NAME, path);
    assert_int_equal(lstat(path, &stat), 0);
    assert_int_equal(stat.st_mode & 07777, 0700);
    static const char *const paths[] = {TEMP_DIR_NAME,           TEMP_DIR_NAME "/",     TEMP_DIR_NAME "/x",
                                        "./" TEMP_DIR_NAME "/x", "d/../" TEMP_DIR_NAME, "d//../" TEMP_DIR_NAME "//x"};
    assert_true(tree_mkdir(t, "d") && tree_write_file(t, TEMP_DIR_NAME "/x", "x"));
    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        assert_int_equal(open_rc(t, paths[i], O_RDONLY), ERR_PATH_FORBIDDEN);
        assert_int_equal(open_dir_rc(t, paths[i]), ERR_PATH_FORBIDDEN);
        assert_int_equal(stat_rc(t, paths[i]), ERR_PATH_FORBIDDEN);
        assert_int_equal(find_entry_rc(t, file_root_find_entry, paths[i], NULL), ERR_PATH_FORBIDDEN);
        assert_int_equal(find_entry_rc(t, file_root_find_target, paths[i], NULL), ERR_PATH_FORBIDDEN);
        assert_int_equal(file_root_make_parents(t->file_root, str_from(paths[i]), &t->e), ERR_PATH_FORBIDDEN);
    }
    /* Similar names are not reserved. */
    assert_true(tree_write_file(t, "x" TEMP_DIR_NAME, "") && tree_write_file(t, TEMP_DIR_NAME "x", ""));
    assert_int_equal(open_rc(t, "x" TEMP_DIR_NAME, O_RDONLY), 0);
    assert_int_equal(open_rc(t, TEMP_DIR_NAME "x", O_RDONLY), 0);
}

/* In a read-only root, files can be read; only temporary files can't be created. */
static void read_only_root_is_readable(void **state)
{
    struct tree *t = *state;
    char temp_dir[8192];
    assert_true(tree_write_file(t, "a", "text"));
    file_root_path_of(t, TEMP_DIR_NAME, temp_dir);
    file_root_free(t->file_root);
    t->file_root = NULL;
    assert_int_equal(rmdir(temp_dir), 0);
    assert_int_equal(mount("none", t->root, "tmpfs", MS_REMOUNT | MS_RDONLY, "size=64k"), 0);
    assert_int_equal(file_root_new(t->root, &t->file_root, &t->e), 0);
    struct temp_file temp_file;
    assert_int_equal(open_rc(t, "a", O_RDONLY), 0);
    assert_int_equal(open_rc(t, "a", O_WRONLY), ERR_ACCESS_DENIED);
    expect_message(t, "a: the file system is mounted read-only");
    assert_int_equal(temp_file_create(file_root_temp_dir(t->file_root), 0666, &temp_file, &t->e), ERR_ACCESS_DENIED);
}

/* -- escapes ------------------------------------------------------------------------------------------------------- */

/* Each function that resolves a path rejects paths and symlinks that leave the root. */
static void paths_outside_root_are_forbidden(void **state)
{
    struct tree *t = *state;
    assert_true(tree_mkdir(t, "a") && tree_write_file(t, "a/x", "x"));
    assert_true(tree_mount(t, "proc", "bind", "/proc"));
    assert_true(tree_symlink(t, "@/outside/secret", "absolute") && tree_symlink(t, "../outside/secret", "relative"));
    assert_true(tree_symlink(t, "@/outside", "middle") && tree_symlink(t, "../outside", "a/../middle2"));
    assert_true(tree_symlink(t, "../middle", "a/chain") && tree_symlink(t, "..", "up") &&
                tree_symlink(t, "/", "slash"));
    assert_true(tree_symlink(t, "@/outside/new", "dangling") && tree_symlink(t, "@/root/a/x", "inside_but_absolute"));
    static const char *const paths[] = {
        "../x",
        "..",
        "../outside/secret",
        "/etc/passwd",
        "/",
        "//",
        "a/../../x",
        "a/../..",
        "a/../../outside/secret",
        "a/../../root/a/x", /* leaves the root and enters it again */
        "absolute",
        "relative",
        "middle/secret",
        "middle/new",
        "middle2/secret",
        "a/chain/secret",
        "up/outside/secret",
        "up/root/a/x",
        "slash/etc/passwd",
        "dangling",
        "inside_but_absolute",
        "proc/self/root/etc/passwd",
        "proc/self/cwd/x",
        "proc/self/fd/0",
        "proc/self/exe",
        "proc/thread-self/root/etc/passwd",
        "./../x",
        "a/./.././../x",
    };
    for (int flags = 0; flags <= O_CREAT; flags += O_CREAT)
        assert_int_not_equal(open_rc(t, "absolute/", O_WRONLY | flags), 0);
    int outside = open(t->outside, O_RDONLY | O_DIRECTORY); /* for a path through /proc/self/fd */
    assert_true(outside >= 0);
    char by_descriptor[64];
    snprintf(by_descriptor, sizeof by_descriptor, "proc/self/fd/%d/secret", outside);
    for (size_t i = 0; i <= COUNT_OF(paths); i++) {
        const char *path = i == COUNT_OF(paths) ? by_descriptor : paths[i];
        int fd;
        static const int flags[] = {O_RDONLY, O_WRONLY, O_RDWR | O_CREAT, O_WRONLY | O_CREAT | O_TRUNC,
                                    O_RDONLY | O_NOFOLLOW};
        for (size_t k = 0; k < COUNT_OF(flags); k++)
            assert_int_equal(open_rc(t, path, flags[k]), ERR_PATH_FORBIDDEN);
        assert_int_equal(open_dir_rc(t, path), ERR_PATH_FORBIDDEN);
        assert_int_equal(stat_rc(t, path), ERR_PATH_FORBIDDEN);
        assert_int_equal(file_root_open(t->file_root, str_from(path), O_RDONLY, 0, &fd, NULL), ERR_PATH_FORBIDDEN);
        assert_int_not_equal(find_entry_rc(t, file_root_find_target, path, NULL), 0);
        int rc = file_root_make_parents(t->file_root, str_from(path), &t->e);
        assert_true(rc == 0 || rc == ERR_PATH_FORBIDDEN);
    }
    close(outside);
    assert_int_equal(open_rc(t, "relative", O_RDONLY), ERR_PATH_FORBIDDEN);
    expect_message(
        t, "relative: the path leads outside the file root; paths and symlinks must be relative and stay inside it");
    assert_true(tree_outside_is_intact(t));
}

static void entries_outside_root_are_forbidden(void **state)
{
    struct tree *t = *state;
    assert_true(tree_mkdir(t, "a") && tree_symlink(t, "@/outside", "out") && tree_write_file(t, "file", "x"));
    static const char *const forbidden[] = {"../x",  "/x",         "/",  "//",     "a/../../x",
                                            "out/x", "out/secret", "..", "a/../.."};
    for (size_t i = 0; i < COUNT_OF(forbidden); i++)
        assert_int_equal(find_entry_rc(t, file_root_find_entry, forbidden[i], NULL), ERR_PATH_FORBIDDEN);
    static const char *const no_name[] = {".", "./", "a/.", "a/..", "a/../", "a/./"};
    for (size_t i = 0; i < COUNT_OF(no_name); i++) {
        assert_int_equal(find_entry_rc(t, file_root_find_entry, no_name[i], NULL), ERR_UNSUPPORTED_FILE_TYPE);
        assert_int_equal(find_entry_rc(t, file_root_find_target, no_name[i], NULL), ERR_UNSUPPORTED_FILE_TYPE);
    }
    assert_int_equal(find_entry_rc(t, file_root_find_entry, "out", "out"), 0); /* the symlink itself */
    assert_int_equal(find_entry_rc(t, file_root_find_entry, "a/../new", "new"), 0);
    assert_int_equal(find_entry_rc(t, file_root_find_entry, "a///new///", "new"), 0);
    assert_int_equal(find_entry_rc(t, file_root_find_entry, "new", "new"), 0);
    assert_int_equal(find_entry_rc(t, file_root_find_entry, "file/", NULL), ERR_UNSUPPORTED_FILE_TYPE);
    assert_int_equal(find_entry_rc(t, file_root_find_entry, "out/", NULL), ERR_UNSUPPORTED_FILE_TYPE);
    assert_int_equal(find_entry_rc(t, file_root_find_entry, "file/x", NULL), ERR_UNSUPPORTED_FILE_TYPE);
    assert_int_equal(find_entry_rc(t, file_root_find_entry, "no/x", NULL), ERR_FILE_NOT_FOUND);
    expect_message(t, "no/x: parent directory not found");
}

static void find_target_follows_symlinks(void **state)
{
    struct tree *t = *state;
    assert_true(tree_mkdir(t, "a") && tree_mkdir(t, "a/b") && tree_write_file(t, "a/file", "x"));
    assert_true(tree_symlink(t, "file", "a/link") && tree_symlink(t, "../link", "a/b/second"));
    assert_true(tree_symlink(t, "b/..", "a/hook") && tree_symlink(t, "a/missing", "dangling") &&
                tree_symlink(t, "a", "dir"));
    assert_true(tree_symlink(t, "loop2", "loop1") && tree_symlink(t, "loop1", "loop2") &&
                tree_symlink(t, "@/outside/x", "out"));
    assert_int_equal(find_entry_rc(t, file_root_find_target, "a/file", "file"), 0);
    assert_int_equal(find_entry_rc(t, file_root_find_target, "a/link", "file"), 0);
    assert_int_equal(find_entry_rc(t, file_root_find_target, "a/b/second", "file"), 0);
    assert_int_equal(find_entry_rc(t, file_root_find_target, "a/hook/b/second", "file"), 0);
    assert_int_equal(find_entry_rc(t, file_root_find_target, "dangling", "missing"), 0);
    assert_int_equal(find_entry_rc(t, file_root_find_target, "dir/new", "new"), 0);
    assert_int_equal(find_entry_rc(t, file_root_find_target, "dir/new/", NULL), ERR_UNSUPPORTED_FILE_TYPE);
    expect_message(t, "dir/new/: the path of a file must not end in a slash");
    assert_int_equal(find_entry_rc(t, file_root_find_target, "dir", NULL), ERR_UNSUPPORTED_FILE_TYPE);
    assert_int_equal(find_entry_rc(t, file_root_find_target, "a", NULL), ERR_UNSUPPORTED_FILE_TYPE);
    assert_int_equal(find_entry_rc(t, file_root_find_target, "new/", NULL), ERR_UNSUPPORTED_FILE_TYPE);
    assert_int_equal(find_entry_rc(t, file_root_find_target, "loop1", NULL), ERR_PATH_FORBIDDEN);
    expect_message(t, "loop1: the path has too many symlinks, or a symlink of /proc that can't be followed");
    assert_int_equal(find_entry_rc(t, file_root_find_target, "out", NULL), ERR_PATH_FORBIDDEN);
    assert_true(tree_symlink(t, "/file", "a/absolute")); /* must not be resolved as a/file */
    assert_int_equal(find_entry_rc(t, file_root_find_target, "a/absolute", NULL), ERR_PATH_FORBIDDEN);
    assert_int_equal(find_entry_rc(t, file_root_find_target, "no/x", NULL), ERR_FILE_NOT_FOUND);
    assert_int_equal(open_rc(t, "loop1", O_RDONLY), ERR_PATH_FORBIDDEN);
    char longest[4096];
    memset(longest, 'y', sizeof longest);
    longest[255] = '\0';
    assert_true(tree_symlink(t, longest, "long")); /* the target does not exist and has the longest valid name */
    assert_int_equal(find_entry_rc(t, file_root_find_target, "long", longest), 0);
}

/* After a trailing slash, the path must be a directory, even if it is a symlink, as for open(2). */
static void find_target_rejects_trailing_slash(void **state)
{
    struct tree *t = *state;
    assert_true(tree_mkdir(t, "dir") && tree_write_file(t, "file", "x"));
    assert_true(tree_symlink(t, "file", "link") && tree_symlink(t, "link", "second") &&
                tree_symlink(t, "dir", "to_dir"));
    assert_true(tree_symlink(t, "file/", "slashed") && tree_symlink(t, "missing", "dangling"));
    static const struct {
        const char *path, *message;
    } rows[] = {
        {"file/", "file/: the path, or a part of it, is not a directory"},
        {"file//", "file//: the path, or a part of it, is not a directory"},
        {"link/", "link/: the path, or a part of it, is not a directory"},
        {"second/", "second/: the path, or a part of it, is not a directory"},
        {"slashed", "slashed: the path, or a part of it, is not a directory"},
        {"dir/", "dir/: the path is a directory"},
        {"to_dir/", "to_dir/: the path is a directory"},
        {"dangling/", "dangling/: the path of a file must not end in a slash"},
        {"missing/", "missing/: the path of a file must not end in a slash"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        assert_int_equal(find_entry_rc(t, file_root_find_target, rows[i].path, NULL), ERR_UNSUPPORTED_FILE_TYPE);
        expect_message(t, rows[i].message);
    }
}

static void invalid_paths_are_rejected(void **state)
{
    struct tree *t = *state;
    char path[5001];
    memset(path, 'x', sizeof path);
    path[5000] = '\0';
    assert_int_equal(open_rc(t, path, O_RDONLY), ERR_INVALID_ARGUMENT);
    assert_int_equal(open_dir_rc(t, path), ERR_INVALID_ARGUMENT);
    assert_int_equal(stat_rc(t, path), ERR_INVALID_ARGUMENT);
    assert_int_equal(find_entry_rc(t, file_root_find_entry, path, NULL), ERR_INVALID_ARGUMENT);
    assert_int_equal(find_entry_rc(t, file_root_find_target, path, NULL), ERR_INVALID_ARGUMENT);
    assert_int_equal(file_root_make_parents(t->file_root, str_from(path), &t->e), ERR_INVALID_ARGUMENT);
    path[256] = '\0'; /* a name of 256 bytes is too long */
    assert_int_equal(open_rc(t, path, O_RDONLY), ERR_INVALID_ARGUMENT);
    assert_int_equal(find_entry_rc(t, file_root_find_entry, path, NULL), ERR_INVALID_ARGUMENT);
    path[256] = '/';
    path[300] = '\0';
    assert_int_equal(file_root_make_parents(t->file_root, str_from(path), &t->e), ERR_INVALID_ARGUMENT);
    path[256] = 'x';
    path[300] = 'x';
    for (size_t i = 0; i < 4096; i += 2)
        path[i] = '.', path[i + 1] = '/';
    path[4095] = '\0'; /* the longest path: "./././...", the root */
    assert_int_equal(open_dir_rc(t, path), 0);
    assert_int_equal(open_rc(t, path, O_RDONLY), ERR_UNSUPPORTED_FILE_TYPE);
    assert_true(strlen(t->e.msg) < 200 && strstr(t->e.msg, "...: the path is a directory") != NULL);
    path[4094] = 'x';
    assert_int_equal(find_entry_rc(t, file_root_find_target, path, "x"), 0);
    assert_int_equal(open_rc(t, "", O_RDONLY), ERR_INVALID_ARGUMENT);
    int fd;
    assert_int_equal(file_root_open(t->file_root, STR("a\0b"), O_RDONLY, 0, &fd, &t->e), ERR_INVALID_ARGUMENT);
}

/* Long paths are truncated between characters. */
static void long_path_in_message_is_valid_utf8(void **state)
{
    struct err e;
    char path[400];
    (void)state;
    for (size_t shift = 0; shift < 4; shift++) {
        memset(path, 'x', shift);
        for (size_t i = shift; i + 4 < sizeof path; i += 4)
            memcpy(path + i, "\xF0\x9F\x98\x80", 4);
        path[shift + 380] = '\0';
        assert_int_equal(file_error_set_errno(&e, ENOENT, str_from(path)), ERR_FILE_NOT_FOUND);
        assert_true(str_is_utf8(str_from(e.msg)));
        assert_non_null(strstr(e.msg, "...: file not found"));
    }
    assert_int_equal(file_error_set_errno(&e, ENOENT, STR("notes/a.txt")), ERR_FILE_NOT_FOUND);
    assert_string_equal(e.msg, "notes/a.txt: file not found");
    assert_int_equal(file_error_set_errno(NULL, ENOENT, STR("notes/a.txt")), ERR_FILE_NOT_FOUND);
}

static void errno_maps_to_error_code(void **state)
{
    static const struct {
        int error, rc;
    } rows[] = {
        {ENOSPC, ERR_INSUFFICIENT_STORAGE},
        {EDQUOT, ERR_INSUFFICIENT_STORAGE},
        {EFBIG, ERR_INSUFFICIENT_STORAGE},
        {EACCES, ERR_ACCESS_DENIED},
        {EPERM, ERR_ACCESS_DENIED},
        {EROFS, ERR_ACCESS_DENIED},
        {ENOENT, ERR_FILE_NOT_FOUND},
        {EEXIST, ERR_FILE_EXISTS},
        {ENOTEMPTY, ERR_FILE_EXISTS},
        {EISDIR, ERR_UNSUPPORTED_FILE_TYPE},
        {ENOTDIR, ERR_UNSUPPORTED_FILE_TYPE},
        {ENXIO, ERR_UNSUPPORTED_FILE_TYPE},
        {ENODEV, ERR_UNSUPPORTED_FILE_TYPE},
        {EBUSY, ERR_UNSUPPORTED_FILE_TYPE},
        {ETXTBSY, ERR_UNSUPPORTED_FILE_TYPE},
        {EXDEV, ERR_PATH_FORBIDDEN},
        {ELOOP, ERR_PATH_FORBIDDEN},
        {ENAMETOOLONG, ERR_INVALID_ARGUMENT},
        {EMFILE, ERR_TOO_MANY_OPEN_FILES},
        {ENFILE, ERR_TOO_MANY_OPEN_FILES},
        {ENOMEM, ERR_OUT_OF_MEMORY},
        {EAGAIN, ERR_IO_ERROR},
        {EIO, ERR_IO_ERROR},
        {ESTALE, ERR_IO_ERROR},
        {12345, ERR_IO_ERROR},
    };
    struct err e;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        assert_int_equal(file_error_set_errno(&e, rows[i].error, STR("a")), rows[i].rc);
        assert_int_equal(e.rc, rows[i].rc);
        assert_true(strlen(e.msg) > 10);
        assert_true(strncmp(e.msg, "a: ", 3) == 0 || rows[i].rc == ERR_OUT_OF_MEMORY);
    }
}

/* -- types of files ------------------------------------------------------------------------------------------------ */

static void open_rejects_special_files(void **state)
{
    struct tree *t = *state;
    char path[8192];
    file_root_path_of(t, "fifo", path);
    assert_int_equal(mkfifo(path, 0666), 0);
    file_root_path_of(t, "socket", path);
    assert_int_equal(mknod(path, S_IFSOCK | 0666, 0), 0);
    file_root_path_of(t, "null", path);
    bool device = mknod(path, S_IFCHR | 0666, makedev(1, 3)) == 0; /* needs CAP_MKNOD */
    assert_true(device || errno == EPERM);
    assert_true(tree_mkdir(t, "d") && tree_symlink(t, "fifo", "link") && tree_write_file(t, "file", "x"));
    static const char *const paths[] = {"fifo", "link", "socket", "d", ".", "null"};
    static const int flags[] = {O_RDONLY, O_WRONLY, O_RDWR, O_WRONLY | O_TRUNC, O_RDWR | O_CREAT};
    for (size_t i = 0; i < COUNT_OF(paths) - !device; i++)
        for (size_t k = 0; k < COUNT_OF(flags); k++)
            assert_int_equal(open_rc(t, paths[i], flags[k]), ERR_UNSUPPORTED_FILE_TYPE); /* must not block on a FIFO */
    assert_int_equal(find_entry_rc(t, file_root_find_target, "fifo", NULL), ERR_UNSUPPORTED_FILE_TYPE);
    expect_message(t, "fifo: the path is not a regular file");
    assert_int_equal(open_dir_rc(t, "fifo"), ERR_UNSUPPORTED_FILE_TYPE);
    assert_int_equal(open_dir_rc(t, "file"), ERR_UNSUPPORTED_FILE_TYPE);
    assert_int_equal(open_dir_rc(t, "no"), ERR_FILE_NOT_FOUND);
    assert_int_equal(stat_rc(t, "fifo"), 0);
    assert_int_equal(open_rc(t, "file/", O_RDONLY), ERR_UNSUPPORTED_FILE_TYPE);
    assert_int_equal(open_rc(t, "d", O_WRONLY), ERR_UNSUPPORTED_FILE_TYPE);
    expect_message(t, "d: the path is a directory");
}

static void descriptors_have_cloexec(void **state)
{
    struct tree *t = *state;
    struct file_entry entry;
    struct temp_file temp_file;
    int fd;
    assert_true(tree_write_file(t, "file", "x"));
    assert_int_equal(file_root_open(t->file_root, STR("file"), O_RDONLY, 0, &fd, &t->e), 0);
    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    close(fd);
    assert_int_equal(file_root_open_dir(t->file_root, STR("."), &fd, &t->e), 0);
    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    close(fd);
    assert_int_equal(file_root_find_entry(t->file_root, STR("file"), &entry, &t->e), 0);
    assert_true((fcntl(entry.dir_fd, F_GETFD) & FD_CLOEXEC) != 0);
    close(entry.dir_fd);
    assert_int_equal(temp_file_create(file_root_temp_dir(t->file_root), 0666, &temp_file, &t->e), 0);
    assert_true((fcntl(temp_file.fd, F_GETFD) & FD_CLOEXEC) != 0);
    temp_file_discard(file_root_temp_dir(t->file_root), &temp_file);
}

/* Sets this thread's effective capabilities and returns the previous ones. libc has no wrapper for capset(2). */
static uint64_t set_capabilities(uint64_t effective)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    assert_int_equal(syscall(SYS_capget, &head, data), 0);
    uint64_t before = data[0].effective | (uint64_t)data[1].effective << 32;
    data[0].effective = (uint32_t)effective;
    data[1].effective = (uint32_t)(effective >> 32);
    assert_int_equal(syscall(SYS_capset, &head, data), 0);
    return before;
}

static void permission_and_fd_limit_errors(void **state)
{
    struct tree *t = *state;
    char path[8192];
    assert_true(tree_write_file(t, "file", "x"));
    file_root_path_of(t, "file", path);
    assert_int_equal(chmod(path, 0), 0);
    assert_int_equal(chmod(t->root, 0500), 0);
    uint64_t capabilities = set_capabilities(0); /* otherwise root could open the file */
    int denied_rc = open_rc(t, "file", O_RDONLY);
    int created_rc = open_rc(t, "new", O_WRONLY | O_CREAT);
    set_capabilities(capabilities);
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(chmod(t->root, 0755), 0);
    assert_int_equal(denied_rc, ERR_ACCESS_DENIED);
    assert_int_equal(created_rc, ERR_ACCESS_DENIED);
    expect_message(t, "new: the user that gatherd runs as lacks permission");
    struct rlimit before, none;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 3;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    int fd_limit_rc = open_rc(t, "file", O_RDONLY);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(fd_limit_rc, ERR_TOO_MANY_OPEN_FILES);
}

/* -- parents ------------------------------------------------------------------------------------------------------- */

static void make_parents_creates_directories(void **state)
{
    struct tree *t = *state;
    assert_int_equal(file_root_make_parents(t->file_root, STR("a/b/c/file"), &t->e), 0);
    assert_true(tree_exists(t, "a/b/c") && !tree_exists(t, "a/b/c/file"));
    assert_int_equal(file_root_make_parents(t->file_root, STR("a/b/c/file"), &t->e), 0);
    assert_int_equal(file_root_make_parents(t->file_root, STR("file"), &t->e), 0);
    /* All components but the last, "v", are created. */
    assert_int_equal(file_root_make_parents(t->file_root, STR("x//y/.//z/../w/v/"), &t->e), 0);
    assert_true(tree_exists(t, "x/y/z") && tree_exists(t, "x/y/w") && !tree_exists(t, "x/y/w/v"));
    assert_true(tree_write_file(t, "file", "x") && tree_symlink(t, "@/outside", "out") && tree_symlink(t, "a", "in"));
    assert_int_equal(file_root_make_parents(t->file_root, STR("file/b/c"), &t->e), ERR_UNSUPPORTED_FILE_TYPE);
    assert_int_equal(file_root_make_parents(t->file_root, STR("out/b/c"), &t->e), ERR_PATH_FORBIDDEN);
    assert_int_equal(file_root_make_parents(t->file_root, STR("new/../../b/c"), &t->e), ERR_PATH_FORBIDDEN);
    assert_int_equal(file_root_make_parents(t->file_root, STR("in/d/c"), &t->e), 0);
    assert_true(tree_exists(t, "a/d") && tree_outside_is_intact(t));
}

/* -- commit -------------------------------------------------------------------------------------------------------- */

static int commit_file(struct tree *t, const char *path, const char *content, bool exclusive)
{
    struct temp_file temp_file;
    struct file_entry entry;
    assert_int_equal(temp_file_create(file_root_temp_dir(t->file_root), 0640, &temp_file, &t->e), 0);
    assert_int_equal(write(temp_file.fd, content, strlen(content)), (ssize_t)strlen(content));
    assert_int_equal(file_root_find_target(t->file_root, str_from(path), &entry, &t->e), 0);
    int rc =
        temp_file_commit(file_root_temp_dir(t->file_root), &temp_file, &entry, exclusive, true, str_from(path), &t->e);
    assert_int_equal(temp_file.fd, -1);
    close(entry.dir_fd);
    return rc;
}

static void commit_replaces_atomically(void **state)
{
    struct tree *t = *state;
    struct stat stat;
    char path[8192];
    assert_int_equal(commit_file(t, "a", "one", false), 0);
    assert_true(tree_file_equals(t, "a", "one"));
    file_root_path_of(t, "a", path);
    assert_int_equal(lstat(path, &stat), 0);
    assert_int_equal(stat.st_mode & 0777, 0640 & ~022);
    assert_int_equal(chmod(path, 0604), 0);
    assert_int_equal(commit_file(t, "a", "two", false), 0);
    assert_true(tree_file_equals(t, "a", "two"));
    assert_int_equal(lstat(path, &stat), 0);
    assert_int_equal(stat.st_mode & 0777, 0604); /* the new file has the permissions of the replaced file */
    assert_int_equal(commit_file(t, "a", "three", true), ERR_FILE_EXISTS);
    expect_message(t, "a: file already exists");
    assert_true(tree_file_equals(t, "a", "two"));
    assert_int_equal(commit_file(t, "b", "three", true), 0);
    assert_true(tree_file_equals(t, "b", "three"));
    assert_true(tree_mount(t, "other", "tmpfs", "size=64k"));
    assert_int_equal(commit_file(t, "other/a", "x", false), ERR_UNSUPPORTED_FILE_TYPE);
    assert_non_null(strstr(t->e.msg, "other/a: can't be renamed across file systems"));
    assert_false(tree_exists(t, "other/a"));
    assert_int_equal(tree_count_temp_files(t), 0);
}

/* -- conditions ---------------------------------------------------------------------------------------------------- */

/* A condition that returns given codes and records its calls. */
struct mock_condition {
    struct tree *t;
    int codes[4];      /* to return, in the order of the calls */
    bool creates_file; /* if the file does not exist, a call creates it, as a writer without the lock can */
    int count;         /* calls so far */
    bool current[4];   /* whether the file existed, for each call */
    struct file_version versions[4]; /* of the file, for each call */
    bool lock_was_free;              /* the lock was not held during the last call */
};

static int mock_check(const void *user, const struct file_version *current, struct str path, struct err *e)
{
    struct mock_condition *mock_condition = *(struct mock_condition *const *)user;
    if (mock_condition->count == COUNT_OF(mock_condition->codes))
        return err_set(e, ERR_INTERNAL, "called too often");
    int i = mock_condition->count++, fd;
    mock_condition->current[i] = current != NULL;
    if (current != NULL)
        mock_condition->versions[i] = *current;
    if (mock_condition->creates_file && current == NULL && !tree_write_file(mock_condition->t, path.data, "planted"))
        return err_set(e, ERR_INTERNAL, "the file could not be created");
    char temp_dir[8192];
    file_root_path_of(mock_condition->t, TEMP_DIR_NAME, temp_dir);
    if ((fd = open(temp_dir, O_RDONLY | O_DIRECTORY)) >= 0) {
        mock_condition->lock_was_free = flock(fd, LOCK_SH | LOCK_NB) == 0 || errno != EWOULDBLOCK;
        close(fd);
    }
    return mock_condition->codes[i] == 0 ? 0 : err_set(e, mock_condition->codes[i], "the condition does not hold");
}

static int commit_file_if(struct tree *t, const char *path, const char *content, struct mock_condition *mock_condition,
                          struct commit_result *result)
{
    struct temp_file temp_file;
    struct file_entry entry;
    struct file_condition condition = {.check = mock_check, .user = &mock_condition};
    assert_int_equal(temp_file_create(file_root_temp_dir(t->file_root), 0640, &temp_file, &t->e), 0);
    assert_int_equal(write(temp_file.fd, content, strlen(content)), (ssize_t)strlen(content));
    assert_int_equal(file_root_find_target(t->file_root, str_from(path), &entry, &t->e), 0);
    int rc = temp_file_commit_if(file_root_temp_dir(t->file_root), &temp_file, &entry,
                                 mock_condition == NULL ? NULL : &condition, str_from(path), result, &t->e);
    assert_int_equal(temp_file.fd, -1);
    assert_int_equal(tree_count_temp_files(t), 0);
    close(entry.dir_fd);
    return rc;
}

static struct file_version version_at(struct tree *t, const char *path)
{
    struct stat stat;
    assert_int_equal(file_root_stat(t->file_root, str_from(path), true, &stat, &t->e), 0);
    return file_version_of(&stat);
}

static bool same_version(struct file_version a, struct file_version b)
{
    return a.inode == b.inode && a.size_bytes == b.size_bytes && a.modified_us == b.modified_us;
}

static void condition_is_checked_under_lock(void **state)
{
    struct tree *t = *state;
    struct commit_result result = {0};
    struct mock_condition pass = {.t = t}, fail_first = {.t = t, .codes = {ERR_INVALID}}, pass_again = {.t = t};
    assert_int_equal(commit_file_if(t, "a", "one", &pass, &result), 0);
    assert_true(pass.count == 1 && !pass.current[0] && result.created && tree_file_equals(t, "a", "one"));
    assert_true(same_version(result.version, version_at(t, "a")));
    struct file_version one = result.version;
    assert_int_equal(commit_file_if(t, "a", "longer", &fail_first, &result), ERR_INVALID);
    assert_string_equal(t->e.msg, "the condition does not hold");
    assert_true(fail_first.count == 1 && fail_first.current[0] && same_version(fail_first.versions[0], one));
    assert_true(tree_file_equals(t, "a", "one") && same_version(version_at(t, "a"), one) &&
                same_version(result.version, one));
    assert_int_equal(commit_file_if(t, "a", "two", &pass_again, &result), 0);
    assert_true(pass_again.count == 1 && pass_again.current[0] && !result.created && tree_file_equals(t, "a", "two"));
    assert_true(same_version(result.version, version_at(t, "a")) && !same_version(result.version, one));
    fail_first = (struct mock_condition){.t = t, .codes = {ERR_INVALID}};
    assert_int_equal(commit_file_if(t, "b", "x", &fail_first, &result), ERR_INVALID);
    assert_true(!fail_first.current[0] && !tree_exists(t, "b"));
    assert_false(pass.lock_was_free || fail_first.lock_was_free || pass_again.lock_was_free);
    assert_int_equal(commit_file_if(t, "a", "three", NULL, &result), 0);
    assert_true(!result.created && tree_file_equals(t, "a", "three"));
    assert_int_equal(commit_file_if(t, "b", "three", NULL, &result), 0);
    assert_true(result.created);
}

/* Another writer creates the file after the check has found none: the condition is checked again, and the file is
 * replaced only if it holds. */
static void file_created_meanwhile_is_rechecked(void **state)
{
    struct tree *t = *state;
    struct commit_result result = {0};
    struct mock_condition fail_first = {.t = t, .creates_file = true, .codes = {0, ERR_INVALID}},
                          pass = {.t = t, .creates_file = true};
    assert_int_equal(commit_file_if(t, "a", "mine", &fail_first, &result), ERR_INVALID);
    assert_true(fail_first.count == 2 && !fail_first.current[0] && fail_first.current[1] &&
                tree_file_equals(t, "a", "planted"));
    assert_int_equal(commit_file_if(t, "b", "mine", &pass, &result), 0);
    assert_true(pass.count == 2 && !result.created && tree_file_equals(t, "b", "mine"));
}

/* Versions differ even if commits happen within one tick of the kernel's clock and inode numbers are reused. Since
 * Linux 6.13, files whose times are queried have fine-grained times, so the test also checks that mtime is not the time
 * of the last tick. */
static void each_commit_has_a_unique_version(void **state)
{
    struct tree *t = *state;
    enum { COMMITS = 200 };
    static struct file_version seen[COMMITS];
    for (int i = 0; i < COMMITS; i++) {
        struct temp_file temp_file;
        struct file_entry entry;
        struct timespec now;
        assert_int_equal(temp_file_create(file_root_temp_dir(t->file_root), 0640, &temp_file, &t->e), 0);
        clock_gettime(CLOCK_REALTIME, &now);
        assert_int_equal(file_root_find_target(t->file_root, STR("a"), &entry, &t->e), 0);
        assert_int_equal(
            temp_file_commit(file_root_temp_dir(t->file_root), &temp_file, &entry, false, false, STR("a"), &t->e), 0);
        close(entry.dir_fd);
        seen[i] = version_at(t, "a");
        assert_true(seen[i].modified_us >= (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000);
        for (int k = 0; k < i; k++)
            assert_false(same_version(seen[i], seen[k]));
    }
}

struct replacer {
    struct tree *t;
    struct file_version expected;
    pthread_barrier_t *start;
    int rc;
};

static int check_version(const void *user, const struct file_version *current, struct str path, struct err *e)
{
    const struct replacer *replacer = user;
    (void)path;
    if (current == NULL || !same_version(*current, replacer->expected))
        return err_set(e, ERR_INVALID, "another commit was first");
    for (int i = 0; i < 100; i++) /* gives other commits time to run, if the lock does not exclude them */
        sched_yield();
    return 0;
}

static void *replacer_main(void *arg)
{
    struct replacer *replacer = arg;
    struct file_condition condition = {.check = check_version, .user = replacer};
    struct file_root *file_root = replacer->t->file_root;
    struct temp_file temp_file;
    struct file_entry entry;
    struct commit_result result;
    bool created = temp_file_create(file_root_temp_dir(file_root), 0666, &temp_file, NULL) == 0 &&
                   file_root_find_target(file_root, STR("a"), &entry, NULL) == 0;
    pthread_barrier_wait(replacer->start);
    replacer->rc = created ? temp_file_commit_if(file_root_temp_dir(file_root), &temp_file, &entry, &condition,
                                                 STR("a"), &result, NULL)
                           : ERR_INTERNAL;
    if (created)
        close(entry.dir_fd);
    return NULL;
}

static void concurrent_conditional_commits_have_one_winner(void **state)
{
    struct tree *t = *state;
    enum { REPLACERS = 4, ROUNDS = 50 };
    assert_true(tree_write_file(t, "a", "first"));
    for (int round = 0; round < ROUNDS; round++) {
        pthread_t threads[REPLACERS];
        struct replacer replacers[REPLACERS];
        pthread_barrier_t start;
        int winners = 0, losers = 0;
        assert_int_equal(pthread_barrier_init(&start, NULL, REPLACERS), 0);
        for (int i = 0; i < REPLACERS; i++) {
            replacers[i] = (struct replacer){.t = t, .expected = version_at(t, "a"), .start = &start};
            assert_int_equal(pthread_create(&threads[i], NULL, replacer_main, &replacers[i]), 0);
        }
        for (int i = 0; i < REPLACERS; i++) {
            pthread_join(threads[i], NULL);
            winners += replacers[i].rc == 0;
            losers += replacers[i].rc == ERR_INVALID;
        }
        pthread_barrier_destroy(&start);
        assert_int_equal(winners, 1);
        assert_int_equal(losers, REPLACERS - 1);
    }
    assert_int_equal(tree_count_temp_files(t), 0);
}

/* -- stale temporary files ----------------------------------------------------------------------------------------- */

/* file_root_new() removes stale temporary files, but not files that a process is writing. */
static void startup_removes_stale_temp_files(void **state)
{
    struct tree *t = *state;
    struct file_root *second = NULL;
    struct temp_file temp_file;
    struct file_entry entry;
    char path[8192];
    assert_int_equal(temp_file_create(file_root_temp_dir(t->file_root), 0666, &temp_file, &t->e), 0);
    assert_int_equal(write(temp_file.fd, "kept", 4), 4);
    assert_true(tree_write_file(t, TEMP_DIR_NAME "/left", "x") &&
                tree_symlink(t, "@/outside/secret", TEMP_DIR_NAME "/link"));
    file_root_path_of(t, TEMP_DIR_NAME "/fifo", path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(tree_count_temp_files(t), 4);
    assert_int_equal(file_root_new(t->root, &second, &t->e), 0);
    assert_int_equal(tree_count_temp_files(t), 1);
    assert_int_equal(file_root_find_target(second, STR("a"), &entry, &t->e), 0);
    assert_int_equal(
        temp_file_commit(file_root_temp_dir(t->file_root), &temp_file, &entry, false, false, STR("a"), &t->e), 0);
    close(entry.dir_fd);
    file_root_free(second);
    assert_true(tree_file_equals(t, "a", "kept") && tree_outside_is_intact(t));
}

struct starter {
    const char *root;
    atomic_bool stop;
    atomic_int failed;
};

static void *starter_main(void *arg)
{
    struct starter *s = arg;
    while (!atomic_load(&s->stop)) {
        struct file_root *file_root;
        if (file_root_new(s->root, &file_root, NULL) == 0)
            file_root_free(file_root);
        else
            atomic_fetch_add(&s->failed, 1);
    }
    return NULL;
}

/* A process that starts with the same root never removes a temporary file that another process is writing. */
static void startup_keeps_locked_temp_files(void **state)
{
    struct tree *t = *state;
    struct starter s = {.root = t->root};
    pthread_t threads[2];
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, starter_main, &s), 0);
    int failed = 0;
    for (int i = 0; i < 3000; i++) {
        struct temp_file temp_file;
        struct file_entry entry;
        if (temp_file_create(file_root_temp_dir(t->file_root), 0666, &temp_file, &t->e) != 0 ||
            file_root_find_target(t->file_root, STR("a"), &entry, &t->e) != 0) {
            failed++;
            continue;
        }
        failed +=
            temp_file_commit(file_root_temp_dir(t->file_root), &temp_file, &entry, false, false, STR("a"), &t->e) != 0;
        close(entry.dir_fd);
    }
    atomic_store(&s.stop, true);
    for (size_t i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    if (failed > 0)
        fail_msg("%d temporary files were lost: %s", failed, t->e.msg);
    assert_int_equal(atomic_load(&s.failed), 0);
}

enum { CONTENT_SIZE = 1 << 16 };

/* Replaces a file repeatedly, by a file of only "a" or only "b", until the process is killed. */
_Noreturn static void write_until_killed(const char *root)
{
    struct file_root *file_root;
    struct temp_file temp_file;
    struct file_entry entry;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    char *content = malloc(CONTENT_SIZE);
    if (content == NULL || file_root_new(root, &file_root, NULL) != 0)
        _exit(1);
    for (int i = 0;; i++) {
        memset(content, 'a' + i % 2, CONTENT_SIZE);
        if (file_root_find_target(file_root, STR("file"), &entry, NULL) != 0 ||
            temp_file_create(file_root_temp_dir(file_root), 0666, &temp_file, NULL) != 0)
            _exit(2);
        for (ssize_t done = 0, n; done < CONTENT_SIZE; done += n)
            if ((n = write(temp_file.fd, content + done, CONTENT_SIZE / 16)) < 0)
                _exit(3);
        if (temp_file_commit(file_root_temp_dir(file_root), &temp_file, &entry, false, false, STR("file"), NULL) != 0)
            _exit(4);
        close(entry.dir_fd);
    }
}

static void killed_writer_leaves_complete_file(void **state)
{
    struct tree *t = *state;
    size_t stale = 0;
    for (int round = 0; round < 20; round++) {
        assert_true(tree_fill_file(t, "file", 'a', CONTENT_SIZE));
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0)
            write_until_killed(t->root);
        char last = 'a';
        for (int changes = 0; changes < 3 + round;) { /* then the writer is killed, at any point of its loop */
            bool a = tree_file_is_filled(t, "file", 'a', CONTENT_SIZE);
            bool b = !a && tree_file_is_filled(t, "file", 'b', CONTENT_SIZE);
            int status;
            if (waitpid(child, &status, WNOHANG) != 0)
                fail_msg("the writer ended unexpectedly: %d", status);
            if ((a || b) && last != (a ? 'a' : 'b')) {
                last = a ? 'a' : 'b';
                changes++;
            }
        }
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, NULL, 0), child);
        assert_true(tree_file_is_filled(t, "file", 'a', CONTENT_SIZE) ||
                    tree_file_is_filled(t, "file", 'b', CONTENT_SIZE));
        stale += tree_count_temp_files(t);
        struct file_root *next;
        assert_int_equal(file_root_new(t->root, &next, &t->e), 0);
        file_root_free(next);
        assert_int_equal(tree_count_temp_files(t), 0);
    }
    print_message("leftovers removed: %zu\n", stale);
}

/* -- races --------------------------------------------------------------------------------------------------------- */

/* Calls a function with the path. Returns 0 if it succeeded and stayed inside the root, or an error. */
static int resolve_case(struct tree *t, int which)
{
    struct file_entry entry;
    struct stat stat, root;
    char content[64] = "";
    int fd, rc;
    switch (which) {
    case 0:
        rc = file_root_open(t->file_root, STR("d/secret"), O_RDONLY, 0, &fd, &t->e);
        if (rc != 0)
            return rc;
        rc = read(fd, content, sizeof content - 1) < 0 || strcmp(content, "inside") != 0;
        close(fd);
        return rc;
    case 1:
        rc = file_root_open(t->file_root, STR("d/e/../new"), O_WRONLY | O_CREAT, 0666, &fd, &t->e);
        if (rc == 0)
            close(fd);
        return rc;
    case 2:
        rc = file_root_stat(t->file_root, STR("d/secret"), true, &stat, &t->e);
        return rc != 0 ? rc : stat.st_size != (off_t)strlen("inside");
    case 3:
        return file_root_make_parents(t->file_root, STR("d/e/made/x"), &t->e);
    default:
        rc = which == 4 ? file_root_find_entry(t->file_root, STR("d/secret"), &entry, &t->e)
                        : file_root_find_target(t->file_root, STR("d/link"), &entry, &t->e);
        if (rc != 0)
            return rc;
        char outside[128];
        snprintf(outside, sizeof outside, "%s", t->outside);
        rc = fstat(entry.dir_fd, &stat) != 0 || lstat(outside, &root) != 0 || stat.st_ino == root.st_ino;
        close(entry.dir_fd);
        return rc;
    }
}

static void swapped_directory_stays_inside(void **state)
{
    struct tree *t = *state;
    struct swapper s = {.stop = false};
    pthread_t thread;
    assert_true(tree_mkdir(t, "d") && tree_mkdir(t, "d/e") && tree_write_file(t, "d/secret", "inside"));
    assert_true(tree_symlink(t, "secret", "d/link") && tree_symlink(t, "@/outside", "l"));
    file_root_path_of(t, "d", s.directory);
    file_root_path_of(t, "l", s.link);
    assert_int_equal(pthread_create(&thread, NULL, swapper_main, &s), 0);
    size_t inside = 0, rejected = 0, unexpected = 0, changes = 0;
    int unexpected_rc = 0, last = 0;
    for (size_t i = 0; i < 1000000 && (i < 20000 || changes < 1000); i++) {
        int rc = resolve_case(t, (int)(i % 6));
        if (rc == 0) {
            inside++;
        } else if (rc == ERR_PATH_FORBIDDEN || rc == ERR_IO_ERROR) { /* IO_ERROR: all tries met a swap */
            rejected++;
        } else {
            unexpected++;
            unexpected_rc = rc;
        }
        changes += (rc == 0) != (last == 0);
        last = rc;
    }
    atomic_store(&s.stop, true);
    pthread_join(thread, NULL);
    print_message("inside %zu, refused %zu, in turn %zu\n", inside, rejected, changes);
    assert_true(inside > 0 && rejected > 0);
    if (unexpected > 0)
        fail_msg("%zu calls got out or failed otherwise, such as %d: %s", unexpected, unexpected_rc, t->e.msg);
    assert_true(tree_outside_is_intact(t));
}

static void new_reports_out_of_memory(void **state)
{
    struct tree *t = *state;
    struct file_root *file_root;
    unsigned long n = 0;
    int rc;
    do {
        alloc_fail_at(++n);
        rc = file_root_new(t->root, &file_root, &t->e);
        assert_true(rc == 0 || rc == ERR_OUT_OF_MEMORY);
        if (rc == 0)
            file_root_free(file_root);
    } while (alloc_count() >= n);
    alloc_fail_at(0);
    assert_true(n > 1 && rc == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TREE_TEST(root_must_be_a_directory),
        TREE_TEST(temp_dir_name_taken_is_rejected),
        TREE_TEST(temp_dir_is_private),
        TREE_SMALL_TEST(read_only_root_is_readable),
        TREE_MOUNT_TEST(paths_outside_root_are_forbidden),
        TREE_TEST(entries_outside_root_are_forbidden),
        TREE_TEST(find_target_follows_symlinks),
        TREE_TEST(find_target_rejects_trailing_slash),
        TREE_TEST(invalid_paths_are_rejected),
        cmocka_unit_test(long_path_in_message_is_valid_utf8),
        cmocka_unit_test(errno_maps_to_error_code),
        TREE_TEST(open_rejects_special_files),
        TREE_TEST(descriptors_have_cloexec),
        TREE_TEST(permission_and_fd_limit_errors),
        TREE_TEST(make_parents_creates_directories),
        TREE_MOUNT_TEST(commit_replaces_atomically),
        TREE_TEST(condition_is_checked_under_lock),
        TREE_TEST(file_created_meanwhile_is_rechecked),
        TREE_TEST(each_commit_has_a_unique_version),
        TREE_TEST(concurrent_conditional_commits_have_one_winner),
        TREE_TEST(startup_removes_stale_temp_files),
        TREE_SMALL_TEST(startup_keeps_locked_temp_files),
        TREE_TEST(killed_writer_leaves_complete_file),
        TREE_SMALL_TEST(swapped_directory_stays_inside),
        TREE_TEST(new_reports_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* jail - what leads out of the root and what doesn't, kinds of files, drafts, and every errno's own sentence. */
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

static void path_of(const struct tree *t, const char *path, char out[8192])
{
    snprintf(out, 8192, "%s/%s", t->root, path);
}

static int open_rc(struct tree *t, const char *path, int flags)
{
    int fd = -1;
    int rc = jail_open_file(t->jail, str_from(path), flags, 0666, &fd, &t->e);
    assert_true((rc == 0) == (fd >= 0));
    if (fd >= 0)
        close(fd);
    return rc;
}

static int directory_rc(struct tree *t, const char *path)
{
    int fd = -1;
    int rc = jail_open_directory(t->jail, str_from(path), &fd, &t->e);
    if (fd >= 0)
        close(fd);
    return rc;
}

static int stat_rc(struct tree *t, const char *path)
{
    struct stat stat;
    return jail_stat(t->jail, str_from(path), true, &stat, &t->e);
}

typedef int find_fn(const struct file_root *jail, struct str path, struct jail_entry *out, struct err *e);

static int find_rc(struct tree *t, find_fn *find, const char *path, const char *name)
{
    struct jail_entry entry = {.directory = -1};
    int rc = find(t->jail, str_from(path), &entry, &t->e);
    assert_true((rc == 0) == (entry.directory >= 0));
    if (rc != 0)
        return rc;
    close(entry.directory);
    if (name != NULL)
        assert_string_equal(entry.name, name);
    return 0;
}

static void expect_message(const struct tree *t, const char *message)
{
    assert_string_equal(t->e.msg, message);
}

/* -- the root -------------------------------------------------------------------------------------------------------- */

static void takes_only_a_directory_for_a_root(void **state)
{
    struct tree *t = *state;
    struct file_root *jail = NULL;
    char path[8192];
    assert_true(tree_put(t, "file", "x"));
    path_of(t, "file", path);
    assert_int_equal(jail_new(path, &jail, &t->e), ERR_INVALID);
    assert_non_null(strstr(t->e.msg, "can't be the root of files: Not a directory"));
    path_of(t, "missing", path);
    assert_int_equal(jail_new(path, &jail, &t->e), ERR_INVALID);
    assert_non_null(strstr(t->e.msg, "No such file"));
    assert_null(jail);
    jail_free(NULL);
}

static void needs_its_name_for_drafts(void **state)
{
    struct tree *t = *state;
    struct file_root *jail = NULL;
    char path[8192];
    assert_true(tree_directory(t, "a") && tree_directory(t, "b"));
    assert_true(tree_put(t, "a/" DRAFTS_NAME, "x"));
    assert_true(tree_link(t, "@/outside", "b/" DRAFTS_NAME));
    path_of(t, "a", path);
    assert_int_equal(jail_new(path, &jail, &t->e), ERR_INVALID);
    path_of(t, "b", path); /* and does not empty what a symlink of this name leads to */
    assert_int_equal(jail_new(path, &jail, &t->e), ERR_INVALID);
    assert_non_null(strstr(t->e.msg, "is no directory"));
    assert_true(tree_outside_untouched(t));
}

static void has_a_private_directory_for_drafts(void **state)
{
    struct tree *t = *state;
    struct stat stat;
    char path[8192];
    path_of(t, DRAFTS_NAME, path);
    assert_int_equal(lstat(path, &stat), 0);
    assert_int_equal(stat.st_mode & 07777, 0700);
    static const char *const paths[] = {DRAFTS_NAME,           DRAFTS_NAME "/",     DRAFTS_NAME "/x",
                                        "./" DRAFTS_NAME "/x", "d/../" DRAFTS_NAME, "d//../" DRAFTS_NAME "//x"};
    assert_true(tree_directory(t, "d") && tree_put(t, DRAFTS_NAME "/x", "x"));
    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        assert_int_equal(open_rc(t, paths[i], O_RDONLY), ERR_PATH_FORBIDDEN);
        assert_int_equal(directory_rc(t, paths[i]), ERR_PATH_FORBIDDEN);
        assert_int_equal(stat_rc(t, paths[i]), ERR_PATH_FORBIDDEN);
        assert_int_equal(find_rc(t, jail_entry, paths[i], NULL), ERR_PATH_FORBIDDEN);
        assert_int_equal(find_rc(t, jail_target, paths[i], NULL), ERR_PATH_FORBIDDEN);
        assert_int_equal(jail_make_parents(t->jail, str_from(paths[i]), &t->e), ERR_PATH_FORBIDDEN);
    }
    assert_true(tree_put(t, "x" DRAFTS_NAME, "") && tree_put(t, DRAFTS_NAME "x", "")); /* other names are just names */
    assert_int_equal(open_rc(t, "x" DRAFTS_NAME, O_RDONLY), 0);
    assert_int_equal(open_rc(t, DRAFTS_NAME "x", O_RDONLY), 0);
}

/* A root that can only be read is of use: only drafts are refused. */
static void works_in_a_root_that_is_read_only(void **state)
{
    struct tree *t = *state;
    char drafts[8192];
    assert_true(tree_put(t, "a", "text"));
    path_of(t, DRAFTS_NAME, drafts);
    jail_free(t->jail);
    t->jail = NULL;
    assert_int_equal(rmdir(drafts), 0);
    assert_int_equal(mount("none", t->root, "tmpfs", MS_REMOUNT | MS_RDONLY, "size=64k"), 0);
    assert_int_equal(jail_new(t->root, &t->jail, &t->e), 0);
    struct jail_draft draft;
    assert_int_equal(open_rc(t, "a", O_RDONLY), 0);
    assert_int_equal(open_rc(t, "a", O_WRONLY), ERR_ACCESS_DENIED);
    expect_message(t, "a: the file system is mounted read-only");
    assert_int_equal(jail_draft(t->jail, 0666, &draft, &t->e), ERR_ACCESS_DENIED);
}

/* -- ways out -------------------------------------------------------------------------------------------------------- */

/* Links and paths that would lead out, on each way to resolve one. */
static void no_path_leads_out(void **state)
{
    struct tree *t = *state;
    assert_true(tree_directory(t, "a") && tree_put(t, "a/x", "x"));
    assert_true(tree_mount(t, "proc", "bind", "/proc"));
    assert_true(tree_link(t, "@/outside/secret", "absolute") && tree_link(t, "../outside/secret", "relative"));
    assert_true(tree_link(t, "@/outside", "middle") && tree_link(t, "../outside", "a/../middle2"));
    assert_true(tree_link(t, "../middle", "a/chain") && tree_link(t, "..", "up") && tree_link(t, "/", "slash"));
    assert_true(tree_link(t, "@/outside/new", "dangling") && tree_link(t, "@/root/a/x", "inside_but_absolute"));
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
        "a/../../root/a/x", /* also when it comes back */
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
    int outside = open(t->outside, O_RDONLY | O_DIRECTORY); /* something to find in /proc/self/fd */
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
        assert_int_equal(directory_rc(t, path), ERR_PATH_FORBIDDEN);
        assert_int_equal(stat_rc(t, path), ERR_PATH_FORBIDDEN);
        assert_int_equal(jail_open_file(t->jail, str_from(path), O_RDONLY, 0, &fd, NULL), ERR_PATH_FORBIDDEN);
        assert_int_not_equal(find_rc(t, jail_target, path, NULL), 0);
        int rc = jail_make_parents(t->jail, str_from(path), &t->e);
        assert_true(rc == 0 || rc == ERR_PATH_FORBIDDEN);
    }
    close(outside);
    assert_int_equal(open_rc(t, "relative", O_RDONLY), ERR_PATH_FORBIDDEN);
    expect_message(t,
                   "relative: the path leads out of the root of files; paths are relative to it, and so are symlinks");
    assert_true(tree_outside_untouched(t));
}

static void entries_lie_inside(void **state)
{
    struct tree *t = *state;
    assert_true(tree_directory(t, "a") && tree_link(t, "@/outside", "out") && tree_put(t, "file", "x"));
    static const char *const forbidden[] = {"../x",  "/x",         "/",  "//",     "a/../../x",
                                            "out/x", "out/secret", "..", "a/../.."};
    for (size_t i = 0; i < COUNT_OF(forbidden); i++)
        assert_int_equal(find_rc(t, jail_entry, forbidden[i], NULL), ERR_PATH_FORBIDDEN);
    static const char *const nameless[] = {".", "./", "a/.", "a/..", "a/../", "a/./"};
    for (size_t i = 0; i < COUNT_OF(nameless); i++) {
        assert_int_equal(find_rc(t, jail_entry, nameless[i], NULL), ERR_UNSUPPORTED_FILE_TYPE);
        assert_int_equal(find_rc(t, jail_target, nameless[i], NULL), ERR_UNSUPPORTED_FILE_TYPE);
    }
    assert_int_equal(find_rc(t, jail_entry, "out", "out"), 0); /* the link itself, it leads where it may */
    assert_int_equal(find_rc(t, jail_entry, "a/../new", "new"), 0);
    assert_int_equal(find_rc(t, jail_entry, "a///new///", "new"), 0);
    assert_int_equal(find_rc(t, jail_entry, "new", "new"), 0);
    assert_int_equal(find_rc(t, jail_entry, "file/", NULL),
                     ERR_UNSUPPORTED_FILE_TYPE); /* it says that it is a directory */
    assert_int_equal(find_rc(t, jail_entry, "out/", NULL), ERR_UNSUPPORTED_FILE_TYPE);
    assert_int_equal(find_rc(t, jail_entry, "file/x", NULL), ERR_UNSUPPORTED_FILE_TYPE);
    assert_int_equal(find_rc(t, jail_entry, "no/x", NULL), ERR_FILE_NOT_FOUND);
    expect_message(t, "no/x: there is no directory that it could be in");
}

static void targets_follow_links_inside(void **state)
{
    struct tree *t = *state;
    assert_true(tree_directory(t, "a") && tree_directory(t, "a/b") && tree_put(t, "a/file", "x"));
    assert_true(tree_link(t, "file", "a/link") && tree_link(t, "../link", "a/b/second"));
    assert_true(tree_link(t, "b/..", "a/hook") && tree_link(t, "a/missing", "dangling") && tree_link(t, "a", "dir"));
    assert_true(tree_link(t, "loop2", "loop1") && tree_link(t, "loop1", "loop2") && tree_link(t, "@/outside/x", "out"));
    assert_int_equal(find_rc(t, jail_target, "a/file", "file"), 0);
    assert_int_equal(find_rc(t, jail_target, "a/link", "file"), 0);
    assert_int_equal(find_rc(t, jail_target, "a/b/second", "file"), 0);
    assert_int_equal(find_rc(t, jail_target, "a/hook/b/second", "file"), 0);
    assert_int_equal(find_rc(t, jail_target, "dangling", "missing"), 0);
    assert_int_equal(find_rc(t, jail_target, "dir/new", "new"), 0);
    assert_int_equal(find_rc(t, jail_target, "dir/new/", NULL), ERR_UNSUPPORTED_FILE_TYPE);
    expect_message(t, "dir/new/: the path of a file can't end in a slash");
    assert_int_equal(find_rc(t, jail_target, "dir", NULL), ERR_UNSUPPORTED_FILE_TYPE);
    assert_int_equal(find_rc(t, jail_target, "a", NULL), ERR_UNSUPPORTED_FILE_TYPE);
    assert_int_equal(find_rc(t, jail_target, "new/", NULL), ERR_UNSUPPORTED_FILE_TYPE);
    assert_int_equal(find_rc(t, jail_target, "loop1", NULL), ERR_PATH_FORBIDDEN);
    expect_message(t, "loop1: the path goes through too many symlinks, or one of /proc");
    assert_int_equal(find_rc(t, jail_target, "out", NULL), ERR_PATH_FORBIDDEN);
    assert_true(tree_link(t, "/file", "a/absolute")); /* not what has that name beside it */
    assert_int_equal(find_rc(t, jail_target, "a/absolute", NULL), ERR_PATH_FORBIDDEN);
    assert_int_equal(find_rc(t, jail_target, "no/x", NULL), ERR_FILE_NOT_FOUND);
    assert_int_equal(open_rc(t, "loop1", O_RDONLY), ERR_PATH_FORBIDDEN);
    char longest[4096];
    memset(longest, 'y', sizeof longest);
    longest[255] = '\0';
    assert_true(tree_link(t, longest, "long")); /* a target that exists as little as it is short */
    assert_int_equal(find_rc(t, jail_target, "long", longest), 0);
}

static void paths_have_limits(void **state)
{
    struct tree *t = *state;
    char path[5001];
    memset(path, 'x', sizeof path);
    path[5000] = '\0';
    assert_int_equal(open_rc(t, path, O_RDONLY), ERR_INVALID);
    assert_int_equal(directory_rc(t, path), ERR_INVALID);
    assert_int_equal(stat_rc(t, path), ERR_INVALID);
    assert_int_equal(find_rc(t, jail_entry, path, NULL), ERR_INVALID);
    assert_int_equal(find_rc(t, jail_target, path, NULL), ERR_INVALID);
    assert_int_equal(jail_make_parents(t->jail, str_from(path), &t->e), ERR_INVALID);
    path[256] = '\0'; /* a name too long */
    assert_int_equal(open_rc(t, path, O_RDONLY), ERR_INVALID);
    assert_int_equal(find_rc(t, jail_entry, path, NULL), ERR_INVALID);
    path[256] = '/';
    path[300] = '\0';
    assert_int_equal(jail_make_parents(t->jail, str_from(path), &t->e), ERR_INVALID);
    path[256] = 'x';
    path[300] = 'x';
    for (size_t i = 0; i < 4096; i += 2)
        path[i] = '.', path[i + 1] = '/';
    path[4095] = '\0'; /* the longest there can be: "./././...": it is the root */
    assert_int_equal(directory_rc(t, path), 0);
    assert_int_equal(open_rc(t, path, O_RDONLY), ERR_UNSUPPORTED_FILE_TYPE);
    assert_true(strlen(t->e.msg) < 200 && strstr(t->e.msg, "...: this is a directory") != NULL);
    path[4094] = 'x';
    assert_int_equal(find_rc(t, jail_target, path, "x"), 0);
    assert_int_equal(open_rc(t, "", O_RDONLY), ERR_INVALID);
    int fd;
    assert_int_equal(jail_open_file(t->jail, STR("a\0b"), O_RDONLY, 0, &fd, &t->e), ERR_INVALID);
}

/* Long paths are shortened between two characters. */
static void messages_stay_text(void **state)
{
    struct err e;
    char path[400];
    (void)state;
    for (size_t shift = 0; shift < 4; shift++) {
        memset(path, 'x', shift);
        for (size_t i = shift; i + 4 < sizeof path; i += 4)
            memcpy(path + i, "\xF0\x9F\x98\x80", 4);
        path[shift + 380] = '\0';
        assert_int_equal(jail_error(&e, ENOENT, str_from(path)), ERR_FILE_NOT_FOUND);
        assert_true(str_is_utf8(str_from(e.msg)));
        assert_non_null(strstr(e.msg, "...: there is no such file"));
    }
    assert_int_equal(jail_error(&e, ENOENT, STR("notes/a.txt")), ERR_FILE_NOT_FOUND);
    assert_string_equal(e.msg, "notes/a.txt: there is no such file");
    assert_int_equal(jail_error(NULL, ENOENT, STR("notes/a.txt")), ERR_FILE_NOT_FOUND);
}

static void each_errno_has_its_code(void **state)
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
        {ENAMETOOLONG, ERR_INVALID},
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
        assert_int_equal(jail_error(&e, rows[i].error, STR("a")), rows[i].rc);
        assert_int_equal(e.rc, rows[i].rc);
        assert_true(strncmp(e.msg, "a: ", 3) == 0 && strlen(e.msg) > 10);
    }
}

/* -- kinds of files -------------------------------------------------------------------------------------------------- */

static void opens_regular_files_only(void **state)
{
    struct tree *t = *state;
    char path[8192];
    path_of(t, "fifo", path);
    assert_int_equal(mkfifo(path, 0666), 0);
    path_of(t, "socket", path);
    assert_int_equal(mknod(path, S_IFSOCK | 0666, 0), 0);
    path_of(t, "null", path);
    bool device = mknod(path, S_IFCHR | 0666, makedev(1, 3)) == 0; /* only root may */
    assert_true(device || errno == EPERM);
    assert_true(tree_directory(t, "d") && tree_link(t, "fifo", "link") && tree_put(t, "file", "x"));
    static const char *const paths[] = {"fifo", "link", "socket", "d", ".", "null"};
    static const int flags[] = {O_RDONLY, O_WRONLY, O_RDWR, O_WRONLY | O_TRUNC, O_RDWR | O_CREAT};
    for (size_t i = 0; i < COUNT_OF(paths) - !device; i++)
        for (size_t k = 0; k < COUNT_OF(flags); k++)
            assert_int_equal(open_rc(t, paths[i], flags[k]), ERR_UNSUPPORTED_FILE_TYPE); /* and returns at all */
    assert_int_equal(find_rc(t, jail_target, "fifo", NULL), ERR_UNSUPPORTED_FILE_TYPE);
    expect_message(t, "fifo: this is no regular file");
    assert_int_equal(directory_rc(t, "fifo"), ERR_UNSUPPORTED_FILE_TYPE);
    assert_int_equal(directory_rc(t, "file"), ERR_UNSUPPORTED_FILE_TYPE);
    assert_int_equal(directory_rc(t, "no"), ERR_FILE_NOT_FOUND);
    assert_int_equal(stat_rc(t, "fifo"), 0);
    assert_int_equal(open_rc(t, "file/", O_RDONLY), ERR_UNSUPPORTED_FILE_TYPE);
    assert_int_equal(open_rc(t, "d", O_WRONLY), ERR_UNSUPPORTED_FILE_TYPE);
    expect_message(t, "d: this is a directory");
}

static void descriptors_close_on_exec(void **state)
{
    struct tree *t = *state;
    struct jail_entry entry;
    struct jail_draft draft;
    int fd;
    assert_true(tree_put(t, "file", "x"));
    assert_int_equal(jail_open_file(t->jail, STR("file"), O_RDONLY, 0, &fd, &t->e), 0);
    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    close(fd);
    assert_int_equal(jail_open_directory(t->jail, STR("."), &fd, &t->e), 0);
    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    close(fd);
    assert_int_equal(jail_entry(t->jail, STR("file"), &entry, &t->e), 0);
    assert_true((fcntl(entry.directory, F_GETFD) & FD_CLOEXEC) != 0);
    close(entry.directory);
    assert_int_equal(jail_draft(t->jail, 0666, &draft, &t->e), 0);
    assert_true((fcntl(draft.fd, F_GETFD) & FD_CLOEXEC) != 0);
    jail_drop(t->jail, &draft);
}

/* What this thread may do beyond its user's rights; returns what was so before. capset(2) has no wrapper in libc. */
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

static void the_system_may_say_no(void **state)
{
    struct tree *t = *state;
    char path[8192];
    assert_true(tree_put(t, "file", "x"));
    path_of(t, "file", path);
    assert_int_equal(chmod(path, 0), 0);
    assert_int_equal(chmod(t->root, 0500), 0);
    uint64_t capabilities = set_capabilities(0); /* so that even root has to keep to that */
    int denied = open_rc(t, "file", O_RDONLY);
    int made = open_rc(t, "new", O_WRONLY | O_CREAT);
    set_capabilities(capabilities);
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(chmod(t->root, 0755), 0);
    assert_int_equal(denied, ERR_ACCESS_DENIED);
    assert_int_equal(made, ERR_ACCESS_DENIED);
    expect_message(t, "new: the system does not allow that to the user gatherd runs as");
    struct rlimit before, none;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 3;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    int out_of_files = open_rc(t, "file", O_RDONLY);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(out_of_files, ERR_TOO_MANY_OPEN_FILES);
}

/* -- parents --------------------------------------------------------------------------------------------------------- */

static void makes_parents(void **state)
{
    struct tree *t = *state;
    assert_int_equal(jail_make_parents(t->jail, STR("a/b/c/file"), &t->e), 0);
    assert_true(tree_exists(t, "a/b/c") && !tree_exists(t, "a/b/c/file"));
    assert_int_equal(jail_make_parents(t->jail, STR("a/b/c/file"), &t->e), 0);
    assert_int_equal(jail_make_parents(t->jail, STR("file"), &t->e), 0);
    assert_int_equal(jail_make_parents(t->jail, STR("x//y/.//z/../w/v/"), &t->e), 0); /* as far as it comes */
    assert_true(tree_exists(t, "x/y/z") && tree_exists(t, "x/y/w") && !tree_exists(t, "x/y/w/v"));
    assert_true(tree_put(t, "file", "x") && tree_link(t, "@/outside", "out") && tree_link(t, "a", "in"));
    assert_int_equal(jail_make_parents(t->jail, STR("file/b/c"), &t->e), ERR_UNSUPPORTED_FILE_TYPE);
    assert_int_equal(jail_make_parents(t->jail, STR("out/b/c"), &t->e), ERR_PATH_FORBIDDEN);
    assert_int_equal(jail_make_parents(t->jail, STR("new/../../b/c"), &t->e), ERR_PATH_FORBIDDEN);
    assert_int_equal(jail_make_parents(t->jail, STR("in/d/c"), &t->e), 0);
    assert_true(tree_exists(t, "a/d") && tree_outside_untouched(t));
}

/* -- drafts ---------------------------------------------------------------------------------------------------------- */

static int publish(struct tree *t, const char *path, const char *content, bool exclusive)
{
    struct jail_draft draft;
    struct jail_entry entry;
    assert_int_equal(jail_draft(t->jail, 0640, &draft, &t->e), 0);
    assert_int_equal(write(draft.fd, content, strlen(content)), (ssize_t)strlen(content));
    assert_int_equal(jail_target(t->jail, str_from(path), &entry, &t->e), 0);
    int rc = jail_publish(t->jail, &draft, &entry, exclusive, true, str_from(path), &t->e);
    assert_int_equal(draft.fd, -1);
    close(entry.directory);
    return rc;
}

static void drafts_come_whole(void **state)
{
    struct tree *t = *state;
    struct stat stat;
    char path[8192];
    assert_int_equal(publish(t, "a", "one", false), 0);
    assert_true(tree_holds(t, "a", "one"));
    path_of(t, "a", path);
    assert_int_equal(lstat(path, &stat), 0);
    assert_int_equal(stat.st_mode & 0777, 0640 & ~022);
    assert_int_equal(chmod(path, 0604), 0);
    assert_int_equal(publish(t, "a", "two", false), 0);
    assert_true(tree_holds(t, "a", "two"));
    assert_int_equal(lstat(path, &stat), 0);
    assert_int_equal(stat.st_mode & 0777, 0604); /* what is replaced keeps its permissions */
    assert_int_equal(publish(t, "a", "three", true), ERR_FILE_EXISTS);
    expect_message(t, "a: there is such a file already");
    assert_true(tree_holds(t, "a", "two"));
    assert_int_equal(publish(t, "b", "three", true), 0);
    assert_true(tree_holds(t, "b", "three"));
    assert_true(tree_mount(t, "other", "tmpfs", "size=64k"));
    assert_int_equal(publish(t, "other/a", "x", false), ERR_UNSUPPORTED_FILE_TYPE);
    assert_non_null(strstr(t->e.msg, "other/a: this is on another file system"));
    assert_false(tree_exists(t, "other/a"));
    assert_int_equal(tree_drafts(t), 0);
}

/* -- conditions ------------------------------------------------------------------------------------------------------ */

/* A condition that a test makes up: what it was shown, and what it says. */
struct asked {
    struct tree *t;
    int answers[4]; /* one after the other */
    int count;      /* how often it was asked */
    bool there[4];
    struct file_version stamps[4];
    bool plants;     /* puts a file where it finds none, as somebody would who needs no turn */
    bool others_may; /* found that another draft could have its turn meanwhile */
};

static int ask(const void *given, const struct file_version *there, struct str path, struct err *e)
{
    struct asked *asked = *(struct asked *const *)given;
    if (asked->count == COUNT_OF(asked->answers))
        return err_set(e, ERR_INTERNAL, "asked without end");
    int i = asked->count++, fd;
    asked->there[i] = there != NULL;
    if (there != NULL)
        asked->stamps[i] = *there;
    if (asked->plants && there == NULL && !tree_put(asked->t, path.at, "planted"))
        return err_set(e, ERR_INTERNAL, "nothing planted");
    char drafts[8192];
    path_of(asked->t, DRAFTS_NAME, drafts);
    if ((fd = open(drafts, O_RDONLY | O_DIRECTORY)) >= 0) {
        asked->others_may = flock(fd, LOCK_SH | LOCK_NB) == 0 || errno != EWOULDBLOCK;
        close(fd);
    }
    return asked->answers[i] == 0 ? 0 : err_set(e, asked->answers[i], "asked");
}

static int publish_if(struct tree *t, const char *path, const char *content, struct asked *asked, struct jail_put *put)
{
    struct jail_draft draft;
    struct jail_entry entry;
    struct file_condition condition = {.check = ask, .given = &asked};
    assert_int_equal(jail_draft(t->jail, 0640, &draft, &t->e), 0);
    assert_int_equal(write(draft.fd, content, strlen(content)), (ssize_t)strlen(content));
    assert_int_equal(jail_target(t->jail, str_from(path), &entry, &t->e), 0);
    int rc = jail_publish_if(t->jail, &draft, &entry, asked == NULL ? NULL : &condition, str_from(path), put, &t->e);
    assert_int_equal(draft.fd, -1);
    assert_int_equal(tree_drafts(t), 0);
    close(entry.directory);
    return rc;
}

static struct file_version stamp_at(struct tree *t, const char *path)
{
    struct stat stat;
    assert_int_equal(jail_stat(t->jail, str_from(path), true, &stat, &t->e), 0);
    return file_stamp_of(&stat);
}

static bool same_stamp(struct file_version a, struct file_version b)
{
    return a.inode == b.inode && a.size_bytes == b.size_bytes && a.modified_us == b.modified_us;
}

static void conditions_are_asked_in_the_place(void **state)
{
    struct tree *t = *state;
    struct jail_put put = {0};
    struct asked yes = {.t = t}, no = {.t = t, .answers = {ERR_INVALID}}, still = {.t = t};
    assert_int_equal(publish_if(t, "a", "one", &yes, &put), 0);
    assert_true(yes.count == 1 && !yes.there[0] && put.created && tree_holds(t, "a", "one"));
    assert_true(same_stamp(put.stamp, stamp_at(t, "a")));
    struct file_version one = put.stamp;
    assert_int_equal(publish_if(t, "a", "longer", &no, &put), ERR_INVALID);
    assert_string_equal(t->e.msg, "asked");
    assert_true(no.count == 1 && no.there[0] && same_stamp(no.stamps[0], one));
    assert_true(tree_holds(t, "a", "one") && same_stamp(stamp_at(t, "a"), one) && same_stamp(put.stamp, one));
    assert_int_equal(publish_if(t, "a", "two", &still, &put), 0);
    assert_true(still.count == 1 && still.there[0] && !put.created && tree_holds(t, "a", "two"));
    assert_true(same_stamp(put.stamp, stamp_at(t, "a")) && !same_stamp(put.stamp, one));
    no = (struct asked){.t = t, .answers = {ERR_INVALID}};
    assert_int_equal(publish_if(t, "b", "x", &no, &put), ERR_INVALID);
    assert_true(!no.there[0] && !tree_exists(t, "b"));
    assert_false(yes.others_may || no.others_may || still.others_may);
    assert_int_equal(publish_if(t, "a", "three", NULL, &put), 0);
    assert_true(!put.created && tree_holds(t, "a", "three"));
    assert_int_equal(publish_if(t, "b", "three", NULL, &put), 0);
    assert_true(put.created);
}

/* Somebody makes the file right after it was found missing: it is looked at again, and replaced only if that may be. */
static void what_was_missing_is_never_replaced(void **state)
{
    struct tree *t = *state;
    struct jail_put put = {0};
    struct asked no = {.t = t, .plants = true, .answers = {0, ERR_INVALID}}, yes = {.t = t, .plants = true};
    assert_int_equal(publish_if(t, "a", "mine", &no, &put), ERR_INVALID);
    assert_true(no.count == 2 && !no.there[0] && no.there[1] && tree_holds(t, "a", "planted"));
    assert_int_equal(publish_if(t, "b", "mine", &yes, &put), 0);
    assert_true(yes.count == 2 && !put.created && tree_holds(t, "b", "mine"));
}

/* Also within a tick of the kernel's clock, and in the inode that was just set free. A kernel from 6.13 on sees to that by
 * itself where times are looked at, so what is asked too is that the stamp is not of the last tick. */
static void each_draft_has_a_stamp_of_its_own(void **state)
{
    struct tree *t = *state;
    enum { DRAFTS = 200 };
    static struct file_version seen[DRAFTS];
    for (int i = 0; i < DRAFTS; i++) {
        struct jail_draft draft;
        struct jail_entry entry;
        struct timespec now;
        assert_int_equal(jail_draft(t->jail, 0640, &draft, &t->e), 0);
        clock_gettime(CLOCK_REALTIME, &now);
        assert_int_equal(jail_target(t->jail, STR("a"), &entry, &t->e), 0);
        assert_int_equal(jail_publish(t->jail, &draft, &entry, false, false, STR("a"), &t->e), 0);
        close(entry.directory);
        seen[i] = stamp_at(t, "a");
        assert_true(seen[i].modified_us >= (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000);
        for (int k = 0; k < i; k++)
            assert_false(same_stamp(seen[i], seen[k]));
    }
}

struct replacer {
    struct tree *t;
    struct file_version from;
    pthread_barrier_t *start;
    int rc;
};

static int is_from(const void *given, const struct file_version *there, struct str path, struct err *e)
{
    const struct replacer *replacer = given;
    (void)path;
    if (there == NULL || !same_stamp(*there, replacer->from))
        return err_set(e, ERR_INVALID, "another was first");
    for (int i = 0; i < 100; i++) /* time for others to look too, if they might */
        sched_yield();
    return 0;
}

static void *replace(void *arg)
{
    struct replacer *replacer = arg;
    struct file_condition condition = {.check = is_from, .given = replacer};
    struct file_root *jail = replacer->t->jail;
    struct jail_draft draft;
    struct jail_entry entry;
    struct jail_put put;
    bool drafted = jail_draft(jail, 0666, &draft, NULL) == 0 && jail_target(jail, STR("a"), &entry, NULL) == 0;
    pthread_barrier_wait(replacer->start);
    replacer->rc = drafted ? jail_publish_if(jail, &draft, &entry, &condition, STR("a"), &put, NULL) : ERR_INTERNAL;
    if (drafted)
        close(entry.directory);
    return NULL;
}

static void one_of_many_that_replace_the_same_wins(void **state)
{
    struct tree *t = *state;
    enum { REPLACERS = 4, ROUNDS = 50 };
    assert_true(tree_put(t, "a", "first"));
    for (int round = 0; round < ROUNDS; round++) {
        pthread_t threads[REPLACERS];
        struct replacer replacers[REPLACERS];
        pthread_barrier_t start;
        int won = 0, late = 0;
        assert_int_equal(pthread_barrier_init(&start, NULL, REPLACERS), 0);
        for (int i = 0; i < REPLACERS; i++) {
            replacers[i] = (struct replacer){.t = t, .from = stamp_at(t, "a"), .start = &start};
            assert_int_equal(pthread_create(&threads[i], NULL, replace, &replacers[i]), 0);
        }
        for (int i = 0; i < REPLACERS; i++) {
            pthread_join(threads[i], NULL);
            won += replacers[i].rc == 0;
            late += replacers[i].rc == ERR_INVALID;
        }
        pthread_barrier_destroy(&start);
        assert_int_equal(won, 1);
        assert_int_equal(late, REPLACERS - 1);
    }
    assert_int_equal(tree_drafts(t), 0);
}

/* -- leftovers ------------------------------------------------------------------------------------------------------- */

/* What others left is removed, what somebody is writing is not. */
static void a_new_jail_removes_leftovers(void **state)
{
    struct tree *t = *state;
    struct file_root *second = NULL;
    struct jail_draft draft;
    struct jail_entry entry;
    char path[8192];
    assert_int_equal(jail_draft(t->jail, 0666, &draft, &t->e), 0);
    assert_int_equal(write(draft.fd, "kept", 4), 4);
    assert_true(tree_put(t, DRAFTS_NAME "/left", "x") && tree_link(t, "@/outside/secret", DRAFTS_NAME "/link"));
    path_of(t, DRAFTS_NAME "/fifo", path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(tree_drafts(t), 4);
    assert_int_equal(jail_new(t->root, &second, &t->e), 0);
    assert_int_equal(tree_drafts(t), 1);
    assert_int_equal(jail_target(second, STR("a"), &entry, &t->e), 0);
    assert_int_equal(jail_publish(t->jail, &draft, &entry, false, false, STR("a"), &t->e), 0);
    close(entry.directory);
    jail_free(second);
    assert_true(tree_holds(t, "a", "kept") && tree_outside_untouched(t));
}

struct starter {
    const char *root;
    atomic_bool stop;
    atomic_int failed;
};

static void *start_again_and_again(void *arg)
{
    struct starter *s = arg;
    while (!atomic_load(&s->stop)) {
        struct file_root *jail;
        if (jail_new(s->root, &jail, NULL) == 0)
            jail_free(jail);
        else
            atomic_fetch_add(&s->failed, 1);
    }
    return NULL;
}

/* Whoever starts on the same root never takes a draft away that another one is writing. */
static void drafts_survive_others_that_start(void **state)
{
    struct tree *t = *state;
    struct starter s = {.root = t->root};
    pthread_t threads[2];
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, start_again_and_again, &s), 0);
    int failed = 0;
    for (int i = 0; i < 3000; i++) {
        struct jail_draft draft;
        struct jail_entry entry;
        if (jail_draft(t->jail, 0666, &draft, &t->e) != 0 || jail_target(t->jail, STR("a"), &entry, &t->e) != 0) {
            failed++;
            continue;
        }
        failed += jail_publish(t->jail, &draft, &entry, false, false, STR("a"), &t->e) != 0;
        close(entry.directory);
    }
    atomic_store(&s.stop, true);
    for (size_t i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    if (failed > 0)
        fail_msg("%d drafts were lost: %s", failed, t->e.msg);
    assert_int_equal(atomic_load(&s.failed), 0);
}

enum { WHOLE = 1 << 16 };

/* Puts a file in place again and again, all a or all b, until it is killed. */
_Noreturn static void write_until_killed(const char *root)
{
    struct file_root *jail;
    struct jail_draft draft;
    struct jail_entry entry;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    char *content = malloc(WHOLE);
    if (content == NULL || jail_new(root, &jail, NULL) != 0)
        _exit(1);
    for (int i = 0;; i++) {
        memset(content, 'a' + i % 2, WHOLE);
        if (jail_target(jail, STR("file"), &entry, NULL) != 0 || jail_draft(jail, 0666, &draft, NULL) != 0)
            _exit(2);
        for (ssize_t done = 0, n; done < WHOLE; done += n)
            if ((n = write(draft.fd, content + done, WHOLE / 16)) < 0)
                _exit(3);
        if (jail_publish(jail, &draft, &entry, false, false, STR("file"), NULL) != 0)
            _exit(4);
        close(entry.directory);
    }
}

static void a_killed_writer_leaves_whole_files(void **state)
{
    struct tree *t = *state;
    size_t left = 0;
    for (int round = 0; round < 20; round++) {
        assert_true(tree_put_bytes(t, "file", 'a', WHOLE));
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0)
            write_until_killed(t->root);
        char last = 'a';
        for (int changes = 0; changes < 3 + round;) { /* wherever it is then */
            bool a = tree_holds_bytes(t, "file", 'a', WHOLE);
            bool b = !a && tree_holds_bytes(t, "file", 'b', WHOLE);
            int status;
            if (waitpid(child, &status, WNOHANG) != 0)
                fail_msg("the writer ended by itself: %d", status);
            if ((a || b) && last != (a ? 'a' : 'b')) {
                last = a ? 'a' : 'b';
                changes++;
            }
        }
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, NULL, 0), child);
        assert_true(tree_holds_bytes(t, "file", 'a', WHOLE) || tree_holds_bytes(t, "file", 'b', WHOLE));
        left += tree_drafts(t);
        struct file_root *next;
        assert_int_equal(jail_new(t->root, &next, &t->e), 0);
        jail_free(next);
        assert_int_equal(tree_drafts(t), 0);
    }
    print_message("drafts that were left and removed: %zu\n", left);
}

/* -- races ----------------------------------------------------------------------------------------------------------- */

/* What a call made of the path: 0 when it stayed inside, or how it was refused. */
static int resolve_once(struct tree *t, int how)
{
    struct jail_entry entry;
    struct stat stat, root;
    char content[64] = "";
    int fd, rc;
    switch (how) {
    case 0:
        rc = jail_open_file(t->jail, STR("d/secret"), O_RDONLY, 0, &fd, &t->e);
        if (rc != 0)
            return rc;
        rc = read(fd, content, sizeof content - 1) < 0 || strcmp(content, "inside") != 0;
        close(fd);
        return rc;
    case 1:
        rc = jail_open_file(t->jail, STR("d/e/../new"), O_WRONLY | O_CREAT, 0666, &fd, &t->e);
        if (rc == 0)
            close(fd);
        return rc;
    case 2:
        rc = jail_stat(t->jail, STR("d/secret"), true, &stat, &t->e);
        return rc != 0 ? rc : stat.st_size != (off_t)strlen("inside");
    case 3:
        return jail_make_parents(t->jail, STR("d/e/made/x"), &t->e);
    default:
        rc = how == 4 ? jail_entry(t->jail, STR("d/secret"), &entry, &t->e)
                      : jail_target(t->jail, STR("d/link"), &entry, &t->e);
        if (rc != 0)
            return rc;
        char outside[128];
        snprintf(outside, sizeof outside, "%s", t->outside);
        rc = fstat(entry.directory, &stat) != 0 || lstat(outside, &root) != 0 || stat.st_ino == root.st_ino;
        close(entry.directory);
        return rc;
    }
}

static void a_swapped_directory_changes_nothing(void **state)
{
    struct tree *t = *state;
    struct swapper s = {.stop = false};
    pthread_t thread;
    assert_true(tree_directory(t, "d") && tree_directory(t, "d/e") && tree_put(t, "d/secret", "inside"));
    assert_true(tree_link(t, "secret", "d/link") && tree_link(t, "@/outside", "l"));
    path_of(t, "d", s.directory);
    path_of(t, "l", s.link);
    assert_int_equal(pthread_create(&thread, NULL, swap_until_stopped, &s), 0);
    size_t inside = 0, refused = 0, wrong = 0, changes = 0;
    int wrong_rc = 0, last = 0;
    for (size_t i = 0; i < 1000000 && (i < 20000 || changes < 1000); i++) {
        int rc = resolve_once(t, (int)(i % 6));
        if (rc == 0) {
            inside++;
        } else if (rc == ERR_PATH_FORBIDDEN || rc == ERR_IO_ERROR) { /* the latter when it was swapped at each try */
            refused++;
        } else {
            wrong++;
            wrong_rc = rc;
        }
        changes += (rc == 0) != (last == 0);
        last = rc;
    }
    atomic_store(&s.stop, true);
    pthread_join(thread, NULL);
    print_message("inside %zu, refused %zu, in turn %zu\n", inside, refused, changes);
    assert_true(inside > 0 && refused > 0);
    if (wrong > 0)
        fail_msg("%zu calls got out or failed otherwise, such as %d: %s", wrong, wrong_rc, t->e.msg);
    assert_true(tree_outside_untouched(t));
}

static void lack_of_memory_is_told(void **state)
{
    struct tree *t = *state;
    struct file_root *jail;
    unsigned long n = 0;
    int rc;
    do {
        alloc_fail_at(++n);
        rc = jail_new(t->root, &jail, &t->e);
        assert_true(rc == 0 || rc == ERR_OUT_OF_MEMORY);
        if (rc == 0)
            jail_free(jail);
    } while (alloc_count() >= n);
    alloc_fail_at(0);
    assert_true(n > 1 && rc == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TREE_TEST(takes_only_a_directory_for_a_root),
        TREE_TEST(needs_its_name_for_drafts),
        TREE_TEST(has_a_private_directory_for_drafts),
        SMALL_TREE_TEST(works_in_a_root_that_is_read_only),
        MOUNTING_TREE_TEST(no_path_leads_out),
        TREE_TEST(entries_lie_inside),
        TREE_TEST(targets_follow_links_inside),
        TREE_TEST(paths_have_limits),
        cmocka_unit_test(messages_stay_text),
        cmocka_unit_test(each_errno_has_its_code),
        TREE_TEST(opens_regular_files_only),
        TREE_TEST(descriptors_close_on_exec),
        TREE_TEST(the_system_may_say_no),
        TREE_TEST(makes_parents),
        MOUNTING_TREE_TEST(drafts_come_whole),
        TREE_TEST(conditions_are_asked_in_the_place),
        TREE_TEST(what_was_missing_is_never_replaced),
        TREE_TEST(each_draft_has_a_stamp_of_its_own),
        TREE_TEST(one_of_many_that_replace_the_same_wins),
        TREE_TEST(a_new_jail_removes_leftovers),
        SMALL_TREE_TEST(drafts_survive_others_that_start),
        TREE_TEST(a_killed_writer_leaves_whole_files),
        SMALL_TREE_TEST(a_swapped_directory_changes_nothing),
        TREE_TEST(lack_of_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

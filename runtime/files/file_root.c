/* Paths to descriptors. Drafts are in jail_draft.c. */
#include "runtime/files/file_root_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    RESOLVE_TRIES = 256, /* openat2(2) says EAGAIN when a rename anywhere came across a ".." it was at */
    LINKS_MOST = 40,     /* symlinks on one path, as the kernel has it */
    SHOWN_MOST = 128,    /* bytes of a path in a message */
};

/* -- errors ---------------------------------------------------------------------------------------------------------- */

int jail_refuse(struct err *e, int rc, struct str path, const char *sentence)
{
    size_t len = str_truncate(path, SHOWN_MOST);
    return err_set(e, rc, "%.*s%s: %s", (int)len, path.len == 0 ? "" : path.at, len < path.len ? "..." : "", sentence);
}

int jail_error(struct err *e, int error, struct str path)
{
    switch (error) {
    case ENOSPC:
        return jail_refuse(e, ERR_INSUFFICIENT_STORAGE, path, "there is no space left on the file system");
    case EDQUOT:
        return jail_refuse(e, ERR_INSUFFICIENT_STORAGE, path, "the quota of disk space is used up");
    case EFBIG:
        return jail_refuse(e, ERR_INSUFFICIENT_STORAGE, path, "the file would be larger than the system allows");
    case EACCES:
    case EPERM:
        return jail_refuse(e, ERR_ACCESS_DENIED, path, "the system does not allow that to the user gatherd runs as");
    case EROFS:
        return jail_refuse(e, ERR_ACCESS_DENIED, path, "the file system is mounted read-only");
    case ENOENT:
        return jail_refuse(e, ERR_FILE_NOT_FOUND, path, "there is no such file");
    case EEXIST:
        return jail_refuse(e, ERR_FILE_EXISTS, path, "there is such a file already");
    case ENOTEMPTY:
        return jail_refuse(e, ERR_FILE_EXISTS, path, "the directory is not empty");
    case EISDIR:
        return jail_refuse(e, ERR_UNSUPPORTED_FILE_TYPE, path, "this is a directory");
    case ENOTDIR:
        return jail_refuse(e, ERR_UNSUPPORTED_FILE_TYPE, path, "what should be a directory is none");
    case ENXIO:
    case ENODEV:
        return jail_refuse(e, ERR_UNSUPPORTED_FILE_TYPE, path, "this is no regular file");
    case EBUSY:
    case ETXTBSY:
        return jail_refuse(e, ERR_UNSUPPORTED_FILE_TYPE, path, "the system itself has it in use");
    case EXDEV:
        return jail_refuse(e, ERR_PATH_FORBIDDEN, path,
                           "the path leads out of the root of files; paths are relative to it, and so are symlinks");
    case ELOOP:
        return jail_refuse(e, ERR_PATH_FORBIDDEN, path, "the path goes through too many symlinks, or one of /proc");
    case ENAMETOOLONG:
        return jail_refuse(e, ERR_INVALID, path, "the path is longer than 4095 bytes, or a name in it than 255");
    case EMFILE:
    case ENFILE:
        return jail_refuse(e, ERR_TOO_MANY_OPEN_FILES, path, "as many files as the system allows are open");
    case ENOMEM:
        return jail_refuse(e, ERR_OUT_OF_MEMORY, path, "the system has no memory for that");
    case EAGAIN:
        return jail_refuse(e, ERR_IO_ERROR, path, "it is in use, or directories are being renamed; try again");
    default: {
        char text[96];
        return jail_refuse(e, ERR_IO_ERROR, path, strerror_r(error, text, sizeof text));
    }
    }
}

/* -- resolving ------------------------------------------------------------------------------------------------------- */

/* A descriptor, or -1 with errno set. */
static int resolve(int root, const char *path, int flags, mode_t mode)
{
    struct open_how how = {
        .flags = (uint64_t)(unsigned)flags | O_CLOEXEC,
        .mode = (flags & O_CREAT) != 0 ? mode : 0, /* openat2(2) refuses one that is for nothing */
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
    };
    long fd = -1;
    for (int i = 0; i < RESOLVE_TRIES; i++) {
        fd = syscall(SYS_openat2, root, path, &how, sizeof how);
        if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
            break;
    }
    return (int)fd;
}

/* What no system call need be asked about. The drafts are nobody's to see: they come and go with calls under way. A symlink
 * to them would be somebody's own doing, and harms nobody outside the root. */
static int check_path(struct str path, struct err *e)
{
    if (path.len > PATH_MOST)
        return jail_error(e, ENAMETOOLONG, path);
    if (path.len == 0)
        return err_set(e, ERR_INVALID, "A path has at least one character; \".\" is the root of files");
    if (memchr(path.at, '\0', path.len) != NULL)
        return jail_refuse(e, ERR_INVALID, path, "a path contains no NUL");
    for (const char *part = path.at; part != NULL; part = strchr(part, '/')) {
        part += *part == '/';
        size_t len = strcspn(part, "/");
        if (len == strlen(DRAFTS_NAME) && memcmp(part, DRAFTS_NAME, len) == 0)
            return jail_refuse(e, ERR_PATH_FORBIDDEN, path, "that directory is for gatherd's own temporary files");
    }
    return 0;
}

int jail_new(const char *root, struct file_root **out, struct err *e)
{
    char text[96];
    struct file_root *jail = malloc(sizeof *jail);
    if (jail == NULL)
        return err_set(e, ERR_OUT_OF_MEMORY, "There is no memory for the root of files");
    *jail = (struct file_root){.root = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC), .drafts = -1};
    int rc;
    if (jail->root < 0) {
        rc = err_set(e, ERR_INVALID, "%.150s can't be the root of files: %s", root,
                     strerror_r(errno, text, sizeof text));
        goto err_after_malloc;
    }
    int fd = resolve(jail->root, ".", O_PATH | O_DIRECTORY, 0);
    if (fd < 0) {
        rc =
            err_set(e, ERR_INVALID,
                    "%.100s can't be the root of files: openat2(2), which keeps paths inside, does not work here (%s); "
                    "it takes Linux 5.6, and no seccomp filter before it",
                    root, strerror_r(errno, text, sizeof text));
        goto err_after_open;
    }
    close(fd);
    rc = jail_open_drafts(jail, e);
    if (rc != 0)
        goto err_after_open;
    *out = jail;
    return 0;

err_after_open:
    close(jail->root);
err_after_malloc:
    free(jail);
    return rc;
}

void jail_free(struct file_root *jail)
{
    if (jail == NULL)
        return;
    if (jail->drafts >= 0)
        close(jail->drafts);
    close(jail->root);
    free(jail);
}

int jail_open_file(const struct file_root *jail, struct str path, int flags, mode_t mode, int *out, struct err *e)
{
    int rc = check_path(path, e);
    if (rc != 0)
        return rc;
    int fd = resolve(jail->root, path.at, flags | O_NOCTTY | O_NONBLOCK, mode);
    if (fd < 0)
        return jail_error(e, errno, path);
    struct stat stat;
    if (fstat(fd, &stat) != 0)
        rc = jail_error(e, errno, path);
    else if (!S_ISREG(stat.st_mode))
        rc = jail_error(e, S_ISDIR(stat.st_mode) ? EISDIR : ENXIO, path);
    if (rc != 0) {
        close(fd);
        return rc;
    }
    *out = fd;
    return 0;
}

int jail_open_directory(const struct file_root *jail, struct str path, int *out, struct err *e)
{
    int rc = check_path(path, e);
    if (rc != 0)
        return rc;
    int fd = resolve(jail->root, path.at, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return jail_error(e, errno, path);
    *out = fd;
    return 0;
}

int jail_stat(const struct file_root *jail, struct str path, bool follow, struct stat *out, struct err *e)
{
    int rc = check_path(path, e);
    if (rc != 0)
        return rc;
    int fd = resolve(jail->root, path.at, O_PATH | (follow ? 0 : O_NOFOLLOW), 0);
    if (fd < 0)
        return jail_error(e, errno, path);
    struct stat stat;
    if (fstat(fd, &stat) != 0)
        rc = jail_error(e, errno, path);
    else
        *out = stat;
    close(fd);
    return rc;
}

/* -- names ----------------------------------------------------------------------------------------------------------- */

/* The parts of a path: where its last component lies. */
struct tail {
    size_t at, len; /* the component, without slashes */
    bool slashed;   /* there is a slash behind it: it has to be a directory */
};

static struct tail tail_of(struct str path)
{
    size_t end = path.len, at;
    while (end > 0 && path.at[end - 1] == '/')
        end--;
    for (at = end; at > 0 && path.at[at - 1] != '/';)
        at--;
    return (struct tail){at, end - at, end < path.len};
}

/* Opens the directory that the path's last component lies in. -1 with errno set. */
static int open_parent(const struct file_root *jail, struct str path, size_t tail_at)
{
    char parent[PATH_MOST + 1];
    if (tail_at == 0)
        return resolve(jail->root, ".", O_PATH | O_DIRECTORY, 0);
    memcpy(parent, path.at, tail_at);
    parent[tail_at] = '\0';
    return resolve(jail->root, parent, O_PATH | O_DIRECTORY, 0);
}

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* The path ends in ".", ".." or "/": outside the root that is an error like any other, inside it has no name to act on. */
static int refuse_nameless(const struct file_root *jail, struct str path, struct err *e)
{
    int fd = resolve(jail->root, path.at, O_PATH, 0);
    if (fd < 0)
        return jail_error(e, errno, path);
    close(fd);
    return jail_refuse(e, ERR_UNSUPPORTED_FILE_TYPE, path, "the path has to end in a name, not in . or ..");
}

/* jail_entry(), with messages about `shown`. */
static int find_entry(const struct file_root *jail, struct str path, struct str shown, struct jail_entry *out,
                      struct err *e)
{
    struct jail_entry entry;
    struct tail tail = tail_of(path);
    int rc = check_path(path, e);
    if (rc != 0)
        return rc;
    if (tail.len >= sizeof entry.name)
        return jail_error(e, ENAMETOOLONG, shown);
    memcpy(entry.name, path.at + tail.at, tail.len);
    entry.name[tail.len] = '\0';
    if (tail.len == 0 || is_dots(entry.name))
        return refuse_nameless(jail, path, e);
    entry.directory = open_parent(jail, path, tail.at);
    if (entry.directory < 0 && errno == ENOENT)
        return jail_refuse(e, ERR_FILE_NOT_FOUND, shown, "there is no directory that it could be in");
    if (entry.directory < 0)
        return jail_error(e, errno, shown);
    entry.slashed = tail.slashed;
    *out = entry;
    return 0;
}

int jail_entry(const struct file_root *jail, struct str path, struct jail_entry *out, struct err *e)
{
    struct jail_entry entry = {.directory = -1};
    struct stat stat;
    int rc = find_entry(jail, path, path, &entry, e);
    if (rc != 0)
        return rc;
    if (entry.slashed && fstatat(entry.directory, entry.name, &stat, AT_SYMLINK_NOFOLLOW) == 0 &&
        !S_ISDIR(stat.st_mode)) {
        close(entry.directory);
        return jail_error(e, ENOTDIR, path);
    }
    *out = entry;
    return 0;
}

/* Puts what the entry, a symlink found under this path, leads to in place of the path's last component. 0 or an errno. */
static int follow_link(const struct jail_entry *entry, char path[PATH_MOST + 1])
{
    char target[PATH_MOST + 1];
    size_t at = tail_of(str_from(path)).at;
    ssize_t len = readlinkat(entry->directory, entry->name, target, sizeof target);
    if (len < 0)
        return errno;
    if (len == 0 || target[0] == '/')
        return EXDEV;
    if (at + (size_t)len > PATH_MOST)
        return ENAMETOOLONG;
    memcpy(path + at, target, (size_t)len);
    path[at + (size_t)len] = '\0';
    return 0;
}

int jail_target(const struct file_root *jail, struct str path, struct jail_entry *out, struct err *e)
{
    char at[PATH_MOST + 1]; /* relative to the root all the way: only so may a link's ".." lead up */
    int rc = check_path(path, e);
    if (rc != 0)
        return rc;
    memcpy(at, path.at, path.len + 1);
    for (int links = 0; links <= LINKS_MOST; links++) {
        struct jail_entry entry = {.directory = -1};
        struct stat stat;
        rc = find_entry(jail, str_from(at), path, &entry, e);
        if (rc != 0)
            return rc;
        int error = 0;
        bool exists = fstatat(entry.directory, entry.name, &stat, AT_SYMLINK_NOFOLLOW) == 0;
        if (exists && S_ISLNK(stat.st_mode)) {
            error = follow_link(&entry, at);
            close(entry.directory);
            if (error != 0)
                return jail_error(e, error, path);
            continue;
        }
        if (!exists && errno != ENOENT)
            error = errno;
        else if (!exists && entry.slashed)
            rc = jail_refuse(e, ERR_UNSUPPORTED_FILE_TYPE, path, "the path of a file can't end in a slash");
        else if (entry.slashed || (exists && S_ISDIR(stat.st_mode)))
            error = EISDIR;
        else if (exists && !S_ISREG(stat.st_mode))
            error = ENXIO;
        if (error != 0)
            rc = jail_error(e, error, path);
        if (rc != 0)
            close(entry.directory);
        else
            *out = entry;
        return rc;
    }
    return jail_error(e, ELOOP, path);
}

/* Makes the directory that the first `len` bytes of the path name, in one that is there. */
static int make_one(const struct file_root *jail, struct str path, size_t len, struct err *e)
{
    struct tail tail = tail_of((struct str){path.at, len});
    char name[256];
    int rc = 0;
    if (tail.len >= sizeof name)
        return jail_error(e, ENAMETOOLONG, path);
    memcpy(name, path.at + tail.at, tail.len);
    name[tail.len] = '\0';
    if (tail.len == 0 || is_dots(name))
        return 0;
    int above = open_parent(jail, path, tail.at);
    if (above < 0)
        return jail_error(e, errno, path);
    if (mkdirat(above, name, 0777) != 0 && errno != EEXIST)
        rc = jail_error(e, errno, path);
    close(above);
    return rc;
}

int jail_make_parents(const struct file_root *jail, struct str path, struct err *e)
{
    size_t last = tail_of(path).at;
    int rc = check_path(path, e);
    if (rc != 0)
        return rc;
    int fd = open_parent(jail, path, last); /* as a rule they are there */
    if (fd < 0 && errno == ENOENT) {
        for (size_t i = 1; i < last; i++)
            if (path.at[i] == '/' && (rc = make_one(jail, path, i, e)) != 0)
                return rc;
        fd = open_parent(jail, path, last);
    }
    if (fd < 0)
        return jail_error(e, errno, path);
    close(fd);
    return 0;
}

#include "runtime/files/file_root.h"

#include "runtime/files/temp_file.h"
#include "runtime/lib/io.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    RESOLVE_TRIES = 256, /* openat2(2) fails with EAGAIN if a directory is renamed while it resolves ".." */
    MAX_SYMLINKS = 40,   /* on one path; the kernel's limit */
};

struct file_root {
    int root_fd; /* O_PATH; owned */
    struct temp_dir temp_dir;
};

/* -- resolving ----------------------------------------------------------------------------------------------------- */

/* Calls openat2(2). Returns a descriptor, or -1 with errno set. */
static int resolve(int root_fd, const char *path, int flags, mode_t mode)
{
    struct open_how how = {
        .flags = (uint64_t)(unsigned)flags | O_CLOEXEC,
        .mode = (flags & O_CREAT) != 0 ? mode : 0, /* without O_CREAT, a mode is EINVAL */
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
    };
    long fd;
    int tries = 0;
    do
        fd = syscall(SYS_openat2, root_fd, path, &how, sizeof how);
    while (io_interrupted(fd) || (fd < 0 && errno == EAGAIN && ++tries < RESOLVE_TRIES));
    return (int)fd;
}

/* Rejects invalid paths, and paths through TEMP_DIR_NAME. A symlink to that directory is not detected; it does not lead
 * outside the root. */
static int check_path(struct str path, struct err *e)
{
    if (path.len > FILE_PATH_MAX)
        return file_error_set_errno(e, ENAMETOOLONG, path);
    if (path.len == 0)
        return err_set(e, ERR_INVALID_ARGUMENT, "The path must not be empty; \".\" is the file root");
    if (memchr(path.data, '\0', path.len) != NULL)
        return file_error_set(e, ERR_INVALID_ARGUMENT, path, "the path must not contain NUL");
    for (const char *component = path.data; component != NULL; component = strchr(component, '/')) {
        component += *component == '/';
        size_t len = strcspn(component, "/");
        if (len == strlen(TEMP_DIR_NAME) && memcmp(component, TEMP_DIR_NAME, len) == 0)
            return file_error_set(e, ERR_PATH_FORBIDDEN, path, "this directory is reserved for temporary files");
    }
    return 0;
}

int file_root_new(const char *root, struct file_root **out, struct err *e)
{
    char text[96];
    struct file_root *file_root = malloc(sizeof *file_root);
    if (file_root == NULL)
        return err_nomem(e);
    *file_root = (struct file_root){.root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC)};
    int rc;
    if (file_root->root_fd < 0) {
        rc = err_set(e, ERR_INVALID, "Can't open the file root %.150s: %s", root, strerror_r(errno, text, sizeof text));
        goto err_after_malloc;
    }
    int fd = resolve(file_root->root_fd, ".", O_PATH | O_DIRECTORY, 0);
    if (fd < 0) {
        rc = err_set(e, ERR_INVALID,
                     "Can't use %.100s as the file root: openat2(2) failed (%s); "
                     "gatherd needs Linux 5.6 or later, and a seccomp filter must not block openat2(2)",
                     root, strerror_r(errno, text, sizeof text));
        goto err_after_open;
    }
    close(fd);
    rc = temp_dir_open(file_root->root_fd, &file_root->temp_dir, e);
    if (rc != 0)
        goto err_after_open;
    *out = file_root;
    return 0;

err_after_open:
    close(file_root->root_fd);
err_after_malloc:
    free(file_root);
    return rc;
}

void file_root_free(struct file_root *file_root)
{
    if (file_root == NULL)
        return;
    temp_dir_close(&file_root->temp_dir);
    close(file_root->root_fd);
    free(file_root);
}

const struct temp_dir *file_root_temp_dir(const struct file_root *file_root)
{
    return &file_root->temp_dir;
}

int file_root_open(const struct file_root *file_root, struct str path, int flags, mode_t mode, int *out, struct err *e)
{
    int rc = check_path(path, e);
    if (rc != 0)
        return rc;
    int fd = resolve(file_root->root_fd, path.data, flags | O_NOCTTY | O_NONBLOCK, mode);
    if (fd < 0)
        return file_error_set_errno(e, errno, path);
    struct stat stat;
    if (fstat(fd, &stat) != 0)
        rc = file_error_set_errno(e, errno, path);
    else if (!S_ISREG(stat.st_mode))
        rc = file_error_set_errno(e, S_ISDIR(stat.st_mode) ? EISDIR : ENXIO, path);
    if (rc != 0) {
        close(fd);
        return rc;
    }
    *out = fd;
    return 0;
}

int file_root_open_dir(const struct file_root *file_root, struct str path, int *out, struct err *e)
{
    int rc = check_path(path, e);
    if (rc != 0)
        return rc;
    int fd = resolve(file_root->root_fd, path.data, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return file_error_set_errno(e, errno, path);
    *out = fd;
    return 0;
}

int file_root_stat(const struct file_root *file_root, struct str path, bool follow, struct stat *out, struct err *e)
{
    int rc = check_path(path, e);
    if (rc != 0)
        return rc;
    int fd = resolve(file_root->root_fd, path.data, O_PATH | (follow ? 0 : O_NOFOLLOW), 0);
    if (fd < 0)
        return file_error_set_errno(e, errno, path);
    struct stat stat;
    if (fstat(fd, &stat) != 0)
        rc = file_error_set_errno(e, errno, path);
    else
        *out = stat;
    close(fd);
    return rc;
}

/* -- names --------------------------------------------------------------------------------------------------------- */

struct last_component {
    size_t at, len;      /* of the component in the path, without slashes */
    bool trailing_slash; /* the path ends in a slash: the component must be a directory */
};

static struct last_component find_last_component(struct str path)
{
    size_t end = path.len, at;
    while (end > 0 && path.data[end - 1] == '/')
        end--;
    for (at = end; at > 0 && path.data[at - 1] != '/';)
        at--;
    return (struct last_component){at, end - at, end < path.len};
}

/* Opens the directory that the first parent_len bytes of the path name; 0: the root. -1 with errno set. */
static int open_parent(const struct file_root *file_root, struct str path, size_t parent_len)
{
    char parent[FILE_PATH_MAX + 1];
    if (parent_len == 0)
        return resolve(file_root->root_fd, ".", O_PATH | O_DIRECTORY, 0);
    memcpy(parent, path.data, parent_len);
    parent[parent_len] = '\0';
    return resolve(file_root->root_fd, parent, O_PATH | O_DIRECTORY, 0);
}

static bool is_dot_or_dotdot(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Returns the error for a path that ends in "." or "..", or is "/": it has no last component to act on. A path that
 * leads outside the root fails with ERR_PATH_FORBIDDEN instead. */
static int reject_nameless(const struct file_root *file_root, struct str path, struct err *e)
{
    int fd = resolve(file_root->root_fd, path.data, O_PATH, 0);
    if (fd < 0)
        return file_error_set_errno(e, errno, path);
    close(fd);
    return file_error_set(e, ERR_UNSUPPORTED_FILE_TYPE, path, "the path must end in a name, not in . or ..");
}

/* As file_root_find_entry(), but does not check the trailing slash, and errors name reported_path. */
static int find_entry(const struct file_root *file_root, struct str path, struct str reported_path,
                      struct file_entry *out, struct err *e)
{
    struct file_entry entry;
    struct last_component last_component = find_last_component(path);
    int rc = check_path(path, e);
    if (rc != 0)
        return rc;
    if (last_component.len >= sizeof entry.name)
        return file_error_set_errno(e, ENAMETOOLONG, reported_path);
    memcpy(entry.name, path.data + last_component.at, last_component.len);
    entry.name[last_component.len] = '\0';
    if (last_component.len == 0 || is_dot_or_dotdot(entry.name))
        return reject_nameless(file_root, path, e);
    entry.dir_fd = open_parent(file_root, path, last_component.at);
    if (entry.dir_fd < 0 && errno == ENOENT)
        return file_error_set(e, ERR_FILE_NOT_FOUND, reported_path, "parent directory not found");
    if (entry.dir_fd < 0)
        return file_error_set_errno(e, errno, reported_path);
    entry.trailing_slash = last_component.trailing_slash;
    *out = entry;
    return 0;
}

int file_root_find_entry(const struct file_root *file_root, struct str path, struct file_entry *out, struct err *e)
{
    struct file_entry entry = {.dir_fd = -1};
    struct stat stat;
    int rc = find_entry(file_root, path, path, &entry, e);
    if (rc != 0)
        return rc;
    if (entry.trailing_slash && fstatat(entry.dir_fd, entry.name, &stat, AT_SYMLINK_NOFOLLOW) == 0 &&
        !S_ISDIR(stat.st_mode)) {
        close(entry.dir_fd);
        return file_error_set_errno(e, ENOTDIR, path);
    }
    *out = entry;
    return 0;
}

int file_root_find_new(const struct file_root *file_root, struct str path, struct file_entry *out, struct err *e)
{
    struct file_entry entry = {.dir_fd = -1};
    struct stat stat;
    int rc = file_root_find_entry(file_root, path, &entry, e);
    if (rc != 0)
        return rc;
    bool exists = fstatat(entry.dir_fd, entry.name, &stat, AT_SYMLINK_NOFOLLOW) == 0;
    if (exists)
        rc = file_error_set_errno(e, entry.trailing_slash ? EISDIR : EEXIST, path);
    else if (errno != ENOENT)
        rc = file_error_set_errno(e, errno, path);
    else if (entry.trailing_slash)
        rc = file_error_set(e, ERR_UNSUPPORTED_FILE_TYPE, path, "the path of a file must not end in a slash");
    if (rc != 0)
        close(entry.dir_fd);
    else
        *out = entry;
    return rc;
}

/* Replaces the last component of `path`, whose entry is a symlink, by the symlink's target. 0 or an errno. */
static int follow_link(const struct file_entry *entry, char path[FILE_PATH_MAX + 1])
{
    char target[FILE_PATH_MAX + 1];
    size_t at = find_last_component(str_from(path)).at;
    ssize_t len = readlinkat(entry->dir_fd, entry->name, target, sizeof target);
    if (len < 0)
        return errno;
    if (len == 0 || target[0] == '/')
        return EXDEV;
    if (at + (size_t)len > FILE_PATH_MAX)
        return ENAMETOOLONG;
    memcpy(path + at, target, (size_t)len);
    path[at + (size_t)len] = '\0';
    return 0;
}

int file_root_find_target(const struct file_root *file_root, struct str path, struct file_entry *out, struct err *e)
{
    /* Relative to the root even after a symlink, so that ".." in a symlink resolves as it does in the kernel. */
    char current[FILE_PATH_MAX + 1];
    int rc = check_path(path, e);
    if (rc != 0)
        return rc;
    memcpy(current, path.data, path.len + 1);
    bool trailing_slash = false; /* of any path so far: follow_link() removes the slash after a symlink */
    for (int links = 0; links <= MAX_SYMLINKS; links++) {
        struct file_entry entry = {.dir_fd = -1};
        struct stat stat;
        rc = find_entry(file_root, str_from(current), path, &entry, e);
        if (rc != 0)
            return rc;
        int error = 0;
        trailing_slash |= entry.trailing_slash;
        bool exists = fstatat(entry.dir_fd, entry.name, &stat, AT_SYMLINK_NOFOLLOW) == 0;
        if (exists && S_ISLNK(stat.st_mode)) {
            error = follow_link(&entry, current);
            close(entry.dir_fd);
            if (error != 0)
                return file_error_set_errno(e, error, path);
            continue;
        }
        if (!exists && errno != ENOENT)
            error = errno;
        else if (!exists && trailing_slash)
            rc = file_error_set(e, ERR_UNSUPPORTED_FILE_TYPE, path, "the path of a file must not end in a slash");
        else if (exists && S_ISDIR(stat.st_mode))
            error = EISDIR;
        else if (trailing_slash)
            error = ENOTDIR;
        else if (exists && !S_ISREG(stat.st_mode))
            error = ENXIO;
        if (error != 0)
            rc = file_error_set_errno(e, error, path);
        if (rc != 0)
            close(entry.dir_fd);
        else
            *out = entry;
        return rc;
    }
    return file_error_set_errno(e, ELOOP, path);
}

/* Creates the directory that the first `len` bytes of the path name. Its own parent must exist. */
static int make_parent(const struct file_root *file_root, struct str path, size_t len, struct err *e)
{
    struct last_component last_component = find_last_component((struct str){path.data, len});
    char name[256];
    int rc = 0;
    if (last_component.len >= sizeof name)
        return file_error_set_errno(e, ENAMETOOLONG, path);
    memcpy(name, path.data + last_component.at, last_component.len);
    name[last_component.len] = '\0';
    if (last_component.len == 0 || is_dot_or_dotdot(name))
        return 0;
    int parent_fd = open_parent(file_root, path, last_component.at);
    if (parent_fd < 0)
        return file_error_set_errno(e, errno, path);
    if (mkdirat(parent_fd, name, 0777) != 0 && errno != EEXIST)
        rc = file_error_set_errno(e, errno, path);
    close(parent_fd);
    return rc;
}

int file_root_make_parents(const struct file_root *file_root, struct str path, struct err *e)
{
    size_t last = find_last_component(path).at;
    int rc = check_path(path, e);
    if (rc != 0)
        return rc;
    int fd = open_parent(file_root, path, last); /* succeeds in the common case that all parents exist */
    if (fd < 0 && errno == ENOENT) {
        for (size_t i = 1; i < last; i++)
            if (path.data[i] == '/' && (rc = make_parent(file_root, path, i, e)) != 0)
                return rc;
        fd = open_parent(file_root, path, last);
    }
    if (fd < 0)
        return file_error_set_errno(e, errno, path);
    close(fd);
    return 0;
}

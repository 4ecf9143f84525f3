/* Files made aside and put in place whole.
 *
 * Note: whose draft is it?  Each is locked (flock) by the process that writes it, and a lock goes with its process, however
 * that ends. So a process that starts removes what is not locked, and lets drafts be that another one on the same root is
 * writing. Between making and locking a file can be taken for a leftover: then its maker finds it unlinked, or locked, and
 * makes another.
 *
 * Note: who is next?  A draft that replaces what is there looks at that, and then takes its place; between the two no
 * other draft may. So each has its turn, a lock (flock) on the directory for drafts that is held for these two calls. It
 * is had on a descriptor that is opened for it: those that share one share its lock too.
 */
#include "runtime/files/temp_file.h"

#include "runtime/files/file_error.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum {
    MAX_TRIES = 100,
    MAX_LOCK_TRIES = 10000, /* with the pauses some five seconds */
    LOCK_RETRY_NS = 500000,
};

/* -- leftovers ------------------------------------------------------------------------------------------------------- */

static void remove_if_stale(int dir_fd, const char *name)
{
    int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    bool stale = fd < 0 ? errno == ELOOP || errno == ENXIO /* that is none of gatherd's own */
                        : flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK;
    if (stale)
        unlinkat(dir_fd, name, 0); /* what can't be removed harms nobody */
    if (fd >= 0)
        close(fd);
}

static int remove_stale_files(int dir_fd, struct err *e)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* the DIR's own */
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL) {
        int rc = file_error_set_errno(e, errno, STR(TEMP_DIR_NAME));
        if (fd >= 0)
            close(fd);
        return rc;
    }
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            remove_if_stale(dir_fd, entry->d_name);
    closedir(dir);
    return 0;
}

int temp_dir_open(int root_fd, struct temp_dir *out, struct err *e)
{
    *out = (struct temp_dir){.fd = -1};
    if (mkdirat(root_fd, TEMP_DIR_NAME, 0700) != 0 && errno != EEXIST) {
        out->error = errno; /* a root that can only be read is of use too */
        return 0;
    }
    int fd = openat(root_fd, TEMP_DIR_NAME, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && (errno == ENOTDIR || errno == ELOOP))
        return err_set(
            e, ERR_INVALID,
            "The root of files has a %s that is no directory; gatherd needs that name for its temporary files",
            TEMP_DIR_NAME);
    if (fd < 0) {
        out->error = errno;
        return 0;
    }
    int rc = remove_stale_files(fd, e);
    if (rc != 0) {
        close(fd);
        return rc;
    }
    out->fd = fd;
    return 0;
}

void temp_dir_close(struct temp_dir *dir)
{
    if (dir->fd >= 0)
        close(dir->fd);
    dir->fd = -1;
}

/* -- one draft ------------------------------------------------------------------------------------------------------- */

/* Makes a file under a name that nobody has. 0, or an errno; EEXIST and ENOENT are worth another try. */
static int create_unique(int dir_fd, mode_t mode, struct temp_file *out)
{
    struct stat stat;
    uint64_t random_id;
    if (getrandom(&random_id, sizeof random_id, 0) != (ssize_t)sizeof random_id)
        return errno;
    snprintf(out->name, sizeof out->name, "%016" PRIx64, random_id);
    out->fd = openat(dir_fd, out->name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (out->fd < 0)
        return errno;
    int error = 0;
    if (flock(out->fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        error = EEXIST;
    else if (fstat(out->fd, &stat) != 0)
        error = errno;
    else if (stat.st_nlink == 0)
        error = ENOENT;
    if (error != 0) {
        close(out->fd);
        unlinkat(dir_fd, out->name, 0);
    }
    return error;
}

int temp_file_create(const struct temp_dir *dir, mode_t mode, struct temp_file *out, struct err *e)
{
    struct temp_file temp_file;
    int error = dir->fd < 0 ? dir->error : EEXIST;
    for (int i = 0; i < MAX_TRIES && dir->fd >= 0 && (error == EEXIST || error == ENOENT); i++)
        error = create_unique(dir->fd, mode, &temp_file);
    if (error != 0)
        return file_error_set_errno(e, error, STR(TEMP_DIR_NAME));
    *out = temp_file;
    return 0;
}

void temp_file_discard(const struct temp_dir *dir, struct temp_file *temp_file)
{
    unlinkat(dir->fd, temp_file->name, 0);
    close(temp_file->fd);
    temp_file->fd = -1;
}

/* -- putting one in its place ------------------------------------------------------------------------------------------ */

struct commit_options {
    bool exclusive; /* FILE_EXISTS when something is there */
    bool sync;
    const struct file_condition *condition; /* NULL: none */
};

/* Waits its turn, but not for ever: whoever has the lock may have been stopped. *out stays -1 when it does not come, or where
 * the file system has no such locks (NFS has none on directories): then only what depends on what is there is refused. */
static int lock_temp_dir(const struct temp_dir *dir, bool required, int *out, struct str path, struct err *e)
{
    int result, tries = 0, fd = openat(dir->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return file_error_set_errno(e, errno, path);
    while ((result = flock(fd, LOCK_EX | LOCK_NB)) != 0 && errno == EWOULDBLOCK && ++tries < MAX_LOCK_TRIES)
        nanosleep(&(struct timespec){.tv_nsec = LOCK_RETRY_NS}, NULL);
    if (result == 0) {
        *out = fd;
        return 0;
    }
    int rc = 0;
    if (required)
        rc = errno == EWOULDBLOCK
                 ? file_error_set(e, ERR_IO_ERROR, path,
                                  "the lock on " TEMP_DIR_NAME " is kept by another process; nothing was changed")
                 : file_error_set_errno(e, errno, path);
    close(fd);
    return rc;
}

int temp_file_check_condition(const struct file_entry *entry, const struct file_condition *condition, struct str path,
                              bool *created, struct err *e)
{
    struct stat stat;
    *created = fstatat(entry->dir_fd, entry->name, &stat, AT_SYMLINK_NOFOLLOW) != 0;
    if (*created && errno != ENOENT)
        return file_error_set_errno(e, errno, path);
    if (!*created && !S_ISREG(stat.st_mode))
        return file_error_set_errno(e, S_ISDIR(stat.st_mode) ? EISDIR : ENXIO, path);
    if (condition == NULL)
        return 0;
    struct file_version current = *created ? (struct file_version){0} : file_version_of(&stat);
    return condition->check(condition->user, *created ? NULL : &current, path, e);
}

/* Checks and renames, in its turn. Who needs no turn (to rename a file, to write into one) may come between the two: on a
 * condition, what was found missing is made, never replaced, and looked at again when it is there after all. */
static int check_and_rename(const struct temp_dir *dir, const struct temp_file *temp_file,
                            const struct file_entry *entry, const struct commit_options *commit_options,
                            struct str path, bool *created, struct err *e)
{
    int lock_fd = -1;
    if (commit_options->exclusive)
        return file_entry_rename(dir->fd, temp_file->name, entry, true, path, e);
    int rc = lock_temp_dir(dir, commit_options->condition != NULL, &lock_fd, path, e);
    if (rc != 0)
        return rc;
    int tries = 0;
    do {
        rc = temp_file_check_condition(entry, commit_options->condition, path, created, e);
        if (rc == 0)
            rc = file_entry_rename(dir->fd, temp_file->name, entry, commit_options->condition != NULL && *created, path,
                                   e);
    } while (rc == ERR_FILE_EXISTS && ++tries < MAX_TRIES);
    if (rc == ERR_FILE_EXISTS)
        rc = file_error_set_errno(e, EAGAIN, path);
    if (lock_fd >= 0)
        close(lock_fd);
    return rc;
}

/* The kernel stamps files with the time of its last tick, and ticks are milliseconds apart: a file in the inode of one
 * that was just replaced could have the size and the time of that one too. Where times can't be set, it has the kernel's. */
static void set_exact_mtime(int fd)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}};
    clock_gettime(CLOCK_REALTIME, &times[1]);
    (void)futimens(fd, times);
}

static int commit_with_options(const struct temp_dir *dir, struct temp_file *temp_file, const struct file_entry *entry,
                               const struct commit_options *commit_options, struct str path, struct commit_result *out,
                               struct err *e)
{
    struct stat stat;
    int rc = 0, directory = -1;
    /* Where permissions can't be set, the new file has its own. */
    if (!commit_options->exclusive && fstatat(entry->dir_fd, entry->name, &stat, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISREG(stat.st_mode))
        (void)!fchmod(temp_file->fd, stat.st_mode & 0777);
    set_exact_mtime(temp_file->fd);
    if (commit_options->sync && ((directory = file_entry_open_dir(entry)) < 0 || fsync(temp_file->fd) != 0))
        rc = file_error_set_errno(e, errno, path);
    /* Once it is in its place, others may write into it: a stamp from then might be of what they wrote. */
    if (rc == 0 && fstat(temp_file->fd, &stat) != 0)
        rc = file_error_set_errno(e, errno, path);
    if (rc == 0)
        rc = check_and_rename(dir, temp_file, entry, commit_options, path, &out->created, e);
    if (rc != 0) {
        temp_file_discard(dir, temp_file);
    } else {
        out->version = file_version_of(&stat);
        if (commit_options->sync && fsync(directory) != 0)
            rc = file_error_set_errno(e, errno, path);
        if (close(temp_file->fd) != 0 && rc == 0) /* some file systems write only now, and fail only now */
            rc = file_error_set_errno(e, errno, path);
        temp_file->fd = -1;
    }
    if (directory >= 0)
        close(directory);
    return rc;
}

int temp_file_commit(const struct temp_dir *dir, struct temp_file *temp_file, const struct file_entry *entry,
                     bool exclusive, bool sync, struct str path, struct err *e)
{
    struct commit_result result;
    return commit_with_options(dir, temp_file, entry, &(struct commit_options){exclusive, sync, NULL}, path, &result,
                               e);
}

int temp_file_commit_if(const struct temp_dir *dir, struct temp_file *temp_file, const struct file_entry *entry,
                        const struct file_condition *condition, struct str path, struct commit_result *out,
                        struct err *e)
{
    struct commit_result result = {0};
    int rc =
        commit_with_options(dir, temp_file, entry, &(struct commit_options){false, true, condition}, path, &result, e);
    if (rc == 0)
        *out = result;
    return rc;
}

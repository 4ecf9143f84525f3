/* Temporary files, and their commit.
 *
 * Note: stale files.  Each temporary file is locked (flock(2)) by the process that writes it, and the kernel drops the
 * lock when the process ends in any way. A starting process therefore removes the files that are not locked, and keeps
 * those of other processes that use the same root. A file that is not locked yet because it was just created may be
 * removed too: its creator then finds it locked or unlinked, and creates another.
 *
 * Note: commits.  A conditional commit checks the file that it will replace, and then renames; no other commit may
 * replace the file in between. Both calls are made while holding a lock (flock(2)) on the directory for temporary
 * files. Each commit opens its own descriptor of the directory, because duplicated descriptors share a lock.
 */
#include "runtime/files/temp_file.h"

#include "runtime/files/file_error.h"
#include "runtime/lib/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

enum {
    MAX_TRIES = 100,
    MAX_LOCK_TRIES = 10000, /* about five seconds, with LOCK_RETRY_NS between them */
    LOCK_RETRY_NS = 500000,
};

/* -- stale files --------------------------------------------------------------------------------------------------- */

static void remove_if_stale(int dir_fd, const char *name)
{
    int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    bool stale = fd < 0 ? errno == ELOOP || errno == ENXIO /* a symlink or a socket, which gatherd does not create */
                        : flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK;
    if (stale)
        unlinkat(dir_fd, name, 0); /* if this fails, the file remains until the next start */
    if (fd >= 0)
        close(fd);
}

static int remove_stale_files(int dir_fd, struct err *e)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* closedir(3) closes it */
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
        out->error = errno; /* not a failure: files in a read-only root can still be read */
        return 0;
    }
    int fd = openat(root_fd, TEMP_DIR_NAME, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && (errno == ENOTDIR || errno == ELOOP))
        return err_set(e, ERR_INVALID,
                       "%s in the --files-root directory must be a directory: gatherd keeps temporary files in it",
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

/* -- one file ------------------------------------------------------------------------------------------------------ */

/* Creates and locks a file with a random name. 0 or an errno; after EEXIST and ENOENT another try may succeed. */
static int create_unique(int dir_fd, mode_t mode, struct temp_file *out)
{
    struct stat stat;
    uint64_t random_id;
    int error = io_random(&random_id, sizeof random_id);
    if (error != 0)
        return error;
    snprintf(out->name, sizeof out->name, "%016" PRIx64, random_id);
    out->fd = openat(dir_fd, out->name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (out->fd < 0)
        return errno;
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

/* -- commit -------------------------------------------------------------------------------------------------------- */

struct commit_options {
    bool exclusive; /* ERR_FILE_EXISTS when the entry exists */
    bool sync;
    const struct file_condition *condition; /* NULL: none */
};

/* Locks the directory and sets *out to the descriptor that holds the lock. Waits for a limited time, because the
 * process that holds the lock may be stopped. If locking fails, as on NFS, which has no locks on directories, *out is
 * unchanged, and an error is returned only if the lock is required. */
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
        rc = errno == EWOULDBLOCK ? file_error_set(e, ERR_IO_ERROR, path,
                                                   "another process holds the lock on " TEMP_DIR_NAME
                                                   "; the file is unchanged, try again")
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

/* Checks the condition and renames, holding the lock. Calls that take no lock (rename_file, write_file, exclusive
 * commits) may create the entry in between: with a condition, an entry that did not exist at the check is therefore
 * created exclusively, and the condition is checked again if that fails. */
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

/* Sets the file's mtime to the exact time. The kernel sets it to the time of its last tick, and ticks are milliseconds
 * apart: a new file that reuses the inode number of a file just replaced could have the same size and mtime too, and so
 * the same version. If futimens(3) fails, the kernel's time remains. */
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
    /* If fchmod(2) fails, the new file keeps its own permissions. */
    if (!commit_options->exclusive && fstatat(entry->dir_fd, entry->name, &stat, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISREG(stat.st_mode))
        (void)!fchmod(temp_file->fd, stat.st_mode & 0777);
    set_exact_mtime(temp_file->fd);
    if (commit_options->sync && ((directory = file_entry_open_dir(entry)) < 0 || fsync(temp_file->fd) != 0))
        rc = file_error_set_errno(e, errno, path);
    /* The version is taken before the rename: afterwards other processes can write to the file and change it. */
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
        if (close(temp_file->fd) != 0 && rc == 0) /* some file systems, such as NFS, report write errors here */
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

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
#include "runtime/files/file_root_internal.h"

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
    DRAFT_TRIES = 100,
    TURN_TRIES = 10000, /* with the pauses some five seconds */
    TURN_PAUSE_NS = 500000,
};

/* -- leftovers ------------------------------------------------------------------------------------------------------- */

static void remove_leftover(int drafts, const char *name)
{
    int fd = openat(drafts, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    bool leftover = fd < 0 ? errno == ELOOP || errno == ENXIO /* that is none of gatherd's own */
                           : flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK;
    if (leftover)
        unlinkat(drafts, name, 0); /* what can't be removed harms nobody */
    if (fd >= 0)
        close(fd);
}

static int remove_leftovers(int drafts, struct err *e)
{
    int fd = openat(drafts, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* the DIR's own */
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL) {
        int rc = jail_error(e, errno, STR(DRAFTS_NAME));
        if (fd >= 0)
            close(fd);
        return rc;
    }
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            remove_leftover(drafts, entry->d_name);
    closedir(dir);
    return 0;
}

int jail_open_drafts(struct file_root *jail, struct err *e)
{
    if (mkdirat(jail->root, DRAFTS_NAME, 0700) != 0 && errno != EEXIST) {
        jail->drafts_error = errno; /* a root that can only be read is of use too */
        return 0;
    }
    int fd = openat(jail->root, DRAFTS_NAME, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && (errno == ENOTDIR || errno == ELOOP))
        return err_set(
            e, ERR_INVALID,
            "The root of files has a %s that is no directory; gatherd needs that name for its temporary files",
            DRAFTS_NAME);
    if (fd < 0) {
        jail->drafts_error = errno;
        return 0;
    }
    int rc = remove_leftovers(fd, e);
    if (rc != 0) {
        close(fd);
        return rc;
    }
    jail->drafts = fd;
    return 0;
}

/* -- one draft ------------------------------------------------------------------------------------------------------- */

/* Makes a file under a name that nobody has. 0, or an errno; EEXIST and ENOENT are worth another try. */
static int make_draft(int drafts, mode_t mode, struct jail_draft *out)
{
    struct stat stat;
    uint64_t number;
    if (getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number)
        return errno;
    snprintf(out->name, sizeof out->name, "%016" PRIx64, number);
    out->fd = openat(drafts, out->name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
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
        unlinkat(drafts, out->name, 0);
    }
    return error;
}

int jail_draft(const struct file_root *jail, mode_t mode, struct jail_draft *out, struct err *e)
{
    struct jail_draft draft;
    int error = jail->drafts < 0 ? jail->drafts_error : EEXIST;
    for (int i = 0; i < DRAFT_TRIES && jail->drafts >= 0 && (error == EEXIST || error == ENOENT); i++)
        error = make_draft(jail->drafts, mode, &draft);
    if (error != 0)
        return jail_error(e, error, STR(DRAFTS_NAME));
    *out = draft;
    return 0;
}

void jail_drop(const struct file_root *jail, struct jail_draft *draft)
{
    unlinkat(jail->drafts, draft->name, 0);
    close(draft->fd);
    draft->fd = -1;
}

/* As renameat2(2), also where the file system knows no RENAME_NOREPLACE. */
static int rename_entry(int from_directory, const char *from, int to_directory, const char *to, bool exclusive)
{
    if (renameat2(from_directory, from, to_directory, to, exclusive ? RENAME_NOREPLACE : 0) == 0)
        return 0;
    if (!exclusive || (errno != EINVAL && errno != ENOSYS))
        return -1;
    int error = errno;
    if (linkat(from_directory, from, to_directory, to, 0) != 0) {
        if (errno != EEXIST) /* a directory can't be linked, for one */
            errno = error;
        return -1;
    }
    return unlinkat(from_directory, from, 0);
}

int jail_rename(int from_directory, const char *from, const struct jail_entry *to, bool exclusive, struct str path,
                struct err *e)
{
    if (rename_entry(from_directory, from, to->directory, to->name, exclusive) == 0)
        return 0;
    if (errno == EXDEV)
        return jail_refuse(e, ERR_UNSUPPORTED_FILE_TYPE, path,
                           "this is on another file system, and a file can't be moved there in one step");
    if (errno == EINVAL)
        return jail_refuse(e, ERR_UNSUPPORTED_FILE_TYPE, path, "a directory can't be moved into itself");
    return jail_error(e, errno, path);
}

/* The entry's directory as one that can be brought to disk. -1 with errno set. */
static int open_for_sync(const struct jail_entry *entry)
{
    return openat(entry->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int jail_sync(const struct jail_entry *entry, struct str path, struct err *e)
{
    int fd = open_for_sync(entry);
    if (fd < 0)
        return jail_error(e, errno, path);
    int rc = fsync(fd) == 0 ? 0 : jail_error(e, errno, path);
    close(fd);
    return rc;
}

/* -- putting one in its place ------------------------------------------------------------------------------------------ */

struct manner {
    bool exclusive; /* FILE_EXISTS when something is there */
    bool sync;
    const struct file_condition *condition; /* NULL: none */
};

/* Waits its turn, but not for ever: whoever has the lock may have been stopped. *out stays -1 when it does not come, or where
 * the file system has no such locks (NFS has none on directories): then only what depends on what is there is refused. */
static int take_turn(const struct file_root *jail, bool needed, int *out, struct str path, struct err *e)
{
    int result, tries = 0, fd = openat(jail->drafts, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return jail_error(e, errno, path);
    while ((result = flock(fd, LOCK_EX | LOCK_NB)) != 0 && errno == EWOULDBLOCK && ++tries < TURN_TRIES)
        nanosleep(&(struct timespec){.tv_nsec = TURN_PAUSE_NS}, NULL);
    if (result == 0) {
        *out = fd;
        return 0;
    }
    int rc = 0;
    if (needed)
        rc = errno == EWOULDBLOCK
                 ? jail_refuse(e, ERR_IO_ERROR, path,
                               "the lock on " DRAFTS_NAME " is kept by another process; nothing was changed")
                 : jail_error(e, errno, path);
    close(fd);
    return rc;
}

int jail_check(const struct jail_entry *entry, const struct file_condition *condition, struct str path, bool *created,
               struct err *e)
{
    struct stat stat;
    *created = fstatat(entry->directory, entry->name, &stat, AT_SYMLINK_NOFOLLOW) != 0;
    if (*created && errno != ENOENT)
        return jail_error(e, errno, path);
    if (!*created && !S_ISREG(stat.st_mode))
        return jail_error(e, S_ISDIR(stat.st_mode) ? EISDIR : ENXIO, path);
    if (condition == NULL)
        return 0;
    struct file_version there = *created ? (struct file_version){0} : file_stamp_of(&stat);
    return condition->check(condition->given, *created ? NULL : &there, path, e);
}

/* Checks and renames, in its turn. Who needs no turn (to rename a file, to write into one) may come between the two: on a
 * condition, what was found missing is made, never replaced, and looked at again when it is there after all. */
static int put_in_place(const struct file_root *jail, const struct jail_draft *draft, const struct jail_entry *entry,
                        const struct manner *manner, struct str path, bool *created, struct err *e)
{
    int turn = -1;
    if (manner->exclusive)
        return jail_rename(jail->drafts, draft->name, entry, true, path, e);
    int rc = take_turn(jail, manner->condition != NULL, &turn, path, e);
    if (rc != 0)
        return rc;
    int tries = 0;
    do {
        rc = jail_check(entry, manner->condition, path, created, e);
        if (rc == 0)
            rc = jail_rename(jail->drafts, draft->name, entry, manner->condition != NULL && *created, path, e);
    } while (rc == ERR_FILE_EXISTS && ++tries < DRAFT_TRIES);
    if (rc == ERR_FILE_EXISTS)
        rc = jail_error(e, EAGAIN, path);
    if (turn >= 0)
        close(turn);
    return rc;
}

/* The kernel stamps files with the time of its last tick, and ticks are milliseconds apart: a file in the inode of one
 * that was just replaced could have the size and the time of that one too. Where times can't be set, it has the kernel's. */
static void stamp_exactly(int fd)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}};
    clock_gettime(CLOCK_REALTIME, &times[1]);
    (void)futimens(fd, times);
}

static int publish(const struct file_root *jail, struct jail_draft *draft, const struct jail_entry *entry,
                   const struct manner *manner, struct str path, struct jail_put *out, struct err *e)
{
    struct stat stat;
    int rc = 0, directory = -1;
    /* Where permissions can't be set, the new file has its own. */
    if (!manner->exclusive && fstatat(entry->directory, entry->name, &stat, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISREG(stat.st_mode))
        (void)!fchmod(draft->fd, stat.st_mode & 0777);
    stamp_exactly(draft->fd);
    if (manner->sync && ((directory = open_for_sync(entry)) < 0 || fsync(draft->fd) != 0))
        rc = jail_error(e, errno, path);
    /* Once it is in its place, others may write into it: a stamp from then might be of what they wrote. */
    if (rc == 0 && fstat(draft->fd, &stat) != 0)
        rc = jail_error(e, errno, path);
    if (rc == 0)
        rc = put_in_place(jail, draft, entry, manner, path, &out->created, e);
    if (rc != 0) {
        jail_drop(jail, draft);
    } else {
        out->stamp = file_stamp_of(&stat);
        if (manner->sync && fsync(directory) != 0)
            rc = jail_error(e, errno, path);
        if (close(draft->fd) != 0 && rc == 0) /* some file systems write only now, and fail only now */
            rc = jail_error(e, errno, path);
        draft->fd = -1;
    }
    if (directory >= 0)
        close(directory);
    return rc;
}

int jail_publish(const struct file_root *jail, struct jail_draft *draft, const struct jail_entry *entry, bool exclusive,
                 bool sync, struct str path, struct err *e)
{
    struct jail_put put;
    return publish(jail, draft, entry, &(struct manner){exclusive, sync, NULL}, path, &put, e);
}

int jail_publish_if(const struct file_root *jail, struct jail_draft *draft, const struct jail_entry *entry,
                    const struct file_condition *condition, struct str path, struct jail_put *out, struct err *e)
{
    struct jail_put put = {0};
    int rc = publish(jail, draft, entry, &(struct manner){false, true, condition}, path, &put, e);
    if (rc == 0)
        *out = put;
    return rc;
}

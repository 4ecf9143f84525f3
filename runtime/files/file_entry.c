#include "runtime/files/file_entry.h"

#include "runtime/files/file_error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/* As renameat2(2), also where the file system knows no RENAME_NOREPLACE. */
static int renameat_compat(int from_directory, const char *from, int to_directory, const char *to, bool exclusive)
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

int file_entry_rename(int from_directory, const char *from, const struct file_entry *to, bool exclusive,
                      struct str path, struct err *e)
{
    if (renameat_compat(from_directory, from, to->dir_fd, to->name, exclusive) == 0)
        return 0;
    if (errno == EXDEV)
        return file_error_set(e, ERR_UNSUPPORTED_FILE_TYPE, path,
                              "this is on another file system, and a file can't be moved there in one step");
    if (errno == EINVAL)
        return file_error_set(e, ERR_UNSUPPORTED_FILE_TYPE, path, "a directory can't be moved into itself");
    return file_error_set_errno(e, errno, path);
}

/* The entry's directory as one that can be brought to disk. -1 with errno set. */
int file_entry_open_dir(const struct file_entry *entry)
{
    return openat(entry->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int file_entry_sync_dir(const struct file_entry *entry, struct str path, struct err *e)
{
    int fd = file_entry_open_dir(entry);
    if (fd < 0)
        return file_error_set_errno(e, errno, path);
    int rc = fsync(fd) == 0 ? 0 : file_error_set_errno(e, errno, path);
    close(fd);
    return rc;
}

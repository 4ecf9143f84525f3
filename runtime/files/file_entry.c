#include "runtime/files/file_entry.h"

#include "runtime/files/file_error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/* Calls renameat2(2), or on file systems without RENAME_NOREPLACE link(2) and unlink(2). */
static int renameat_compat(int from_dir_fd, const char *from, int to_dir_fd, const char *to, bool exclusive)
{
    if (renameat2(from_dir_fd, from, to_dir_fd, to, exclusive ? RENAME_NOREPLACE : 0) == 0)
        return 0;
    if (!exclusive || (errno != EINVAL && errno != ENOSYS))
        return -1;
    int error = errno;
    if (linkat(from_dir_fd, from, to_dir_fd, to, 0) != 0) {
        if (errno != EEXIST) /* such as EPERM: directories can't be linked */
            errno = error;
        return -1;
    }
    return unlinkat(from_dir_fd, from, 0);
}

int file_entry_rename(int from_dir_fd, const char *from, const struct file_entry *to, bool exclusive, struct str path,
                      struct err *e)
{
    if (renameat_compat(from_dir_fd, from, to->dir_fd, to->name, exclusive) == 0)
        return 0;
    if (errno == EXDEV)
        return file_error_set(e, ERR_UNSUPPORTED_FILE_TYPE, path, "can't be renamed across file systems");
    if (errno == EINVAL)
        return file_error_set(e, ERR_UNSUPPORTED_FILE_TYPE, path, "a directory can't be moved into itself");
    return file_error_set_errno(e, errno, path);
}

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

#include "runtime/files/file_error.h"

#include "runtime/lib/util.h"

#include <errno.h>
#include <string.h>

enum { MAX_PATH_IN_MESSAGE = 128 }; /* bytes */

int file_error_set(struct err *e, int rc, struct str path, const char *detail)
{
    size_t len = str_truncate(path, MAX_PATH_IN_MESSAGE);
    return err_set(e, rc, "%.*s%s: %s", (int)len, path.len == 0 ? "" : path.data, len < path.len ? "..." : "", detail);
}

static const struct error_row {
    int error; /* errno */
    int rc;
    const char *detail;
} rows[] = {
    {ENOENT, ERR_FILE_NOT_FOUND, "file not found"},
    {EEXIST, ERR_FILE_EXISTS, "file already exists"},
    {ENOTEMPTY, ERR_FILE_EXISTS, "the directory is not empty"},
    {EACCES, ERR_ACCESS_DENIED, "the user that gatherd runs as lacks permission"},
    {EPERM, ERR_ACCESS_DENIED, "the user that gatherd runs as lacks permission"},
    {EROFS, ERR_ACCESS_DENIED, "the file system is mounted read-only"},
    {ENOSPC, ERR_INSUFFICIENT_STORAGE, "no space left on the file system"},
    {EDQUOT, ERR_INSUFFICIENT_STORAGE, "the disk quota is exceeded"},
    {EFBIG, ERR_INSUFFICIENT_STORAGE, "the file would exceed the system's maximum file size"},
    {EISDIR, ERR_UNSUPPORTED_FILE_TYPE, "the path is a directory"},
    {ENOTDIR, ERR_UNSUPPORTED_FILE_TYPE, "the path, or a part of it, is not a directory"},
    {ENXIO, ERR_UNSUPPORTED_FILE_TYPE, "the path is not a regular file"},
    {ENODEV, ERR_UNSUPPORTED_FILE_TYPE, "the path is not a regular file"},
    {EBUSY, ERR_UNSUPPORTED_FILE_TYPE, "in use: a mount point, or a program that is being run"},
    {ETXTBSY, ERR_UNSUPPORTED_FILE_TYPE, "in use: a mount point, or a program that is being run"},
    {EXDEV, ERR_PATH_FORBIDDEN,
     "the path leads outside the file root; paths and symlinks must be relative and stay inside it"},
    {ELOOP, ERR_PATH_FORBIDDEN, "the path has too many symlinks, or a symlink of /proc that can't be followed"},
    {ENAMETOOLONG, ERR_INVALID_ARGUMENT, "the path exceeds 4095 bytes, or a name in it exceeds 255 bytes"},
    {EMFILE, ERR_TOO_MANY_OPEN_FILES, "the system's limit of open files is reached; try again later"},
    {ENFILE, ERR_TOO_MANY_OPEN_FILES, "the system's limit of open files is reached; try again later"},
    {EAGAIN, ERR_IO_ERROR, "the file is in use, or a directory in the path was renamed meanwhile; try again"},
};

int file_error_set_errno(struct err *e, int error, struct str path)
{
    char text[96];
    if (error == ENOMEM)
        return err_nomem(e);
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (rows[i].error == error)
            return file_error_set(e, rows[i].rc, path, rows[i].detail);
    return file_error_set(e, ERR_IO_ERROR, path, strerror_r(error, text, sizeof text));
}

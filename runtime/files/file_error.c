#include "runtime/files/file_error.h"

#include <errno.h>
#include <string.h>

enum { MAX_PATH_IN_MESSAGE = 128 }; /* bytes */

int file_error_set(struct err *e, int rc, struct str path, const char *detail)
{
    size_t len = str_truncate(path, MAX_PATH_IN_MESSAGE);
    return err_set(e, rc, "%.*s%s: %s", (int)len, path.len == 0 ? "" : path.data, len < path.len ? "..." : "", detail);
}

int file_error_set_errno(struct err *e, int error, struct str path)
{
    switch (error) {
    case ENOSPC:
        return file_error_set(e, ERR_INSUFFICIENT_STORAGE, path, "no space left on the file system");
    case EDQUOT:
        return file_error_set(e, ERR_INSUFFICIENT_STORAGE, path, "the disk quota is exceeded");
    case EFBIG:
        return file_error_set(e, ERR_INSUFFICIENT_STORAGE, path,
                              "the file would exceed the system's maximum file size");
    case EACCES:
    case EPERM:
        return file_error_set(e, ERR_ACCESS_DENIED, path, "the user that gatherd runs as lacks permission");
    case EROFS:
        return file_error_set(e, ERR_ACCESS_DENIED, path, "the file system is mounted read-only");
    case ENOENT:
        return file_error_set(e, ERR_FILE_NOT_FOUND, path, "file not found");
    case EEXIST:
        return file_error_set(e, ERR_FILE_EXISTS, path, "file already exists");
    case ENOTEMPTY:
        return file_error_set(e, ERR_FILE_EXISTS, path, "the directory is not empty");
    case EISDIR:
        return file_error_set(e, ERR_UNSUPPORTED_FILE_TYPE, path, "is a directory");
    case ENOTDIR:
        return file_error_set(e, ERR_UNSUPPORTED_FILE_TYPE, path, "not a directory");
    case ENXIO:
    case ENODEV:
        return file_error_set(e, ERR_UNSUPPORTED_FILE_TYPE, path, "not a regular file");
    case EBUSY:
    case ETXTBSY:
        return file_error_set(e, ERR_UNSUPPORTED_FILE_TYPE, path, "in use by the system");
    case EXDEV:
        return file_error_set(
            e, ERR_PATH_FORBIDDEN, path,
            "the path leads outside the files root; paths and symlinks must be relative and stay inside it");
    case ELOOP:
        return file_error_set(e, ERR_PATH_FORBIDDEN, path, "the path has too many symlinks, or one of /proc");
    case ENAMETOOLONG:
        return file_error_set(e, ERR_INVALID_ARGUMENT, path, "the path exceeds 4095 bytes, or a name in it 255");
    case EMFILE:
    case ENFILE:
        return file_error_set(e, ERR_TOO_MANY_OPEN_FILES, path, "the system's limit of open files is reached");
    case ENOMEM:
        return err_nomem(e);
    case EAGAIN:
        return file_error_set(e, ERR_IO_ERROR, path, "in use, or a directory was renamed meanwhile; try again");
    default: {
        char text[96];
        return file_error_set(e, ERR_IO_ERROR, path, strerror_r(error, text, sizeof text));
    }
    }
}

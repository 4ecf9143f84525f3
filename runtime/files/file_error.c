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
        return file_error_set(e, ERR_INSUFFICIENT_STORAGE, path, "there is no space left on the file system");
    case EDQUOT:
        return file_error_set(e, ERR_INSUFFICIENT_STORAGE, path, "the quota of disk space is used up");
    case EFBIG:
        return file_error_set(e, ERR_INSUFFICIENT_STORAGE, path, "the file would be larger than the system allows");
    case EACCES:
    case EPERM:
        return file_error_set(e, ERR_ACCESS_DENIED, path, "the system does not allow that to the user gatherd runs as");
    case EROFS:
        return file_error_set(e, ERR_ACCESS_DENIED, path, "the file system is mounted read-only");
    case ENOENT:
        return file_error_set(e, ERR_FILE_NOT_FOUND, path, "there is no such file");
    case EEXIST:
        return file_error_set(e, ERR_FILE_EXISTS, path, "there is such a file already");
    case ENOTEMPTY:
        return file_error_set(e, ERR_FILE_EXISTS, path, "the directory is not empty");
    case EISDIR:
        return file_error_set(e, ERR_UNSUPPORTED_FILE_TYPE, path, "this is a directory");
    case ENOTDIR:
        return file_error_set(e, ERR_UNSUPPORTED_FILE_TYPE, path, "what should be a directory is none");
    case ENXIO:
    case ENODEV:
        return file_error_set(e, ERR_UNSUPPORTED_FILE_TYPE, path, "this is no regular file");
    case EBUSY:
    case ETXTBSY:
        return file_error_set(e, ERR_UNSUPPORTED_FILE_TYPE, path, "the system itself has it in use");
    case EXDEV:
        return file_error_set(e, ERR_PATH_FORBIDDEN, path,
                              "the path leads out of the root of files; paths are relative to it, and so are symlinks");
    case ELOOP:
        return file_error_set(e, ERR_PATH_FORBIDDEN, path, "the path goes through too many symlinks, or one of /proc");
    case ENAMETOOLONG:
        return file_error_set(e, ERR_INVALID, path, "the path is longer than 4095 bytes, or a name in it than 255");
    case EMFILE:
    case ENFILE:
        return file_error_set(e, ERR_TOO_MANY_OPEN_FILES, path, "as many files as the system allows are open");
    case ENOMEM:
        return err_nomem(e);
    case EAGAIN:
        return file_error_set(e, ERR_IO_ERROR, path, "it is in use, or directories are being renamed; try again");
    default: {
        char text[96];
        return file_error_set(e, ERR_IO_ERROR, path, strerror_r(error, text, sizeof text));
    }
    }
}

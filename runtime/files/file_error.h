/* file_error - errors about a path: the message is "path: detail"; the ERR_ code may be derived from an errno.
 *
 * Owns:     nothing.
 * Threads:  any.
 */
#ifndef GATHERD_RUNTIME_FILES_FILE_ERROR_H
#define GATHERD_RUNTIME_FILES_FILE_ERROR_H

#include "runtime/lib/error.h"
#include "runtime/lib/str.h"

/* The codes that any operation on a path may fail with, for function->errors. */
#define FILE_ERRORS \
    ERR_INVALID_ARGUMENT, ERR_PATH_FORBIDDEN, ERR_ACCESS_DENIED, ERR_FILE_NOT_FOUND, ERR_UNSUPPORTED_FILE_TYPE, \
        ERR_TOO_MANY_OPEN_FILES, ERR_IO_ERROR

/* Fills *e (may be NULL) with "path: detail" and returns rc. A long path is truncated. */
int file_error_set(struct err *e, int rc, struct str path, const char *detail);

/* Fills *e (may be NULL) from `error`, the errno of a system call on `path`, and returns the ERR_ code. */
int file_error_set_errno(struct err *e, int error, struct str path);

#endif

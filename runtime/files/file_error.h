/* file_error - errors about a path: "path: sentence", with the code that an errno stands for.
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

/* Fills *e (may be NULL) with "path: detail" and returns rc. A long path is shortened. */
int file_error_set(struct err *e, int rc, struct str path, const char *detail);

/* Fills *e (may be NULL) from the errno of a system call on `path`, and returns the code. */
int file_error_set_errno(struct err *e, int error, struct str path);

#endif

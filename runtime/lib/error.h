/* error - the one table of error codes, and struct err, which says what failed.
 *
 * Depends on libc alone; nothing here allocates, blocks or keeps state.
 *
 * Owns:     nothing.
 * Threads:  any.
 */
#ifndef GATHERD_RUNTIME_LIB_ERROR_H
#define GATHERD_RUNTIME_LIB_ERROR_H

/* The one table of errors: name, code (in JSON; with hyphens the end of the problem's `type`), HTTP status (RFC 9110),
 * title (as in RFC 9457: the same for each occurrence). */
#define ERROR_TABLE(X) \
    X(MALFORMED_HTTP, "malformed_http", 400, "The request breaks the rules of HTTP") \
    X(MALFORMED_JSON, "malformed_json", 400, "The body can not be read as JSON") \
    X(CROSS_ORIGIN_REQUEST, "cross_origin_request", 403, "Requests from other sites are refused") \
    X(EXECUTOR_DISABLED, "executor_disabled", 403, "The service runs without this executor") \
    X(PATH_FORBIDDEN, "path_forbidden", 403, "The path leads out of the root of files") \
    X(ACCESS_DENIED, "access_denied", 403, "The system does not allow it") \
    X(NOT_FOUND, "not_found", 404, "There is nothing under this path") \
    X(FUNCTION_NOT_FOUND, "function_not_found", 404, "There is no function of this name") \
    X(HOST_NOT_FOUND, "host_not_found", 404, "There is no such host") \
    X(FILE_NOT_FOUND, "file_not_found", 404, "There is no such file") \
    X(HANDLE_NOT_FOUND, "handle_not_found", 404, "There is no such open file") \
    X(FILE_METHOD_NOT_FOUND, "file_method_not_found", 404, "Open files have no such method") \
    X(METHOD_NOT_ALLOWED, "method_not_allowed", 405, "This path does not take this method") \
    X(CANCELED, "canceled", 409, "The task was canceled") \
    X(FILE_EXISTS, "file_exists", 409, "There is such a file already") \
    X(HANDLE_CLOSED, "handle_closed", 410, "The file is closed") \
    X(STALE_HANDLE, "stale_handle", 410, "The file was open before the service started anew") \
    X(PRECONDITION_FAILED, "precondition_failed", 412, "The file is not as the request demands") \
    X(BODY_TOO_LARGE, "body_too_large", 413, "The body is larger than the limit") \
    X(UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", 415, "The body's media type is not supported") \
    X(MISDIRECTED_REQUEST, "misdirected_request", 421, "This service does not answer for this host") \
    X(INVALID, "invalid", 422, "The request does not fit its schema") \
    X(LIMIT_EXCEEDED, "limit_exceeded", 422, "The request goes beyond a limit") \
    X(OVERFLOW, "overflow", 422, "The result is too large") \
    X(FILE_MODE_MISMATCH, "file_mode_mismatch", 422, "The file is not open for that") \
    X(UNSUPPORTED_FILE_TYPE, "unsupported_file_type", 422, "The file is not of the kind that this takes") \
    X(INVALID_UTF8, "invalid_utf8", 422, "The file is not UTF-8 text") \
    X(INTERNAL, "internal", 500, "Something went wrong inside gatherd") \
    X(CHILD_FAILED, "child_failed", 500, "Too many of the gathered tasks failed") \
    X(IO_ERROR, "io_error", 500, "The system could not read or write the file") \
    X(WORKER_CRASHED, "worker_crashed", 500, "The worker process died while it ran the task") \
    X(WORKER_OUT_OF_MEMORY, "worker_out_of_memory", 500, "The task needed more memory than a worker process may take") \
    X(RESOLVE_FAILED, "resolve_failed", 502, "The host could not be looked up") \
    X(OUT_OF_MEMORY, "out_of_memory", 503, "There is no memory for this request now") \
    X(TOO_MANY_TASKS, "too_many_tasks", 503, "As many tasks as the limit allows are unfinished") \
    X(POOL_FULL, "pool_full", 503, "As many tasks as the limit allows wait for this pool") \
    X(TOO_MANY_OPEN_FILES, "too_many_open_files", 503, "As many files as the limit allows are open") \
    X(TOO_MANY_STREAMS, "too_many_streams", 503, "As many files as the limit allows are on their way in or out") \
    X(TOO_MANY_CONNECTIONS, "too_many_connections", 503, "As many connections as the limit allows are open") \
    X(SHUTTING_DOWN, "shutting_down", 503, "The service is shutting down") \
    X(TIMEOUT, "timeout", 504, "The task ran longer than its timeout") \
    X(DEADLINE_EXCEEDED, "deadline_exceeded", 504, "The task did not end before its deadline") \
    X(INSUFFICIENT_STORAGE, "insufficient_storage", 507, "There is no space for the file")

enum error_index {
#define X(name, code, status, title) ERROR_INDEX_##name,
    ERROR_TABLE(X)
#undef X
        ERROR_COUNT
};

/* A result code is 0 or one of these, all negative. */
enum {
#define X(name, code, status, title) ERR_##name = -1 - (int)ERROR_INDEX_##name,
    ERROR_TABLE(X)
#undef X
};

const char *error_code(int rc);  /* "function_not_found"; static */
const char *error_title(int rc); /* one sentence; static */
int error_status(int rc);        /* an HTTP status, 400 to 599 */

struct field; /* of a type table: runtime/types/type.h */

/* Filled where something fails, wrapped on the way out; `msg` is a sentence a person can act on. */
struct err {
    int rc;
    const char *pool;          /* that is full; NULL for most. Lives as long as the runtime */
    const struct field *limit; /* that a request goes beyond, of limits_fields; NULL for most */
    char msg[256];
};

/* Fills *e (which may be NULL) and returns rc, so that a function can `return err_set(e, ERR_X, ...)`. What is too long is
 * cut off, between characters. */
int err_set(struct err *e, int rc, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* err_set() with ERR_OUT_OF_MEMORY, which it returns. */
int err_nomem(struct err *e);

#endif

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
    X(FOREIGN_ORIGIN, "foreign_origin", 403, "Requests from other sites are refused") \
    X(EXECUTOR_OFF, "executor_off", 403, "The service runs without this executor") \
    X(PATH_FORBIDDEN, "path_forbidden", 403, "The path leads out of the root of files") \
    X(ACCESS_DENIED, "access_denied", 403, "The system does not allow it") \
    X(UNKNOWN_PATH, "unknown_path", 404, "There is nothing under this path") \
    X(UNKNOWN_FUNCTION, "unknown_function", 404, "There is no function of this name") \
    X(UNKNOWN_HOST, "unknown_host", 404, "There is no such host") \
    X(NO_FILE, "no_file", 404, "There is no such file") \
    X(UNKNOWN_HANDLE, "unknown_handle", 404, "There is no such open file") \
    X(UNKNOWN_METHOD, "unknown_method", 404, "Open files have no such method") \
    X(METHOD_NOT_ALLOWED, "method_not_allowed", 405, "This path does not take this method") \
    X(CANCELED, "canceled", 409, "The task was canceled") \
    X(FILE_EXISTS, "file_exists", 409, "There is such a file already") \
    X(HANDLE_CLOSED, "handle_closed", 410, "The file is closed") \
    X(HANDLE_LOST, "handle_lost", 410, "The file was open before the service started anew") \
    X(PRECONDITION_FAILED, "precondition_failed", 412, "The file is not as the request demands") \
    X(BODY_TOO_LARGE, "body_too_large", 413, "The body is larger than the limit") \
    X(UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", 415, "The body's media type is not supported") \
    X(MISDIRECTED, "misdirected", 421, "This service does not answer for this host") \
    X(INVALID, "invalid", 422, "The request does not fit its schema") \
    X(LIMIT_EXCEEDED, "limit_exceeded", 422, "The request goes beyond a limit") \
    X(OVERFLOW, "overflow", 422, "The result is too large") \
    X(WRONG_MODE, "wrong_mode", 422, "The file is not open for that") \
    X(UNSUITABLE_FILE, "unsuitable_file", 422, "The file is not of the kind that this takes") \
    X(NOT_TEXT, "not_text", 422, "The file is not UTF-8 text") \
    X(INTERNAL, "internal", 500, "Something went wrong inside gatherd") \
    X(CHILD_FAILED, "child_failed", 500, "Too many of the gathered tasks failed") \
    X(IO_ERROR, "io_error", 500, "The system could not read or write the file") \
    X(WORKER_DIED, "worker_died", 500, "The worker process died while it ran the task") \
    X(WORKER_MEMORY, "worker_memory", 500, "The task needed more memory than a worker process may take") \
    X(RESOLVE_FAILED, "resolve_failed", 502, "The host could not be looked up") \
    X(OUT_OF_MEMORY, "out_of_memory", 503, "There is no memory for this request now") \
    X(TOO_MANY_TASKS, "too_many_tasks", 503, "As many tasks as the limit allows are unfinished") \
    X(POOL_FULL, "pool_full", 503, "As many tasks as the limit allows wait for this pool") \
    X(TOO_MANY_FILES, "too_many_files", 503, "As many files as the limit allows are open") \
    X(TOO_MANY_STREAMS, "too_many_streams", 503, "As many files as the limit allows are on their way in or out") \
    X(TOO_MANY_CONNECTIONS, "too_many_connections", 503, "As many connections as the limit allows are open") \
    X(SHUTTING_DOWN, "shutting_down", 503, "The service is shutting down") \
    X(TIMEOUT, "timeout", 504, "The task ran longer than its timeout") \
    X(DEADLINE, "deadline", 504, "The task did not end before its deadline") \
    X(NO_SPACE, "no_space", 507, "There is no space for the file")

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

const char *error_code(int rc);  /* "unknown_function"; static */
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

#endif

/* error - the table of error codes, and struct err, which describes a failure.
 *
 * Owns:     nothing.
 * Threads:  any.
 */
#ifndef GATHERD_RUNTIME_LIB_ERROR_H
#define GATHERD_RUNTIME_LIB_ERROR_H

/* Also in PROBLEM_OUT_OF_MEMORY (handlers/http/response.h). */
#define ERROR_TITLE_OUT_OF_MEMORY "Out of memory"

/* X(name, code, HTTP status, title). The code appears in JSON and, with hyphens, in a problem's `type`. The title is
 * the same for each occurrence of the error (RFC 9457). */
#define ERROR_TABLE(X) \
    X(MALFORMED_HTTP, "malformed_http", 400, "Malformed HTTP request") \
    X(MALFORMED_JSON, "malformed_json", 400, "The body is not valid JSON") \
    X(CROSS_ORIGIN_REQUEST, "cross_origin_request", 403, "Cross-site request rejected") \
    X(EXECUTOR_DISABLED, "executor_disabled", 403, "The executor is disabled") \
    X(PATH_FORBIDDEN, "path_forbidden", 403, "The path leaves the file root") \
    X(ACCESS_DENIED, "access_denied", 403, "Access denied") \
    X(NOT_FOUND, "not_found", 404, "Not found") \
    X(FUNCTION_NOT_FOUND, "function_not_found", 404, "Function not found") \
    X(HOST_NOT_FOUND, "host_not_found", 404, "Host not found") \
    X(FILE_NOT_FOUND, "file_not_found", 404, "File not found") \
    X(HANDLE_NOT_FOUND, "handle_not_found", 404, "File handle not found") \
    X(FILE_METHOD_NOT_FOUND, "file_method_not_found", 404, "File method not found") \
    X(METHOD_NOT_ALLOWED, "method_not_allowed", 405, "Method not allowed") \
    X(CANCELED, "canceled", 409, "The task was canceled") \
    X(FILE_EXISTS, "file_exists", 409, "The file already exists") \
    X(HANDLE_CLOSED, "handle_closed", 410, "The file handle is closed") \
    X(STALE_HANDLE, "stale_handle", 410, "Stale file handle") \
    X(PRECONDITION_FAILED, "precondition_failed", 412, "Precondition failed") \
    X(BODY_TOO_LARGE, "body_too_large", 413, "The body is too large") \
    X(UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", 415, "Unsupported media type") \
    X(MISDIRECTED_REQUEST, "misdirected_request", 421, "Misdirected request") \
    X(INVALID, "invalid", 422, "Validation failed") \
    X(LIMIT_EXCEEDED, "limit_exceeded", 422, "Limit exceeded") \
    X(OVERFLOW, "overflow", 422, "The result is too large") \
    X(FILE_MODE_MISMATCH, "file_mode_mismatch", 422, "Operation not allowed by the file's mode") \
    X(UNSUPPORTED_FILE_TYPE, "unsupported_file_type", 422, "Unsupported file type") \
    X(INVALID_UTF8, "invalid_utf8", 422, "The file is not valid UTF-8") \
    X(INTERNAL, "internal", 500, "Internal error") \
    X(CHILD_FAILED, "child_failed", 500, "Too many child tasks failed") \
    X(IO_ERROR, "io_error", 500, "I/O error") \
    X(WORKER_CRASHED, "worker_crashed", 500, "The worker process crashed") \
    X(WORKER_OUT_OF_MEMORY, "worker_out_of_memory", 500, "The worker process ran out of memory") \
    X(RESOLVE_FAILED, "resolve_failed", 502, "Name resolution failed") \
    X(OUT_OF_MEMORY, "out_of_memory", 503, ERROR_TITLE_OUT_OF_MEMORY) \
    X(TOO_MANY_TASKS, "too_many_tasks", 503, "Too many unfinished tasks") \
    X(POOL_FULL, "pool_full", 503, "The pool's queue is full") \
    X(TOO_MANY_OPEN_FILES, "too_many_open_files", 503, "Too many open files") \
    X(TOO_MANY_STREAMS, "too_many_streams", 503, "Too many concurrent transfers") \
    X(TOO_MANY_CONNECTIONS, "too_many_connections", 503, "Too many connections") \
    X(SHUTTING_DOWN, "shutting_down", 503, "The service is shutting down") \
    X(TIMEOUT, "timeout", 504, "The task timed out") \
    X(DEADLINE_EXCEEDED, "deadline_exceeded", 504, "Deadline exceeded") \
    X(INSUFFICIENT_STORAGE, "insufficient_storage", 507, "Insufficient storage")

enum error_index {
#define X(name, code, status, title) ERROR_INDEX_##name,
    ERROR_TABLE(X)
#undef X
        ERROR_COUNT
};

/* Result codes: 0 or one of these, all negative. */
enum {
#define X(name, code, status, title) ERR_##name = -1 - (int)ERROR_INDEX_##name,
    ERROR_TABLE(X)
#undef X
};

const char *error_code(int rc);  /* a static string, such as "function_not_found" */
const char *error_title(int rc); /* a static string */
int error_status(int rc);        /* an HTTP status, 400 to 599 */

struct field; /* a row of a type table (runtime/types/type.h) */

/* Filled where a failure is detected; callers may add context. */
struct err {
    int rc;
    const char *pool;          /* the pool that is full, or NULL; lives as long as the runtime */
    const struct field *limit; /* the exceeded row of limits_fields, or NULL */
    char msg[256];
};

/* Fills *e, which may be NULL, and returns rc, so that a function can `return err_set(e, ERR_X, ...)`. A message that
 * does not fit ends with "...". */
int err_set(struct err *e, int rc, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* err_set() for ERR_OUT_OF_MEMORY. */
int err_nomem(struct err *e);

#endif

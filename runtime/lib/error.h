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
    X(MALFORMED_HTTP, "malformed_http", 400, "Malformed HTTP request", \
      "The request is ambiguous or malformed, such as one with two lengths; correct the client") \
    X(MALFORMED_JSON, "malformed_json", 400, "The body is not valid JSON", \
      "The body is not JSON (RFC 8259), has a lone surrogate, or a number beyond 64 bits or a double; the " \
      "detail says where") \
    X(CROSS_ORIGIN_REQUEST, "cross_origin_request", 403, "Cross-site request rejected", \
      "A browser sent the request for a page of another site; send it from the same host and port, or without Origin") \
    X(EXECUTOR_DISABLED, "executor_disabled", 403, "The executor is disabled", \
      "The service was started without the executor that the task needs; the detail names the flag that enables it") \
    X(PATH_FORBIDDEN, "path_forbidden", 403, "The path leaves the file root", \
      "The path leads outside the file root; use a relative path and relative symlinks that stay inside") \
    X(ACCESS_DENIED, "access_denied", 403, "Access denied", \
      "The operating system denies access to the file; change its permissions, or use another file") \
    X(NOT_FOUND, "not_found", 404, "Not found", \
      "The path of the request is unknown; GET /openapi.yaml describes all paths") \
    X(FUNCTION_NOT_FOUND, "function_not_found", 404, "Function not found", \
      "The function is unknown; GET /v1/functions lists all functions") \
    X(HOST_NOT_FOUND, "host_not_found", 404, "Host not found", \
      "The host is unknown, or has no address of the requested family") \
    X(FILE_NOT_FOUND, "file_not_found", 404, "File not found", "The file, or a directory in its path, does not exist") \
    X(HANDLE_NOT_FOUND, "handle_not_found", 404, "File handle not found", \
      "The handle was never issued; POST /v1/files returns a valid one") \
    X(FILE_METHOD_NOT_FOUND, "file_method_not_found", 404, "File method not found", \
      "The file method is unknown; the detail lists all methods") \
    X(METHOD_NOT_ALLOWED, "method_not_allowed", 405, "Method not allowed", \
      "The path does not support the request method; the header Allow lists those that it supports") \
    X(CANCELED, "canceled", 409, "The task was canceled", \
      "The task was canceled before it ended; task.cancel gives the reason and the effect") \
    X(FILE_EXISTS, "file_exists", 409, "The file already exists", \
      "The file exists already, or the directory is not empty; choose another path, or allow replacing it") \
    X(HANDLE_CLOSED, "handle_closed", 410, "The file handle is closed", \
      "The file was closed by a call or a step, or because its lease expired; open it again") \
    X(STALE_HANDLE, "stale_handle", 410, "The file handle did not survive a restart", \
      "The handle was issued before the service restarted; open the file again") \
    X(PRECONDITION_FAILED, "precondition_failed", 412, "Precondition failed", \
      "The file does not meet If-Match or If-None-Match, and is unchanged; get its current ETag and decide again") \
    X(BODY_TOO_LARGE, "body_too_large", 413, "The body is too large", \
      "The body exceeds the limit max_body_bytes; send less, or divide the request") \
    X(UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", 415, "Unsupported media type", \
      "The Content-Type or the Content-Encoding of the body is not supported; the detail says what to send") \
    X(MISDIRECTED_REQUEST, "misdirected_request", 421, "Misdirected request", \
      "On a loopback address, Host must be an IP address or localhost; use such a URL") \
    X(INVALID, "invalid", 422, "Validation failed", \
      "The request does not match its schema; errors lists the members or query parameters at fault") \
    X(INVALID_ARGUMENT, "invalid_argument", 422, "Invalid argument", \
      "An argument matches its schema but cannot be used, such as malformed base64; the detail gives the reason") \
    X(LIMIT_EXCEEDED, "limit_exceeded", 422, "Limit exceeded", \
      "The request exceeds a configured limit, which the detail names; GET /v1/limits lists all limits") \
    X(OVERFLOW, "overflow", 422, "The result is too large", "The result does not fit in 64 bits; use a smaller input") \
    X(FILE_MODE_MISMATCH, "file_mode_mismatch", 422, "The file's mode does not allow this", \
      "The file is open in a mode that does not allow the method; open it in another mode") \
    X(UNSUPPORTED_FILE_TYPE, "unsupported_file_type", 422, "Unsupported file type", \
      "The path names a file of another type than the operation supports, such as a directory") \
    X(INVALID_UTF8, "invalid_utf8", 422, "The file is not valid UTF-8", \
      "The data in the file is not UTF-8; use the encoding base64") \
    X(INTERNAL, "internal", 500, "Internal error", "An error inside the service; report it with the request ID") \
    X(CHILD_FAILED, "child_failed", 500, "Too many child tasks failed", \
      "More tasks of the gather failed than its mode allows; task.result lists the outcome of each") \
    X(IO_ERROR, "io_error", 500, "I/O error", \
      "The operating system failed to read or write the file; the detail has its message") \
    X(WORKER_CRASHED, "worker_crashed", 500, "The worker process crashed", \
      "The worker process that ran the task died; other tasks are unaffected, and the worker is replaced") \
    X(WORKER_OUT_OF_MEMORY, "worker_out_of_memory", 500, "The worker process ran out of memory", \
      "The task needed more memory than --worker-memory-bytes grants a worker process; use a smaller input") \
    X(RESOLVE_FAILED, "resolve_failed", 502, "Name resolution failed", \
      "The name server did not answer, or refused; try again later") \
    X(OUT_OF_MEMORY, "out_of_memory", 503, ERROR_TITLE_OUT_OF_MEMORY, \
      "The service has too little memory for the request; try again later") \
    X(TOO_MANY_TASKS, "too_many_tasks", 503, "Too many unfinished tasks", \
      "The number of unfinished tasks has reached the limit max_tasks; try again later") \
    X(POOL_FULL, "pool_full", 503, "The pool's queue is full", \
      "The pool's queue has reached the limit queue_limit (the problem's member pool names it); try again later") \
    X(TOO_MANY_OPEN_FILES, "too_many_open_files", 503, "Too many open files", \
      "The number of open files has reached the limit max_open_files, or that of the system; close some first") \
    X(TOO_MANY_STREAMS, "too_many_streams", 503, "Too many concurrent transfers", \
      "The number of concurrent transfers of /v1/fs has reached the limit max_streams; try again later") \
    X(TOO_MANY_CONNECTIONS, "too_many_connections", 503, "Too many connections", \
      "The number of connections has reached the limit max_connections, or that of the system; try again later") \
    X(SHUTTING_DOWN, "shutting_down", 503, "The service is shutting down", \
      "The service is shutting down; try again after its restart") \
    X(TIMEOUT, "timeout", 504, "The task timed out", \
      "The task ran longer than its timeout_seconds; task.cancel gives the effect") \
    X(DEADLINE_EXCEEDED, "deadline_exceeded", 504, "Deadline exceeded", \
      "The task did not end within its deadline_seconds, queueing included; task.cancel gives the effect") \
    X(INSUFFICIENT_STORAGE, "insufficient_storage", 507, "Insufficient storage", \
      "The file system has no space for the data, or limits the size of the file; the file is unchanged")

enum error_index {
#define X(name, code, status, title, doc) ERROR_INDEX_##name,
    ERROR_TABLE(X)
#undef X
        ERROR_COUNT
};

/* Result codes: 0 or one of these, all negative. */
enum {
#define X(name, code, status, title, doc) ERR_##name = -1 - (int)ERROR_INDEX_##name,
    ERROR_TABLE(X)
#undef X
};

extern const char *const error_codes[ERROR_COUNT + 1]; /* by enum error_index; ends with NULL */

const char *error_code(int rc);  /* "function_not_found"; static */
const char *error_title(int rc); /* static */
const char *error_doc(int rc);   /* static */
int error_status(int rc);        /* an HTTP status, 400 to 599 */

struct field; /* a row of a type table (runtime/types/type.h) */

/* Filled where a failure is detected; callers may add context. */
struct err {
    int rc;
    const char *pool;          /* ERR_POOL_FULL: name of the pool; else NULL; lives as long as the runtime */
    const struct field *limit; /* ERR_LIMIT_EXCEEDED: the row of limits_fields, if known; else NULL */
    char msg[256];             /* the detail, NUL-terminated */
};

/* Fills *e unless e is NULL. Returns rc, so that a function can `return err_set(e, ERR_X, ...)`. A message that does
 * not fit ends with "...". */
int err_set(struct err *e, int rc, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* err_set() for ERR_OUT_OF_MEMORY. */
int err_nomem(struct err *e);

#endif

/* base - what every room uses: the one table of errors, assertions, and a few shapes of data.
 *
 * Depends on libc alone. Nothing here allocates, blocks or keeps state, so all of it may be used on any thread.
 */
#ifndef GATHERD_RUNTIME_BASE_H
#define GATHERD_RUNTIME_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The one table of errors: name, code (in JSON; with hyphens the end of the problem's `type`), HTTP status (RFC 9110),
 * title (as in RFC 9457: the same for each occurrence). */
#define ERROR_TABLE(X) \
    X(MALFORMED_HTTP, "malformed_http", 400, "The request breaks the rules of HTTP") \
    X(MALFORMED_JSON, "malformed_json", 400, "The body is not JSON") \
    X(FOREIGN_ORIGIN, "foreign_origin", 403, "Requests from other sites are refused") \
    X(UNKNOWN_PATH, "unknown_path", 404, "There is nothing under this path") \
    X(UNKNOWN_FUNCTION, "unknown_function", 404, "There is no function of this name") \
    X(METHOD_NOT_ALLOWED, "method_not_allowed", 405, "This path does not take this method") \
    X(CANCELED, "canceled", 409, "The task was canceled") \
    X(BODY_TOO_LARGE, "body_too_large", 413, "The body is larger than the limit") \
    X(UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", 415, "The body's media type is not supported") \
    X(MISDIRECTED, "misdirected", 421, "This service does not answer for this host") \
    X(INVALID, "invalid", 422, "The request does not fit its schema") \
    X(LIMIT_EXCEEDED, "limit_exceeded", 422, "The request goes beyond a limit") \
    X(INTERNAL, "internal", 500, "Something went wrong inside gatherd") \
    X(CHILD_FAILED, "child_failed", 500, "Too many of the gathered tasks failed") \
    X(OUT_OF_MEMORY, "out_of_memory", 503, "There is no memory for this request now") \
    X(TOO_MANY_TASKS, "too_many_tasks", 503, "As many tasks as the limit allows are unfinished") \
    X(TOO_MANY_CONNECTIONS, "too_many_connections", 503, "As many connections as the limit allows are open") \
    X(SHUTTING_DOWN, "shutting_down", 503, "The service is shutting down") \
    X(TIMEOUT, "timeout", 504, "The task ran longer than its timeout") \
    X(DEADLINE, "deadline", 504, "The task did not end before its deadline")

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

/* Filled where something fails, wrapped on the way out; `msg` is a sentence a person can act on. */
struct err {
    int rc;
    char msg[256];
};

/* Fills *e (which may be NULL) and returns rc, so that a function can `return err_set(e, ERR_X, ...)`. */
int err_set(struct err *e, int rc, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* UTF-8 text. `at[len]` is always a NUL; `at` is NULL when there is no text at all. Who owns the bytes is said by the
 * struct it is part of. */
struct text {
    const char *at;
    size_t len;
};

#define TEXT(literal) ((struct text){(literal), sizeof(literal) - 1})
struct text text_of(const char *s); /* borrows s; NULL gives no text */
bool text_is(struct text t, const char *s);

struct list {
    void *items; /* count items of the list's type, one after the other */
    size_t count;
};

/* A doubly linked ring; an empty one, and a node that is in no ring, points to itself. */
struct ring {
    struct ring *prev, *next;
};

static inline void ring_init(struct ring *r)
{
    r->prev = r->next = r;
}

static inline bool ring_empty(const struct ring *r)
{
    return r->next == r;
}

static inline void ring_append(struct ring *head, struct ring *node)
{
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}

static inline void ring_remove(struct ring *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    ring_init(node);
}

#define container_of(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#define NS_PER_SECOND UINT64_C(1000000000)
#define NS_PER_MS UINT64_C(1000000)

/* Assertions: for our own bugs, kept in release builds. Nothing that a client, the system or a lack of memory can bring
 * about may reach one. */
#define PRE(condition) ((condition) ? (void)0 : assertion_failed("PRE", #condition, __FILE__, __LINE__))
#define POST(condition) ((condition) ? (void)0 : assertion_failed("POST", #condition, __FILE__, __LINE__))
_Noreturn void assertion_failed(const char *kind, const char *condition, const char *file, int line);

#endif

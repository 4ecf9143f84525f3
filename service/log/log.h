/* log - writes one line per event, as text or JSON, without blocking the loop.
 *
 * Lines are buffered and written by log_flush(), once per loop iteration. Lines that do not fit in the buffer are
 * dropped; their number is logged (log_dropped) once there is space.
 *
 * Owns:     its buffers, and a descriptor that it opened.
 * Threads:  the loop thread.
 * Promise:  only log_close() blocks, for up to a second. An event is one line, whatever its values contain.
 */
#ifndef GATHERD_SERVICE_LOG_LOG_H
#define GATHERD_SERVICE_LOG_LOG_H

#include "handlers/json/json_writer.h"
#include "runtime/lib/util.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_LEVELS };
extern const char *const log_level_names[LOG_LEVELS + 1]; /* ends with NULL */

enum log_format { LOG_TEXT, LOG_JSON, LOG_FORMATS };
extern const char *const log_format_names[LOG_FORMATS + 1]; /* ends with NULL */

enum {
    LOG_BUFFER_SIZE = 256 * 1024, /* bytes */
    LOG_MAX_VALUE = 1024,         /* bytes of a string value; longer ones are truncated, with "..." appended */
};

/* How the descriptor is written without blocking. */
enum log_write_mode {
    LOG_WRITE_PLAIN,  /* writev(): a regular file, or a non-blocking file description of our own */
    LOG_WRITE_SOCKET, /* sendmsg() with MSG_DONTWAIT */
    LOG_WRITE_POLLED, /* a pipe that cannot be reopened: poll(), then up to PIPE_BUF bytes */
};

/* Limits the lines per second of an event. Zeroed before use. */
struct log_rate_limit {
    int64_t second;     /* CLOCK_MONOTONIC */
    int lines;          /* allowed in this second */
    int64_t suppressed; /* since the last allowed line */
};

struct log {
    enum log_level level; /* the least severe one that is logged */
    enum log_format format;
    enum log_write_mode write_mode;
    int fd;
    bool owns_fd; /* log_close() closes fd */
    struct log_rate_limit rejection_limit;
    uint64_t dropped;        /* lines not yet reported by log_dropped */
    struct json_writer line; /* the current line; its memory is reused */
    size_t start, len;       /* pending bytes in buffer, a ring */
    char buffer[LOG_BUFFER_SIZE];
};

/* A key and its value. Absent values (runtime/types/type.h: NULL data, INT64_MIN, SECONDS_ABSENT) are omitted.
 * Strings may hold any bytes: invalid UTF-8, control and bidirectional characters are replaced by U+FFFD. */
struct log_field {
    const char *key; /* [a-z_]+ */
    enum { LOG_FIELD_STRING, LOG_FIELD_INTEGER, LOG_FIELD_SECONDS } kind;
    union {
        struct str str;
        int64_t integer;
        uint64_t seconds; /* nanoseconds */
    } value;
};

static inline struct log_field log_string(const char *key, struct str value)
{
    return (struct log_field){.key = key, .kind = LOG_FIELD_STRING, .value.str = value};
}

static inline struct log_field log_integer(const char *key, int64_t value)
{
    return (struct log_field){.key = key, .kind = LOG_FIELD_INTEGER, .value.integer = value};
}

static inline struct log_field log_seconds(const char *key, uint64_t ns)
{
    return (struct log_field){.key = key, .kind = LOG_FIELD_SECONDS, .value.seconds = ns};
}

/* Borrows fd until log_close(). The process should ignore SIGPIPE. */
void log_open(struct log *log, int fd, enum log_format format, enum log_level level);

static inline bool log_enabled(const struct log *log, enum log_level level)
{
    return level <= log->level;
}

/* Whether a line may be logged now. If so, *suppressed is the number of lines suppressed since the last one. */
bool log_rate_limit_allow(struct log_rate_limit *limit, int max_per_second, int64_t *suppressed);

void log_write(struct log *log, enum log_level level, const char *event, const struct log_field fields[], size_t n);

/* Logs an event if its level is enabled:
 *     log_event(log, LOG_INFO, "listening", LOG_FIELDS(log_string("address", address)));
 * `event` matches [a-z_]+. */
static inline void log_event(struct log *log, enum log_level level, const char *event, const struct log_field fields[],
                             size_t n)
{
    if (log_enabled(log, level))
        log_write(log, level, event, fields, n);
}

#define LOG_FIELDS(...) (const struct log_field[]){__VA_ARGS__}, COUNT_OF(((const struct log_field[]){__VA_ARGS__}))

/* Writes pending lines until it would block or fails; the rest stays pending. */
void log_flush(struct log *log);

/* Whether log_flush() must be called again, a little later. */
static inline bool log_pending(const struct log *log)
{
    return log->len > 0;
}

/* Writes pending lines for up to a second, then releases what the log owns. */
void log_close(struct log *log);

#endif

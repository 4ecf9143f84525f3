/* log - one line for each event, as text or JSON, without ever keeping the loop waiting.
 *
 * Lines are collected in memory and written by log_flush(), once a turn of the loop. What can't be written yet stays;
 * with no room left lines are dropped, and their number is logged (log_dropped) when there is room again.
 *
 * Owns:     its buffers, and the description it opened for itself.
 * Threads:  the loop thread.
 * Promise:  nothing but log_close() ever waits, and that at most a second; an event is one line, whatever its values hold.
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
    LOG_BUFFER_SIZE = 256 * 1024, /* bytes of lines that wait to be written */
    LOG_MAX_VALUE = 1024,         /* bytes of a text value; a longer one is cut, and ends with "..." */
};

/* How its descriptor is written to without waiting. */
enum log_write_mode {
    LOG_WRITE_PLAIN,  /* write(): to a file, which waits for nobody, or to a non-blocking description of our own */
    LOG_WRITE_SOCKET, /* send() with MSG_DONTWAIT */
    LOG_WRITE_POLLED, /* a pipe we may not open again: poll(), then no more than a pipe surely takes */
};

/* Lines that somebody else brings about, and that must not fill the disk: only so many a second. */
struct log_rate_limit {
    int64_t second;
    int lines;          /* in it */
    int64_t suppressed; /* since the last one that was taken */
};

struct log {
    enum log_level level; /* the most detailed one that is logged */
    enum log_format format;
    enum log_write_mode write_mode;
    int fd;
    bool owns_fd; /* opened here, to be closed by log_close() */
    struct log_rate_limit rejection_limit;
    uint64_t dropped;        /* lines, since the last that was taken */
    struct json_writer line; /* the one being made; its memory is kept for the next */
    size_t start, len;       /* what waits in ring: from start, len bytes, going on at 0 */
    char buffer[LOG_BUFFER_SIZE];
};

/* A value in a line. What is absent (types.h: no text, INT64_MIN, SECONDS_ABSENT) is left out. Text may be any bytes: what is
 * no UTF-8 or would move a terminal is replaced by U+FFFD. */
struct log_field {
    const char *key; /* a word of our own: [a-z_]+ */
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

/* Starts a log on `fd`, which stays the caller's and open for as long. SIGPIPE should be ignored. */
void log_open(struct log *log, int fd, enum log_format format, enum log_level level);

static inline bool log_enabled(const struct log *log, enum log_level level)
{
    return level <= log->level;
}

/* Whether there is room in the flow for a line now; then *suppressed says how many there were none for before. */
bool log_rate_limit_allow(struct log_rate_limit *limit, int max_per_second, int64_t *suppressed);

void log_write(struct log *log, enum log_level level, const char *event, const struct log_field fields[], size_t n);

/* Takes down one event, such as
 *     log_event(log, LOG_INFO, "listening", LOG_FIELDS(log_string("address", address)));
 * `event` is a word of our own: [a-z_]+. Nothing happens at a level that is not enabled. */
static inline void log_event(struct log *log, enum log_level level, const char *event, const struct log_field fields[],
                             size_t n)
{
    if (log_enabled(log, level))
        log_write(log, level, event, fields, n);
}

#define LOG_FIELDS(...) (const struct log_field[]){__VA_ARGS__}, COUNT_OF(((const struct log_field[]){__VA_ARGS__}))

/* Writes what waits, as much as the reader takes at once. What can't be written for another reason stays as well. */
void log_flush(struct log *log);

/* Whether anything still waits: then log_flush() should be tried again, a little later. */
static inline bool log_pending(const struct log *log)
{
    return log->len > 0;
}

/* Writes what waits, for at most a second, and gives back what the log owns. Nothing is logged afterwards. */
void log_close(struct log *log);

#endif

#include "service/log/log.h"

#include "runtime/lib/io.h"
#include "runtime/lib/wall_clock.h"
#include "runtime/types/type.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

const char *const log_level_names[LOG_LEVELS + 1] = {
    [LOG_ERROR] = "error",
    [LOG_WARN] = "warn",
    [LOG_INFO] = "info",
    [LOG_DEBUG] = "debug",
};

const char *const log_format_names[LOG_FORMATS + 1] = {
    [LOG_TEXT] = "text",
    [LOG_JSON] = "json",
};

#define REPLACEMENT_CHAR "\xEF\xBF\xBD" /* U+FFFD */

enum {
    CLOSE_TIMEOUT_MS = 1000,
    SANITIZED_VALUE_SIZE = LOG_MAX_VALUE + sizeof STR_ELLIPSIS,
};

/* Opens a file description of our own, to make it non-blocking: O_NONBLOCK would also affect the other processes that
 * share fd's description, such as a shell on the same terminal. */
static int reopen(int fd)
{
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return open(path, O_WRONLY | O_APPEND | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
}

void log_open(struct log *log, int fd, enum log_format format, enum log_level level)
{
    memset(log, 0, offsetof(struct log, buffer));
    log->level = level;
    log->format = format;
    log->write_mode = LOG_WRITE_PLAIN;
    log->fd = fd;

    struct stat stat;
    if (fstat(fd, &stat) != 0) {
        log->fd = -1; /* fd is closed; its number may be reused for another file */
    } else if (S_ISSOCK(stat.st_mode)) {
        log->write_mode = LOG_WRITE_SOCKET;
    } else if (S_ISFIFO(stat.st_mode) || S_ISCHR(stat.st_mode)) {
        int reopened = reopen(fd);
        log->owns_fd = reopened >= 0;
        if (log->owns_fd)
            log->fd = reopened;
        else /* /proc not mounted, or not permitted */
            log->write_mode = LOG_WRITE_POLLED;
    }
}

/* DEL, C1 controls (U+0080 to U+009F), line separators and bidirectional controls (U+2028 to U+202E, U+2066 to U+2069).
 * JSON escapes cover C0. */
static bool is_unsafe_char(const unsigned char *at, size_t len)
{
    return (len == 1 && at[0] == 0x7F) || (len == 2 && at[0] == 0xC2 && at[1] < 0xA0) ||
           (len == 3 && at[0] == 0xE2 && at[1] == 0x80 && at[2] >= 0xA8 && at[2] <= 0xAE) ||
           (len == 3 && at[0] == 0xE2 && at[1] == 0x81 && at[2] >= 0xA6 && at[2] <= 0xA9);
}

static bool needs_quotes(struct str str)
{
    for (size_t i = 0; i < str.len; i++)
        if ((unsigned char)str.data[i] <= ' ' || strchr("\"=\\", str.data[i]) != NULL)
            return true;
    return str.len == 0;
}

static void append_value(struct json_writer *w, enum log_format format, struct str raw)
{
    char buffer[SANITIZED_VALUE_SIZE];
    struct str str = {buffer, str_sanitize(raw, REPLACEMENT_CHAR, is_unsafe_char, buffer, sizeof buffer)};
    if (format == LOG_JSON || needs_quotes(str))
        json_writer_string(w, str);
    else
        json_writer_bytes(w, str.data, str.len);
}

static bool field_is_absent(const struct log_field *field)
{
    switch (field->kind) {
    case LOG_FIELD_STRING:
        return field->value.str.data == NULL;
    case LOG_FIELD_INTEGER:
        return field->value.integer == INT64_MIN;
    case LOG_FIELD_SECONDS:
        return field->value.seconds == SECONDS_ABSENT;
    }
    return true;
}

static void append_field(struct json_writer *w, enum log_format format, const struct log_field *field)
{
    json_writer_raw(w, format == LOG_JSON ? ",\"" : " ");
    json_writer_raw(w, field->key);
    json_writer_raw(w, format == LOG_JSON ? "\":" : "=");
    switch (field->kind) {
    case LOG_FIELD_STRING:
        append_value(w, format, field->value.str);
        return;
    case LOG_FIELD_INTEGER:
        json_writer_integer(w, field->value.integer);
        return;
    case LOG_FIELD_SECONDS:
        json_writer_seconds(w, field->value.seconds);
        return;
    }
}

static void format_line(struct log *log, enum log_level level, const char *event, const struct log_field fields[],
                        size_t n)
{
    struct json_writer *w = &log->line;
    if (w->failed)
        json_writer_free(w);
    w->len = 0;

    char time[RFC3339_SIZE];
    rfc3339_format(wall_clock_us(), time);
    bool json = log->format == LOG_JSON;
    json_writer_format(w, "%s%s%s%s%s%s", json ? "{\"time\":\"" : "", time, json ? "\",\"level\":\"" : " ",
                       log_level_names[level], json ? "\",\"event\":\"" : " ", event);
    if (json)
        json_writer_raw(w, "\"");
    for (size_t i = 0; i < n; i++)
        if (!field_is_absent(&fields[i]))
            append_field(w, log->format, &fields[i]);
    json_writer_raw(w, json ? "}\n" : "\n");
}

/* Appends log->line to the ring. Returns false if out of memory while it was formatted, or if it does not fit. */
static bool enqueue_line(struct log *log)
{
    const struct json_writer *w = &log->line;
    if (w->failed || w->len > LOG_BUFFER_SIZE - log->len)
        return false;
    size_t end = (log->start + log->len) % LOG_BUFFER_SIZE;
    size_t first = w->len < LOG_BUFFER_SIZE - end ? w->len : LOG_BUFFER_SIZE - end;
    memcpy(log->buffer + end, w->data, first);
    memcpy(log->buffer, w->data + first, w->len - first);
    log->len += w->len;
    return true;
}

/* After a drop, further lines are dropped until half of the ring is free, so that the log has one gap and one
 * log_dropped line. Returns false while lines are dropped. */
static bool resume_after_drop(struct log *log)
{
    if (log->dropped == 0)
        return true;
    if (log->len > LOG_BUFFER_SIZE / 2)
        return false;
    format_line(log, LOG_WARN, "log_dropped", LOG_FIELDS(log_integer("lines", (int64_t)log->dropped)));
    if (!enqueue_line(log))
        return false;
    log->dropped = 0;
    return true;
}

bool log_rate_limit_allow(struct log_rate_limit *limit, int max_per_second, int64_t *suppressed)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    if (limit->second != now.tv_sec)
        *limit = (struct log_rate_limit){.second = now.tv_sec, .suppressed = limit->suppressed};
    bool allowed = limit->lines < max_per_second;
    *suppressed = limit->suppressed;
    limit->suppressed = allowed ? 0 : limit->suppressed + 1;
    limit->lines += allowed;
    return allowed;
}

void log_write(struct log *log, enum log_level level, const char *event, const struct log_field fields[], size_t n)
{
    if (resume_after_drop(log)) {
        format_line(log, level, event, fields, n);
        if (enqueue_line(log))
            return;
    }
    log->dropped++;
}

static ssize_t write_pending(struct log *log)
{
    size_t first = log->len < LOG_BUFFER_SIZE - log->start ? log->len : LOG_BUFFER_SIZE - log->start;
    struct iovec iov[] = {{log->buffer + log->start, first}, {log->buffer, log->len - first}};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = COUNT_OF(iov)};
    struct pollfd writable = {.fd = log->fd, .events = POLLOUT};

    switch (log->write_mode) {
    case LOG_WRITE_PLAIN:
        return writev(log->fd, iov, COUNT_OF(iov));
    case LOG_WRITE_SOCKET:
        return sendmsg(log->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
    case LOG_WRITE_POLLED:
        if (poll(&writable, 1, 0) == 1) /* a writable pipe has space for PIPE_BUF bytes (pipe(7)) */
            return write(log->fd, iov[0].iov_base, first < PIPE_BUF ? first : PIPE_BUF);
        errno = EAGAIN;
        return -1;
    }
    return -1;
}

/* If lines remain and errno is EAGAIN, a later call may write them. */
void log_flush(struct log *log)
{
    while (log->len > 0) {
        ssize_t n = write_pending(log);
        if (io_interrupted(n))
            continue;
        if (n <= 0)
            return;
        log->start = (log->start + (size_t)n) % LOG_BUFFER_SIZE;
        log->len -= (size_t)n;
        resume_after_drop(log);
    }
}

static int64_t monotonic_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void log_close(struct log *log)
{
    int64_t end = monotonic_ms() + CLOSE_TIMEOUT_MS;
    for (;;) {
        errno = 0;
        log_flush(log);
        int64_t remaining = end - monotonic_ms();
        if (log->len == 0 || errno != EAGAIN || remaining <= 0)
            break;
        struct pollfd writable = {.fd = log->fd, .events = POLLOUT};
        poll(&writable, 1, (int)remaining);
    }
    if (log->owns_fd)
        close(log->fd);
    json_writer_free(&log->line);
    log->fd = -1;
    log->owns_fd = false;
    log->len = 0;
}

#include "service/log/log.h"

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

#define REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */
#define CUT "..."

enum {
    CLOSE_MOST_MS = 1000,
    CLEAN_SIZE = LOG_VALUE_MOST + sizeof CUT,
};

/* O_NONBLOCK belongs to the description, which others share (a shell has the same terminal): so we need one of our own. */
static int open_again(int fd)
{
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return open(path, O_WRONLY | O_APPEND | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
}

void log_open(struct log *log, int fd, enum log_format format, enum log_level level)
{
    memset(log, 0, offsetof(struct log, ring));
    log->level = level;
    log->format = format;
    log->sink = LOG_SINK_PLAIN;
    log->fd = fd;

    struct stat stat;
    if (fstat(fd, &stat) != 0) {
        log->fd = -1; /* closed; who opens it later doesn't want our lines */
    } else if (S_ISSOCK(stat.st_mode)) {
        log->sink = LOG_SINK_SOCKET;
    } else if (S_ISFIFO(stat.st_mode) || S_ISCHR(stat.st_mode)) {
        int own = open_again(fd);
        log->owns_fd = own >= 0;
        if (log->owns_fd)
            log->fd = own;
        else /* no /proc, or someone else's */
            log->sink = LOG_SINK_POLLED;
    }
}

/* Control characters of two bytes, U+007F, and what breaks lines or turns the direction of writing. */
static bool moves_terminal(const unsigned char *at, size_t len)
{
    return (len == 1 && at[0] == 0x7F) || (len == 2 && at[0] == 0xC2 && at[1] < 0xA0) ||
           (len == 3 && at[0] == 0xE2 && at[1] == 0x80 && at[2] >= 0xA8 && at[2] <= 0xAE) ||
           (len == 3 && at[0] == 0xE2 && at[1] == 0x81 && at[2] >= 0xA6 && at[2] <= 0xA9);
}

/* Any bytes as text that is safe but for what JSON escapes, and not too long. */
static struct str clean(struct str raw, char out[CLEAN_SIZE])
{
    size_t len = 0;
    for (size_t i = 0, step; i < raw.len; i += step) {
        const unsigned char *at = (const unsigned char *)raw.at + i;
        step = *at < 0x80 ? 1 : *at < 0xE0 ? 2 : *at < 0xF0 ? 3 : 4;
        const char *piece = raw.at + i;
        size_t size = step;
        bool whole = step <= raw.len - i && str_is_utf8((struct str){piece, step});
        if (!whole || moves_terminal(at, step)) {
            piece = REPLACEMENT;
            size = sizeof REPLACEMENT - 1;
            step = whole ? step : 1;
        }
        if (len + size > LOG_VALUE_MOST) {
            memcpy(out + len, CUT, sizeof CUT - 1);
            len += sizeof CUT - 1;
            break;
        }
        memcpy(out + len, piece, size);
        len += size;
    }
    return (struct str){out, len};
}

static bool needs_quotes(struct str text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.at[i] <= ' ' || strchr("\"=\\", text.at[i]) != NULL)
            return true;
    return text.len == 0;
}

static void write_text(struct json_writer *w, enum log_format format, struct str raw)
{
    char buffer[CLEAN_SIZE];
    struct str text = clean(raw, buffer);
    if (format == LOG_JSON || needs_quotes(text))
        json_writer_string(w, text);
    else
        json_writer_bytes(w, text.at, text.len);
}

static bool field_is_absent(const struct log_field *field)
{
    switch (field->kind) {
    case LOG_FIELD_TEXT:
        return field->value.text.at == NULL;
    case LOG_FIELD_INTEGER:
        return field->value.integer == INT64_MIN;
    case LOG_FIELD_SECONDS:
        return field->value.seconds == SECONDS_ABSENT;
    }
    return true;
}

static void write_field(struct json_writer *w, enum log_format format, const struct log_field *field)
{
    json_writer_raw(w, format == LOG_JSON ? ",\"" : " ");
    json_writer_raw(w, field->key);
    json_writer_raw(w, format == LOG_JSON ? "\":" : "=");
    switch (field->kind) {
    case LOG_FIELD_TEXT:
        write_text(w, format, field->value.text);
        return;
    case LOG_FIELD_INTEGER:
        json_writer_integer(w, field->value.integer);
        return;
    case LOG_FIELD_SECONDS:
        json_writer_seconds(w, field->value.seconds);
        return;
    }
}

static void make_line(struct log *log, enum log_level level, const char *event, const struct log_field fields[],
                      size_t n)
{
    struct json_writer *w = &log->line;
    if (w->failed)
        json_writer_free(w);
    w->len = 0;

    struct timespec now;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    bool json = log->format == LOG_JSON;
    json_writer_format(w, "%s%04d-%02d-%02dT%02d:%02d:%02d.%06ldZ%s%s%s%s", json ? "{\"time\":\"" : "",
                       tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
                       now.tv_nsec / 1000, json ? "\",\"level\":\"" : " ", log_level_names[level],
                       json ? "\",\"event\":\"" : " ", event);
    if (json)
        json_writer_raw(w, "\"");
    for (size_t i = 0; i < n; i++)
        if (!field_is_absent(&fields[i]))
            write_field(w, log->format, &fields[i]);
    json_writer_raw(w, json ? "}\n" : "\n");
}

/* Moves the line that was made to the end of the ring; false when it is not whole, or there is no room. */
static bool take_line(struct log *log)
{
    const struct json_writer *w = &log->line;
    if (w->failed || w->len > LOG_BUFFER - log->len)
        return false;
    size_t end = (log->start + log->len) % LOG_BUFFER;
    size_t first = w->len < LOG_BUFFER - end ? w->len : LOG_BUFFER - end;
    memcpy(log->ring + end, w->at, first);
    memcpy(log->ring, w->at + first, w->len - first);
    log->len += w->len;
    return true;
}

/* Once lines are lost, all are until half the ring is free: one gap, and one line that tells of it. False while it lasts. */
static bool end_gap(struct log *log)
{
    if (log->dropped == 0)
        return true;
    if (log->len > LOG_BUFFER / 2)
        return false;
    make_line(log, LOG_WARN, "log_dropped", LOG_FIELDS(log_integer("lines", (int64_t)log->dropped)));
    if (!take_line(log))
        return false;
    log->dropped = 0;
    return true;
}

bool log_flow_takes(struct log_flow *flow, int most, int64_t *left_out)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    if (flow->second != now.tv_sec)
        *flow = (struct log_flow){.second = now.tv_sec, .left_out = flow->left_out};
    bool takes = flow->lines < most;
    *left_out = flow->left_out;
    flow->left_out = takes ? 0 : flow->left_out + 1;
    flow->lines += takes;
    return takes;
}

void log_write(struct log *log, enum log_level level, const char *event, const struct log_field fields[], size_t n)
{
    if (end_gap(log)) {
        make_line(log, level, event, fields, n);
        if (take_line(log))
            return;
    }
    log->dropped++;
}

static ssize_t write_some(struct log *log)
{
    size_t first = log->len < LOG_BUFFER - log->start ? log->len : LOG_BUFFER - log->start;
    struct iovec spans[] = {{log->ring + log->start, first}, {log->ring, log->len - first}};
    struct msghdr message = {.msg_iov = spans, .msg_iovlen = COUNT_OF(spans)};
    struct pollfd writable = {.fd = log->fd, .events = POLLOUT};

    switch (log->sink) {
    case LOG_SINK_PLAIN:
        return writev(log->fd, spans, COUNT_OF(spans));
    case LOG_SINK_SOCKET:
        return sendmsg(log->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    case LOG_SINK_POLLED:
        if (poll(&writable, 1, 0) == 1) /* a pipe that is writable at all has room for PIPE_BUF (pipe(7)) */
            return write(log->fd, spans[0].iov_base, first < PIPE_BUF ? first : PIPE_BUF);
        errno = EAGAIN;
        return -1;
    }
    return -1;
}

/* With something left, errno is EAGAIN where waiting may help. */
void log_flush(struct log *log)
{
    while (log->len > 0) {
        ssize_t n = write_some(log);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return;
        log->start = (log->start + (size_t)n) % LOG_BUFFER;
        log->len -= (size_t)n;
        end_gap(log);
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
    int64_t end = monotonic_ms() + CLOSE_MOST_MS;
    for (;;) {
        errno = 0;
        log_flush(log);
        int64_t left = end - monotonic_ms();
        if (log->len == 0 || errno != EAGAIN || left <= 0)
            break;
        struct pollfd writable = {.fd = log->fd, .events = POLLOUT};
        poll(&writable, 1, (int)left);
    }
    if (log->owns_fd)
        close(log->fd);
    json_writer_free(&log->line);
    log->fd = -1;
    log->owns_fd = false;
    log->len = 0;
}

#include "handlers/json/json_writer.h"

#include "runtime/lib/decimal.h"
#include "runtime/lib/util.h"
#include "runtime/types/type.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAPACITY = 512 }; /* the object of one plain task fits in it twice grown */

/* Makes room for `more` bytes. */
static bool writer_reserve(struct json_writer *w, size_t more)
{
    if (w->failed)
        return false;
    if (more <= w->capacity - w->len)
        return true;
    if (more > SIZE_MAX / 2 - w->len) {
        w->failed = true;
        return false;
    }
    size_t capacity = w->capacity == 0 ? FIRST_CAPACITY : w->capacity;
    while (capacity < w->len + more) /* at most SIZE_MAX / 2, so doubling can't wrap */
        capacity *= 2;
    char *at = realloc(w->at, capacity);
    if (at == NULL) {
        w->failed = true;
        return false;
    }
    w->at = at;
    w->capacity = capacity;
    return true;
}

void writer_bytes(struct json_writer *w, const void *bytes, size_t len)
{
    if (len == 0 || !writer_reserve(w, len))
        return;
    memcpy(w->at + w->len, bytes, len);
    w->len += len;
}

void writer_raw(struct json_writer *w, const char *s)
{
    writer_bytes(w, s, strlen(s));
}

void writer_format(struct json_writer *w, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    size_t room = w->capacity - w->len;
    int len = vsnprintf(room == 0 ? NULL : w->at + w->len, room, format, args);
    if (len < 0) {
        w->failed = true;
    } else if ((size_t)len < room && !w->failed) {
        w->len += (size_t)len;
    } else if (writer_reserve(w, (size_t)len + 1)) { /* vsnprintf() wants room for a NUL */
        vsnprintf(w->at + w->len, (size_t)len + 1, format, again);
        w->len += (size_t)len;
    }
    va_end(again);
    va_end(args);
}

static void write_escape(struct json_writer *w, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    static const char shorts[][2] = {{'"', '"'},  {'\\', '\\'}, {'\b', 'b'}, {'\f', 'f'},
                                     {'\n', 'n'}, {'\r', 'r'},  {'\t', 't'}};
    for (size_t i = 0; i < COUNT_OF(shorts); i++) {
        if (c == (unsigned char)shorts[i][0]) {
            writer_bytes(w, (char[]){'\\', shorts[i][1]}, 2);
            return;
        }
    }
    writer_bytes(w, (char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
}

#define EACH_BYTE(c) (UINT64_C(0x0101010101010101) * (c))

/* Whether one of eight bytes is below 0x20, a quote or a backslash. Subtracting 1 from a byte borrows into its top bit only if it
 * was 0; a borrow that goes on from there can do no more than ask for a closer look. */
static bool any_escape(uint64_t eight)
{
    uint64_t quotes = eight ^ EACH_BYTE('"'), backslashes = eight ^ EACH_BYTE('\\');
    uint64_t controls = (eight - EACH_BYTE(0x20)) & ~eight;
    uint64_t found = controls | ((quotes - EACH_BYTE(1)) & ~quotes) | ((backslashes - EACH_BYTE(1)) & ~backslashes);
    return (found & EACH_BYTE(0x80)) != 0;
}

/* How many bytes at the beginning need no escape, at least. */
static size_t plain_run(const char *at, size_t len)
{
    size_t i = 0;
    for (uint64_t eight; i + sizeof eight <= len; i += sizeof eight) {
        memcpy(&eight, at + i, sizeof eight);
        if (any_escape(eight))
            break;
    }
    return i;
}

void writer_string(struct json_writer *w, struct str t)
{
    writer_bytes(w, "\"", 1);
    size_t plain = 0; /* where the run of bytes begins that need no escape */
    for (size_t i = plain_run(t.at, t.len); i < t.len; i++) {
        unsigned char c = (unsigned char)t.at[i];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        writer_bytes(w, t.at + plain, i - plain);
        write_escape(w, c);
        plain = i + 1;
        i += plain_run(t.at + plain, t.len - plain);
    }
    if (plain < t.len)
        writer_bytes(w, t.at + plain, t.len - plain);
    writer_bytes(w, "\"", 1);
}

void writer_integer(struct json_writer *w, int64_t value)
{
    char digits[20]; /* as many as UINT64_MAX has */
    size_t first = sizeof digits;
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do {
        digits[--first] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (value < 0)
        writer_bytes(w, "-", 1);
    writer_bytes(w, digits + first, sizeof digits - first);
}

void writer_seconds(struct json_writer *w, uint64_t ns)
{
    char text[SECONDS_TEXT_SIZE];
    writer_bytes(w, text, seconds_format(ns, text));
}

char *writer_take(struct json_writer *w, size_t *len)
{
    writer_reserve(w, 1); /* an empty text is not a failure */
    if (w->failed) {
        writer_free(w);
        return NULL;
    }
    char *at = w->at;
    *len = w->len;
    *w = (struct json_writer){0};
    return at;
}

void writer_free(struct json_writer *w)
{
    free(w->at);
    *w = (struct json_writer){0};
}

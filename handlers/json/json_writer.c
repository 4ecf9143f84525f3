#include "handlers/json/json_writer.h"

#include "runtime/lib/decimal.h"
#include "runtime/lib/util.h"
#include "runtime/types/type.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INITIAL_CAPACITY = 512 }; /* doubled twice, it fits a task object without children */

/* Grows the buffer for `additional` bytes. */
static bool json_writer_reserve(struct json_writer *w, size_t additional)
{
    if (w->failed)
        return false;
    if (additional <= w->capacity - w->len)
        return true;
    if (additional > SIZE_MAX / 2 - w->len) {
        w->failed = true;
        return false;
    }
    size_t capacity = w->capacity == 0 ? INITIAL_CAPACITY : w->capacity;
    while (capacity < w->len + additional) /* the sum is at most SIZE_MAX / 2, so doubling can't wrap */
        capacity *= 2;
    char *data = realloc(w->data, capacity);
    if (data == NULL) {
        w->failed = true;
        return false;
    }
    w->data = data;
    w->capacity = capacity;
    return true;
}

void json_writer_bytes(struct json_writer *w, const void *bytes, size_t len)
{
    if (len == 0 || !json_writer_reserve(w, len))
        return;
    memcpy(w->data + w->len, bytes, len);
    w->len += len;
}

void json_writer_format(struct json_writer *w, const char *format, ...)
{
    va_list args, args_copy;
    va_start(args, format);
    va_copy(args_copy, args);
    size_t available = w->capacity - w->len;
    int len = vsnprintf(available == 0 ? NULL : w->data + w->len, available, format, args);
    if (len < 0) {
        w->failed = true;
    } else if ((size_t)len < available && !w->failed) {
        w->len += (size_t)len;
    } else if (json_writer_reserve(w, (size_t)len + 1)) { /* + 1 for the NUL of vsnprintf() */
        vsnprintf(w->data + w->len, (size_t)len + 1, format, args_copy);
        w->len += (size_t)len;
    }
    va_end(args_copy);
    va_end(args);
}

static void write_escape(struct json_writer *w, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    static const char short_escapes[][2] = {{'"', '"'},  {'\\', '\\'}, {'\b', 'b'}, {'\f', 'f'},
                                            {'\n', 'n'}, {'\r', 'r'},  {'\t', 't'}};
    for (size_t i = 0; i < COUNT_OF(short_escapes); i++) {
        if (c == (unsigned char)short_escapes[i][0]) {
            json_writer_bytes(w, (char[]){'\\', short_escapes[i][1]}, 2);
            return;
        }
    }
    json_writer_bytes(w, (char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
}

#define REPEAT_BYTE(c) (UINT64_C(0x0101010101010101) * (c))

/* Whether any of eight bytes may be below 0x20, a quote or a backslash. Subtracting 1 sets a byte's top bit if the
 * byte was 0. Borrows into higher bytes may cause false positives, which are harmless. */
static bool has_escape(uint64_t word)
{
    uint64_t quotes = word ^ REPEAT_BYTE('"'), backslashes = word ^ REPEAT_BYTE('\\');
    uint64_t controls = (word - REPEAT_BYTE(0x20)) & ~word;
    uint64_t found = controls | ((quotes - REPEAT_BYTE(1)) & ~quotes) | ((backslashes - REPEAT_BYTE(1)) & ~backslashes);
    return (found & REPEAT_BYTE(0x80)) != 0;
}

/* Skips leading bytes that need no escape, eight at a time. Returns how many were skipped. */
static size_t unescaped_len(const char *at, size_t len)
{
    size_t i = 0;
    for (uint64_t word; i + sizeof word <= len; i += sizeof word) {
        memcpy(&word, at + i, sizeof word);
        if (has_escape(word))
            break;
    }
    return i;
}

void json_writer_string(struct json_writer *w, struct str t)
{
    json_writer_bytes(w, "\"", 1);
    size_t run_start = 0; /* of the current run of unescaped bytes */
    for (size_t i = unescaped_len(t.data, t.len); i < t.len; i++) {
        unsigned char c = (unsigned char)t.data[i];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        json_writer_bytes(w, t.data + run_start, i - run_start);
        write_escape(w, c);
        run_start = i + 1;
        i += unescaped_len(t.data + run_start, t.len - run_start);
    }
    if (run_start < t.len)
        json_writer_bytes(w, t.data + run_start, t.len - run_start);
    json_writer_bytes(w, "\"", 1);
}

void json_writer_integer(struct json_writer *w, int64_t value)
{
    char digits[20]; /* of UINT64_MAX */
    size_t first = sizeof digits;
    uint64_t magnitude = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do {
        digits[--first] = (char)('0' + magnitude % 10);
        magnitude /= 10;
    } while (magnitude > 0);
    if (value < 0)
        json_writer_bytes(w, "-", 1);
    json_writer_bytes(w, digits + first, sizeof digits - first);
}

void json_writer_seconds(struct json_writer *w, uint64_t ns)
{
    char text[SECONDS_TEXT_SIZE];
    json_writer_bytes(w, text, seconds_format(ns, text));
}

void json_writer_item(struct json_writer *w)
{
    char last = w->len == 0 ? '{' : w->data[w->len - 1];
    if (last != '{' && last != '[')
        json_writer_raw(w, ",");
}

void json_writer_member(struct json_writer *w, const char *name)
{
    json_writer_item(w);
    json_writer_raw(w, "\"");
    json_writer_raw(w, name);
    json_writer_raw(w, "\":");
}

void json_writer_member_raw(struct json_writer *w, const char *name, const char *json)
{
    json_writer_member(w, name);
    json_writer_raw(w, json);
}

void json_writer_member_string(struct json_writer *w, const char *name, const char *text)
{
    json_writer_member(w, name);
    json_writer_string(w, str_from(text));
}

void json_writer_member_integer(struct json_writer *w, const char *name, int64_t value)
{
    json_writer_member(w, name);
    json_writer_integer(w, value);
}

void json_writer_item_string(struct json_writer *w, const char *text)
{
    json_writer_item(w);
    json_writer_string(w, str_from(text));
}

void json_writer_open_object(struct json_writer *w, const char *name)
{
    json_writer_member_raw(w, name, "{");
}

void json_writer_open_array(struct json_writer *w, const char *name)
{
    json_writer_member_raw(w, name, "[");
}

char *json_writer_take(struct json_writer *w, size_t *len)
{
    json_writer_reserve(w, 1); /* so that empty text is not NULL */
    if (w->failed) {
        json_writer_free(w);
        return NULL;
    }
    char *data = w->data;
    *len = w->len;
    *w = (struct json_writer){0};
    return data;
}

void json_writer_free(struct json_writer *w)
{
    free(w->data);
    *w = (struct json_writer){0};
}

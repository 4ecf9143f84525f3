#include "runtime/lib/str.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct str str_from(const char *s)
{
    return (struct str){s, s == NULL ? 0 : strlen(s)};
}

bool str_eq(struct str t, const char *s)
{
    return t.data != NULL && t.len == strlen(s) && memcmp(t.data, s, t.len) == 0;
}

void name_list_add(struct name_list *list, const char *name)
{
    static const char ellipsis[] = ", " STR_ELLIPSIS;
    const char *separator = list->len == 0 ? "" : ", ";
    size_t len = strlen(separator) + strlen(name);
    if (list->full)
        return;
    list->full = list->len + len + sizeof ellipsis > sizeof list->text;
    if (list->full)
        memcpy(list->text + list->len, ellipsis, sizeof ellipsis);
    else
        list->len += (size_t)snprintf(list->text + list->len, sizeof list->text - list->len, "%s%s", separator, name);
}

/* The length of `t` without an incomplete character at its end. */
static size_t utf8_complete_len(struct str t)
{
    size_t lead = t.len;
    while (lead > 0 && t.len - lead < 3 && utf8_is_continuation(t.data[lead - 1]))
        lead--;
    if (lead == 0)
        return t.len;
    unsigned char byte = (unsigned char)t.data[--lead];
    size_t char_len = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1;
    return t.len - lead < char_len ? lead : t.len;
}

size_t str_truncate(struct str t, size_t max)
{
    return t.len <= max ? t.len : utf8_complete_len((struct str){t.data, max});
}

size_t str_ellipsize(char *text, size_t size)
{
    size_t len = utf8_complete_len((struct str){text, size - sizeof STR_ELLIPSIS});
    memcpy(text + len, STR_ELLIPSIS, sizeof STR_ELLIPSIS);
    return len + sizeof STR_ELLIPSIS - 1;
}

size_t utf8_char_len(struct str t)
{
    if (t.len == 0)
        return 0;
    unsigned char lead = (unsigned char)t.data[0];
    if (lead < 0x80)
        return 1;
    size_t len = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    return len <= t.len && str_is_utf8((struct str){t.data, len}) ? len : 0;
}

size_t str_sanitize(struct str raw, const char *replacement, bool (*is_unsafe)(const unsigned char *at, size_t len),
                    char *out, size_t size)
{
    size_t replacement_len = strlen(replacement), len = 0;
    for (size_t i = 0, consumed; i < raw.len; i += consumed) {
        const char *bytes = raw.data + i;
        size_t char_len = utf8_char_len((struct str){bytes, raw.len - i});
        consumed = char_len == 0 ? 1 : char_len;
        if (char_len == 0 || is_unsafe((const unsigned char *)bytes, char_len)) {
            bytes = replacement;
            char_len = replacement_len;
        }
        if (len + char_len + sizeof STR_ELLIPSIS > size) {
            memcpy(out + len, STR_ELLIPSIS, sizeof STR_ELLIPSIS);
            return len + sizeof STR_ELLIPSIS - 1;
        }
        memcpy(out + len, bytes, char_len);
        len += char_len;
    }
    out[len] = '\0';
    return len;
}

/* The length of the leading ASCII text, up to 7 bytes short: it is measured eight bytes at a time, which makes
 * str_is_utf8() six times as fast for ASCII. */
static size_t ascii_prefix_len(const unsigned char *at, size_t len)
{
    size_t i = 0;
    for (uint64_t eight; i + sizeof eight <= len; i += sizeof eight) {
        memcpy(&eight, at + i, sizeof eight);
        if ((eight & UINT64_C(0x8080808080808080)) != 0)
            break;
    }
    return i;
}

size_t utf8_count_chars(struct str text)
{
    size_t count = 0;
    for (size_t i = 0; i < text.len; i++)
        count += !utf8_is_continuation(text.data[i]);
    return count;
}

bool str_is_utf8(struct str text)
{
    const unsigned char *at = (const unsigned char *)text.data;
    size_t i = 0;
    while (i < text.len) {
        i += ascii_prefix_len(at + i, text.len - i);
        if (i == text.len)
            break;
        unsigned char lead = at[i++];
        unsigned char low = 0x80, high = 0xBF; /* range of the second byte (RFC 3629 section 4) */
        int more;
        if (lead < 0x80) {
            continue;
        } else if (lead >= 0xC2 && lead <= 0xDF) {
            more = 1;
        } else if (lead >= 0xE0 && lead <= 0xEF) {
            more = 2;
            low = lead == 0xE0 ? 0xA0 : low;   /* rejects overlong forms */
            high = lead == 0xED ? 0x9F : high; /* rejects surrogates */
        } else if (lead >= 0xF0 && lead <= 0xF4) {
            more = 3;
            low = lead == 0xF0 ? 0x90 : low;
            high = lead == 0xF4 ? 0x8F : high; /* rejects code points above U+10FFFF */
        } else {
            return false;
        }
        for (; more > 0; more--, low = 0x80, high = 0xBF)
            if (i == text.len || at[i] < low || at[i++] > high)
                return false;
    }
    return true;
}

size_t utf8_prefix_len(struct str text, size_t max)
{
    size_t len = str_truncate(text, max);
    if (len > 0 || max == 0 || text.len == 0)
        return len;
    for (len = max; len < text.len && len < 4 && utf8_is_continuation(text.data[len]);)
        len++;
    return len;
}

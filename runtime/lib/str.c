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
    static const char ellipsis[] = ", ...";
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

size_t str_truncate(struct str t, size_t max)
{
    if (t.len <= max)
        return t.len;
    while (max > 0 && utf8_is_continuation(t.data[max]))
        max--;
    return max;
}

/* How many bytes of ASCII there are at least at the beginning, eight looked at together: most text is nothing else, and this is
 * 6 times as fast. */
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

bool str_is_utf8(struct str text)
{
    const unsigned char *at = (const unsigned char *)text.data;
    size_t i = 0;
    while (i < text.len) {
        i += ascii_prefix_len(at + i, text.len - i);
        if (i == text.len)
            break;
        unsigned char lead = at[i++];
        unsigned char low = 0x80, high = 0xBF; /* what the second byte may be (RFC 3629 section 4) */
        int more;
        if (lead < 0x80) {
            continue;
        } else if (lead >= 0xC2 && lead <= 0xDF) {
            more = 1;
        } else if (lead >= 0xE0 && lead <= 0xEF) {
            more = 2;
            low = lead == 0xE0 ? 0xA0 : low;   /* else it were too long for its code point */
            high = lead == 0xED ? 0x9F : high; /* else it were a surrogate */
        } else if (lead >= 0xF0 && lead <= 0xF4) {
            more = 3;
            low = lead == 0xF0 ? 0x90 : low;
            high = lead == 0xF4 ? 0x8F : high; /* else it were beyond U+10FFFF */
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
    size_t len_to_boundary = max;
    if (text.len <= max || max == 0)
        return text.len < max ? text.len : max;
    while (len_to_boundary > 0 && max - len_to_boundary < 3 && utf8_is_continuation(text.data[len_to_boundary]))
        len_to_boundary--;
    if (len_to_boundary > 0)
        return len_to_boundary;
    for (len_to_boundary = max;
         len_to_boundary < text.len && len_to_boundary < 4 && utf8_is_continuation(text.data[len_to_boundary]);)
        len_to_boundary++;
    return len_to_boundary;
}

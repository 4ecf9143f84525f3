#include "runtime/lib/base64.h"

#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t base64_encoded_len(size_t len)
{
    return (len / 3 + (len % 3 != 0)) * 4;
}

void base64_encode(const char *bytes, size_t len, char *out)
{
    const unsigned char *at = (const unsigned char *)bytes;
    for (; len >= 3; len -= 3, at += 3) {
        *out++ = alphabet[at[0] >> 2];
        *out++ = alphabet[(at[0] & 0x03) << 4 | at[1] >> 4];
        *out++ = alphabet[(at[1] & 0x0F) << 2 | at[2] >> 6];
        *out++ = alphabet[at[2] & 0x3F];
    }
    if (len == 0)
        return;
    unsigned second = len == 2 ? at[1] : 0U;
    *out++ = alphabet[at[0] >> 2];
    *out++ = alphabet[(at[0] & 0x03U) << 4 | second >> 4];
    *out++ = len == 2 ? alphabet[(second & 0x0F) << 2] : '=';
    *out++ = '=';
}

size_t base64_decoded_max_len(struct str text)
{
    return text.len / 4 * 3;
}

/* What a character stands for; 64 and above when it is not of the alphabet. */
static unsigned base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return (unsigned)(c - 'A');
    if (c >= 'a' && c <= 'z')
        return (unsigned)(c - 'a') + 26;
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0') + 52;
    return c == '+' ? 62 : c == '/' ? 63 : 64;
}

bool base64_decode(struct str text, char *out, size_t *len)
{
    size_t padding = 0, written = 0;
    if (text.len % 4 != 0)
        return false;
    while (padding < 2 && padding < text.len && text.data[text.len - 1 - padding] == '=')
        padding++;
    for (size_t i = 0; i < text.len; i += 4) {
        size_t char_count = 4 - (i + 4 == text.len ? padding : 0);
        unsigned bits = 0;
        for (size_t k = 0; k < 4; k++) {
            unsigned value = k < char_count ? base64_value(text.data[i + k]) : 0;
            if (value > 63)
                return false;
            bits = bits << 6 | value;
        }
        if (char_count < 4 && (bits & (char_count == 3 ? 0xFFU : 0xFFFFU)) != 0)
            return false; /* bits behind the last byte */
        for (size_t k = 0; k + 1 < char_count; k++)
            out[written++] = (char)(unsigned char)(bits >> (16 - 8 * k));
    }
    *len = written;
    return true;
}

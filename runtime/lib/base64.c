#include "runtime/lib/base64.h"

#include <nettle/base64.h>

size_t base64_encoded_len(size_t len)
{
    return BASE64_ENCODE_RAW_LENGTH(len);
}

void base64_encode(const char *bytes, size_t len, char *out)
{
    base64_encode_raw(out, len, (const uint8_t *)bytes);
}

size_t base64_decoded_max_len(struct str text)
{
    return text.len / 4 * 3;
}

/* nettle rejects non-zero unused bits and data after padding, but skips white space, which the length of the result
 * reveals. The number of characters is a multiple of 4 with and without the white space, so that is at least 4
 * characters and shortens the result by at least 3 bytes. Padding shortens it by at most 2. */
bool base64_decode(struct str text, char *out, size_t *len)
{
    struct base64_decode_ctx context;
    size_t written = base64_decoded_max_len(text);
    if (text.len % 4 != 0)
        return false;
    base64_decode_init(&context);
    if (!base64_decode_update(&context, &written, (uint8_t *)out, text.len, text.data) ||
        !base64_decode_final(&context) || written + 2 < base64_decoded_max_len(text))
        return false;
    *len = written;
    return true;
}

/* base64 - bytes as text: base64 (RFC 4648), and where UTF-8 may be cut.
 *
 * Owns:     nothing.
 * Threads:  any.
 */
#ifndef GATHERD_RUNTIME_LIB_BASE64_H
#define GATHERD_RUNTIME_LIB_BASE64_H

#include "runtime/lib/base.h"

/* How long `len` bytes are in base64, padding included. `len` is at most SIZE_MAX / 2. */
size_t base64_encoded_len(size_t len);

/* Writes base64_encoded_len(len) characters, and no NUL. */
void base64_encode(const char *bytes, size_t len, char *out);

/* How many bytes `text` is at most, for the memory to decode it to. */
size_t base64_decoded_most(struct text text);

/* Strict: the standard alphabet, padded, no line breaks, and no bits set that mean nothing, so that there is one text for
 * each sequence of bytes. Returns false when it is not that; what lies at `out` is undefined then. */
bool base64_decode(struct text text, char *out, size_t *len);

/* Where to cut text that is more than was asked for: the most bytes up to `most` that end with a whole character, but at
 * least one character when there is one and `most` isn't 0 (so up to 3 bytes more than `most`). All of it when it has no
 * more than `most` bytes. What is not UTF-8 is cut somewhere about there. */
size_t utf8_cut(struct text text, size_t most);

#endif

/* base64 - bytes as text (RFC 4648 section 4).
 *
 * Owns:     nothing.
 * Threads:  any.
 */
#ifndef GATHERD_RUNTIME_LIB_BASE64_H
#define GATHERD_RUNTIME_LIB_BASE64_H

#include "runtime/lib/str.h"

/* How long `len` bytes are in base64, padding included. `len` is at most SIZE_MAX / 2. */
size_t base64_encoded_len(size_t len);

/* Writes base64_encoded_len(len) characters, and no NUL. */
void base64_encode(const char *bytes, size_t len, char *out);

/* How many bytes `text` is at most, for the memory to decode it to. */
size_t base64_decoded_max_len(struct str text);

/* Strict: the standard alphabet, padded, no line breaks, and no bits set that mean nothing, so that there is one text for
 * each sequence of bytes. Returns false when it is not that; what lies at `out` is undefined then. */
bool base64_decode(struct str text, char *out, size_t *len);

#endif

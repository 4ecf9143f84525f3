/* base64 - the base64 encoding (RFC 4648 section 4), by nettle.
 *
 * Owns:     nothing.
 * Threads:  any.
 */
#ifndef GATHERD_RUNTIME_LIB_BASE64_H
#define GATHERD_RUNTIME_LIB_BASE64_H

#include "runtime/lib/str.h"

/* The length of `len` encoded bytes, padding included. `len` is at most SIZE_MAX / 2. */
size_t base64_encoded_len(size_t len);

/* Writes base64_encoded_len(len) characters, without a NUL. */
void base64_encode(const char *bytes, size_t len, char *out);

/* The number of bytes that base64_decode() may write. */
size_t base64_decoded_max_len(struct str text);

/* Strict: standard alphabet, padding required, no white space, unused bits zero; so each byte sequence has exactly one
 * encoding. Returns false otherwise; `out` is then unspecified. */
bool base64_decode(struct str text, char *out, size_t *len);

#endif

/* base64 - encodes and decodes base64 (RFC 4648 section 4), with nettle.
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

/* Decodes into `out`. Accepts only the standard alphabet with padding, without white space and with zero unused bits,
 * so that each byte sequence has exactly one encoding. False: invalid text; the content of `out` is unspecified. */
bool base64_decode(struct str text, char *out, size_t *len);

#endif

/* json_pointer - builds JSON pointers (RFC 6901), which name a place in a document in error messages.
 *
 * Owns:     nothing; a pointer is written into the caller's buffer and always NUL-terminated. A pointer that does not fit
 *           ends with "...", on a character boundary.
 * Threads:  any.
 */
#ifndef GATHERD_HANDLERS_JSON_JSON_POINTER_H
#define GATHERD_HANDLERS_JSON_JSON_POINTER_H

#include "runtime/lib/str.h"

struct json_pointer {
    char *data; /* borrowed */
    size_t size, len;
    bool truncated; /* ends with "..."; nothing more is appended */
};

void json_pointer_init(struct json_pointer *p, char *out, size_t size); /* size: at least 8 */
void json_pointer_add_key(struct json_pointer *p, struct str key);
void json_pointer_add_index(struct json_pointer *p, size_t index);

/* Appends bytes unescaped, such as a pointer relative to this one. */
void json_pointer_add_bytes(struct json_pointer *p, const char *bytes, size_t len);

#endif

/* json_pointer - JSON pointers (RFC 6901): how errors name a place in a document.
 *
 * Owns:     nothing; pointers are written into the caller's buffer, always NUL-terminated. One that has no room ends with
 *           "...", and stays UTF-8.
 * Threads:  any.
 */
#ifndef GATHERD_HANDLERS_JSON_JSON_POINTER_H
#define GATHERD_HANDLERS_JSON_JSON_POINTER_H

#include "runtime/lib/str.h"

struct json_pointer {
    char *data; /* borrowed */
    size_t size, len;
    bool truncated; /* it ended with "..." and takes nothing more */
};

void json_pointer_init(struct json_pointer *p, char *out, size_t size); /* size: at least 8 */
void json_pointer_add_key(struct json_pointer *p, struct str key);
void json_pointer_add_index(struct json_pointer *p, size_t index);
void json_pointer_add_bytes(struct json_pointer *p, const char *bytes,
                            size_t len); /* as they are: pointers of something inside */

/* The pointer of the member whose name, or the value that, ends at the byte `position` of `body`, which must be well-formed JSON
 * up to there. A NUL in a name (which a C string can't hold) is shown as the escape it is written as. */
void json_pointer_locate(struct str body, size_t position, char *out, size_t size);

#endif

/* json_writer - builds JSON text in a growing buffer.
 *
 * Owns:     its buffer, until json_writer_take() or json_writer_free().
 * Threads:  one at a time.
 * Errors:   out of memory sets `failed` and makes later writes no-ops, so callers check only json_writer_take().
 */
#ifndef GATHERD_HANDLERS_JSON_JSON_WRITER_H
#define GATHERD_HANDLERS_JSON_JSON_WRITER_H

#include "runtime/lib/str.h"

#include <stdint.h>
#include <string.h>

struct json_writer {
    char *data; /* owned, malloc'd; not NUL-terminated */
    size_t len, capacity;
    bool failed; /* out of memory; the text is incomplete */
};

void json_writer_bytes(struct json_writer *w, const void *bytes, size_t len);

/* Appends JSON syntax, such as "{". Inline, so that the length of a literal is a constant. */
static inline void json_writer_raw(struct json_writer *w, const char *s)
{
    json_writer_bytes(w, s, strlen(s));
}

void json_writer_format(struct json_writer *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* JSON values (RFC 8259). */
void json_writer_string(struct json_writer *w, struct str t); /* t must be UTF-8 */
void json_writer_integer(struct json_writer *w, int64_t value);
void json_writer_seconds(struct json_writer *w, uint64_t ns);

/* Returns the buffer, which the caller must free(), and empties the writer. Returns NULL if it failed. */
char *json_writer_take(struct json_writer *w, size_t *len);
void json_writer_free(struct json_writer *w);

#endif

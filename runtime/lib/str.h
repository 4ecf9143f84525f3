/* str - UTF-8 strings with a length: comparison, truncation, validation.
 *
 * Owns:     nothing.
 * Threads:  any.
 */
#ifndef GATHERD_RUNTIME_LIB_STR_H
#define GATHERD_RUNTIME_LIB_STR_H

#include <stdbool.h>
#include <stddef.h>

/* UTF-8 text, or a slice of it; `data` is NULL if the text is absent. The containing struct says who owns the bytes.
 *
 * data[len] is a NUL in the results of STR(), str_from(), arena_str() and decode_percent(), and in decoded and
 * deserialized values: these can be passed to libc. Slices (a segment of a path, the path of a request target, a list
 * item) and request bodies have no NUL: use len, or copy them with arena_str(). */
struct str {
    const char *data;
    size_t len;
};

#define STR(literal) ((struct str){(literal), sizeof(literal) - 1})
struct str str_from(const char *s); /* borrows s; NULL gives an absent text */
bool str_eq(struct str t, const char *s);

/* -- truncation ---------------------------------------------------------------------------------- */

#define STR_ELLIPSIS "..."

/* The length of the longest prefix of at most `max` bytes that does not split a character. */
size_t str_truncate(struct str t, size_t max);

/* As str_truncate(), but at least one character unless `max` is 0: the result may exceed `max` by up to 3 bytes. For
 * malformed text it differs from `max` by at most 3. */
size_t utf8_prefix_len(struct str text, size_t max);

/* Marks a text that was cut to fill its buffer: replaces its end by STR_ELLIPSIS and a NUL. `size` is that of the
 * buffer, at least 8 bytes. Returns the new length. */
size_t str_ellipsize(char *text, size_t size);

/* Copies a client's text for a message or a log line into `out`, of `size` bytes. Malformed bytes, and characters for
 * which is_unsafe() returns true, become `replacement`. A result of more than `size` - 4 bytes is cut and ends with
 * STR_ELLIPSIS. Returns the length, without the NUL. */
size_t str_sanitize(struct str raw, const char *replacement, bool (*is_unsafe)(const unsigned char *at, size_t len),
                    char *out, size_t size);

/* Comma-separated names for a message, such as "sleep, sum, write_file". Names that do not fit are replaced by "...".
 * Initialize with {0}. */
struct name_list {
    bool full;
    size_t len;
    char text[512];
};

void name_list_add(struct name_list *list, const char *name);

/* -- UTF-8 (RFC 3629) ---------------------------------------------------------------------------- */

static inline bool utf8_is_continuation(char byte)
{
    return ((unsigned char)byte & 0xC0) == 0x80;
}

/* The length of the first character; 0 if `t` is empty or does not begin with a well-formed character. */
size_t utf8_char_len(struct str t);

/* The number of characters (code points) of well-formed text. */
size_t utf8_count_chars(struct str text);

/* Whether the text is well-formed: no surrogates, no overlong forms. A NUL is allowed. */
bool str_is_utf8(struct str text);

#endif

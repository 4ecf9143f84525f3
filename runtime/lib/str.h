/* str - UTF-8 strings with a length: comparison, and where they may be truncated.
 *
 * Owns:     nothing.
 * Threads:  any.
 */
#ifndef GATHERD_RUNTIME_LIB_STR_H
#define GATHERD_RUNTIME_LIB_STR_H

#include <stdbool.h>
#include <stddef.h>

/* UTF-8 text. `at[len]` is always a NUL; `at` is NULL when there is no text at all. Who owns the bytes is said by the
 * struct it is part of. */
struct str {
    const char *data;
    size_t len;
};

#define STR(literal) ((struct str){(literal), sizeof(literal) - 1})
struct str str_from(const char *s); /* borrows s; NULL gives no text */
bool str_eq(struct str t, const char *s);
size_t str_truncate(struct str t,
                    size_t max); /* how many bytes of it to show, if `most` is the room: whole characters */

/* Whether a byte of UTF-8 is inside a character, not its first (RFC 3629). */
static inline bool utf8_is_continuation(char byte)
{
    return ((unsigned char)byte & 0xC0) == 0x80;
}

/* Names for a sentence, as "sleep, sum, write_file"; those that have no room are left out, and "..." stands for them. Begin
 * with {0}. */
struct name_list {
    bool full;
    size_t len;
    char text[200];
};

void name_list_add(struct name_list *list, const char *name);

/* Whether the bytes are well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms). A NUL is. */
bool str_is_utf8(struct str text);

/* Where to cut text that is more than was asked for: the most bytes up to `most` that end with a whole character, but at
 * least one character when there is one and `most` isn't 0 (so up to 3 bytes more than `most`). All of it when it has no
 * more than `most` bytes. What is not UTF-8 is cut somewhere about there. */
size_t utf8_prefix_len(struct str text, size_t max);

#endif

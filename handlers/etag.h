/* etag - entity-tags (RFC 9110 section 8.8.3): a file's own, and the lists of them that requests come with.
 *
 * Owns:     nothing.
 * Threads:  any.
 */
#ifndef GATHERD_HANDLERS_ETAG_H
#define GATHERD_HANDLERS_ETAG_H

#include "runtime/file_stamp.h"

enum { ETAG_SIZE = 64 }; /* bytes of a tag of ours, with its NUL */

/* The tag of a file. It is strong: what is put in a file's place never has the same one. */
void etag_make(const struct file_stamp *stamp, char out[ETAG_SIZE]);

/* Whether what has this strong tag is among what the list names: "*" names all. Unless `weak`, a weak tag in the list
 * names nothing (section 8.8.3.2). A list that is malformed, if only in part, names nothing at all. */
bool etag_listed(struct text list, const char *tag, bool weak);

#endif

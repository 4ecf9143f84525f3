/* etag - entity-tags (RFC 9110 section 8.8.3): a file's own, and the lists of them that requests come with.
 *
 * Owns:     nothing.
 * Threads:  any.
 */
#ifndef GATHERD_HANDLERS_HTTP_ETAG_H
#define GATHERD_HANDLERS_HTTP_ETAG_H

#include "runtime/files/file_version.h"
#include "runtime/lib/str.h"

enum { ETAG_SIZE = 64 }; /* bytes of a tag of ours, with its NUL */

/* The tag of a file. It is strong: what is put in a file's place never has the same one. */
void etag_format(const struct file_version *version, char out[ETAG_SIZE]);

enum etag_result { ETAG_NO_MATCH, ETAG_MATCH, ETAG_MALFORMED };

/* Whether what has this strong tag is among what the list names: "*" names all. Unless `weak`, a weak tag in the list
 * names nothing (section 8.8.3.2). Malformed is a list that is so only in part, too, and one without a tag. */
enum etag_result etag_match_list(struct str list, const char *tag, bool weak_comparison);

#endif

/* etag - entity tags (RFC 9110 section 8.8.3): formats a file's tag and matches it against If-Match and If-None-Match.
 *
 * Owns:     nothing.
 * Threads:  any.
 */
#ifndef GATHERD_HANDLERS_HTTP_ETAG_H
#define GATHERD_HANDLERS_HTTP_ETAG_H

#include "runtime/files/file_version.h"
#include "runtime/lib/str.h"

enum { ETAG_SIZE = 64 }; /* bytes of a formatted tag, with its NUL */

/* Formats the strong tag of a file version. A file that replaces this one never has the same tag. */
void etag_format(const struct file_version *version, char out[ETAG_SIZE]);

enum etag_result { ETAG_NO_MATCH, ETAG_MATCH, ETAG_MALFORMED };

/* Matches a strong tag against a list; "*" matches every tag. Weak tags in the list match only with weak_comparison
 * (section 8.8.3.2). A list without a tag, or with any malformed element, is malformed. */
enum etag_result etag_match_list(struct str list, const char *tag, bool weak_comparison);

#endif

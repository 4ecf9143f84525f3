/* request_head - the head of a request, and the rules of HTTP that it has to keep before anything is done for it.
 *
 * Two readers that take an ambiguous message for different ones can be played against each other (request smuggling), so what is
 * ambiguous is refused, also where the HTTP library would let it pass: RFC 9112 sections 3.2, 5.1, 6.1 and 6.3.
 *
 * Owns:     nothing; texts are borrowed from the HTTP library for the call, and NUL-terminated.
 * Threads:  any.
 */
#ifndef GATHERD_SERVICE_HTTP_REQUEST_HEAD_H
#define GATHERD_SERVICE_HTTP_REQUEST_HEAD_H

#include "runtime/lib/arena.h"

#include <stdint.h>

/* A header that is a list may come in several lines, which together are one (RFC 9110 section 5.3). */
enum { MAX_FIELD_LINES = 8 };
struct field_lines {
    struct str at[MAX_FIELD_LINES];
    int count; /* 0: there is no such header */
};

struct request_head {
    struct str method, version;
    const char *malformed;  /* the rule it breaks, a sentence; NULL when it is sound */
    int64_t content_length; /* -1: none */
    bool chunked;           /* Transfer-Encoding: chunked */
    bool expects_continue;  /* Expect: 100-continue */
    bool skip_host_check;   /* came in where Host says nothing (service/http/origin_check.h); set by the caller */
    bool has_content_range, has_if_unmodified_since;
    struct str host, origin, fetch_site, content_type, request_id; /* absent where there is no such header */
    struct field_lines content_encoding, if_match, if_none_match;
    int host_count, content_length_count, transfer_encoding_count; /* how many there are of each */
};

void request_head_init(struct request_head *head, struct str method, struct str version);
void request_head_add_field(struct request_head *head, struct str name, struct str value);
void request_head_validate(struct request_head *head);

/* The lines as one text, in the arena; absent when there are none. False when there is no memory. */
bool field_lines_join(const struct field_lines *lines, struct arena *arena, struct str *out);

#endif

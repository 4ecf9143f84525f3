/* request_head - parses the head of a request and enforces the rules of HTTP before anything else is done for it.
 *
 *     request_head_init() -> request_head_set_line() -> request_head_add_field()* -> request_head_validate()
 *
 * A message that two parsers understand differently can be used for request smuggling, so ambiguous ones are
 * rejected, even if the HTTP library accepts them: RFC 9112 sections 3.2, 5.1, 6.1 and 6.3.
 *
 * A new header field is one row of REQUEST_HEADERS (handlers/http/request.h).
 *
 * Owns:     nothing; the strings are copied into the request's arena.
 * Threads:  one at a time.
 */
#ifndef GATHERD_SERVICE_HTTP_REQUEST_HEAD_H
#define GATHERD_SERVICE_HTTP_REQUEST_HEAD_H

#include "handlers/http/request.h"

struct request_head {
    struct request request;
    struct str method;      /* as sent */
    struct str authority;   /* of a target in absolute form, where it replaces Host; otherwise absent */
    const char *malformed;  /* the detail of the first error; NULL if the head is valid */
    int64_t content_length; /* -1 if absent; INT64_MAX for any larger number */
    bool is_http_1_0;
    bool chunked;          /* Transfer-Encoding: chunked */
    bool expects_continue; /* Expect: 100-continue */
    bool skip_host_check;  /* set by the caller (service/http/origin_check.h) */
    bool out_of_memory;    /* parts of the head are missing */
    unsigned char line_counts[HEADER_COUNT];
};

/* Parses the request target, in origin or absolute form. *head must be zeroed, except for head->request.arena. Returns
 * false if out of memory. */
bool request_head_init(struct request_head *head, const char *target);

/* The strings are NUL-terminated, and copied. */
void request_head_set_line(struct request_head *head, const char *method, const char *version);
void request_head_add_field(struct request_head *head, struct str name, struct str value);

/* Sets the members that depend on all fields; request->id only if the client has sent a valid X-Request-Id. */
void request_head_validate(struct request_head *head);

#endif

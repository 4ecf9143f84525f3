/* response - an answer on its way out: status, headers, body; and the problems that all refusals are made of.
 *
 * Owns:     a reply's body, until the service takes it or response_free().
 * Threads:  the loop thread.
 */
#ifndef GATHERD_HANDLERS_HTTP_RESPONSE_H
#define GATHERD_HANDLERS_HTTP_RESPONSE_H

#include "handlers/json/decode.h"
#include "handlers/json/json_writer.h"
#include "runtime/lib/error.h"
#include "runtime/lib/str.h"

#define PROBLEM_CONTENT_TYPE "application/problem+json"

/* The problem that is answered when there is no memory for one. */
#define PROBLEM_OUT_OF_MEMORY \
    "{\"type\":\"urn:gatherd:error:out-of-memory\",\"title\":\"" ERROR_TITLE_OUT_OF_MEMORY "\"," \
    "\"status\":503,\"detail\":\"There is no memory for the answer; try again later\"," \
    "\"instance\":\"urn:gatherd:request:unknown\"}\n"

enum { RESPONSE_HEADERS_MAX = 4 };

#define RESPONSE_LENGTH_UNKNOWN SIZE_MAX /* a stream that ends with RESPONDER_READ_END */

struct header {
    const char *name; /* static */
    char value[96];
};

struct response {
    int status;
    int rc;                   /* of the problem that it is, an ERR_ code; 0: it is none */
    const char *content_type; /* static */
    char *body;               /* malloc'd and owned, unless body_is_static */
    size_t body_len;
    bool body_is_static;
    bool is_stream;      /* the body is read from the responder; body_len is its length, or RESPONSE_LENGTH_UNKNOWN */
    bool is_task_result; /* rc is the outcome of a task, which is logged on its own */
    size_t header_count;
    struct header headers[RESPONSE_HEADERS_MAX]; /* beside Content-Type and X-Request-Id */
};

void response_header(struct response *response, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A JSON answer from what was written, with a newline behind it. When the writer failed it is the out_of_memory problem. */
void response_json(struct response *response, int status, struct json_writer *w);

/* A problem (RFC 9457). Its status is the one of rc in the table of errors. */
void response_problem(struct response *response, struct str request_id, int rc, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* The same from what task_submit() filled, with the pool it names, or the limit that the request as a whole goes beyond. */
void response_error(struct response *response, struct str request_id, const struct err *e, const struct limits *limits);
void response_validation_errors(struct response *response, struct str request_id,
                                const struct validation_errors *errors, const struct limits *limits);

void response_free(struct response *response);

/* For problems with members of their own: the opening up to `instance`, to be followed by members and problem_end(). */
void problem_begin(struct json_writer *w, struct str request_id, int rc, const char *detail);
void problem_end(struct response *response, int rc, struct json_writer *w);

#endif

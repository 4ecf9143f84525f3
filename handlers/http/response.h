/* response - an HTTP response (status, headers, body), and problem responses (RFC 9457).
 *
 * Owns:     the body, until the service takes it and sets `body` to NULL, or response_free().
 * Threads:  the loop thread.
 */
#ifndef GATHERD_HANDLERS_HTTP_RESPONSE_H
#define GATHERD_HANDLERS_HTTP_RESPONSE_H

#include "handlers/json/decode.h"
#include "handlers/json/json_writer.h"
#include "runtime/lib/error.h"
#include "runtime/lib/str.h"

#define PROBLEM_CONTENT_TYPE "application/problem+json"

/* The body that is sent if memory for another one runs out. */
#define PROBLEM_OUT_OF_MEMORY \
    "{\"type\":\"urn:gatherd:error:out_of_memory\",\"title\":\"" ERROR_TITLE_OUT_OF_MEMORY "\"," \
    "\"status\":503,\"detail\":\"Out of memory; try again later\"," \
    "\"instance\":\"urn:gatherd:request:unknown\"}\n"

enum { RESPONSE_HEADERS_MAX = 4 };

#define RESPONSE_LENGTH_UNKNOWN SIZE_MAX /* a stream that ends with RESPONDER_READ_END */

struct header {
    const char *name; /* static */
    char value[96];
};

struct response {
    int status;
    int rc;                   /* the ERR_ code of a problem; 0 otherwise */
    const char *content_type; /* static */
    char *body;               /* malloc'd and owned, unless body_is_static */
    size_t body_len;
    bool body_is_static;
    bool is_stream;      /* the body is read from the responder; body_len is its length, or RESPONSE_LENGTH_UNKNOWN */
    bool is_task_result; /* rc is the outcome of a task, which is logged on its own */
    size_t header_count;
    struct header headers[RESPONSE_HEADERS_MAX]; /* besides Content-Type and X-Request-Id */
};

void response_header(struct response *response, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Makes the writer's text, and a newline, the body. If the writer failed, the response becomes the out_of_memory
 * problem. */
void response_json(struct response *response, int status, struct json_writer *w);

/* Makes a problem response with the title and status of rc; the format gives its detail. */
void response_problem(struct response *response, struct str request_id, int rc, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Make a problem response from an error, with the pool or limit that it names. */
void response_error(struct response *response, struct str request_id, const struct err *e, const struct limits *limits);
void response_validation_errors(struct response *response, struct str request_id,
                                const struct validation_errors *errors, const struct limits *limits);

void response_free(struct response *response);

/* For problems with additional members: problem_begin() writes up to `instance`; append members, then call
 * problem_end(). */
void problem_begin(struct json_writer *w, struct str request_id, int rc, const char *detail);
void problem_end(struct response *response, int rc, struct json_writer *w);

#endif

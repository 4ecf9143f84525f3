/* decode - JSON into values, driven by the type tables; what doesn't fit is named by JSON pointer.
 *
 * Owns:     nothing; values go into the caller's arena, the jansson tree is gone on return.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_HANDLERS_JSON_DECODE_H
#define GATHERD_HANDLERS_JSON_DECODE_H

#include "runtime/lib/str.h"
#include "runtime/types/limits.h"

enum { VALIDATION_ERRORS_MAX = 8 };

/* What is wrong with a request. The first issue decides rc; of more than VALIDATION_ERRORS_MAX the rest are only counted. */
struct validation_errors {
    int rc;                    /* 0 when there is none, else the error of the first */
    size_t count;              /* filled items */
    size_t more;               /* that had no room */
    const struct field *limit; /* the configured limit that the first issue passed; NULL for none */
    struct validation_error {
        bool in_query;      /* where is the name of a query parameter, not a JSON pointer */
        char location[160]; /* an RFC 6901 pointer into the body ("" is the whole); a too long one ends with "..." */
        char detail[640];   /* a sentence; fits all function names (struct name_list) */
    } items[VALIDATION_ERRORS_MAX];
};

/* Makes it empty; items need not be initialized. */
void validation_errors_init(struct validation_errors *errors);

/* `where` and the detail are cut where they have no room, at the end of a character. ERR_OUT_OF_MEMORY takes the place of
 * all others, since it says nothing about the request. */
void validation_errors_add(struct validation_errors *errors, int rc, const struct field *limit, const char *location,
                           const char *format, ...) __attribute__((format(printf, 5, 6)));

/* A client's text as a message may quote it: controls and what isn't UTF-8 as '?', a long one cut, with "..." behind it. */
enum { SANITIZED_SIZE = 64 };
const char *decode_sanitize(struct str text, char out[SANITIZED_SIZE]); /* returns out */

/* One JSON object may be spread over several records (a gather's options and its input): the object's members are the
 * union of their fields. */
struct record_ref {
    const struct type *type;         /* a RECORD */
    void *value;                     /* where it goes: type->size bytes */
    const struct function *function; /* whose input it is, for the depth of gathers; NULL for none */
};

/* Parses `body` as one JSON object and decodes it into the parts. *issues is emptied first. 0, or issues->rc with at least
 * one issue:
 *   ERR_MALFORMED_JSON    not JSON (RFC 8259), no UTF-8, a number out of all range, too deep: with line and column
 *   ERR_INVALID           JSON, but not of the type: wrong type, null, out of range, unknown or missing or duplicate member
 *   ERR_LIMIT_EXCEEDED    beyond a configured limit, and issues->limit says which
 *   ERR_FUNCTION_NOT_FOUND  a function's name that is none
 *   ERR_OUT_OF_MEMORY
 * Each record's check() is part of it. Absent members get their fallback, or are marked absent. */
int decode_body(struct str body, const struct record_ref *records, size_t record_count, struct arena *arena,
                const struct limits *limits, struct validation_errors *errors);

/* Decodes `text`, percent-encoded as in the query of a URL (RFC 3986; '+' is a space), into the record: each parameter is the
 * field of that name, given once. 0 or issues->rc, as above, with issues whose `parameter` is set. Fields that are not
 * named get their fallback, or are marked absent. */
int decode_query(struct str query, const struct record_ref *record, struct arena *arena, const struct limits *limits,
                 struct validation_errors *errors);

/* Percent-decodes. False when an escape is broken, or the result holds a NUL or isn't UTF-8, or there is no memory
 * (then *out_of_memory is set). */
bool decode_percent(struct str in, bool plus_is_space, struct arena *arena, struct str *out, bool *out_of_memory);

#endif

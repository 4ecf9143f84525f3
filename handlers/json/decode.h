/* decode - decodes JSON bodies and URL queries into values, by their type tables.
 *
 * Owns:     nothing; values are allocated in the caller's arena, the jansson tree is freed on return.
 * Threads:  any; one at a time for each arena.
 */
#ifndef GATHERD_HANDLERS_JSON_DECODE_H
#define GATHERD_HANDLERS_JSON_DECODE_H

#include "runtime/lib/str.h"
#include "runtime/task/registry.h"
#include "runtime/types/limits.h"

enum { VALIDATION_ERRORS_MAX = 8 };

/* Why a request is invalid. The first error determines rc; errors beyond VALIDATION_ERRORS_MAX are only counted. */
struct validation_errors {
    int rc;                    /* of the first error; 0 if the request is valid */
    size_t count;              /* of items */
    size_t more;               /* errors beyond VALIDATION_ERRORS_MAX */
    const struct field *limit; /* the configured limit that the first error exceeds, or NULL */
    struct validation_error {
        bool in_query;      /* location is a query parameter, not a JSON pointer */
        char location[160]; /* an RFC 6901 pointer into the body; "" is the whole body */
        char detail[640];   /* a predicate such as "is required"; a sentence if location is "". Fits a name_list */
    } items[VALIDATION_ERRORS_MAX];
};

/* Empties *errors; the items need not be initialized. */
void validation_errors_init(struct validation_errors *errors);

/* A location or detail that does not fit ends with "...". ERR_OUT_OF_MEMORY replaces all other errors, because
 * decoding was incomplete. */
void validation_errors_add(struct validation_errors *errors, int rc, const struct field *limit, const char *location,
                           const char *format, ...) __attribute__((format(printf, 5, 6)));

/* Copies client text for a message: control characters and malformed UTF-8 become '?'; long text ends with "...".
 * Returns out. */
enum { SANITIZED_SIZE = 64 };
const char *decode_sanitize(struct str text, char out[SANITIZED_SIZE]);

/* What values are checked against. */
struct decode_context {
    const struct limits *limits;
    const struct registry *registry; /* finds functions by name; may be NULL if no record has a TYPE_FUNCTION field */
};

/* A record to decode into. Several of them can share one JSON object, whose members are the union of their fields (a
 * gather's options and its input). */
struct record_ref {
    const struct type *type;         /* a RECORD */
    void *value;                     /* type->size bytes */
    const struct function *function; /* the function if the record is its input, for the depth of gathers; else NULL */
};

/* Decodes `body`, one JSON object, into the records. Initializes *errors. Returns 0, or errors->rc with at least one
 * error:
 *   ERR_MALFORMED_JSON      not JSON (RFC 8259), invalid UTF-8, number out of range, nested too deeply
 *   ERR_INVALID             wrong type, null, out of range; unknown or missing member; a rule
 *   ERR_INVALID_ARGUMENT    valid by the schema, but rejected: duplicate member or parameter, check()
 *   ERR_LIMIT_EXCEEDED      exceeds the configured limit errors->limit
 *   ERR_FUNCTION_NOT_FOUND  unknown function name
 *   ERR_OUT_OF_MEMORY
 * ERR_MALFORMED_JSON and duplicate members are located by line and column. Each record's rules and check() are applied.
 * Absent members get their default or are marked as absent. */
int decode_body(struct str body, const struct record_ref *records, size_t record_count, struct arena *arena,
                const struct decode_context *context, struct validation_errors *errors);

/* Decodes a URL query, percent-encoded (RFC 3986; '+' is a space), into the record: one parameter per field. Returns
 * the same as decode_body(), with in_query set in each error. */
int decode_query(struct str query, const struct record_ref *record, struct arena *arena,
                 const struct decode_context *context, struct validation_errors *errors);

/* Decodes percent-encoded text. Returns false if an escape is malformed, if the result contains a NUL or invalid UTF-8,
 * or if out of memory (*out_of_memory is then set). */
bool decode_percent(struct str in, bool plus_is_space, struct arena *arena, struct str *out, bool *out_of_memory);

#endif

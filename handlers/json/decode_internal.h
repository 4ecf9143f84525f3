/* decode_internal - shared by the files of the module decode.
 *
 * Functions that return bool return false only if out of memory, which stops decoding. Other errors are added to
 * decoder->errors, and decoding continues to find further ones.
 *
 * Owns:     nothing.
 * Threads:  any; one at a time for each decoder.
 */
#ifndef GATHERD_HANDLERS_JSON_DECODE_INTERNAL_H
#define GATHERD_HANDLERS_JSON_DECODE_INTERNAL_H

#include "handlers/json/decode.h"
#include "handlers/json/json_pointer.h"
#include "runtime/lib/error.h"

#include <jansson.h>

struct decoder {
    struct arena *arena;
    const struct limits *limits;
    const struct registry *registry;
    struct validation_errors *errors;
    bool in_query; /* locations are query parameters, not JSON pointers */
};

/* The path of a value from the root, whose parent is NULL. It is formatted as a JSON pointer only for an error. */
struct json_path {
    const struct json_path *parent;
    struct str key; /* absent for an array's item */
    size_t index;
};

/* Adds an error; `suffix` is a pointer relative to `at`, usually "". */
void decode_error(struct decoder *d, const struct json_path *at, const char *suffix, int rc, const struct field *limit,
                  const char *format, ...) __attribute__((format(printf, 6, 7)));
bool decode_type_error(struct decoder *d, const struct json_path *at, const char *expected, const json_t *json);
/* Adds an error of type_check() or type_parse(). */
bool decode_value_error(struct decoder *d, const struct json_path *at, const struct type *type, const struct err *e);
bool decode_out_of_memory(struct decoder *d);
void decode_unknown_name(struct decoder *d, const struct json_path *at, const struct record_ref *records,
                         size_t record_count);

/* Decodes text by type_parse(). */
bool decode_text(struct decoder *d, const struct json_path *at, const struct type *type, struct str text, void *value);

/* Decodes any kind except ARRAY, RECORD and INPUT. */
bool decode_scalar(struct decoder *d, const struct json_path *at, const struct type *type, const json_t *json,
                   void *value);

/* Sets an absent field to its default, or adds the error that it is required. */
bool decode_default(struct decoder *d, const struct json_path *at, const struct field *field, void *value);

/* Decodes a field that is not in the request. Inline, because most fields of most requests are absent. */
static inline bool decode_absent(struct decoder *d, const struct json_path *at, const struct field *field, void *value)
{
    if (field->presence != FIELD_OPTIONAL)
        return decode_default(d, at, field, value);
    type_set_absent(field->type, value);
    return true;
}

#endif

/* decode_internal - what the files of decode share; nobody else includes it.
 *
 * All that returns bool here returns false when memory ran out, so that everything stops at once. What is wrong with the
 * JSON is added to the issues instead, and decoding goes on, to find more.
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
    struct validation_errors *errors;
    bool in_query; /* errors name a query parameter instead of a place in the body */
};

/* The way to a value from the root, whose parent is NULL; it becomes a pointer only when something is wrong there. */
struct json_path {
    const struct json_path *parent;
    struct str key; /* absent: an array's item */
    size_t index;
};

/* Adds an issue; `inside` is a pointer that goes on from the place, mostly "". */
void decode_error(struct decoder *d, const struct json_path *at, const char *suffix, int rc, const struct field *limit,
                  const char *format, ...) __attribute__((format(printf, 6, 7)));
bool decode_type_error(struct decoder *d, const struct json_path *at, const char *expected, const json_t *json);
bool decode_value_error(struct decoder *d, const struct json_path *at, const struct type *type,
                        const struct err *e); /* what type_check() or type_parse() said */
bool decode_out_of_memory(struct decoder *d);
void decode_unknown_name(struct decoder *d, const struct json_path *at, const struct record_ref *records,
                         size_t record_count);

/* Gives an absent field its default, or marks it as absent, or adds the error that it is required. */
bool decode_absent(struct decoder *d, const struct json_path *at, const struct field *field, void *value);

/* Decodes text by type_parse(). */
bool decode_text(struct decoder *d, const struct json_path *at, const struct type *type, struct str text, void *value);

/* Everything but lists, records and inputs. */
bool decode_scalar(struct decoder *d, const struct json_path *at, const struct type *type, const json_t *json,
                   void *value);

#endif

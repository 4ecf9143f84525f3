/* decode_errors - collects the errors of decoding, and formats their locations. */
#include "handlers/json/decode_internal.h"
#include "runtime/lib/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void validation_errors_init(struct validation_errors *errors)
{
    errors->rc = 0;
    errors->count = errors->more = 0;
    errors->limit = NULL;
}

void validation_errors_add(struct validation_errors *errors, int rc, const struct field *limit, const char *location,
                           const char *format, ...)
{
    CHECK(rc != 0);
    if (errors->rc == ERR_OUT_OF_MEMORY)
        return;
    if (rc == ERR_OUT_OF_MEMORY)
        validation_errors_init(errors);
    if (errors->rc == 0) {
        errors->rc = rc;
        errors->limit = limit;
    }
    if (errors->count == VALIDATION_ERRORS_MAX) {
        errors->more++;
        return;
    }

    struct validation_error *error = &errors->items[errors->count++];
    va_list args;
    va_start(args, format);
    int location_len = snprintf(error->location, sizeof error->location, "%s", location);
    int detail_len = vsnprintf(error->detail, sizeof error->detail, format, args);
    va_end(args);
    if (location_len >= (int)sizeof error->location)
        str_ellipsize(error->location, sizeof error->location);
    if (detail_len >= (int)sizeof error->detail)
        str_ellipsize(error->detail, sizeof error->detail);
    error->in_query = false;
}

static bool is_control(const unsigned char *at, size_t len)
{
    return len == 1 && (at[0] < 0x20 || at[0] == 0x7F);
}

const char *decode_sanitize(struct str text, char out[SANITIZED_SIZE])
{
    str_sanitize(text, "?", is_control, out, SANITIZED_SIZE);
    return out;
}

static void add_path(struct json_pointer *p, const struct json_path *at)
{
    if (at->parent == NULL)
        return;
    add_path(p, at->parent);
    if (at->key.data != NULL)
        json_pointer_add_key(p, at->key);
    else
        json_pointer_add_index(p, at->index);
}

/* Formats the location: a JSON pointer into a body, or the name of a query parameter. */
static void format_location(const struct decoder *d, const struct json_path *at, const char *suffix, char *out,
                            size_t size)
{
    if (d->in_query) {
        char name[SANITIZED_SIZE];
        snprintf(out, size, "%s", decode_sanitize(at->key, name));
        return;
    }
    struct json_pointer p;
    json_pointer_init(&p, out, size);
    add_path(&p, at);
    json_pointer_add_bytes(&p, suffix, strlen(suffix));
}

void decode_error(struct decoder *d, const struct json_path *at, const char *suffix, int rc, const struct field *limit,
                  const char *format, ...)
{
    /* Not formatted: a list of invalid items should cost no more than a list of valid ones. */
    if (d->errors->count == VALIDATION_ERRORS_MAX) {
        d->errors->more++;
        return;
    }
    char location[sizeof d->errors->items[0].location];
    format_location(d, at, suffix, location, sizeof location);

    char detail[sizeof d->errors->items[0].detail +
                1]; /* one byte more, so that validation_errors_add() sees truncation */
    va_list args;
    va_start(args, format);
    vsnprintf(detail, sizeof detail, format, args);
    va_end(args);
    validation_errors_add(d->errors, rc, limit, location, "%s", detail);
    if (d->errors->rc != ERR_OUT_OF_MEMORY)
        d->errors->items[d->errors->count - 1].in_query = d->in_query;
}

bool decode_out_of_memory(struct decoder *d)
{
    validation_errors_add(d->errors, ERR_OUT_OF_MEMORY, NULL, "", "out of memory; try again later");
    return false;
}

void decode_unknown_name(struct decoder *d, const struct json_path *at, const struct record_ref *records,
                         size_t record_count)
{
    const char *kind = d->in_query ? "parameter" : "member";
    struct name_list known = {0};
    for (size_t i = 0; i < record_count; i++)
        for (const struct field *f = records[i].type->fields; f->name != NULL; f++)
            name_list_add(&known, f->name);
    if (known.len == 0)
        decode_error(d, at, "", ERR_INVALID, NULL, "is not a known %s; none are allowed here", kind);
    else
        decode_error(d, at, "", ERR_INVALID, NULL, "is not a known %s; known %ss: %s", kind, kind, known.text);
}

bool decode_value_error(struct decoder *d, const struct json_path *at, const struct type *type, const struct err *e)
{
    if (e->rc == ERR_OUT_OF_MEMORY)
        return decode_out_of_memory(d);
    if (e->rc == ERR_LIMIT_EXCEEDED)
        decode_error(d, at, "", e->rc, type->limit, "%s (%s)", e->msg, type->limit->name);
    else
        decode_error(d, at, "", e->rc, NULL, "%s", e->msg);
    return true;
}

static const char *json_type_name(const json_t *json)
{
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
    case JSON_REAL:
        return "a number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a boolean";
    case JSON_NULL:
        break;
    }
    return "null";
}

bool decode_type_error(struct decoder *d, const struct json_path *at, const char *expected, const json_t *json)
{
    const char *subject = at->parent == NULL ? "the JSON document " : ""; /* its pointer, "", does not name it */
    decode_error(d, at, "", ERR_INVALID, NULL, "%smust be %s, not %s", subject, expected, json_type_name(json));
    return true;
}

#include "handlers/json/decode_internal.h"
#include "runtime/lib/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char ellipsis[] = "...";

/* Lets a text that fills `size` bytes and would have gone on end with "...". */
static void add_ellipsis(char *text, size_t size)
{
    size_t end = size - sizeof ellipsis;
    while (end > 0 && utf8_is_continuation(text[end])) /* inside a character */
        end--;
    memcpy(text + end, ellipsis, sizeof ellipsis);
}

void validation_errors_add(struct validation_errors *errors, int rc, const struct field *limit, const char *location,
                           const char *format, ...)
{
    CHECK(rc != 0);
    if (errors->rc == ERR_OUT_OF_MEMORY)
        return;
    if (rc == ERR_OUT_OF_MEMORY)
        *errors = (struct validation_errors){0};
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
        add_ellipsis(error->location, sizeof error->location);
    if (detail_len >= (int)sizeof error->detail)
        add_ellipsis(error->detail, sizeof error->detail);
    error->in_query = false;
}

/* The length of the character that `text` begins with; 0 when it is no UTF-8. */
static size_t utf8_char_len(struct str text)
{
    for (size_t len = 1; len <= 4 && len <= text.len; len++)
        if (str_is_utf8((struct str){text.data, len}))
            return len;
    return 0;
}

const char *decode_sanitize(struct str text, char out[SANITIZED_SIZE])
{
    size_t len = 0;
    while (text.len > 0) {
        size_t char_len = utf8_char_len(text);
        bool printable = char_len > 1 || (char_len == 1 && text.data[0] >= 0x20 && text.data[0] != 0x7F);
        const char *bytes = printable ? text.data : "?";
        char_len = char_len == 0 ? 1 : char_len;
        if (len + char_len + sizeof ellipsis > SANITIZED_SIZE) { /* no room for it and for "..." */
            memcpy(out + len, ellipsis, sizeof ellipsis);
            return out;
        }
        memcpy(out + len, bytes, char_len);
        len += char_len;
        text = (struct str){text.data + char_len, text.len - char_len};
    }
    out[len] = '\0';
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

void decode_error(struct decoder *d, const struct json_path *at, const char *suffix, int rc, const struct field *limit,
                  const char *format, ...)
{
    if (d->errors->count ==
        VALIDATION_ERRORS_MAX) { /* a list of wrong items should cost no more than one of right ones */
        d->errors->more++;
        return;
    }
    char location[sizeof d->errors->items[0].location];
    struct json_pointer p;
    json_pointer_init(&p, location, sizeof location);
    add_path(&p, at);
    json_pointer_add_bytes(&p, suffix, strlen(suffix));

    char detail[sizeof d->errors->items[0].detail + 1]; /* so that validation_errors_add() sees what is too long */
    va_list args;
    va_start(args, format);
    vsnprintf(detail, sizeof detail, format, args);
    va_end(args);
    validation_errors_add(d->errors, rc, limit, location, "%s", detail);
}

bool decode_out_of_memory(struct decoder *d)
{
    validation_errors_add(d->errors, ERR_OUT_OF_MEMORY, NULL, "", "there is no memory for this request now");
    return false;
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
    decode_error(d, at, "", ERR_INVALID, NULL, "must be %s, not %s", expected, json_type_name(json));
    return true;
}

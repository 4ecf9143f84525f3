/* decode_query - decodes URL queries, with the same errors and defaults as bodies. */
#include "handlers/json/decode_internal.h"
#include "runtime/lib/check.h"

#include <string.h>

enum { FIELDS_MAX = 64 }; /* of the record: a limit for our type tables, not for clients */

static int decode_hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool decode_percent(struct str in, bool plus_is_space, struct arena *arena, struct str *out, bool *out_of_memory)
{
    *out_of_memory = false;
    char *decoded = in.len < SIZE_MAX ? arena_alloc(arena, in.len + 1) : NULL;
    if (decoded == NULL) {
        *out_of_memory = true;
        return false;
    }
    size_t len = 0;
    for (size_t i = 0; i < in.len; i++) {
        char c = in.data[i];
        if (c == '%') {
            int high = i + 2 < in.len ? decode_hex_digit(in.data[i + 1]) : -1;
            int low = i + 2 < in.len ? decode_hex_digit(in.data[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            c = (char)(high << 4 | low);
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        if (c == '\0')
            return false;
        decoded[len++] = c;
    }
    struct str text = {decoded, len};
    if (!str_is_utf8(text))
        return false;
    *out = text;
    return true;
}

/* Decodes the name or the value of a parameter. On failure, adds an error located by the undecoded name, and returns
 * false. */
static bool decode_component(struct decoder *d, const struct json_path *at, struct str in, struct str *out)
{
    bool out_of_memory;
    if (decode_percent(in, true, d->arena, out, &out_of_memory))
        return true;
    if (out_of_memory)
        decode_out_of_memory(d);
    else
        decode_error(d, at, "", ERR_INVALID_ARGUMENT, NULL, "must be percent-encoded UTF-8 without a NUL");
    return false;
}

/* Decodes one parameter; `seen` marks the fields that were given. */
static void decode_parameter(struct decoder *d, const struct record_ref *record, struct str raw, bool seen[FIELDS_MAX])
{
    const char *equals = memchr(raw.data, '=', raw.len);
    size_t name_len = equals == NULL ? raw.len : (size_t)(equals - raw.data);
    size_t value_start = equals == NULL ? raw.len : name_len + 1;
    struct str name, value;
    struct json_path at = {.key = {raw.data, name_len}};
    if (!decode_component(d, &at, at.key, &name))
        return;

    size_t i = 0;
    const struct field *fields = record->type->fields;
    while (fields[i].name != NULL && !str_eq(name, fields[i].name))
        i++;
    struct json_path decoded_at = {.key = name};
    if (fields[i].name == NULL) {
        decode_unknown_name(d, &decoded_at, record, 1);
        return;
    }
    if (seen[i]) {
        decode_error(d, &decoded_at, "", ERR_INVALID_ARGUMENT, NULL, "is given more than once");
        return;
    }
    seen[i] = true;
    if (decode_component(d, &at, (struct str){raw.data + value_start, raw.len - value_start}, &value))
        decode_text(d, &decoded_at, fields[i].type, value, (char *)record->value + fields[i].offset);
}

int decode_query(struct str query, const struct record_ref *record, struct arena *arena,
                 const struct decode_context *context, struct validation_errors *errors)
{
    validation_errors_init(errors);
    struct decoder d = {
        .arena = arena, .limits = context->limits, .registry = context->registry, .errors = errors, .in_query = true};
    bool seen[FIELDS_MAX] = {false};
    if (record->type->size > 0) /* a record without fields may have no address */
        memset(record->value, 0, record->type->size);
    while (query.len > 0 && errors->rc != ERR_OUT_OF_MEMORY) {
        const char *end = memchr(query.data, '&', query.len);
        size_t len = end == NULL ? query.len : (size_t)(end - query.data);
        if (len > 0)
            decode_parameter(&d, record, (struct str){query.data, len}, seen);
        size_t consumed = end == NULL ? len : len + 1;
        query = (struct str){query.data + consumed, query.len - consumed};
    }
    const struct field *fields = record->type->fields;
    for (size_t i = 0; fields[i].name != NULL; i++) {
        CHECK(i < FIELDS_MAX);
        struct json_path at = {.key = str_from(fields[i].name)};
        if (!seen[i] && !decode_absent(&d, &at, &fields[i], (char *)record->value + fields[i].offset))
            break;
    }
    return errors->rc;
}

#include "handlers/json/decode_internal.h"
#include "runtime/lib/check.h"
#include "runtime/types/type_parse.h"

#include <string.h>

enum { FIELDS_MAX = 64 }; /* of the record: our own tables, not the world's */

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

struct query {
    const struct record_ref *record;
    struct arena *arena;
    const struct limits *limits;
    struct validation_errors *errors;
    bool seen[FIELDS_MAX];
};

static void query_out_of_memory(struct query *q)
{
    validation_errors_add(q->errors, ERR_OUT_OF_MEMORY, NULL, "", "there is no memory for this request now");
}

/* What type_parse() said. */
static void query_value_error(struct query *q, const struct field *field, const struct err *e)
{
    if (e->rc == ERR_OUT_OF_MEMORY)
        query_out_of_memory(q);
    else if (e->rc == ERR_LIMIT_EXCEEDED)
        validation_errors_add(q->errors, e->rc, field->type->limit, field->name, "%s (%s)", e->msg,
                              field->type->limit->name);
    else
        validation_errors_add(q->errors, e->rc, NULL, field->name, "%s", e->msg);
}

static void unknown_parameter(struct query *q, struct str name)
{
    char sanitized[SANITIZED_SIZE];
    struct name_list known = {0};
    for (const struct field *f = q->record->type->fields; f->name != NULL; f++)
        name_list_add(&known, f->name);
    if (known.len == 0)
        validation_errors_add(q->errors, ERR_INVALID, NULL, decode_sanitize(name, sanitized),
                              "is not a known parameter; there are none here");
    else
        validation_errors_add(q->errors, ERR_INVALID, NULL, decode_sanitize(name, sanitized),
                              "is not a known parameter; known are: %s", known.text);
}

/* Decodes one half of a parameter; false, with an issue under its raw name, when that can't be done. */
static bool decode_component(struct query *q, struct str raw_name, struct str in, struct str *out)
{
    char sanitized[SANITIZED_SIZE];
    bool out_of_memory;
    if (decode_percent(in, true, q->arena, out, &out_of_memory))
        return true;
    if (out_of_memory)
        query_out_of_memory(q);
    else
        validation_errors_add(q->errors, ERR_INVALID, NULL, decode_sanitize(raw_name, sanitized),
                              "must be percent-encoded UTF-8 without a NUL");
    return false;
}

static void decode_parameter(struct query *q, struct str raw)
{
    const char *equals = memchr(raw.data, '=', raw.len);
    size_t name_len = equals == NULL ? raw.len : (size_t)(equals - raw.data);
    size_t value_start = equals == NULL ? raw.len : name_len + 1;
    struct str raw_name = {raw.data, name_len}, name, value;
    if (!decode_component(q, raw_name, raw_name, &name))
        return;

    size_t i = 0;
    const struct field *fields = q->record->type->fields;
    while (fields[i].name != NULL && !str_eq(name, fields[i].name))
        i++;
    if (fields[i].name == NULL) {
        unknown_parameter(q, name);
        return;
    }
    if (q->seen[i]) {
        validation_errors_add(q->errors, ERR_INVALID, NULL, fields[i].name, "is given more than once");
        return;
    }
    q->seen[i] = true;
    if (!decode_component(q, raw_name, (struct str){raw.data + value_start, raw.len - value_start}, &value))
        return;
    struct err e;
    void *out = (char *)q->record->value + fields[i].offset;
    if (type_parse(fields[i].type, value, q->arena, q->limits, out, &e) != 0)
        query_value_error(q, &fields[i], &e);
}

static void decode_absent_parameter(struct query *q, const struct field *field)
{
    void *value = (char *)q->record->value + field->offset;
    struct err e;
    switch (field->presence) {
    case FIELD_REQUIRED:
        validation_errors_add(q->errors, ERR_INVALID, NULL, field->name, "is required");
        return;
    case FIELD_OPTIONAL:
        type_set_absent(field->type, value);
        return;
    case FIELD_DEFAULTED: /* a configured limit may be below the default */
        if (type_parse(field->type, str_from(field->default_text), q->arena, q->limits, value, &e) != 0)
            query_value_error(q, field, &e);
        return;
    }
}

int decode_query(struct str query, const struct record_ref *record, struct arena *arena, const struct limits *limits,
                 struct validation_errors *errors)
{
    *errors = (struct validation_errors){0};
    struct query q = {.record = record, .arena = arena, .limits = limits, .errors = errors};
    if (record->type->size > 0) /* a record without fields needs no memory */
        memset(record->value, 0, record->type->size);
    while (query.len > 0 && errors->rc != ERR_OUT_OF_MEMORY) {
        const char *end = memchr(query.data, '&', query.len);
        size_t len = end == NULL ? query.len : (size_t)(end - query.data);
        if (len > 0)
            decode_parameter(&q, (struct str){query.data, len});
        size_t consumed = end == NULL ? len : len + 1;
        query = (struct str){query.data + consumed, query.len - consumed};
    }
    const struct field *fields = record->type->fields;
    for (size_t i = 0; fields[i].name != NULL; i++) {
        CHECK(i < FIELDS_MAX);
        if (!q.seen[i])
            decode_absent_parameter(&q, &fields[i]);
    }
    for (size_t i = 0; i < errors->count; i++)
        errors->items[i].in_query = errors->rc != ERR_OUT_OF_MEMORY;
    return errors->rc;
}

#include "handlers/json/decode_internal.h"
#include "runtime/lib/check.h"
#include "runtime/types/type_parse.h"

#include <string.h>

enum { FIELDS_MOST = 64 }; /* of the record: our own tables, not the world's */

static int hex_value(char c)
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
        char c = in.at[i];
        if (c == '%') {
            int high = i + 2 < in.len ? hex_value(in.at[i + 1]) : -1;
            int low = i + 2 < in.len ? hex_value(in.at[i + 2]) : -1;
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
    const struct record_ref *part;
    struct arena *arena;
    const struct limits *limits;
    struct validation_errors *issues;
    bool given[FIELDS_MOST];
};

static void no_memory(struct query *q)
{
    issue_add(q->issues, ERR_OUT_OF_MEMORY, NULL, "", "there is no memory for this request now");
}

/* What type_parse() said. */
static void misfit(struct query *q, const struct field *field, const struct err *e)
{
    if (e->rc == ERR_OUT_OF_MEMORY)
        no_memory(q);
    else if (e->rc == ERR_LIMIT_EXCEEDED)
        issue_add(q->issues, e->rc, field->type->limit, field->name, "%s (%s)", e->msg, field->type->limit->name);
    else
        issue_add(q->issues, e->rc, NULL, field->name, "%s", e->msg);
}

static void unknown_parameter(struct query *q, struct str name)
{
    char shown[QUOTED];
    struct name_list known = {0};
    for (const struct field *f = q->part->type->fields; f->name != NULL; f++)
        name_list_add(&known, f->name);
    if (known.len == 0)
        issue_add(q->issues, ERR_INVALID, NULL, quoted(name, shown), "is not a known parameter; there are none here");
    else
        issue_add(q->issues, ERR_INVALID, NULL, quoted(name, shown), "is not a known parameter; known are: %s",
                  known.text);
}

/* Decodes one half of a parameter; false, with an issue under its raw name, when that can't be done. */
static bool decode_half(struct query *q, struct str raw_name, struct str in, struct str *out)
{
    char shown[QUOTED];
    bool out_of_memory;
    if (decode_percent(in, true, q->arena, out, &out_of_memory))
        return true;
    if (out_of_memory)
        no_memory(q);
    else
        issue_add(q->issues, ERR_INVALID, NULL, quoted(raw_name, shown), "must be percent-encoded UTF-8 without a NUL");
    return false;
}

static void decode_parameter(struct query *q, struct str raw)
{
    const char *equals = memchr(raw.at, '=', raw.len);
    size_t name_len = equals == NULL ? raw.len : (size_t)(equals - raw.at);
    size_t value_at = equals == NULL ? raw.len : name_len + 1;
    struct str raw_name = {raw.at, name_len}, name, value;
    if (!decode_half(q, raw_name, raw_name, &name))
        return;

    size_t i = 0;
    const struct field *fields = q->part->type->fields;
    while (fields[i].name != NULL && !str_eq(name, fields[i].name))
        i++;
    if (fields[i].name == NULL) {
        unknown_parameter(q, name);
        return;
    }
    if (q->given[i]) {
        issue_add(q->issues, ERR_INVALID, NULL, fields[i].name, "is given more than once");
        return;
    }
    q->given[i] = true;
    if (!decode_half(q, raw_name, (struct str){raw.at + value_at, raw.len - value_at}, &value))
        return;
    struct err e;
    void *out = (char *)q->part->value + fields[i].offset;
    if (type_parse(fields[i].type, value, q->arena, q->limits, out, &e) != 0)
        misfit(q, &fields[i], &e);
}

static void decode_not_given(struct query *q, const struct field *field)
{
    void *value = (char *)q->part->value + field->offset;
    struct err e;
    switch (field->presence) {
    case FIELD_REQUIRED:
        issue_add(q->issues, ERR_INVALID, NULL, field->name, "is required");
        return;
    case FIELD_OPTIONAL:
        type_set_absent(field->type, value);
        return;
    case FIELD_DEFAULTED: /* a configured limit may be below the default */
        if (type_parse(field->type, str_from(field->default_text), q->arena, q->limits, value, &e) != 0)
            misfit(q, field, &e);
        return;
    }
}

int decode_query(struct str query, const struct record_ref *part, struct arena *arena, const struct limits *limits,
                 struct validation_errors *issues)
{
    *issues = (struct validation_errors){0};
    struct query q = {.part = part, .arena = arena, .limits = limits, .issues = issues};
    if (part->type->size > 0) /* a record without fields needs no memory */
        memset(part->value, 0, part->type->size);
    while (query.len > 0 && issues->rc != ERR_OUT_OF_MEMORY) {
        const char *end = memchr(query.at, '&', query.len);
        size_t len = end == NULL ? query.len : (size_t)(end - query.at);
        if (len > 0)
            decode_parameter(&q, (struct str){query.at, len});
        size_t step = end == NULL ? len : len + 1;
        query = (struct str){query.at + step, query.len - step};
    }
    const struct field *fields = part->type->fields;
    for (size_t i = 0; fields[i].name != NULL; i++) {
        CHECK(i < FIELDS_MOST);
        if (!q.given[i])
            decode_not_given(&q, &fields[i]);
    }
    for (size_t i = 0; i < issues->count; i++)
        issues->items[i].parameter = issues->rc != ERR_OUT_OF_MEMORY;
    return issues->rc;
}

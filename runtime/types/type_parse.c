#include "runtime/types/type_parse.h"

#include "runtime/lib/check.h"
#include "runtime/lib/decimal.h"

#include <string.h>

static int parse_integer(const struct type *type, struct str text, const struct limits *limits, int64_t *value,
                         struct err *e)
{
    bool negative = text.len > 0 && text.data[0] == '-';
    if (negative)
        text = (struct str){text.data + 1, text.len - 1};
    uint64_t magnitude;
    enum decimal status = decimal_parse_digits(text, &magnitude);
    if (status == DECIMAL_INVALID)
        return err_set(e, ERR_INVALID, "must be an integer");
    int64_t number = negative ? -(int64_t)magnitude : (int64_t)magnitude;
    if (status == DECIMAL_OVERFLOW)
        number = negative ? INT64_MIN : INT64_MAX;
    int rc = type_check(type, &number, limits, e);
    if (rc == 0 && status == DECIMAL_OVERFLOW)
        rc = err_set(e, ERR_INVALID, "must fit in 64 bits");
    if (rc == 0)
        *value = number;
    return rc;
}

static int parse_seconds(const struct type *type, struct str text, const struct limits *limits, uint64_t *value,
                         struct err *e)
{
    bool negative = text.len > 0 && text.data[0] == '-';
    if (negative)
        text = (struct str){text.data + 1, text.len - 1};
    uint64_t ns;
    enum decimal status = decimal_parse_seconds(text, &ns);
    if (status == DECIMAL_INVALID)
        return err_set(e, ERR_INVALID, "must be a number of seconds, such as 1.5");
    if (negative)
        ns = 0; /* type_check() then reports the type's minimum, if it is above 0 */
    else if (status == DECIMAL_OVERFLOW)
        ns = INT64_MAX;
    int rc = type_check(type, &ns, limits, e);
    if (rc == 0 && negative)
        rc = err_set(e, ERR_INVALID, "must be at least 0, without a sign");
    if (rc == 0 && status == DECIMAL_OVERFLOW)
        rc = err_set(e, ERR_INVALID, "must fit in 63 bits of nanoseconds");
    if (rc == 0)
        *value = ns;
    return rc;
}

static int parse_enum(const struct type *type, struct str text, int *value, struct err *e)
{
    for (int i = 0; type->names[i] != NULL; i++) {
        if (str_eq(text, type->names[i])) {
            *value = i;
            return 0;
        }
    }
    struct name_list names = {0};
    for (int i = 0; type->names[i] != NULL; i++)
        name_list_add(&names, type->names[i]);
    return err_set(e, ERR_INVALID, "must be one of: %s", names.text);
}

static int parse_string(const struct type *type, struct str text, struct arena *arena, const struct limits *limits,
                        struct str *value, struct err *e)
{
    CHECK(arena != NULL);
    if (!str_is_utf8(text))
        return err_set(e, ERR_INVALID, "must be UTF-8");
    int rc = type_check(type, &text, limits, e);
    if (rc == 0 && !arena_str(arena, text.data, text.len, value))
        rc = err_nomem(e);
    return rc;
}

static int parse_array(const struct type *type, struct str text, struct arena *arena, const struct limits *limits,
                       struct array *value, struct err *e)
{
    CHECK(arena != NULL && type->item->kind != TYPE_ARRAY);
    struct array list = {.count = text.len > 0};
    for (size_t i = 0; i < text.len; i++)
        list.count += text.data[i] == ',';
    int rc = type_check(type, &list, limits, e);
    if (rc != 0)
        return rc;

    size_t item_size = type_size(type->item);
    list.items = arena_calloc(arena, list.count, item_size);
    if (list.items == NULL)
        return err_nomem(e);
    for (size_t i = 0; i < list.count; i++) {
        const char *comma = text.len > 0 ? memchr(text.data, ',', text.len) : NULL;
        struct str item = {text.data, comma == NULL ? text.len : (size_t)(comma - text.data)};
        struct err item_err;
        rc = type_parse(type->item, item, arena, limits, (char *)list.items + i * item_size, &item_err);
        if (rc != 0)
            return err_set(e, rc, "must be a comma-separated list: item %zu %s", i + 1, item_err.msg);
        if (comma != NULL)
            text = (struct str){comma + 1, text.len - item.len - 1};
    }
    *value = list;
    return 0;
}

static int parse_pool(struct str text, const struct limits *limits, int64_t *value, struct err *e)
{
    CHECK(limits != NULL);
    const struct pool_config *pools = limits->pools.items;
    for (size_t i = 0; i < limits->pools.count; i++) {
        if (str_eq(text, pools[i].name.data)) {
            *value = (int64_t)i;
            return 0;
        }
    }
    struct name_list names = {0};
    for (size_t i = 0; i < limits->pools.count; i++)
        name_list_add(&names, pools[i].name.data);
    return err_set(e, ERR_INVALID, "must be one of: %s", names.text);
}

int type_parse(const struct type *type, struct str text, struct arena *arena, const struct limits *limits, void *value,
               struct err *e)
{
    switch (type->kind) {
    case TYPE_BOOLEAN:
        if (!str_eq(text, "true") && !str_eq(text, "false"))
            return err_set(e, ERR_INVALID, "must be true or false");
        *(bool *)value = str_eq(text, "true");
        return 0;
    case TYPE_INTEGER:
        return parse_integer(type, text, limits, value, e);
    case TYPE_SECONDS:
        return parse_seconds(type, text, limits, value, e);
    case TYPE_ENUM:
        return parse_enum(type, text, value, e);
    case TYPE_STRING:
        return parse_string(type, text, arena, limits, value, e);
    case TYPE_ARRAY:
        return parse_array(type, text, arena, limits, value, e);
    case TYPE_POOL:
        return parse_pool(text, limits, value, e);
    case TYPE_TIME:
    case TYPE_RECORD:
    case TYPE_FUNCTION:
    case TYPE_INPUT:
    case TYPE_OUTPUT:
    case TYPE_CHILD:
    case TYPE_REFERENCE:
        break;
    }
    UNREACHABLE();
}

void record_set_defaults(const struct type *record, void *out)
{
    memset(out, 0, record->size);
    for (const struct field *field = record->fields; field->name != NULL; field++) {
        void *value = (char *)out + field->offset;
        if (field->presence == FIELD_OPTIONAL)
            type_set_absent(field->type, value);
        if (field->presence != FIELD_DEFAULTED)
            continue;
        int rc = type_parse(field->type, str_from(field->default_text), NULL, NULL, value, NULL);
        CHECK(rc == 0);
    }
}

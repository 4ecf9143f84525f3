#include "runtime/types/type.h"

#include "runtime/lib/check.h"
#include "runtime/lib/decimal.h"
#include "runtime/lib/util.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const struct type time_type = {
    .kind = TYPE_TIME, .name = "Time", .doc = "A point in time (RFC 3339), in UTC, with microseconds."};

size_t type_size(const struct type *type)
{
    switch (type->kind) {
    case TYPE_BOOLEAN:
        return sizeof(bool);
    case TYPE_INTEGER:
    case TYPE_POOL:
    case TYPE_TIME:
        return sizeof(int64_t);
    case TYPE_SECONDS:
        return sizeof(uint64_t);
    case TYPE_ENUM:
        return sizeof(int);
    case TYPE_STRING:
        return sizeof(struct str);
    case TYPE_ARRAY:
        return sizeof(struct array);
    case TYPE_RECORD:
        return type->size;
    case TYPE_FUNCTION:
    case TYPE_INPUT:
    case TYPE_OUTPUT:
    case TYPE_CHILD:
    case TYPE_REFERENCE:
        return sizeof(void *);
    }
    UNREACHABLE();
}

bool check_error_set(struct check_error *check_error, const char *pointer, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    check_error->rc = ERR_INVALID_ARGUMENT;
    snprintf(check_error->pointer, sizeof check_error->pointer, "%s", pointer);
    vsnprintf(check_error->detail, sizeof check_error->detail, format, args);
    va_end(args);
    return false;
}

void type_set_absent(const struct type *type, void *value)
{
    switch (type->kind) {
    case TYPE_INTEGER:
    case TYPE_POOL:
    case TYPE_TIME:
        *(int64_t *)value = INTEGER_ABSENT;
        return;
    case TYPE_SECONDS:
        *(uint64_t *)value = SECONDS_ABSENT;
        return;
    case TYPE_ENUM:
        *(int *)value = ENUM_ABSENT;
        return;
    case TYPE_STRING:
        *(struct str *)value = (struct str){NULL, 0};
        return;
    case TYPE_ARRAY:
        *(struct array *)value = (struct array){NULL, 0};
        return;
    case TYPE_FUNCTION:
    case TYPE_INPUT:
    case TYPE_OUTPUT:
    case TYPE_CHILD:
    case TYPE_REFERENCE:
        memcpy(value, &(void *){NULL}, sizeof(void *));
        return;
    case TYPE_BOOLEAN:
    case TYPE_RECORD:
        break;
    }
    UNREACHABLE();
}

bool type_is_absent(const struct type *type, const void *value)
{
    const void *pointer;
    switch (type->kind) {
    case TYPE_INTEGER:
    case TYPE_POOL:
    case TYPE_TIME:
        return *(const int64_t *)value == INTEGER_ABSENT;
    case TYPE_SECONDS:
        return *(const uint64_t *)value == SECONDS_ABSENT;
    case TYPE_ENUM:
        return *(const int *)value == ENUM_ABSENT;
    case TYPE_STRING:
        return ((const struct str *)value)->data == NULL;
    case TYPE_ARRAY:
        return ((const struct array *)value)->items == NULL;
    case TYPE_FUNCTION:
    case TYPE_INPUT:
    case TYPE_OUTPUT:
    case TYPE_CHILD:
    case TYPE_REFERENCE:
        memcpy(&pointer, value, sizeof pointer); /* pointers to different types */
        return pointer == NULL;
    case TYPE_BOOLEAN:
    case TYPE_RECORD:
        return false;
    }
    UNREACHABLE();
}

int64_t limits_get(const struct limits *limits, const struct field *field)
{
    int64_t value; /* the member is an int64_t or a uint64_t; the range of every limit fits both */
    memcpy(&value, (const char *)limits + field->offset, sizeof value);
    return value;
}

int64_t type_max(const struct type *type, const struct limits *limits)
{
    if (type->limit == NULL)
        return type->max;
    CHECK(limits != NULL);
    return limits_get(limits, type->limit);
}

/* Fills *e with the violated bound, as in "must be at least 1". Returns rc. */
static int range_error(const struct type *type, const char *relation, int64_t bound, int rc, struct err *e)
{
    char seconds[SECONDS_TEXT_SIZE];
    const char *unit = type->kind == TYPE_STRING ? "character" : "item";

    if (type->kind == TYPE_INTEGER)
        return err_set(e, rc, "must be %s %" PRId64, relation, bound);
    if (type->kind == TYPE_SECONDS && bound == 1) /* 1 ns: type_parse() rounds smaller positive values up to it */
        return err_set(e, rc, "must be more than 0");
    if (type->kind == TYPE_SECONDS) {
        seconds_format((uint64_t)bound, seconds);
        return err_set(e, rc, "must be %s %s", relation, seconds);
    }
    return err_set(e, rc, "must have %s %" PRId64 " %s%s", relation, bound, unit, bound == 1 ? "" : "s");
}

static int64_t clamp_to_int64(uint64_t value)
{
    return value > INT64_MAX ? INT64_MAX : (int64_t)value;
}

int type_check(const struct type *type, const void *value, const struct limits *limits, struct err *e)
{
    int64_t n = 0;
    switch (type->kind) {
    case TYPE_INTEGER:
    case TYPE_POOL:
        n = *(const int64_t *)value;
        break;
    case TYPE_SECONDS:
        n = clamp_to_int64(*(const uint64_t *)value);
        break;
    case TYPE_STRING: {
        const struct str *text = value;
        if (!type->allow_nul && text->len > 0 && memchr(text->data, '\0', text->len) != NULL)
            return err_set(e, ERR_INVALID, "must not contain a NUL");
        n = clamp_to_int64(text->len);
        if (n > type->max || type->min > 1) /* else the bytes tell enough */
            n = clamp_to_int64(utf8_count_chars(*text));
        break;
    }
    case TYPE_ARRAY:
        n = clamp_to_int64(((const struct array *)value)->count);
        break;
    case TYPE_BOOLEAN:
    case TYPE_ENUM:
    case TYPE_TIME:
    case TYPE_RECORD:
    case TYPE_FUNCTION:
    case TYPE_INPUT:
    case TYPE_OUTPUT:
    case TYPE_CHILD:
    case TYPE_REFERENCE:
        return 0;
    }
    if (n < type->min)
        return range_error(type, "at least", type->min, ERR_INVALID, e);
    if (n > type_max(type, limits))
        return range_error(type, "at most", type_max(type, limits),
                           type->limit != NULL ? ERR_LIMIT_EXCEEDED : ERR_INVALID, e);
    return 0;
}

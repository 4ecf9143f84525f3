/* decode_scalar - decodes JSON values other than objects and arrays. */
#include "handlers/json/decode_internal.h"
#include "runtime/lib/check.h"
#include "runtime/lib/decimal.h"
#include "runtime/task/function.h"
#include "runtime/types/type_parse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct str json_str(const json_t *json)
{
    return (struct str){json_string_value(json), json_string_length(json)};
}

static bool exceeds_safe_integer(const struct type *type)
{
    return type->limit == NULL && (type->min < -SAFE_INTEGER_MAX || type->max > SAFE_INTEGER_MAX);
}

/* Parses an integer as it is rendered. The schema has a pattern for the digits, but no range for the number. */
static int integer_from_string(const struct type *type, struct str text, int64_t *number, struct err *e)
{
    int rc = type_parse(type, text, NULL, NULL, number, e);
    size_t sign = text.len > 0 && text.data[0] == '-';
    uint64_t magnitude;
    if (rc != 0 && decimal_parse_digits((struct str){text.data + sign, text.len - sign}, &magnitude) != DECIMAL_INVALID)
        e->rc = rc = ERR_INVALID_ARGUMENT;
    return rc;
}

/* JSON Schema counts 1.0 and 1e3 as integers. */
static int integer_from_real(const struct type *type, double real, int64_t *number, struct err *e)
{
    const double max_exact = (double)SAFE_INTEGER_MAX, max = (double)INT64_MAX;
    bool is_valid = exceeds_safe_integer(type) && real > -max && real < max; /* by the schema */
    if (!(real >= -max_exact && real <= max_exact))
        return err_set(e, is_valid ? ERR_INVALID_ARGUMENT : ERR_INVALID,
                       "must be an integer; one this large must have no fraction or exponent");
    *number = (int64_t)real;
    if ((double)*number != real)
        return err_set(e, ERR_INVALID, "must be an integer, without a fraction");
    return 0;
}

static bool decode_integer(struct decoder *d, const struct json_path *at, const struct type *type, const json_t *json,
                           int64_t *value)
{
    int64_t number = json_integer_value(json);
    struct err e;
    int rc;
    if (json_is_string(json) && exceeds_safe_integer(type)) { /* large integers are rendered as strings */
        rc = integer_from_string(type, json_str(json), &number, &e);
    } else if (json_is_real(json)) {
        rc = integer_from_real(type, json_real_value(json), &number, &e);
        rc = rc != 0 ? rc : type_check(type, &number, d->limits, &e);
    } else if (json_is_integer(json)) {
        rc = type_check(type, &number, d->limits, &e);
    } else {
        return decode_type_error(d, at, "an integer", json);
    }
    if (rc != 0)
        return decode_value_error(d, at, type, &e);
    *value = number;
    return true;
}

/* Formats the shortest decimal text that parses as `real`, which is the client's text or equivalent to it. */
static void format_shortest(double real, char *out, size_t size)
{
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(out, size, "%.*g", digits, real);
        if (strtod(out, NULL) == real)
            return;
    }
}

/* Converts a non-negative number to nanoseconds directly. Returns false if converting its decimal text could give
 * another result. */
static bool exact_seconds(const json_t *json, uint64_t *ns)
{
    if (json_is_integer(json)) {
        *ns = (uint64_t)json_integer_value(json) * NS_PER_SECOND;
        return json_integer_value(json) < 1000000;
    }
    /* Decimals of up to 15 digits parse as distinct doubles. So if a whole number of nanoseconds below 10^15 converts
     * to this double, it is the number that the client wrote. */
    double real = json_real_value(json);
    if (real >= 1e6)
        return false;
    *ns = (uint64_t)(real * 1e9 + 0.5);
    return (double)*ns / 1e9 == real;
}

/* Rounds the decimal text up to nanoseconds, not the double: the double nearest to 0.1 is larger than 0.1, and would
 * become 100000001 ns. */
static bool decode_seconds(struct decoder *d, const struct json_path *at, const struct type *type, const json_t *json,
                           uint64_t *value)
{
    if (!json_is_number(json))
        return decode_type_error(d, at, "a number", json);
    uint64_t ns;
    struct err e;
    int rc;
    if (json_number_value(json) < 0) {
        decode_error(d, at, "", ERR_INVALID, NULL, "must be %s 0", type->min > 0 ? "more than" : "at least");
        return true;
    }
    if (exact_seconds(json, &ns)) {
        rc = type_check(type, &ns, d->limits, &e);
    } else {
        char text[32];
        if (json_is_integer(json))
            snprintf(text, sizeof text, "%" JSON_INTEGER_FORMAT, json_integer_value(json));
        else
            format_shortest(json_real_value(json), text, sizeof text);
        rc = type_parse(type, str_from(text), d->arena, d->limits, &ns, &e);
    }
    if (rc != 0)
        return decode_value_error(d, at, type, &e);
    *value = ns;
    return true;
}

static bool decode_string(struct decoder *d, const struct json_path *at, const struct type *type, struct str text,
                          struct str *value)
{
    struct err e;
    if (type_check(type, &text, d->limits, &e) != 0)
        return decode_value_error(d, at, type, &e);
    return arena_str(d->arena, text.data, text.len, value) || decode_out_of_memory(d);
}

bool decode_text(struct decoder *d, const struct json_path *at, const struct type *type, struct str text, void *value)
{
    struct err e;
    if (type_parse(type, text, d->arena, d->limits, value, &e) != 0)
        return decode_value_error(d, at, type, &e);
    return true;
}

static bool decode_function(struct decoder *d, const struct json_path *at, struct str text,
                            const struct function **value)
{
    CHECK(d->registry != NULL);
    *value = registry_find(d->registry, text);
    if (*value != NULL)
        return true;
    char name[SANITIZED_SIZE];
    struct name_list known = {0};
    for (const struct function *const *f = registry_functions(d->registry); *f != NULL; f++)
        name_list_add(&known, (*f)->name);
    decode_error(d, at, "", ERR_FUNCTION_NOT_FOUND, NULL, "must be a known function, not \"%s\"; known functions: %s",
                 decode_sanitize(text, name), known.text);
    return true;
}

bool decode_default(struct decoder *d, const struct json_path *at, const struct field *field, void *value)
{
    if (field->presence != FIELD_REQUIRED) /* decoding may fail: a configured limit may be below the default */
        return decode_text(d, at, field->type, str_from(field->default_text), value);
    decode_error(d, at, "", ERR_INVALID, NULL, "is required");
    return true;
}

bool decode_scalar(struct decoder *d, const struct json_path *at, const struct type *type, const json_t *json,
                   void *value)
{
    bool is_string =
        type->kind == TYPE_ENUM || type->kind == TYPE_STRING || type->kind == TYPE_FUNCTION || type->kind == TYPE_POOL;
    if (is_string && !json_is_string(json))
        return decode_type_error(d, at, "a string", json);
    switch (type->kind) {
    case TYPE_BOOLEAN:
        if (!json_is_boolean(json))
            return decode_type_error(d, at, "a boolean", json);
        *(bool *)value = json_is_true(json);
        return true;
    case TYPE_INTEGER:
        return decode_integer(d, at, type, json, value);
    case TYPE_SECONDS:
        return decode_seconds(d, at, type, json, value);
    case TYPE_ENUM:
    case TYPE_POOL:
        return decode_text(d, at, type, json_str(json), value);
    case TYPE_STRING:
        return decode_string(d, at, type, json_str(json), value);
    case TYPE_FUNCTION:
        return decode_function(d, at, json_str(json), value);
    case TYPE_TIME:
    case TYPE_ARRAY:
    case TYPE_RECORD:
    case TYPE_INPUT:
    case TYPE_OUTPUT:
    case TYPE_CHILD:
    case TYPE_REFERENCE:
        break;
    }
    UNREACHABLE();
}

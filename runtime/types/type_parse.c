/* Values from text and to text: the half of types.h that flags, environment and queries need. */
#include "runtime/types/limits.h"

#include <stdio.h>
#include <string.h>

/* How many bytes of ASCII there are at least at the beginning, eight looked at together: most text is nothing else, and this is
 * 6 times as fast. */
static size_t ascii_run(const unsigned char *at, size_t len)
{
    size_t i = 0;
    for (uint64_t eight; i + sizeof eight <= len; i += sizeof eight) {
        memcpy(&eight, at + i, sizeof eight);
        if ((eight & UINT64_C(0x8080808080808080)) != 0)
            break;
    }
    return i;
}

bool text_is_utf8(struct text text)
{
    const unsigned char *at = (const unsigned char *)text.at;
    size_t i = 0;
    while (i < text.len) {
        i += ascii_run(at + i, text.len - i);
        if (i == text.len)
            break;
        unsigned char lead = at[i++];
        unsigned char low = 0x80, high = 0xBF; /* what the second byte may be (RFC 3629 section 4) */
        int more;
        if (lead < 0x80) {
            continue;
        } else if (lead >= 0xC2 && lead <= 0xDF) {
            more = 1;
        } else if (lead >= 0xE0 && lead <= 0xEF) {
            more = 2;
            low = lead == 0xE0 ? 0xA0 : low;   /* else it were too long for its code point */
            high = lead == 0xED ? 0x9F : high; /* else it were a surrogate */
        } else if (lead >= 0xF0 && lead <= 0xF4) {
            more = 3;
            low = lead == 0xF0 ? 0x90 : low;
            high = lead == 0xF4 ? 0x8F : high; /* else it were beyond U+10FFFF */
        } else {
            return false;
        }
        for (; more > 0; more--, low = 0x80, high = 0xBF)
            if (i == text.len || at[i] < low || at[i++] > high)
                return false;
    }
    return true;
}

enum number {
    NUMBER_NONE, /* the text isn't one */
    NUMBER_READ,
    NUMBER_TOO_LARGE, /* for 63 bits */
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Appends a decimal digit; false, with *value as it was, when 63 bits have no room for it. */
static bool append_digit(uint64_t *value, unsigned digit)
{
    if (*value > ((uint64_t)INT64_MAX - digit) / 10)
        return false;
    *value = *value * 10 + digit;
    return true;
}

static enum number parse_digits(struct text text, uint64_t *value)
{
    uint64_t v = 0;
    bool fits = true;
    for (size_t i = 0; i < text.len; i++) {
        if (!is_digit(text.at[i]))
            return NUMBER_NONE;
        fits = fits && append_digit(&v, (unsigned)(text.at[i] - '0'));
    }
    if (text.len == 0)
        return NUMBER_NONE;
    *value = v; /* as far as it fits */
    return fits ? NUMBER_READ : NUMBER_TOO_LARGE;
}

/* Reads the exponent of a number, with what is before it split off from *text. */
static bool split_exponent(struct text *text, int64_t *exponent)
{
    size_t e = 0;
    while (e < text->len && text->at[e] != 'e' && text->at[e] != 'E')
        e++;
    if (e == text->len)
        return true;
    struct text digits = {text->at + e + 1, text->len - e - 1};
    bool negative = digits.len > 0 && digits.at[0] == '-';
    if (digits.len > 0 && (negative || digits.at[0] == '+'))
        digits = (struct text){digits.at + 1, digits.len - 1};
    uint64_t size;
    if (parse_digits(digits, &size) == NUMBER_NONE)
        return false;
    if (size > INT64_MAX / 4) /* as good as endless: no text is long enough to make up for it */
        size = INT64_MAX / 4;
    *exponent = negative ? -(int64_t)size : (int64_t)size;
    text->len = e;
    return true;
}

/* Works on the digits as they are written, since a double has no room for 63 bits of nanoseconds. */
static enum number parse_decimal(struct text text, uint64_t *ns)
{
    int64_t exponent = 0;
    if (!split_exponent(&text, &exponent))
        return NUMBER_NONE;
    const char *point = text.len > 0 ? memchr(text.at, '.', text.len) : NULL;
    size_t point_at = point == NULL ? text.len : (size_t)(point - text.at);
    if (point_at == 0 || !is_digit(text.at[text.len - 1]))
        return NUMBER_NONE;

    int64_t whole = (int64_t)point_at + exponent + 9; /* so many digits make the nanoseconds */
    int64_t digits = 0;
    uint64_t value = 0;
    bool rest = false, fits = true;
    for (size_t i = 0; i < text.len; i++) {
        if (i == point_at)
            continue;
        if (!is_digit(text.at[i]))
            return NUMBER_NONE;
        unsigned digit = (unsigned)(text.at[i] - '0');
        if (digits++ < whole)
            fits = fits && append_digit(&value, digit);
        else
            rest = rest || digit != 0;
    }
    for (; fits && value != 0 && digits < whole; digits++)
        fits = append_digit(&value, 0);
    if (rest) { /* up */
        fits = fits && value < INT64_MAX;
        value += fits;
    }
    *ns = value;
    return fits ? NUMBER_READ : NUMBER_TOO_LARGE;
}

bool seconds_parse(const char *text, uint64_t *ns)
{
    uint64_t value;
    if (parse_decimal(text_of(text), &value) != NUMBER_READ)
        return false;
    *ns = value;
    return true;
}

size_t seconds_format(uint64_t ns, char out[SECONDS_TEXT])
{
    char digits[20]; /* of the nanoseconds, the last first */
    size_t count = 0, skip = 0, len = 0;
    for (; ns > 0 || count < 10; ns /= 10) /* 10: nine behind the point, one before it */
        digits[count++] = (char)('0' + ns % 10);
    while (skip < 9 && digits[skip] == '0')
        skip++;
    while (count > skip || count > 9) {
        if (count == 9)
            out[len++] = '.';
        out[len++] = digits[--count];
    }
    out[len] = '\0';
    return len;
}

static int parse_integer(const struct type *type, struct text text, const struct limits *limits, int64_t *value,
                         struct err *e)
{
    bool negative = text.len > 0 && text.at[0] == '-';
    if (negative)
        text = (struct text){text.at + 1, text.len - 1};
    uint64_t size;
    enum number read = parse_digits(text, &size);
    if (read == NUMBER_NONE)
        return err_set(e, ERR_INVALID, "must be an integer");
    int64_t number = negative ? -(int64_t)size : (int64_t)size;
    if (read == NUMBER_TOO_LARGE)
        number = negative ? INT64_MIN : INT64_MAX;
    int rc = type_check(type, &number, limits, e);
    if (rc == 0 && read == NUMBER_TOO_LARGE)
        rc = err_set(e, ERR_INVALID, "must fit in 64 bits");
    if (rc == 0)
        *value = number;
    return rc;
}

static int parse_seconds(const struct type *type, struct text text, const struct limits *limits, uint64_t *value,
                         struct err *e)
{
    bool negative = text.len > 0 && text.at[0] == '-';
    if (negative)
        text = (struct text){text.at + 1, text.len - 1};
    uint64_t ns;
    enum number read = parse_decimal(text, &ns);
    if (read == NUMBER_NONE)
        return err_set(e, ERR_INVALID, "must be a number of seconds, such as 1.5");
    if (negative)
        ns = 0; /* for the range's own words, if it starts above 0 */
    else if (read == NUMBER_TOO_LARGE)
        ns = INT64_MAX;
    int rc = type_check(type, &ns, limits, e);
    if (rc == 0 && negative)
        rc = err_set(e, ERR_INVALID, "must be at least 0, without a sign");
    if (rc == 0 && read == NUMBER_TOO_LARGE)
        rc = err_set(e, ERR_INVALID, "must fit in 63 bits of nanoseconds");
    if (rc == 0)
        *value = ns;
    return rc;
}

static int parse_enum(const struct type *type, struct text text, int *value, struct err *e)
{
    struct name_list all = {0};
    for (int i = 0; type->names[i] != NULL; i++) {
        if (text_is(text, type->names[i])) {
            *value = i;
            return 0;
        }
        name_list_add(&all, type->names[i]);
    }
    return err_set(e, ERR_INVALID, "must be one of %s", all.text);
}

static int parse_string(const struct type *type, struct text text, struct arena *arena, const struct limits *limits,
                        struct text *value, struct err *e)
{
    PRE(arena != NULL);
    if (!text_is_utf8(text))
        return err_set(e, ERR_INVALID, "must be UTF-8");
    int rc = type_check(type, &text, limits, e);
    if (rc == 0 && !arena_text(arena, text.at, text.len, value))
        rc = err_set(e, ERR_OUT_OF_MEMORY, "has no room in memory");
    return rc;
}

static int parse_list(const struct type *type, struct text text, struct arena *arena, const struct limits *limits,
                      struct list *value, struct err *e)
{
    PRE(arena != NULL && type->item->kind != TYPE_LIST);
    struct list list = {.count = text.len > 0};
    for (size_t i = 0; i < text.len; i++)
        list.count += text.at[i] == ',';
    int rc = type_check(type, &list, limits, e);
    if (rc != 0)
        return rc;

    size_t item_size = type_size(type->item);
    list.items = arena_calloc(arena, list.count, item_size);
    if (list.items == NULL)
        return err_set(e, ERR_OUT_OF_MEMORY, "has no room in memory");
    for (size_t i = 0; i < list.count; i++) {
        const char *comma = text.len > 0 ? memchr(text.at, ',', text.len) : NULL;
        struct text item = {text.at, comma == NULL ? text.len : (size_t)(comma - text.at)};
        struct err item_err;
        rc = type_parse(type->item, item, arena, limits, (char *)list.items + i * item_size, &item_err);
        if (rc != 0)
            return err_set(e, rc, "must be separated by commas, and item %zu %s", i + 1, item_err.msg);
        if (comma != NULL)
            text = (struct text){comma + 1, text.len - item.len - 1};
    }
    *value = list;
    return 0;
}

static int parse_pool(struct text text, const struct limits *limits, int64_t *value, struct err *e)
{
    PRE(limits != NULL);
    const struct pool_size *pools = limits->pools.items;
    struct name_list all = {0};
    for (size_t i = 0; i < limits->pools.count; i++) {
        if (text_is(text, pools[i].name.at)) {
            *value = (int64_t)i;
            return 0;
        }
        name_list_add(&all, pools[i].name.at);
    }
    return err_set(e, ERR_INVALID, "must be one of %s", all.text);
}

int type_parse(const struct type *type, struct text text, struct arena *arena, const struct limits *limits, void *value,
               struct err *e)
{
    switch (type->kind) {
    case TYPE_BOOLEAN:
        if (!text_is(text, "true") && !text_is(text, "false"))
            return err_set(e, ERR_INVALID, "must be true or false");
        *(bool *)value = text_is(text, "true");
        return 0;
    case TYPE_INTEGER:
        return parse_integer(type, text, limits, value, e);
    case TYPE_SECONDS:
        return parse_seconds(type, text, limits, value, e);
    case TYPE_ENUM:
        return parse_enum(type, text, value, e);
    case TYPE_STRING:
        return parse_string(type, text, arena, limits, value, e);
    case TYPE_LIST:
        return parse_list(type, text, arena, limits, value, e);
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
    assertion_failed("PRE", "a type that can be written as text", __FILE__, __LINE__);
}

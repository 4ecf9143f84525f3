#include "runtime/lib/decimal.h"

#include <string.h>

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Appends a decimal digit; false, with *value unchanged, if the result exceeds 63 bits. */
static bool append_digit(uint64_t *value, unsigned digit)
{
    if (*value > ((uint64_t)INT64_MAX - digit) / 10)
        return false;
    *value = *value * 10 + digit;
    return true;
}

enum decimal decimal_parse_digits(struct str text, uint64_t *value)
{
    uint64_t v = 0;
    bool fits = true;
    for (size_t i = 0; i < text.len; i++) {
        if (!is_digit(text.data[i]))
            return DECIMAL_INVALID;
        fits = fits && append_digit(&v, (unsigned)(text.data[i] - '0'));
    }
    if (text.len == 0)
        return DECIMAL_INVALID;
    *value = v;
    return fits ? DECIMAL_OK : DECIMAL_OVERFLOW;
}

/* Removes the exponent, if any, from the end of *text and parses it. False: the exponent is invalid. */
static bool split_exponent(struct str *text, int64_t *exponent)
{
    size_t e = 0;
    while (e < text->len && text->data[e] != 'e' && text->data[e] != 'E')
        e++;
    if (e == text->len)
        return true;
    struct str digits = {text->data + e + 1, text->len - e - 1};
    bool negative = digits.len > 0 && digits.data[0] == '-';
    if (digits.len > 0 && (negative || digits.data[0] == '+'))
        digits = (struct str){digits.data + 1, digits.len - 1};
    uint64_t magnitude;
    if (decimal_parse_digits(digits, &magnitude) == DECIMAL_INVALID)
        return false;
    if (magnitude > INT64_MAX / 4) /* avoids overflow; the result is the same, as no text has so many digits */
        magnitude = INT64_MAX / 4;
    *exponent = negative ? -(int64_t)magnitude : (int64_t)magnitude;
    text->len = e;
    return true;
}

/* Works on the decimal digits: a double cannot hold 63 bits of nanoseconds. */
enum decimal decimal_parse_seconds(struct str text, uint64_t *ns)
{
    int64_t exponent = 0;
    if (!split_exponent(&text, &exponent))
        return DECIMAL_INVALID;
    const char *point = text.len > 0 ? memchr(text.data, '.', text.len) : NULL;
    size_t point_index = point == NULL ? text.len : (size_t)(point - text.data);
    if (point_index == 0 || !is_digit(text.data[text.len - 1]))
        return DECIMAL_INVALID;

    int64_t integer_digits = (int64_t)point_index + exponent + 9; /* leading digits that form whole nanoseconds */
    int64_t digits = 0;
    uint64_t value = 0;
    bool round_up = false, fits = true;
    for (size_t i = 0; i < text.len; i++) {
        if (i == point_index)
            continue;
        if (!is_digit(text.data[i]))
            return DECIMAL_INVALID;
        unsigned digit = (unsigned)(text.data[i] - '0');
        if (digits++ < integer_digits)
            fits = fits && append_digit(&value, digit);
        else
            round_up = round_up || digit != 0;
    }
    for (; fits && value != 0 && digits < integer_digits; digits++)
        fits = append_digit(&value, 0);
    if (round_up) {
        fits = fits && value < INT64_MAX;
        value += fits;
    }
    *ns = value;
    return fits ? DECIMAL_OK : DECIMAL_OVERFLOW;
}

bool seconds_parse(const char *text, uint64_t *ns)
{
    uint64_t value;
    if (decimal_parse_seconds(str_from(text), &value) != DECIMAL_OK)
        return false;
    *ns = value;
    return true;
}

size_t seconds_format(uint64_t ns, char out[SECONDS_TEXT_SIZE])
{
    char digits[20]; /* least significant first */
    size_t count = 0, trailing_zeros = 0, len = 0;
    for (; ns > 0 || count < 10; ns /= 10) /* at least 10 digits: one before the point, nine after */
        digits[count++] = (char)('0' + ns % 10);
    while (trailing_zeros < 9 && digits[trailing_zeros] == '0')
        trailing_zeros++;
    while (count > trailing_zeros || count > 9) {
        if (count == 9)
            out[len++] = '.';
        out[len++] = digits[--count];
    }
    out[len] = '\0';
    return len;
}

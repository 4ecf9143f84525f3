/* decimal - decimal text to integers and durations, and back.
 *
 * Owns:     nothing.
 * Threads:  any.
 */
#ifndef GATHERD_RUNTIME_LIB_DECIMAL_H
#define GATHERD_RUNTIME_LIB_DECIMAL_H

#include "runtime/lib/str.h"

#include <stdint.h>

enum decimal {
    DECIMAL_INVALID, /* not a number */
    DECIMAL_OK,
    DECIMAL_OVERFLOW, /* more than 63 bits */
};

/* Reads an integer of decimal digits, without a sign. *value is set unless it is invalid; after an overflow it means nothing. */
enum decimal decimal_parse_digits(struct str text, uint64_t *value);

/* Reads a number of seconds as nanoseconds, rounded up: digits, a fraction, an exponent, no sign. Likewise. */
enum decimal decimal_parse_seconds(struct str text, uint64_t *ns);

/* Seconds from decimal text ("1", "0.25", "1e-3"; no sign, no NaN), rounded up to a nanosecond. False when it isn't such a number or
 * has no room in 63 bits of nanoseconds. */
bool seconds_parse(const char *text, uint64_t *ns);

/* Nanoseconds as the shortest decimal number of seconds that is exact: "0", "1.5", "0.000000001". Returns the length. */
enum { SECONDS_TEXT_SIZE = 32 };
size_t seconds_format(uint64_t ns, char out[SECONDS_TEXT_SIZE]);

#endif

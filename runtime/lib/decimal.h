/* decimal - converts decimal text to integers and durations, and back.
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
    DECIMAL_OVERFLOW, /* exceeds INT64_MAX */
};

/* Parses an unsigned decimal integer. *value is unchanged if the text is invalid, and unspecified after an overflow. */
enum decimal decimal_parse_digits(struct str text, uint64_t *value);

/* Parses an unsigned number of seconds, with optional fraction and exponent, into nanoseconds, rounded up. *ns is
 * unchanged if the text is invalid, and unspecified after an overflow. */
enum decimal decimal_parse_seconds(struct str text, uint64_t *ns);

/* As decimal_parse_seconds(), for a C string. False: the text is invalid or overflows; *ns is unchanged. */
bool seconds_parse(const char *text, uint64_t *ns);

/* Formats nanoseconds as the shortest exact decimal seconds: "0", "1.5", "0.000000001". Returns the length, without the
 * NUL. */
enum { SECONDS_TEXT_SIZE = 32 };
size_t seconds_format(uint64_t ns, char out[SECONDS_TEXT_SIZE]);

#endif

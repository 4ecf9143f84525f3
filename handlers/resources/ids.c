#include "handlers/resources/ids.h"

#include "runtime/lib/check.h"
#include "runtime/lib/io.h"

#include <string.h>

enum { TIME_CHARS = 10, RANDOM_CHARS = 16, RANDOM_BYTES = 10, CHECKED_CHARS = TIME_CHARS + RANDOM_CHARS };

static const char base32_alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

static int refill(struct ids *ids)
{
    int error = io_random(ids->random_bytes, sizeof ids->random_bytes);
    if (error == 0)
        ids->random_left = sizeof ids->random_bytes;
    return error;
}

int ids_init(struct ids *ids, struct err *e)
{
    int error = refill(ids);
    return error == 0 ? 0 : err_set(e, ERR_INTERNAL, "getrandom(2) failed: %s", strerror(error));
}

static int base32_value(char c)
{
    const char *digit = c == '\0' ? NULL : strchr(base32_alphabet, c);
    return digit == NULL ? -1 : (int)(digit - base32_alphabet);
}

/* The characters taken as digits in base 37, modulo a prime. This detects every change of one character and every swap
 * of two neighbors. */
static unsigned checksum(const unsigned char digits[CHECKED_CHARS])
{
    unsigned sum = 0;
    for (int i = 0; i < CHECKED_CHARS; i++)
        sum = (sum * 37 + digits[i]) % 1021;
    return sum;
}

void ids_generate(struct ids *ids, int64_t now_us, char out[ID_SIZE])
{
    if (ids->random_left < RANDOM_BYTES) {
        int error = refill(ids); /* once it has succeeded, getrandom(2) does not fail */
        CHECK(error == 0);
    }
    const unsigned char *random = ids->random_bytes + sizeof ids->random_bytes - ids->random_left;
    ids->random_left -= RANDOM_BYTES;

    unsigned char digits[ID_LEN];
    uint64_t ms = (uint64_t)now_us / 1000;
    for (int i = TIME_CHARS; i-- > 0; ms >>= 5)
        digits[i] = ms & 31;
    for (size_t i = 0; i < RANDOM_CHARS; i++) { /* each of 5 bits, which may span two bytes */
        size_t bit = i * 5;
        unsigned window = (unsigned)random[bit / 8] << 8 | (bit / 8 + 1 < RANDOM_BYTES ? random[bit / 8 + 1] : 0U);
        digits[TIME_CHARS + i] = window >> (11 - bit % 8) & 31;
    }
    unsigned sum = checksum(digits);
    digits[CHECKED_CHARS] = sum >> 5 & 31;
    digits[CHECKED_CHARS + 1] = sum & 31;
    for (int i = 0; i < ID_LEN; i++)
        out[i] = base32_alphabet[digits[i]];
    out[ID_LEN] = '\0';
}

bool ids_parse_time(struct str id, int64_t *ms)
{
    if (id.len != ID_LEN)
        return false;
    unsigned char digits[ID_LEN];
    int64_t time = 0;
    for (int i = 0; i < ID_LEN; i++) {
        int digit = base32_value(id.data[i]);
        if (digit < 0)
            return false;
        digits[i] = (unsigned char)digit;
        if (i < TIME_CHARS)
            time = time << 5 | digit;
    }
    unsigned sum = checksum(digits);
    if (digits[CHECKED_CHARS] != sum >> 5 || digits[CHECKED_CHARS + 1] != (sum & 31))
        return false;
    *ms = time;
    return true;
}

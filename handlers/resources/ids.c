#include "handlers/resources/ids.h"

#include "runtime/lib/check.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

enum { TIME_CHARS = 10, RANDOM_CHARS = 16, RANDOM_BYTES = 10 };

static const char base32_alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

static int refill(struct ids *ids)
{
    for (size_t filled = 0; filled < sizeof ids->random_bytes;) {
        ssize_t n = getrandom(ids->random_bytes + filled, sizeof ids->random_bytes - filled, 0);
        if (n < 0 && errno != EINTR)
            return errno;
        filled += n < 0 ? 0 : (size_t)n;
    }
    ids->random_left = sizeof ids->random_bytes;
    return 0;
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
static unsigned checksum(const char *text)
{
    unsigned sum = 0;
    for (int i = 0; i < TIME_CHARS + RANDOM_CHARS; i++)
        sum = (sum * 37 + (unsigned)base32_value(text[i])) % 1021;
    return sum;
}

void ids_generate(struct ids *ids, int64_t now_us, char out[ID_SIZE])
{
    if (ids->random_left < RANDOM_BYTES) {
        int error = refill(ids); /* once it has succeeded, getrandom(2) fails only with EINTR */
        CHECK(error == 0);
    }
    const unsigned char *random = ids->random_bytes + sizeof ids->random_bytes - ids->random_left;
    ids->random_left -= RANDOM_BYTES;

    uint64_t ms = (uint64_t)now_us / 1000;
    for (int i = TIME_CHARS; i-- > 0; ms >>= 5)
        out[i] = base32_alphabet[ms & 31];
    for (size_t i = 0; i < RANDOM_CHARS; i++) { /* each of 5 bits, which may span two bytes */
        size_t bit = i * 5;
        unsigned window = (unsigned)random[bit / 8] << 8 | (bit / 8 + 1 < RANDOM_BYTES ? random[bit / 8 + 1] : 0U);
        out[TIME_CHARS + i] = base32_alphabet[window >> (11 - bit % 8) & 31];
    }
    unsigned sum = checksum(out);
    out[TIME_CHARS + RANDOM_CHARS] = base32_alphabet[sum >> 5];
    out[TIME_CHARS + RANDOM_CHARS + 1] = base32_alphabet[sum & 31];
    out[ID_LEN] = '\0';
}

bool ids_parse_time(struct str id, int64_t *ms)
{
    if (id.len != ID_LEN)
        return false;
    int64_t time = 0;
    for (int i = 0; i < ID_LEN; i++) {
        int digit = base32_value(id.data[i]);
        if (digit < 0)
            return false;
        if (i < TIME_CHARS)
            time = time << 5 | digit;
    }
    unsigned sum = checksum(id.data);
    if (id.data[ID_LEN - 2] != base32_alphabet[sum >> 5] || id.data[ID_LEN - 1] != base32_alphabet[sum & 31])
        return false;
    *ms = time;
    return true;
}

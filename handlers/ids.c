#include "handlers/ids.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

enum { TIME_CHARS = 10, RANDOM_CHARS = 16, RANDOM_BYTES = 10 };

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

static int refill(struct ids *ids)
{
    for (size_t have = 0; have < sizeof ids->stock;) {
        ssize_t n = getrandom(ids->stock + have, sizeof ids->stock - have, 0);
        if (n < 0 && errno != EINTR)
            return errno;
        have += n < 0 ? 0 : (size_t)n;
    }
    ids->left = sizeof ids->stock;
    return 0;
}

int ids_init(struct ids *ids, struct err *e)
{
    int error = refill(ids);
    return error == 0 ? 0 : err_set(e, ERR_INTERNAL, "the system gives no random bytes: %s", strerror(error));
}

static unsigned checksum(const char *text, size_t len)
{
    uint32_t hash = 2166136261U;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (unsigned char)text[i]) * 16777619U;
    return (hash ^ hash >> 10 ^ hash >> 20) & 1023U;
}

void ids_issue(struct ids *ids, int64_t now_us, char out[ID_SIZE])
{
    if (ids->left < RANDOM_BYTES) {
        int error = refill(ids); /* getrandom(2) that worked once can only be interrupted */
        POST(error == 0);
    }
    const unsigned char *random = ids->stock + sizeof ids->stock - ids->left;
    ids->left -= RANDOM_BYTES;

    uint64_t ms = (uint64_t)now_us / 1000;
    for (int i = TIME_CHARS; i-- > 0; ms >>= 5)
        out[i] = alphabet[ms & 31];
    for (size_t i = 0; i < RANDOM_CHARS; i++) { /* 5 bits each, which may span two bytes */
        size_t bit = i * 5;
        unsigned two = (unsigned)random[bit / 8] << 8 | (bit / 8 + 1 < RANDOM_BYTES ? random[bit / 8 + 1] : 0U);
        out[TIME_CHARS + i] = alphabet[two >> (11 - bit % 8) & 31];
    }
    unsigned sum = checksum(out, TIME_CHARS + RANDOM_CHARS);
    out[TIME_CHARS + RANDOM_CHARS] = alphabet[sum >> 5];
    out[TIME_CHARS + RANDOM_CHARS + 1] = alphabet[sum & 31];
    out[ID_LEN] = '\0';
}

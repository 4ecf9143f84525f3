/* ids - identifiers as they are issued: a time, 80 random bits and a checksum, in 28 characters that sort by time.
 *
 * Form:     Crockford's base 32 (no I, L, O, U): 10 characters of milliseconds since 1970, 16 of random bits, 2 of checksum,
 *           so that a mistyped id can be told from one that is gone.
 * Owns:     a stock of random bytes, so that an id costs no system call of its own.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_HANDLERS_RESOURCES_IDS_H
#define GATHERD_HANDLERS_RESOURCES_IDS_H

#include "runtime/lib/error.h"
#include "runtime/lib/str.h"

#include <stdint.h>

enum { ID_LEN = 28, ID_SIZE = ID_LEN + 1 };

struct ids {
    unsigned char random_bytes[4000]; /* from getrandom(2) */
    size_t random_left;               /* bytes at the end of stock that no id has used */
};

/* 0, or ERR_INTERNAL when the system gives no random bytes. */
int ids_init(struct ids *ids, struct err *e);
void ids_generate(struct ids *ids, int64_t now_us, char out[ID_SIZE]); /* NUL-terminated */

/* When an id was issued, in milliseconds since 1970. False when it is no id that was ever issued: wrong form or checksum. */
bool ids_parse_time(struct str id, int64_t *ms);

#endif

/* ids - identifiers of tasks, open files and requests: 28 characters that sort by time.
 *
 * Format:   a ULID and a checksum in Crockford's base 32 (no I, L, O, U): 10 characters of milliseconds since 1970,
 *           16 of random bits, 2 of checksum. The checksum distinguishes a mistyped id from an expired one.
 * Owns:     a buffer of random bytes, which saves a system call per id.
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
    size_t random_left;               /* unused bytes at the end of random_bytes */
};

/* Returns 0, or ERR_INTERNAL if getrandom(2) fails. */
int ids_init(struct ids *ids, struct err *e);
void ids_generate(struct ids *ids, int64_t now_us, char out[ID_SIZE]); /* NUL-terminated */

/* Sets *ms to the time when the id was generated, in milliseconds since 1970. Returns false if the format or the
 * checksum is wrong. */
bool ids_parse_time(struct str id, int64_t *ms);

#endif

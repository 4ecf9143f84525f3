/* wall_clock - the time of day, and its RFC 3339 text.
 *
 * Owns:     nothing.
 * Threads:  any.
 */
#ifndef GATHERD_RUNTIME_LIB_WALL_CLOCK_H
#define GATHERD_RUNTIME_LIB_WALL_CLOCK_H

#include <stddef.h>
#include <stdint.h>

/* Microseconds since 1970 (CLOCK_REALTIME). The clock may jump: measure durations with uv_hrtime(). */
int64_t wall_clock_us(void);

/* Formats microseconds since 1970 as UTC, such as "2026-11-22T12:05:46.123456Z" (RFC 3339). Returns the length, without
 * the NUL. */
enum { RFC3339_SIZE = 40 };
size_t rfc3339_format(int64_t us, char out[RFC3339_SIZE]);

#endif

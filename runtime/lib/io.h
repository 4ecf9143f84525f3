/* io - system calls that transfer everything: short transfers and EINTR are retried.
 *
 * Owns:     nothing.
 * Threads:  any. For blocking descriptors: EAGAIN is an error like any other.
 */
#ifndef GATHERD_RUNTIME_LIB_IO_H
#define GATHERD_RUNTIME_LIB_IO_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Reads `len` bytes, or fewer if the file ends. Returns the number of bytes read, or -1 with errno set. */
ssize_t io_read_full(int fd, void *out, size_t len);
ssize_t io_pread_full(int fd, void *out, size_t len, off_t offset);

/* Writes `len` bytes. Returns 0 or an errno. *written (may be NULL) is the number of bytes written, also on failure. */
int io_write_full(int fd, const void *bytes, size_t len, size_t *written);
int io_pwrite_full(int fd, const void *bytes, size_t len, off_t offset, size_t *written);

/* Fills `out` from getrandom(2). Returns 0 or an errno. */
int io_random(void *out, size_t len);

/* Whether the system call that returned `result` was interrupted by a signal, and must be repeated:
 *
 *     do
 *         result = call();
 *     while (io_interrupted(result));
 */
static inline bool io_interrupted(ssize_t result)
{
    return result < 0 && errno == EINTR;
}

#endif

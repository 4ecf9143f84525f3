#include "runtime/lib/io.h"

#include <sys/random.h>
#include <unistd.h>

enum { CURRENT_POSITION = -1 }; /* an offset: use the descriptor's own position */

static ssize_t transfer_in(int fd, char *out, size_t len, off_t offset)
{
    size_t total = 0;
    while (total < len) {
        size_t left = len - total;
        ssize_t n = offset == CURRENT_POSITION ? read(fd, out + total, left)
                                               : pread(fd, out + total, left, offset + (off_t)total);
        if (io_interrupted(n))
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        total += (size_t)n;
    }
    return (ssize_t)total;
}

ssize_t io_read_full(int fd, void *out, size_t len)
{
    return transfer_in(fd, out, len, CURRENT_POSITION);
}

ssize_t io_pread_full(int fd, void *out, size_t len, off_t offset)
{
    return transfer_in(fd, out, len, offset);
}

static int transfer_out(int fd, const char *bytes, size_t len, off_t offset, size_t *written)
{
    size_t total = 0;
    int error = 0;
    while (error == 0 && total < len) {
        size_t left = len - total;
        ssize_t n = offset == CURRENT_POSITION ? write(fd, bytes + total, left)
                                               : pwrite(fd, bytes + total, left, offset + (off_t)total);
        if (n > 0)
            total += (size_t)n;
        else if (n == 0)
            error = EIO; /* retrying could loop forever */
        else if (!io_interrupted(n))
            error = errno;
    }
    if (written != NULL)
        *written = total;
    return error;
}

int io_write_full(int fd, const void *bytes, size_t len, size_t *written)
{
    return transfer_out(fd, bytes, len, CURRENT_POSITION, written);
}

int io_pwrite_full(int fd, const void *bytes, size_t len, off_t offset, size_t *written)
{
    return transfer_out(fd, bytes, len, offset, written);
}

int io_random(void *out, size_t len)
{
    size_t total = 0;
    while (total < len) {
        ssize_t n = getrandom((char *)out + total, len - total, 0);
        if (n >= 0)
            total += (size_t)n;
        else if (!io_interrupted(n))
            return errno;
    }
    return 0;
}

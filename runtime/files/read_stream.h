/* read_stream - a file on its way out: read ahead in the files pool, taken by the loop as fast as the client takes it.
 *
 * Owns:     its file, two blocks of memory, and itself until read_stream_close(); a block that is being read into is kept until
 *           its thread has returned.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_RUNTIME_FILES_READ_STREAM_H
#define GATHERD_RUNTIME_FILES_READ_STREAM_H

#include "runtime/files/file_version.h"
#include "runtime/task/task.h"

#include <sys/types.h>

struct read_stream;

/* Opens the file, later: `ready` runs once with the outcome, e->rc being 0 or why it can't be opened. After that it runs each time
 * read_stream_read() gave READ_STREAM_EMPTY and there is more to say. 0 with *out set, or ERR_TOO_MANY_STREAMS, or as file_work_submit(). `path` is
 * copied. */
typedef void read_stream_cb(struct read_stream *stream, const struct err *e, void *user);
int read_stream_open(struct runtime *runtime, struct str path, read_stream_cb *ready, void *user,
                     struct read_stream **out, struct err *e);

void read_stream_get_version(const struct read_stream *stream, struct file_version *out); /* once it is open */

/* Takes up to `most` bytes, in order. READ_STREAM_EMPTY: not yet, ready() follows; READ_STREAM_FAILED: the file can't be read on, or is
 * shorter than it was. Never more than size_bytes in all. */
enum { READ_STREAM_EMPTY = 0, READ_STREAM_FAILED = -1 };
ssize_t read_stream_read(struct read_stream *stream, char *out, size_t max_len);

void read_stream_close(struct read_stream *stream); /* at any time; ready() does not run any more */

#endif

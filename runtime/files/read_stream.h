/* read_stream - a download: the files pool reads ahead, the loop takes bytes as fast as the client does.
 *
 * Owns:     the file, two blocks of memory, and itself until read_stream_close(). A block that a thread is reading into
 *           is kept until the thread returns.
 * Threads:  the loop thread.
 * Promise:  ready() never runs from inside a function of this header, nor after read_stream_close().
 */
#ifndef GATHERD_RUNTIME_FILES_READ_STREAM_H
#define GATHERD_RUNTIME_FILES_READ_STREAM_H

#include "runtime/files/file_version.h"
#include "runtime/task/task.h"

#include <sys/types.h>

struct read_stream;

/* Opens the file in the files pool. Calls ready() once with the outcome in e->rc, and then once for each
 * READ_STREAM_EMPTY, when bytes have arrived or reading has failed. Copies `path`. Returns 0 with *out set, or
 * ERR_TOO_MANY_STREAMS, or fails as file_work_submit() does; a continuation of an admitted operation fails as
 * file_work_continue() does. */
typedef void read_stream_cb(struct read_stream *stream, const struct err *e, void *user);
int read_stream_open(struct runtime *runtime, struct str path, bool continuation, read_stream_cb *ready, void *user,
                     struct read_stream **out, struct err *e);

/* Valid once ready() has reported that the file is open. */
void read_stream_get_version(const struct read_stream *stream, struct file_version *out);

/* Copies the next bytes of the file, at most max_len, and returns how many: size_bytes of read_stream_get_version() in
 * total. READ_STREAM_EMPTY: no bytes yet; ready() will be called. READ_STREAM_FAILED: a read failed, or the file was
 * truncated. */
enum { READ_STREAM_EMPTY = 0, READ_STREAM_FAILED = -1 };
ssize_t read_stream_read(struct read_stream *stream, char *out, size_t max_len);

void read_stream_close(struct read_stream *stream); /* at any time, also from inside ready() */

#endif

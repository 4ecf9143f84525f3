/* read_stream - reads a file for a download: threads of the files pool read ahead, and the loop takes the bytes as fast
 * as the client receives them.
 *
 * Owns:     the descriptor, two blocks of memory, and itself until read_stream_close(). A block into which a thread is
 *           reading is kept until the thread returns.
 * Threads:  the loop thread.
 * Promise:  ready() is never called from inside a function of this header, nor after read_stream_close().
 */
#ifndef GATHERD_RUNTIME_FILES_READ_STREAM_H
#define GATHERD_RUNTIME_FILES_READ_STREAM_H

#include "runtime/files/file_version.h"
#include "runtime/task/task.h"

#include <sys/types.h>

struct read_stream;

/* Opens the file in the files pool. ready() is called once when that has ended, with the result in e->rc, and then once
 * for each READ_STREAM_EMPTY, when bytes are available or a read has failed. Copies `path`. `continuation`: the
 * download is a further step of an admitted operation. Returns 0 with *out set, ERR_TOO_MANY_STREAMS, or an error of
 * file_work_submit(), for a continuation of file_work_continue(). */
typedef void read_stream_cb(struct read_stream *stream, const struct err *e, void *user);
int read_stream_open(struct runtime *runtime, struct str path, bool continuation, read_stream_cb *ready, void *user,
                     struct read_stream **out, struct err *e);

/* The version that is being read. May be called once ready() has reported that the file is open. */
void read_stream_get_version(const struct read_stream *stream, struct file_version *out);

/* Copies the next bytes of the file, at most max_len, and returns their number. The total is size_bytes of the version;
 * the caller must not read further. READ_STREAM_EMPTY: no bytes are available yet; ready() will be called.
 * READ_STREAM_FAILED: a read failed, or the file was truncated. */
enum { READ_STREAM_EMPTY = 0, READ_STREAM_FAILED = -1 };
ssize_t read_stream_read(struct read_stream *stream, char *out, size_t max_len);

/* Closes the file and frees the stream. May be called at any time, also from inside ready(). */
void read_stream_close(struct read_stream *stream);

#endif

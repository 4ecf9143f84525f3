/* write_stream - writes the file of an upload: the loop takes bytes as fast as threads of the files pool write them.
 * The file appears complete or not at all.
 *
 * Owns:     a temporary file (runtime/files/temp_file.h), two blocks of memory, and itself until write_stream_close().
 *           A block that a thread is writing is kept until the thread returns.
 * Threads:  the loop thread.
 * Promise:  ready() is never called from inside write_stream_open() or write_stream_write(), nor after
 *           write_stream_close().
 */
#ifndef GATHERD_RUNTIME_FILES_WRITE_STREAM_H
#define GATHERD_RUNTIME_FILES_WRITE_STREAM_H

#include "runtime/files/file_version.h"
#include "runtime/task/task.h"

struct write_stream;

/* Starts to write a file that will replace the file at `path`, which is copied. The condition (NULL: none) is checked
 * at once in the files pool, and again when the file is replaced; its arena is retained until the stream has ended.
 *
 * ready() is called once for each write_stream_write() that took less than `len` bytes, when more can be taken or the
 * stream has failed; and once after write_stream_finish(), possibly from inside it, with the result in e->rc.
 *
 * Returns 0 with *out set, ERR_TOO_MANY_STREAMS, or an error of file_work_submit(). */
typedef void write_stream_cb(struct write_stream *stream, const struct err *e, void *user);
int write_stream_open(struct runtime *runtime, struct str path, const struct file_condition *condition,
                      write_stream_cb *ready, void *user, struct write_stream **out, struct err *e);

/* Copies up to `len` bytes and returns their number. After a failure returns `len`: the bytes are dropped, and
 * write_stream_finish() reports the error. */
size_t write_stream_write(struct write_stream *stream, const char *bytes, size_t len);

/* Writes the last bytes and commits the file; ready() reports the result. */
void write_stream_finish(struct write_stream *stream);

/* Whether the stream has failed; *e is then set to the error. */
bool write_stream_failed(const struct write_stream *stream, struct err *e);

/* May be called once ready() has reported success. *created: no file was replaced. */
void write_stream_get_result(const struct write_stream *stream, struct file_version *version, bool *created);

/* Frees the stream, and discards the file if it is not committed. May be called at any time, also from inside
 * ready(). */
void write_stream_close(struct write_stream *stream);

#endif

/* write_stream - an upload: the loop takes bytes as fast as the disk does; the file appears whole, or not at all.
 *
 * Owns:     a temporary file (runtime/files/temp_file.h), two blocks of memory, and itself until write_stream_close(). A
 *           block that a thread is writing is kept until the thread returns.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_RUNTIME_FILES_WRITE_STREAM_H
#define GATHERD_RUNTIME_FILES_WRITE_STREAM_H

#include "runtime/files/file_version.h"
#include "runtime/task/task.h"

struct write_stream;

/* Begins a file that replaces the one at `path` (copied). The condition (NULL: none) is checked now, and again atomically
 * with the replacement; its arena is retained. ready() runs when there is room again after a write_stream_write() that took
 * less than all, or when that has failed; and once after write_stream_finish(), possibly from inside it, with the outcome in
 * e->rc. Returns 0 with *out set, or ERR_TOO_MANY_STREAMS, or fails as file_work_submit() does. */
typedef void write_stream_cb(struct write_stream *stream, const struct err *e, void *user);
int write_stream_open(struct runtime *runtime, struct str path, const struct file_condition *condition,
                      write_stream_cb *ready, void *user, struct write_stream **out, struct err *e);

/* Takes up to `len` bytes; returns how many. After a failure it takes everything; write_stream_finish() reports the error. */
size_t write_stream_write(struct write_stream *stream, const char *bytes, size_t len);

/* The file is complete. */
void write_stream_finish(struct write_stream *stream);

/* Whether it has failed already. *e is set only then. */
bool write_stream_failed(const struct write_stream *stream, struct err *e);

/* Valid after success. *created: no file was replaced. */
void write_stream_get_result(const struct write_stream *stream, struct file_version *version, bool *created);

/* At any time, also from inside ready(), which doesn't run afterwards. Discards a file that is not committed. */
void write_stream_close(struct write_stream *stream);

#endif

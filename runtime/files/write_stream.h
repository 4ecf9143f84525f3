/* write_stream - a file on its way in: taken by the loop as fast as the disk takes it, and in its place whole or not at all.
 *
 * Owns:     a draft (runtime/files/file_root.h), two blocks of memory, and itself until write_stream_close(); a block that is being written is
 *           kept until its thread has returned.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_RUNTIME_FILES_WRITE_STREAM_H
#define GATHERD_RUNTIME_FILES_WRITE_STREAM_H

#include "runtime/files/file_version.h"
#include "runtime/task/task.h"

struct write_stream;

/* Begins a file that is to be put at `path` (copied), replacing what is there. The condition (NULL: none) is checked at
 * once, and again in one step with taking the place; its arena is kept as long as the sink. `ready` runs each time
 * write_stream_write() took less than all, when there is room again, or it failed; and once after write_stream_finish(), when the file is in
 * its place or e->rc says why it isn't. 0 with *out set, or ERR_TOO_MANY_STREAMS, or as file_work_submit(). */
typedef void write_stream_cb(struct write_stream *stream, const struct err *e, void *user);
int write_stream_open(struct runtime *runtime, struct str path, const struct file_condition *condition,
                      write_stream_cb *ready, void *user, struct write_stream **out, struct err *e);

/* Takes up to `len` bytes; returns how many. Once it has failed it takes everything, and write_stream_finish() tells. */
size_t write_stream_write(struct write_stream *stream, const char *bytes, size_t len);

/* All has been put. */
void write_stream_finish(struct write_stream *stream);

/* Whether it has failed already, and why. */
bool write_stream_failed(const struct write_stream *stream, struct err *e);

/* After success: what is in its place, and whether nothing was there before. */
void write_stream_get_result(const struct write_stream *stream, struct file_version *version, bool *created);

void write_stream_close(
    struct write_stream
        *stream); /* at any time; a file that is not in its place is dropped; ready() does not run any more */

#endif

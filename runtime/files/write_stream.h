/* write_stream - a file on its way in: taken by the loop as fast as the disk takes it, and in its place whole or not at all.
 *
 * Owns:     a draft (runtime/files/file_root.h), two blocks of memory, and itself until sink_close(); a block that is being written is
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
 * sink_put() took less than all, when there is room again, or it failed; and once after sink_finish(), when the file is in
 * its place or e->rc says why it isn't. 0 with *out set, or ERR_TOO_MANY_STREAMS, or as step_submit(). */
typedef void sink_fn(struct write_stream *sink, const struct err *e, void *user);
int sink_open(struct runtime *runtime, struct str path, const struct file_condition *condition, sink_fn *ready,
              void *user, struct write_stream **out, struct err *e);

/* Takes up to `len` bytes; returns how many. Once it has failed it takes everything, and sink_finish() tells. */
size_t sink_put(struct write_stream *sink, const char *bytes, size_t len);

/* All has been put. */
void sink_finish(struct write_stream *sink);

/* Whether it has failed already, and why. */
bool sink_failed(const struct write_stream *sink, struct err *e);

/* After success: what is in its place, and whether nothing was there before. */
void sink_look(const struct write_stream *sink, struct file_version *stamp, bool *created);

void sink_close(struct write_stream
                    *sink); /* at any time; a file that is not in its place is dropped; ready() does not run any more */

#endif

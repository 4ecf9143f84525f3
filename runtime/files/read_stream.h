/* read_stream - a file on its way out: read ahead in the files pool, taken by the loop as fast as the client takes it.
 *
 * Owns:     its file, two blocks of memory, and itself until source_close(); a block that is being read into is kept until
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
 * source_take() gave SOURCE_EMPTY and there is more to say. 0 with *out set, or ERR_TOO_MANY_STREAMS, or as step_submit(). `path` is
 * copied. */
typedef void source_fn(struct read_stream *source, const struct err *e, void *user);
int source_open(struct runtime *runtime, struct str path, source_fn *ready, void *user, struct read_stream **out,
                struct err *e);

void source_look(const struct read_stream *source, struct file_version *out); /* once it is open */

/* Takes up to `most` bytes, in order. SOURCE_EMPTY: not yet, ready() follows; SOURCE_BROKEN: the file can't be read on, or is
 * shorter than it was. Never more than size_bytes in all. */
enum { SOURCE_EMPTY = 0, SOURCE_BROKEN = -1 };
ssize_t source_take(struct read_stream *source, char *out, size_t most);

void source_close(struct read_stream *source); /* at any time; ready() does not run any more */

#endif

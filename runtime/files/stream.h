/* stream - counts uploads and downloads against the limit max_streams: each has a descriptor and two blocks of memory
 * for as long as its client takes.
 *
 * Owns:     nothing; the count is the runtime's.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_RUNTIME_FILES_STREAM_H
#define GATHERD_RUNTIME_FILES_STREAM_H

#include "runtime/lib/error.h"
#include "runtime/task/task.h"

/* Returns 0, or ERR_TOO_MANY_STREAMS. Release the slot after the stream's descriptor and memory. */
int stream_slot_acquire(struct runtime *runtime, struct err *e);
void stream_slot_release(struct runtime *runtime);

#endif

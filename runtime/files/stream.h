/* stream - counts uploads and downloads, and limits them to max_streams, because each holds a descriptor and two blocks
 * of memory for as long as its client takes.
 *
 * Owns:     nothing; the count is in struct runtime.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_RUNTIME_FILES_STREAM_H
#define GATHERD_RUNTIME_FILES_STREAM_H

#include "runtime/lib/error.h"
#include "runtime/task/task.h"

/* Returns 0, or ERR_TOO_MANY_STREAMS. The slot must be released after the descriptor is closed. */
int stream_slot_acquire(struct runtime *runtime, struct err *e);
void stream_slot_release(struct runtime *runtime);

#endif

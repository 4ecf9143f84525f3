/* stream - how many files are on their way in or out at the same time: each takes a descriptor and two blocks of memory, for as
 * long as its client likes.
 *
 * Owns:     nothing; the count is the runtime's.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_RUNTIME_FILES_STREAM_H
#define GATHERD_RUNTIME_FILES_STREAM_H

#include "runtime/lib/error.h"
#include "runtime/task/task.h"

/* 0, and a stream_slot_release() is owed when its descriptor and its memory are given back; or ERR_TOO_MANY_STREAMS. */
int stream_slot_acquire(struct runtime *runtime, struct err *e);
void stream_slot_release(struct runtime *runtime);

#endif

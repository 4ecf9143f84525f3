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

/* 0, and a streams_leave() is owed when its descriptor and its memory are given back; or ERR_TOO_MANY_STREAMS. */
int streams_enter(struct runtime *runtime, struct err *e);
void streams_leave(struct runtime *runtime);

#endif

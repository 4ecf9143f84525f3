#include "runtime/files/stream.h"

#include "runtime/lib/check.h"
#include "runtime/task/task_internal.h"

int stream_slot_acquire(struct runtime *runtime, struct err *e)
{
    size_t max = (size_t)runtime->limits.max_streams;
    if (runtime->streams >= max)
        return err_set(e, ERR_TOO_MANY_STREAMS,
                       "%zu uploads and downloads are active; the limit max_streams is %zu. Try again later",
                       runtime->streams, max);
    runtime->streams++;
    return 0;
}

void stream_slot_release(struct runtime *runtime)
{
    CHECK(runtime->streams > 0);
    runtime->streams--;
}

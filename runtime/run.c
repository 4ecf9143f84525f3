#include "runtime/run.h"

#include "runtime/limits.h"

int run_spend_read(struct run *run, int64_t bytes)
{
    if (atomic_fetch_sub_explicit(run->read_left, bytes, memory_order_relaxed) >= bytes)
        return 0;
    return err_set(
        run->e, ERR_LIMIT_EXCEEDED,
        "The request reads more than %lld bytes from files, the limit max_read_bytes; GET /v1/fs/PATH has none",
        (long long)run->limits->max_read_bytes);
}

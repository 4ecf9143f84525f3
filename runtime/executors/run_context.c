#include "runtime/executors/run_context.h"

#include "runtime/types/limits.h"

/* Relaxed order suffices, because the quota is a counter that publishes no other data. Atomic updates of one object are
 * totally ordered even when relaxed, so no update is lost. */
int run_reserve_read(struct run_context *run, int64_t bytes)
{
    long long available = atomic_load_explicit(run->read_quota, memory_order_relaxed);
    do {
        if (bytes > 0 && available < bytes)
            return err_set(
                run->e, ERR_LIMIT_EXCEEDED,
                "The request reads more than %lld bytes from files and directories, the limit max_read_bytes; "
                "GET /v1/fs/PATH has no such limit",
                (long long)run->limits->max_read_bytes);
    } while (!atomic_compare_exchange_weak_explicit(run->read_quota, &available, available - bytes,
                                                    memory_order_relaxed, memory_order_relaxed));
    run->read_reserved += bytes;
    return 0;
}

void run_release_read(struct run_context *run, int64_t bytes)
{
    atomic_fetch_add_explicit(run->read_quota, bytes, memory_order_relaxed);
    run->read_reserved -= bytes;
}

#include "runtime/runtime.h"

#include "runtime/executors/pool.h"
#include "runtime/executors/process_pool.h"
#include "runtime/executors/thread_pool.h"
#include "runtime/files/file_methods.h"
#include "runtime/files/file_root.h"
#include "runtime/lib/check.h"

#include <stdlib.h>
#include <unistd.h>

static void on_timers_fired(struct timers *timers)
{
    task_drain(container_of(timers, struct runtime, timers));
}

static void on_timers_closed(struct timers *timers)
{
    free(container_of(timers, struct runtime, timers));
}

static int start_pools(struct runtime *runtime, const struct runtime_config *config, struct err *e)
{
    const struct array *pools = &runtime->limits.pools;
    int64_t queue_limit = runtime->limits.queue_limit;
    for (size_t i = 0; i < pools->count; i++) {
        const struct pool_config *pool = (const struct pool_config *)pools->items + i;
        int rc = threads_new(runtime, pool->name, EXECUTOR_THREADS, pool->size, pool->source, queue_limit,
                             &runtime->threads[i], e);
        if (rc != 0)
            return rc;
    }
    if (config->files_root != NULL) {
        int rc = file_root_new(config->files_root, &runtime->file_root, e);
        if (rc == 0)
            rc = open_files_new(runtime, file_submit_close, &runtime->open_files, e);
        if (rc == 0)
            rc = threads_new(runtime, STR("files"), EXECUTOR_FILES, config->files_threads, config->files_source,
                             queue_limit, &runtime->files, e);
        if (rc != 0)
            return rc;
    }
    return config->processes.size == 0
               ? 0
               : processes_new(runtime, &config->processes, queue_limit, &runtime->processes, e);
}

static void stop_pools(struct runtime *runtime)
{
    for (size_t i = 0; i < runtime->limits.pools.count; i++)
        if (runtime->threads[i] != NULL)
            runtime->threads[i]->backend->stop(runtime->threads[i]);
    if (runtime->files != NULL)
        runtime->files->backend->stop(runtime->files);
    if (runtime->processes != NULL)
        runtime->processes->backend->stop(runtime->processes);
    open_files_free(runtime->open_files);
    file_root_free(runtime->file_root);
}

int runtime_new(const struct runtime_config *config, struct runtime **out, struct err *e)
{
    struct runtime *runtime = calloc(1, sizeof *runtime);
    if (runtime == NULL)
        return err_nomem(e);
    runtime->loop = config->loop;
    runtime->limits = *config->limits;
    runtime->ready_tail = &runtime->ready;
    runtime->pid = getpid();
    runtime->tid = gettid();
    list_init(&runtime->roots);
    int rc = timers_init(&runtime->timers, config->loop, on_timers_fired);
    CHECK(rc == 0); /* uv_timer_init() has nothing that could fail */
    rc = start_pools(runtime, config, e);
    if (rc != 0) {
        runtime_close(runtime);
        return rc;
    }
    *out = runtime;
    return 0;
}

const struct limits *runtime_limits(const struct runtime *runtime)
{
    return &runtime->limits;
}

size_t runtime_unfinished(const struct runtime *runtime)
{
    return runtime->unfinished;
}

struct open_files *runtime_open_files(struct runtime *runtime)
{
    return runtime->open_files;
}

size_t runtime_abandoned(const struct runtime *runtime)
{
    size_t count = 0;
    for (size_t i = 0; i < runtime->limits.pools.count; i++)
        count += runtime->threads[i]->abandoned;
    if (runtime->files != NULL)
        count += runtime->files->abandoned;
    return count;
}

void runtime_reject_new(struct runtime *runtime)
{
    runtime->rejecting_new = true;
}

void runtime_cancel_all(struct runtime *runtime)
{
    for (struct list_node *r = runtime->roots.next; r != &runtime->roots; r = r->next)
        task_cancel(container_of(r, struct toplevel, link)->task, CANCEL_SHUTDOWN);
}

void runtime_shutdown(struct runtime *runtime)
{
    runtime->rejecting_new = runtime->rejecting_all = true;
    runtime_cancel_all(runtime);
}

void runtime_close(struct runtime *runtime)
{
    CHECK(list_empty(&runtime->roots) && runtime->unfinished == 0);
    stop_pools(runtime);
    timers_close(&runtime->timers, on_timers_closed);
}

static bool get_stats(const struct pool *pool, struct arena *arena, struct pool_stats *out)
{
    *out = (struct pool_stats){
        .name = pool->name,
        .executor = pool->executor,
        .size = pool->size,
        .size_source = str_from(pool->size_source),
        .queue_limit = pool->queue_limit,
        .busy = (int64_t)pool->busy,
        .queued = (int64_t)pool->queued,
        .abandoned = (int64_t)pool->abandoned,
        .tasks_done = pool->tasks_done,
        .restarts = INTEGER_ABSENT,
    };
    return pool->backend->get_stats == NULL || pool->backend->get_stats(pool, arena, out);
}

bool runtime_get_pool_stats(const struct runtime *runtime, struct arena *arena, struct array *out)
{
    struct pool_stats *stats = arena_calloc(arena, MAX_POOLS + 2, sizeof *stats);
    if (stats == NULL)
        return false;
    *out = (struct array){.items = stats};
    bool success = true;
    for (size_t i = 0; success && i < runtime->limits.pools.count; i++)
        success = get_stats(runtime->threads[i], arena, &stats[out->count++]);
    if (success && runtime->files != NULL)
        success = get_stats(runtime->files, arena, &stats[out->count++]);
    if (success && runtime->processes != NULL)
        success = get_stats(runtime->processes, arena, &stats[out->count++]);
    return success;
}

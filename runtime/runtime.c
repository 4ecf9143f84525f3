#include "runtime/runtime.h"

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
    struct runtime *runtime = container_of(timers, struct runtime, timers);
    registry_unref(runtime->registry);
    free(runtime);
}

static int start_thread_pool(struct runtime *runtime, struct str name, enum executor_kind kind, int64_t size,
                             const char *size_source, struct err *e)
{
    struct executor *executor;
    int rc = thread_pool_new(runtime, name, kind, size, size_source, &executor, e);
    if (rc == 0)
        runtime->pools[runtime->pool_count++] = executor;
    return rc;
}

static int start_threads(struct runtime *runtime, const struct runtime_config *config, struct err *e)
{
    (void)config;
    const struct array *pools = &runtime->limits.pools;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < pools->count; i++) {
        const struct pool_config *pool = (const struct pool_config *)pools->items + i;
        rc = start_thread_pool(runtime, pool->name, EXECUTOR_THREADS, pool->size, pool->source, e);
    }
    return rc;
}

static int start_files(struct runtime *runtime, const struct runtime_config *config, struct err *e)
{
    const struct pool_options *options = &config->options;
    if (options->files_root.data == NULL)
        return 0;
    int rc = file_root_new(options->files_root.data, &runtime->file_root, e);
    if (rc == 0)
        rc = open_files_new(runtime, file_submit_close, &runtime->open_files, e);
    if (rc == 0)
        rc = start_thread_pool(runtime, STR("files"), EXECUTOR_FILES, options->files_threads, options->files_source, e);
    return rc;
}

static int start_processes(struct runtime *runtime, const struct runtime_config *config, struct err *e)
{
    if (config->options.processes == 0)
        return 0;
    struct executor *executor;
    int rc = process_pool_new(runtime, &config->options, &config->processes, &executor, e);
    if (rc == 0)
        runtime->pools[runtime->pool_count++] = executor;
    return rc;
}

/* One row for each executor with pools, in the order of GET /v1/pools: starts its pools and appends them to
 * runtime->pools. No effect if the executor is disabled. */
static int (*const start_executor[])(struct runtime *runtime, const struct runtime_config *config, struct err *e) = {
    start_threads,
    start_files,
    start_processes,
};

static int start_pools(struct runtime *runtime, const struct runtime_config *config, struct err *e)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < COUNT_OF(start_executor); i++)
        rc = start_executor[i](runtime, config, e);
    return rc;
}

static void stop_pools(struct runtime *runtime)
{
    for (size_t i = 0; i < runtime->pool_count; i++)
        runtime->pools[i]->ops->stop(runtime->pools[i]);
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
    runtime->registry = registry_ref(config->registry);
    runtime->ready_tail = &runtime->ready;
    runtime->pid = getpid();
    runtime->tid = gettid();
    list_init(&runtime->roots);
    int rc = timers_init(&runtime->timers, config->loop, on_timers_fired);
    CHECK(rc == 0); /* uv_timer_init() cannot fail */
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

struct registry *runtime_registry(const struct runtime *runtime)
{
    return runtime->registry;
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
    for (size_t i = 0; i < runtime->pool_count; i++)
        count += runtime->pools[i]->abandoned;
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

bool runtime_get_pool_stats(const struct runtime *runtime, struct arena *arena, struct array *out)
{
    struct pool_stats *stats = arena_calloc(arena, runtime->pool_count, sizeof *stats);
    if (stats == NULL)
        return false;
    *out = (struct array){stats, runtime->pool_count};
    bool success = true;
    for (size_t i = 0; success && i < runtime->pool_count; i++)
        success = runtime->pools[i]->ops->get_stats(runtime->pools[i], arena, &stats[i]);
    return success;
}

/* pool.c - queue, strands and slot accounting.
 *
 * A backend gets a job only when a slot is free, so all waiting happens in pool->queue, on the loop thread: a queued
 * task is canceled by removing it from the list, and a job that the backend has gets its slot at once.
 *
 * Slots:    free + busy <= size. pool_dispatch() moves a slot from free to busy; pool_job_ended() subtracts it from
 *           busy. The slot is free again when the backend calls pool_slot_available(), later: the backend first calls
 *           task_drain() to deliver the tasks that have ended, because their delivery may cancel tasks that are still
 *           queued, which a slot freed earlier would start. The slot of a process also waits until its worker is ready
 *           or replaced. An abandoned job counts in busy until its thread returns.
 *
 * Admission is counted elsewhere: executor.admitted, updated by the task layer, counts each task from its submission to
 * its end.
 *
 * Strands:  at most one job of a strand is in the queue or in a slot (strand->busy); the others wait in
 *           strand->waiting.
 */
#include "runtime/executors/pool.h"

#include "runtime/executors/strand.h"

static void pool_enqueue(struct pool *pool, struct job *job)
{
    job->in_pool = true;
    if (job->strand != NULL)
        job->strand->busy = true;
    list_append(&pool->queue, &job->link);
}

/* Called when a job of the strand has left the queue or its slot: queues the strand's next job. */
static void pool_release_strand(struct pool *pool, struct strand *strand)
{
    if (strand == NULL)
        return;
    strand->busy = false;
    if (list_empty(&strand->waiting))
        return;
    struct job *next = container_of(strand->waiting.next, struct job, link);
    list_remove(&next->link);
    pool_enqueue(pool, next);
}

/* Starts queued jobs while slots are free. */
static void pool_dispatch(struct pool *pool)
{
    for (;;) {
        if (pool->backend->prune != NULL && pool->free > 0 && !list_empty(&pool->queue))
            pool->backend->prune(pool);
        if (pool->free == 0 || list_empty(&pool->queue))
            break;
        struct job *job = container_of(pool->queue.next, struct job, link);
        list_remove(&job->link);
        pool->queued--;
        if (!task_begin(job->task)) { /* its deadline has passed */
            pool_release_strand(pool, job->strand);
            continue;
        }
        pool->free--;
        pool->busy++;
        job->held_arena = arena_ref(task_arena(job->task));
        if (pool->backend->start(pool, job) != 0) {
            pool_job_ended(job);
            pool->free++;
        }
    }
}

static struct pool *pool_of(struct executor *executor)
{
    return container_of(executor, struct pool, executor);
}

static void pool_queue(struct executor *executor, struct task *task)
{
    struct pool *pool = pool_of(executor);
    struct job *job = task_state(task);
    *job = (struct job){
        .pool = pool,
        .task = task,
        .function = task->spec->function,
        .input = task->spec->input,
        .read_quota = &task_toplevel(task)->read_quota,
        .output = task_output(task),
        .exit_code = -1,
    };
    type_set_absent(&(struct type){.kind = TYPE_INTEGER}, &job->usage.worker_peak_rss_bytes);
    pool->queued++;
    if (job->function->strand != NULL)
        job->strand = job->function->strand(job->input);
    if (job->strand != NULL && job->strand->busy) {
        list_append(&job->strand->waiting, &job->link);
        return;
    }
    pool_enqueue(pool, job);
    pool_dispatch(pool);
}

static void pool_unqueue(struct task *task)
{
    struct job *job = task_state(task);
    struct pool *pool = job->pool;
    list_remove(&job->link);
    pool->queued--;
    if (job->in_pool)
        pool_release_strand(pool, job->strand);
    pool_dispatch(pool);
}

static void pool_cancel(struct task *task)
{
    struct job *job = task_state(task);
    job->pool->backend->cancel(job->pool, job);
}

void pool_slot_available(struct pool *pool)
{
    pool->free++;
    pool_dispatch(pool);
}

void pool_job_ended(struct job *job)
{
    struct pool *pool = job->pool;
    struct task *task = job->task;
    struct arena *held_arena = job->held_arena;
    pool_release_strand(pool, job->strand);
    pool->busy--;
    pool->tasks_done++;
    if (task == NULL) {
        pool->executor.abandoned--;
        arena_unref(job->output_arena);
    } else {
        if (job->e.rc == 0 && !job->killed && job->output_arena != NULL)
            arena_adopt(held_arena, job->output_arena);
        else /* freed now, because the task's arena may live as long as a large gather */
            arena_unref(job->output_arena);
        if (job->e.rc != 0 && job->e.msg[0] != '\0')
            task->detail = job->e.msg;
        if (job->killed)
            task_end_canceled(task, EFFECT_KILLED);
        else
            task_end(task, job->e.rc);
    }
    arena_unref(held_arena); /* frees the job if its task has been released */
}

void pool_job_abandon(struct job *job)
{
    struct task *task = job->task;
    job->task = NULL;
    job->pool->executor.abandoned++;
    task_end_canceled(task, EFFECT_ABANDONED);
}

static void pool_get_info(const struct task *task, struct task_info *out)
{
    const struct job *job = (const struct job *)task_state((struct task *)task);
    out->pid = job->pid;
    out->tid = atomic_load_explicit(&job->tid, memory_order_relaxed);
    if (job->has_usage)
        out->usage = &job->usage;
    out->exit_signal = job->exit_signal;
    out->exit_code = job->exit_code;
}

static bool pool_get_stats(const struct executor *executor, struct arena *arena, struct pool_stats *out)
{
    const struct pool *pool = container_of(executor, const struct pool, executor);
    *out = (struct pool_stats){
        .name = executor->name,
        .executor = executor->kind,
        .size = executor->size,
        .size_source = str_from(pool->size_source),
        .queue_limit = executor->queue_limit,
        .busy = (int64_t)pool->busy,
        .queued = (int64_t)pool->queued,
        .abandoned = (int64_t)executor->abandoned,
        .tasks_done = pool->tasks_done,
        .restarts = INTEGER_ABSENT,
    };
    return pool->backend->get_stats == NULL || pool->backend->get_stats(pool, arena, out);
}

static void pool_stop(struct executor *executor)
{
    struct pool *pool = pool_of(executor);
    pool->backend->stop(pool);
}

static const struct executor_ops pool_ops = {
    .state_size = sizeof(struct job),
    .queue = pool_queue,
    .unqueue = pool_unqueue,
    .cancel = pool_cancel,
    .get_info = pool_get_info,
    .get_stats = pool_get_stats,
    .stop = pool_stop,
};

void pool_init(struct pool *pool, struct runtime *runtime, const struct pool_backend *backend, struct str name,
               enum executor_kind kind, int64_t size, const char *size_source)
{
    *pool = (struct pool){
        .executor =
            {.ops = &pool_ops, .kind = kind, .name = name, .size = size, .queue_limit = runtime->limits.queue_limit},
        .runtime = runtime,
        .backend = backend,
        .size_source = size_source,
    };
    list_init(&pool->queue);
}

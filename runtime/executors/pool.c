#include "runtime/executors/pool.h"

#include "runtime/executors/strand.h"

void pool_init(struct pool *pool, struct runtime *runtime, const struct pool_backend *backend, struct str name,
               enum executor executor, int64_t size, const char *size_source, int64_t queue_limit)
{
    *pool = (struct pool){
        .runtime = runtime,
        .backend = backend,
        .name = name,
        .executor = executor,
        .size = size,
        .size_source = size_source,
        .queue_limit = queue_limit,
    };
    list_init(&pool->queue);
}

static void enter(struct pool *pool, struct job *job)
{
    job->entered = true;
    if (job->strand != NULL)
        job->strand->busy = true;
    list_append(&pool->queue, &job->link);
}

/* A job has left the queue, or its slot: the next of its lane may enter. */
static void leave(struct pool *pool, struct strand *strand)
{
    if (strand == NULL)
        return;
    strand->busy = false;
    if (list_empty(&strand->waiting))
        return;
    struct job *next = container_of(strand->waiting.next, struct job, link);
    list_remove(&next->link);
    enter(pool, next);
}

/* Starts what is queued, as far as there are slots. */
static void advance(struct pool *pool)
{
    for (;;) {
        if (pool->backend->check != NULL && pool->free > 0 && !list_empty(&pool->queue))
            pool->backend->check(pool);
        if (pool->free == 0 || list_empty(&pool->queue))
            break;
        struct job *job = container_of(pool->queue.next, struct job, link);
        list_remove(&job->link);
        pool->queued--;
        if (!task_begin(job->task)) { /* its deadline passed meanwhile */
            leave(pool, job->strand);
            continue;
        }
        pool->free--;
        pool->busy++;
        job->kept = arena_ref(task_arena(job->task));
        if (pool->backend->start(pool, job) != 0) {
            pool_job_ended(job);
            pool->free++;
        }
    }
}

void pool_add(struct pool *pool, struct task *task)
{
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
    enter(pool, job);
    advance(pool);
}

void pool_remove(struct task *task)
{
    struct job *job = task_state(task);
    struct pool *pool = job->pool;
    list_remove(&job->link);
    pool->queued--;
    if (job->entered)
        leave(pool, job->strand);
    advance(pool);
}

void pool_cancel(struct task *task)
{
    struct job *job = task_state(task);
    job->pool->backend->cancel(job->pool, job);
}

void pool_slot_free(struct pool *pool)
{
    pool->free++;
    advance(pool);
}

void pool_job_ended(struct job *job)
{
    struct pool *pool = job->pool;
    struct task *task = job->task;
    struct arena *kept = job->kept;
    leave(pool, job->strand);
    pool->busy--;
    pool->tasks_done++;
    if (task == NULL) {
        pool->abandoned--;
        arena_unref(job->memory);
    } else {
        if (job->e.rc == 0 && !job->killed && job->memory != NULL)
            arena_adopt(kept, job->memory);
        else /* there is no result, and what was tried may be large: it is not to wait for the end of a gather */
            arena_unref(job->memory);
        if (job->e.rc != 0 && job->e.msg[0] != '\0')
            task->detail = job->e.msg;
        if (job->killed)
            task_end_canceled(task, EFFECT_KILLED);
        else
            task_end(task, job->e.rc);
    }
    arena_unref(kept); /* the job goes with it, unless its task is still to be looked at */
}

void pool_job_abandon(struct job *job)
{
    struct task *task = job->task;
    job->task = NULL;
    job->pool->abandoned++;
    task_end_canceled(task, EFFECT_ABANDONED);
}

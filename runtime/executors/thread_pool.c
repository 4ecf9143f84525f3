#include "runtime/executors/thread_pool.h"

#include "runtime/lib/check.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

struct thread_pool {
    struct pool pool;
    uv_async_t async;           /* sent when `completed` is no longer empty */
    uv_mutex_t mutex;           /* guards the next three members, and job->returned */
    struct list_node pending;   /* of struct job, to be run by a thread */
    struct list_node completed; /* of struct job, to be ended by the loop thread */
    bool stop;
    uv_cond_t work_available; /* signaled when `pending` gets a job or `stop` is set */
    size_t count;             /* threads that were started */
    uv_thread_t threads[];
};

/* -- a pool's thread ----------------------------------------------------------------------------------------------- */

static void run_job(struct job *job)
{
    struct rusage before, after;
    if (atomic_load_explicit(&job->canceled, memory_order_relaxed)) /* abandoned before it began */
        return;
    atomic_store_explicit(&job->tid, gettid(), memory_order_relaxed);
    getrusage(RUSAGE_THREAD, &before);
    job->output_arena = arena_new();
    if (job->output_arena == NULL) {
        err_nomem(&job->e);
    } else {
        struct run_context run = {
            .arena = job->output_arena,
            .canceled = &job->canceled,
            .limits = &job->pool->runtime->limits,
            .read_quota = job->read_quota,
            .file_root = job->pool->executor.kind == EXECUTOR_FILES ? job->pool->runtime->file_root : NULL,
            .e = &job->e,
        };
        job->e.rc = job->function->run(job->input, job->output, &run);
        if (job->e.rc != 0)
            run_release_read(&run, run.read_reserved);
    }
    getrusage(RUSAGE_THREAD, &after);
    job->usage.user_ns = timeval_ns(after.ru_utime) - timeval_ns(before.ru_utime);
    job->usage.system_ns = timeval_ns(after.ru_stime) - timeval_ns(before.ru_stime);
}

/* Blocks asynchronous signals, so that the loop thread handles them and blocking calls of this thread are not
 * interrupted. */
static void block_signals(void)
{
    static const int synchronous[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};
    sigset_t blocked;
    sigfillset(&blocked);
    for (size_t i = 0; i < COUNT_OF(synchronous); i++)
        sigdelset(&blocked, synchronous[i]);
    pthread_sigmask(SIG_BLOCK, &blocked, NULL);
}

static void thread_main(void *arg)
{
    struct thread_pool *tp = arg;
    block_signals();
    char name[16];
    snprintf(name, sizeof name, "gd-%s", tp->pool.executor.name.data);
    pthread_setname_np(pthread_self(), name);
    uv_mutex_lock(&tp->mutex);
    for (;;) {
        while (list_empty(&tp->pending) && !tp->stop)
            uv_cond_wait(&tp->work_available, &tp->mutex);
        if (tp->stop)
            break;
        struct job *job = container_of(tp->pending.next, struct job, link);
        list_remove(&job->link);
        uv_mutex_unlock(&tp->mutex);
        run_job(job);
        uv_mutex_lock(&tp->mutex);
        job->returned = true;
        bool was_empty = list_empty(&tp->completed);
        list_append(&tp->completed, &job->link);
        if (was_empty)
            uv_async_send(&tp->async);
    }
    uv_mutex_unlock(&tp->mutex);
}

/* -- the loop ------------------------------------------------------------------------------------------------------ */

static struct thread_pool *thread_pool_of(struct pool *pool)
{
    return container_of(pool, struct thread_pool, pool);
}

static int thread_pool_start(struct pool *pool, struct job *job)
{
    struct thread_pool *tp = thread_pool_of(pool);
    job->pid = pool->runtime->pid;
    uv_mutex_lock(&tp->mutex);
    list_append(&tp->pending, &job->link);
    uv_cond_signal(&tp->work_available);
    uv_mutex_unlock(&tp->mutex);
    return 0;
}

static void thread_pool_cancel(struct pool *pool, struct job *job)
{
    struct thread_pool *tp = thread_pool_of(pool);
    uv_mutex_lock(&tp->mutex);
    bool returned = job->returned;
    uv_mutex_unlock(&tp->mutex);
    if (returned) /* the cancellation is too late: thread_pool_on_wake() ends the task */
        return;
    atomic_store_explicit(&job->canceled, true, memory_order_relaxed);
    pool_job_abandon(job);
}

static void pop_completed(struct thread_pool *tp, struct list_node *out)
{
    uv_mutex_lock(&tp->mutex);
    list_append(&tp->completed, out); /* `out` replaces tp->completed, which becomes empty, as the head of the jobs */
    list_remove(&tp->completed);
    uv_mutex_unlock(&tp->mutex);
}

/* Jobs that complete during this call are ended in the next turn of the loop. All results are delivered before the
 * slots are freed, because a delivery may cancel tasks that are still queued. */
static void thread_pool_on_wake(uv_async_t *async)
{
    struct thread_pool *tp = container_of(async, struct thread_pool, async);
    struct runtime *runtime = tp->pool.runtime;
    struct list_node completed;
    size_t slots = 0;
    pop_completed(tp, &completed);
    for (; !list_empty(&completed); slots++) {
        struct job *job = container_of(completed.next, struct job, link);
        list_remove(&job->link);
        job->has_usage = job->task != NULL;
        pool_job_ended(job);
    }
    task_drain(runtime);
    for (; slots > 0; slots--)
        pool_slot_available(&tp->pool);
    task_drain(runtime);
}

static void thread_pool_on_wake_closed(uv_handle_t *handle)
{
    free(container_of((uv_async_t *)handle, struct thread_pool, async));
}

static void thread_pool_stop(struct pool *pool)
{
    struct thread_pool *tp = thread_pool_of(pool);
    CHECK(pool->busy == 0);
    uv_mutex_lock(&tp->mutex);
    tp->stop = true;
    uv_cond_broadcast(&tp->work_available);
    uv_mutex_unlock(&tp->mutex);
    for (size_t i = 0; i < tp->count; i++)
        uv_thread_join(&tp->threads[i]);
    uv_cond_destroy(&tp->work_available);
    uv_mutex_destroy(&tp->mutex);
    uv_close((uv_handle_t *)&tp->async, thread_pool_on_wake_closed);
}

static const struct pool_backend thread_pool_backend = {
    .start = thread_pool_start, .cancel = thread_pool_cancel, .stop = thread_pool_stop};

int thread_pool_new(struct runtime *runtime, struct str name, enum executor_kind kind, int64_t size,
                    const char *size_source, struct executor **out, struct err *e)
{
    struct thread_pool *tp = calloc(1, sizeof *tp + (size_t)size * sizeof tp->threads[0]);
    if (tp == NULL)
        return err_nomem(e);
    pool_init(&tp->pool, runtime, &thread_pool_backend, name, kind, size, size_source);
    list_init(&tp->pending);
    list_init(&tp->completed);
    if (uv_mutex_init(&tp->mutex) != 0)
        goto err_after_alloc;
    if (uv_cond_init(&tp->work_available) != 0)
        goto err_after_mutex;
    if (uv_async_init(runtime->loop, &tp->async, thread_pool_on_wake) != 0)
        goto err_after_cond;
    while (tp->count < (size_t)size && uv_thread_create(&tp->threads[tp->count], thread_main, tp) == 0)
        tp->count++;
    if (tp->count < (size_t)size) {
        err_set(e, ERR_INTERNAL, "cannot start the threads of the pool %s: the system allowed only %zu of %lld",
                name.data, tp->count, (long long)size);
        thread_pool_stop(&tp->pool);
        return ERR_INTERNAL;
    }
    tp->pool.free = tp->count;
    *out = &tp->pool.executor;
    return 0;

err_after_cond:
    uv_cond_destroy(&tp->work_available);
err_after_mutex:
    uv_mutex_destroy(&tp->mutex);
err_after_alloc:
    free(tp);
    return err_set(e, ERR_INTERNAL, "cannot initialize the thread pool %s", name.data);
}

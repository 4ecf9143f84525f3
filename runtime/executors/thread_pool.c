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
    uv_async_t wake;        /* to the loop: `ended` is not empty any more */
    uv_mutex_t mutex;       /* guards the next three */
    struct list_node given; /* of struct job, to be run */
    struct list_node ended; /* of struct job, to be told of */
    bool stop;
    uv_cond_t work; /* `given` is not empty any more, or stop */
    size_t count;   /* threads that were started */
    uv_thread_t threads[];
};

/* -- a pool's thread ----------------------------------------------------------------------------------------------- */

static void run_job(struct job *job)
{
    struct rusage before, after;
    if (atomic_load_explicit(&job->canceled, memory_order_relaxed)) /* on its way here: nobody waits for it */
        return;
    atomic_store_explicit(&job->tid, gettid(), memory_order_relaxed);
    getrusage(RUSAGE_THREAD, &before);
    job->memory = arena_new();
    if (job->memory == NULL) {
        err_set(&job->e, ERR_OUT_OF_MEMORY, "There is no memory to run the task");
    } else {
        struct run_context run = {
            .arena = job->memory,
            .canceled = &job->canceled,
            .limits = &job->pool->runtime->limits,
            .read_quota = job->read_quota,
            .jail = job->pool->executor == EXECUTOR_FILES ? job->pool->runtime->jail : NULL,
            .e = &job->e,
        };
        job->e.rc = job->function->run(job->input, job->output, &run);
        if (job->e.rc != 0)
            run_settle_read(&run, run.spent);
    }
    getrusage(RUSAGE_THREAD, &after);
    job->usage.user_ns = timeval_ns(after.ru_utime) - timeval_ns(before.ru_utime);
    job->usage.system_ns = timeval_ns(after.ru_stime) - timeval_ns(before.ru_stime);
}

/* Signals are the loop's: no call that blocks here is to be interrupted by them. What is the thread's own doing is not kept
 * from it. */
static void block_signals(void)
{
    static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};
    sigset_t others;
    sigfillset(&others);
    for (size_t i = 0; i < COUNT_OF(own); i++)
        sigdelset(&others, own[i]);
    pthread_sigmask(SIG_BLOCK, &others, NULL);
}

static void thread_main(void *arg)
{
    struct thread_pool *crew = arg;
    block_signals();
    char name[16];
    snprintf(name, sizeof name, "gd-%s", crew->pool.name.at);
    pthread_setname_np(pthread_self(), name);
    uv_mutex_lock(&crew->mutex);
    for (;;) {
        while (list_empty(&crew->given) && !crew->stop)
            uv_cond_wait(&crew->work, &crew->mutex);
        if (crew->stop)
            break;
        struct job *job = container_of(crew->given.next, struct job, link);
        list_remove(&job->link);
        uv_mutex_unlock(&crew->mutex);
        run_job(job);
        uv_mutex_lock(&crew->mutex);
        bool first = list_empty(&crew->ended);
        list_append(&crew->ended, &job->link);
        if (first)
            uv_async_send(&crew->wake);
    }
    uv_mutex_unlock(&crew->mutex);
}

/* -- the loop ------------------------------------------------------------------------------------------------------ */

static struct thread_pool *crew_of(struct pool *pool)
{
    return container_of(pool, struct thread_pool, pool);
}

static int crew_start(struct pool *pool, struct job *job)
{
    struct thread_pool *crew = crew_of(pool);
    job->pid = pool->runtime->pid;
    uv_mutex_lock(&crew->mutex);
    list_append(&crew->given, &job->link);
    uv_cond_signal(&crew->work);
    uv_mutex_unlock(&crew->mutex);
    return 0;
}

static void crew_cancel(struct pool *pool, struct job *job)
{
    (void)pool; /* no thread can be stopped from outside; one that looks may stop by itself */
    atomic_store_explicit(&job->canceled, true, memory_order_relaxed);
    pool_job_abandon(job);
}

static void take_ended(struct thread_pool *crew, struct list_node *out)
{
    uv_mutex_lock(&crew->mutex);
    list_append(&crew->ended, out); /* the ring goes on with another head */
    list_remove(&crew->ended);
    uv_mutex_unlock(&crew->mutex);
}

/* What ends meanwhile waits for the next turn of the loop. Who waited for a job decides what becomes of the queue, before its
 * slot takes the next from there. */
static void on_wake(uv_async_t *wake)
{
    struct thread_pool *crew = container_of(wake, struct thread_pool, wake);
    struct runtime *runtime = crew->pool.runtime;
    struct list_node ended;
    size_t slots = 0;
    take_ended(crew, &ended);
    for (; !list_empty(&ended); slots++) {
        struct job *job = container_of(ended.next, struct job, link);
        list_remove(&job->link);
        job->accounted = job->task != NULL;
        pool_job_ended(job);
    }
    task_drain(runtime);
    for (; slots > 0; slots--)
        pool_slot_free(&crew->pool);
    task_drain(runtime);
}

static void on_wake_closed(uv_handle_t *handle)
{
    free(container_of((uv_async_t *)handle, struct thread_pool, wake));
}

static void crew_stop(struct pool *pool)
{
    struct thread_pool *crew = crew_of(pool);
    CHECK(pool->busy == 0);
    uv_mutex_lock(&crew->mutex);
    crew->stop = true;
    uv_cond_broadcast(&crew->work);
    uv_mutex_unlock(&crew->mutex);
    for (size_t i = 0; i < crew->count; i++)
        uv_thread_join(&crew->threads[i]);
    uv_cond_destroy(&crew->work);
    uv_mutex_destroy(&crew->mutex);
    uv_close((uv_handle_t *)&crew->wake, on_wake_closed);
}

static const struct pool_backend backend = {.start = crew_start, .cancel = crew_cancel, .stop = crew_stop};

int threads_new(struct runtime *runtime, struct str name, enum executor executor, int64_t size, const char *size_source,
                int64_t queue_limit, struct pool **out, struct err *e)
{
    struct thread_pool *crew = calloc(1, sizeof *crew + (size_t)size * sizeof crew->threads[0]);
    if (crew == NULL)
        return err_set(e, ERR_OUT_OF_MEMORY, "there is no memory for the thread pool %s", name.at);
    pool_init(&crew->pool, runtime, &backend, name, executor, size, size_source, queue_limit);
    list_init(&crew->given);
    list_init(&crew->ended);
    if (uv_mutex_init(&crew->mutex) != 0)
        goto err_after_alloc;
    if (uv_cond_init(&crew->work) != 0)
        goto err_after_mutex;
    if (uv_async_init(runtime->loop, &crew->wake, on_wake) != 0)
        goto err_after_cond;
    while (crew->count < (size_t)size && uv_thread_create(&crew->threads[crew->count], thread_main, crew) == 0)
        crew->count++;
    if (crew->count < (size_t)size) {
        err_set(e, ERR_INTERNAL, "the system gives the pool %s no more than %zu of %lld threads", name.at, crew->count,
                (long long)size);
        crew_stop(&crew->pool);
        return ERR_INTERNAL;
    }
    crew->pool.free = crew->count;
    *out = &crew->pool;
    return 0;

err_after_cond:
    uv_cond_destroy(&crew->work);
err_after_mutex:
    uv_mutex_destroy(&crew->mutex);
err_after_alloc:
    free(crew);
    return err_set(e, ERR_INTERNAL, "the system has no room for the thread pool %s", name.at);
}

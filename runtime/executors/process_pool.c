#include "runtime/executors/process_pool.h"

#include "runtime/executors/worker_failure.h"
#include "runtime/executors/worker_process.h"
#include "runtime/lib/check.h"
#include "runtime/lib/state.h"
#include "runtime/types/type_serialize.h"

#include <stdlib.h>
#include <string.h>

enum worker_state {
    DOWN,            /* has no process */
    STARTING,        /* its process has not reported ready */
    IDLE,            /* in process_pool.idle; its slot is free */
    BUSY,            /* has a job */
    START_FAILED,    /* its process failed before it was ready */
    START_TIMED_OUT, /* its process was not ready in time and was killed */
    LOST,            /* its process failed after it was ready */
    TERMINATED,      /* its process was killed: for a canceled task, after max_tasks, or because the pool stops */
    WORKER_STATE_COUNT
};

/* For each state, the states that it may change to; diagram in process_pool.h. */
static const state_set worker_moves[WORKER_STATE_COUNT] = {
    [DOWN] = STATE_BIT(STARTING),
    [STARTING] = STATE_BIT(IDLE) | STATE_BIT(START_FAILED) | STATE_BIT(START_TIMED_OUT) | STATE_BIT(TERMINATED),
    [IDLE] = STATE_BIT(BUSY) | STATE_BIT(LOST) | STATE_BIT(TERMINATED),
    [BUSY] = STATE_BIT(IDLE) | STATE_BIT(LOST) | STATE_BIT(TERMINATED),
    [START_FAILED] = STATE_BIT(DOWN),
    [START_TIMED_OUT] = STATE_BIT(DOWN),
    [LOST] = STATE_BIT(DOWN),
    [TERMINATED] = STATE_BIT(DOWN),
};

enum {
    IMMEDIATE_RESTARTS = 2, /* up to so many consecutive early failures, the next spawn is not delayed */
    BACKOFF_MIN_MS = 100,   /* the first delay; doubled for each further failure */
    BACKOFF_MAX_MS = 5000,
};

struct worker {
    struct process_pool *pp;
    struct list_node link; /* in process_pool.idle while IDLE */
    enum worker_state state;
    struct worker_process proc;
    uv_timer_t timer;      /* start timeout, or delay before the next spawn; closed with the pool */
    struct job *job;       /* while BUSY; in LOST and TERMINATED a job to end when the process is closed, or NULL */
    int64_t tasks_done;    /* since the spawn */
    uint64_t spawned_ns;   /* a time of uv_hrtime() */
    unsigned crash_streak; /* consecutive processes that failed before they completed a task */
};

struct process_pool {
    struct pool pool;
    char *const *command;             /* borrowed */
    int64_t max_tasks;                /* absent: unlimited */
    uint64_t start_timeout_ms;        /* from spawn to ready */
    worker_event_fn *on_worker_event; /* may be NULL */
    void *user;                       /* for on_worker_event; borrowed */
    struct list_node idle;            /* of struct worker */
    int64_t restarts;
    bool stopping;       /* process_pool_stop() was called: the runtime may have been freed */
    size_t open_workers; /* workers whose timer is not closed */
    size_t count;        /* of workers[] */
    struct worker workers[];
};

static void process_pool_drain(struct worker *w)
{
    if (!w->pp->stopping)
        task_drain(w->pp->pool.runtime);
}

/* -- states of a worker -------------------------------------------------------------------------------------------- */

static void worker_move(struct worker *w, enum worker_state to)
{
    w->state = STATE_MOVE(worker_moves, w->state, to);
}

/* False: the worker has no process, or its process has failed or was killed. */
static bool is_up(const struct worker *w)
{
    return w->state == STARTING || w->state == IDLE || w->state == BUSY;
}

static void worker_end(struct worker *w, enum worker_state to)
{
    if (w->state == IDLE) {
        list_remove(&w->link);
        w->pp->pool.free--;
    }
    uv_timer_stop(&w->timer);
    worker_move(w, to);
}

static void worker_fail(struct worker *w)
{
    if (is_up(w))
        worker_end(w, w->state == STARTING ? START_FAILED : LOST);
}

static void worker_terminate(struct worker *w)
{
    if (is_up(w) && !worker_process_has_exited(&w->proc))
        worker_end(w, TERMINATED);
    else /* the process failed before the kill */
        worker_fail(w);
    worker_process_kill(&w->proc);
}

static void mark_idle(struct worker *w)
{
    if (!worker_process_is_ready(&w->proc)) { /* it has exited or written stray output, which the loop will report */
        worker_fail(w);
        return;
    }
    worker_move(w, IDLE);
    list_append(&w->pp->idle, &w->link);
    pool_slot_available(&w->pp->pool);
    process_pool_drain(w);
}

/* Delay before the next spawn. */
static uint64_t backoff_ms(const struct worker *w)
{
    if (w->crash_streak <= IMMEDIATE_RESTARTS)
        return 0;
    unsigned doublings = w->crash_streak - IMMEDIATE_RESTARTS - 1;
    uint64_t ms = doublings < 6 ? (uint64_t)BACKOFF_MIN_MS << doublings : BACKOFF_MAX_MS;
    return ms < BACKOFF_MAX_MS ? ms : BACKOFF_MAX_MS;
}

/* Reports a failure of the process to the operator. */
static void notify_worker_event(const struct worker *w)
{
    const struct process_pool *pp = w->pp;
    if (pp->on_worker_event == NULL || pp->stopping || w->state == TERMINATED)
        return;
    struct worker_event event = {
        .was_ready = w->state == LOST,
        .function = w->job == NULL ? NULL : w->job->function->name,
        .retry_ns = backoff_ms(w) * NS_PER_MS,
    };
    char buffer[WORKER_MESSAGE_SIZE];
    worker_failure_fill_event(&event, &w->proc, w->state == START_TIMED_OUT, buffer);
    pp->on_worker_event(pp->user, &event);
}

static void worker_spawn(struct worker *w);

static void process_pool_on_timer_closed(uv_handle_t *handle)
{
    struct process_pool *pp = container_of((uv_timer_t *)handle, struct worker, timer)->pp;
    if (--pp->open_workers == 0)
        free(pp);
}

static void process_pool_on_backoff_end(uv_timer_t *timer)
{
    worker_spawn(container_of(timer, struct worker, timer));
}

/* Called when the process and its handles are closed. Spawns the next process, possibly after a delay; if the pool is
 * stopping, closes the worker instead. */
static void worker_respawn(struct worker *w)
{
    worker_move(w, DOWN);
    if (w->pp->stopping) {
        uv_close((uv_handle_t *)&w->timer, process_pool_on_timer_closed);
        return;
    }
    w->pp->restarts++;
    if (backoff_ms(w) == 0)
        worker_spawn(w);
    else
        uv_timer_start(&w->timer, process_pool_on_backoff_end, backoff_ms(w), 0);
}

/* -- events of its process ----------------------------------------------------------------------------------------- */

static struct worker *worker_of(struct worker_process *proc)
{
    return container_of(proc, struct worker, proc);
}

/* Fills the output, error and usage of the job. False: the response is invalid. */
static bool decode_response(struct job *job, const struct response_frame *response, const char *output)
{
    if (response->rc > 0 || response->rc < -ERROR_COUNT || (response->rc != 0 && response->len != 0))
        return false;
    struct str message = {response->msg, strnlen(response->msg, sizeof response->msg)};
    struct reader reader = {output, output + response->len};
    int rc = response->rc;
    if (rc != 0) {
        err_set(&job->e, rc, "%.*s", str_is_utf8(message) ? (int)message.len : 0, message.data);
    } else {
        job->output_arena = arena_new();
        rc = ERR_OUT_OF_MEMORY;
        if (job->output_arena != NULL)
            rc = type_deserialize(job->function->output, &reader, job->output_arena, job->output);
        if (rc == ERR_INVALID || (rc == 0 && reader.at != reader.end))
            return false;
        if (rc != 0)
            err_set(&job->e, rc, "Out of memory for the result");
    }
    job->usage = (struct usage){response->user_ns, response->system_ns, response->peak_rss_bytes};
    job->has_usage = true;
    return true;
}

static bool on_response(struct worker *w, const struct response_frame *response, const char *output)
{
    struct job *job = w->job;
    if (!decode_response(job, response, output))
        return false;
    w->job = NULL;
    w->tasks_done++;
    pool_job_ended(job);
    /* The result is delivered before the slot is freed, because its delivery may cancel tasks that are still queued. */
    process_pool_drain(w);
    if (w->state != BUSY) /* a `done` has called runtime_close() */
        return true;
    if (w->pp->max_tasks != INTEGER_ABSENT && w->tasks_done >= w->pp->max_tasks)
        worker_terminate(w);
    else
        mark_idle(w);
    return true;
}

static bool on_frame(struct worker_process *proc, const struct response_frame *response, const char *output)
{
    struct worker *w = worker_of(proc);
    if (w->state != STARTING)
        return on_response(w, response, output);
    uv_timer_stop(&w->timer);
    mark_idle(w);
    return true;
}

static void on_process_failed(struct worker_process *proc)
{
    worker_fail(worker_of(proc));
}

static void on_process_closed(struct worker_process *proc)
{
    struct worker *w = worker_of(proc);
    struct job *job = w->job;
    worker_fail(w); /* no effect, unless the spawn failed */
    bool crashed_early = w->state != TERMINATED && job == NULL && w->tasks_done == 0;
    w->crash_streak = crashed_early ? w->crash_streak + 1 : 0;
    notify_worker_event(w);
    w->job = NULL;
    if (job != NULL && !job->killed)
        worker_failure_set_error(job, &w->proc);
    worker_respawn(w);
    if (job != NULL)
        pool_job_ended(job);
    process_pool_drain(w);
}

static const struct worker_process_events process_events = {
    .frame = on_frame, .failed = on_process_failed, .closed = on_process_closed};

/* Kills a process that has not reported ready in time; otherwise its slot would be lost. */
static void on_start_timeout(uv_timer_t *timer)
{
    struct worker *w = container_of(timer, struct worker, timer);
    if (!worker_process_is_ready(&w->proc)) { /* it has reported ready or exited, which the loop has not read yet */
        uv_timer_start(timer, on_start_timeout, w->pp->start_timeout_ms, 0);
        return;
    }
    worker_end(w, START_TIMED_OUT);
    worker_process_kill(&w->proc);
}

static void worker_spawn(struct worker *w)
{
    worker_move(w, STARTING);
    w->tasks_done = 0;
    w->spawned_ns = uv_hrtime();
    uv_loop_t *loop = w->pp->pool.runtime->loop;
    worker_process_spawn(&w->proc, loop, w->pp->command, &process_events);
    uv_update_time(loop); /* the loop's time may be old, as during the start of the service */
    uv_timer_start(&w->timer, on_start_timeout, w->pp->start_timeout_ms, 0);
}

/* -- backend operations -------------------------------------------------------------------------------------------- */

static struct process_pool *process_pool_of(struct pool *pool)
{
    return container_of(pool, struct process_pool, pool);
}

/* Removes idle workers whose process has exited or failed, which the loop has not read yet: they must not get a job. */
static void process_pool_prune(struct pool *pool)
{
    struct process_pool *pp = process_pool_of(pool);
    while (!list_empty(&pp->idle)) {
        struct worker *w = container_of(pp->idle.next, struct worker, link);
        if (worker_process_is_ready(&w->proc))
            return;
        worker_fail(w);
    }
}

static int process_pool_start(struct pool *pool, struct job *job)
{
    struct process_pool *pp = process_pool_of(pool);
    CHECK(!list_empty(&pp->idle));
    struct worker *w = container_of(pp->idle.next, struct worker, link);
    size_t len = type_serialized_size(job->function->input, job->input);
    if (len > FRAME_MAX_LEN)
        return err_set(&job->e, ERR_INVALID_ARGUMENT, "The input exceeds %d bytes, the maximum for a worker process",
                       FRAME_MAX_LEN);
    struct request_buffer *request_buffer = request_buffer_new(job->function->name, len);
    if (request_buffer == NULL)
        return err_nomem(&job->e);
    type_serialize(job->function->input, job->input, request_buffer->input);

    list_remove(&w->link);
    worker_move(w, BUSY);
    w->job = job;
    job->slot = w;
    job->pid = w->proc.handle.pid;
    atomic_store_explicit(&job->tid, w->proc.handle.pid, memory_order_relaxed);
    worker_process_send(&w->proc, request_buffer);
    return 0;
}

static void process_pool_cancel(struct pool *pool, struct job *job)
{
    (void)pool;
    struct worker *w = job->slot;
    if (worker_process_has_exited(&w->proc)) /* the cancellation is too late: on_process_closed() ends the job */
        return;
    job->killed = true;
    worker_terminate(w);
}

static bool process_pool_get_stats(const struct pool *pool, struct arena *arena, struct pool_stats *out)
{
    const struct process_pool *pp = container_of(pool, const struct process_pool, pool);
    struct worker_stats *stats = arena_calloc(arena, pp->count, sizeof *stats);
    if (stats == NULL)
        return false;
    out->restarts = pp->restarts;
    out->workers.items = stats;
    for (size_t i = 0; i < pp->count; i++) {
        const struct worker *w = &pp->workers[i];
        if (is_up(w) && !worker_process_has_exited(&w->proc))
            stats[out->workers.count++] = (struct worker_stats){
                .pid = w->proc.handle.pid,
                .busy = w->state == BUSY,
                .tasks_done = w->tasks_done,
                .age_ns = uv_hrtime() - w->spawned_ns,
            };
    }
    return true;
}

static void process_pool_stop(struct pool *pool)
{
    struct process_pool *pp = process_pool_of(pool);
    pp->stopping = true;
    for (size_t i = 0; i < pp->count; i++) {
        struct worker *w = &pp->workers[i];
        if (w->state == DOWN)
            uv_close((uv_handle_t *)&w->timer, process_pool_on_timer_closed);
        else if (is_up(w))
            worker_terminate(w);
    }
}

static const struct pool_backend process_pool_backend = {.prune = process_pool_prune,
                                                         .start = process_pool_start,
                                                         .cancel = process_pool_cancel,
                                                         .get_stats = process_pool_get_stats,
                                                         .stop = process_pool_stop};

int process_pool_new(struct runtime *runtime, const struct pool_options *options, const struct process_config *config,
                     struct executor **out, struct err *e)
{
    size_t count = (size_t)options->processes;
    struct process_pool *pp = calloc(1, sizeof *pp + count * sizeof pp->workers[0]);
    if (pp == NULL)
        return err_nomem(e);
    pool_init(&pp->pool, runtime, &process_pool_backend, STR("processes"), EXECUTOR_PROCESSES, options->processes,
              options->processes_source);
    pp->command = config->command;
    pp->max_tasks = options->worker_max_tasks;
    pp->start_timeout_ms =
        (config->start_timeout_ns == 0 ? WORKER_START_TIMEOUT_NS : config->start_timeout_ns) / NS_PER_MS;
    pp->on_worker_event = config->on_worker_event;
    pp->user = config->user;
    pp->count = pp->open_workers = count;
    list_init(&pp->idle);
    *out = &pp->pool.executor;
    for (size_t i = 0; i < count; i++) {
        struct worker *w = &pp->workers[i];
        w->pp = pp;
        list_init(&w->link);
        uv_timer_init(runtime->loop, &w->timer);
        worker_spawn(w);
    }
    return 0;
}

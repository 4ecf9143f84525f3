#include "runtime/executors/process_pool.h"

#include "runtime/executors/worker_process.h"
#include "runtime/lib/check.h"
#include "runtime/types/type_serialize.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum state { DOWN, STARTING, IDLE, BUSY, LEAVING };

enum {
    QUICK_DEATHS = 2,     /* in a row that are replaced at once */
    FIRST_PAUSE_MS = 100, /* doubled for each further one */
    LONGEST_PAUSE_MS = 5000,
};

struct worker {
    struct process_pool *force;
    struct list_node link; /* in force->idle while IDLE */
    enum state state;
    struct worker_process child;
    uv_timer_t clock;   /* ends its start, or the pause before it is spawned again; open as long as the worker */
    struct job *job;    /* BUSY, or LEAVING because of it */
    bool up;            /* it has been IDLE */
    bool late;          /* we killed it because it wasn't up in time */
    bool canceled;      /* we killed it for that */
    bool dismissed;     /* we killed it, for whatever reason but its own fault */
    int64_t tasks_done; /* since it was spawned */
    uint64_t spawned_ns;
    unsigned quick_deaths; /* in a row */
};

struct process_pool {
    struct pool pool;
    char *const *command;       /* borrowed */
    int64_t max_tasks;          /* INTEGER absent: no limit */
    uint64_t start_ms;          /* that a worker may take to be up */
    worker_event_fn *on_worker; /* NULL: nobody is told */
    void *user;                 /* for on_worker; borrowed */
    struct list_node idle;      /* of struct worker */
    int64_t restarts;
    bool stopping; /* then the runtime may be gone */
    size_t left;   /* workers whose last handle is not closed */
    size_t count;
    struct worker workers[];
};

static void drain(struct worker *w)
{
    if (!w->force->stopping)
        task_drain(w->force->pool.runtime);
}

/* -- a worker's way ------------------------------------------------------------------------------------------------ */

static void become_idle(struct worker *w)
{
    w->state = worker_process_is_ready(&w->child) ? IDLE : LEAVING;
    if (w->state == LEAVING) /* that it has gone, or talks nonsense, is what the loop tells next */
        return;
    w->up = true;
    list_append(&w->force->idle, &w->link);
    pool_slot_free(&w->force->pool);
    drain(w);
}

static void leave(struct worker *w)
{
    if (w->state == IDLE) {
        list_remove(&w->link);
        w->force->pool.free--;
    }
    uv_timer_stop(&w->clock);
    w->state = LEAVING;
}

static void dismiss(struct worker *w)
{
    leave(w);
    if (!w->child.over && !w->child.exited) /* else it was faster than we */
        w->dismissed = true;
    worker_process_kill(&w->child);
}

/* Its last words are the function's, and may say what nobody else knows. */
static void blame(struct job *job, const struct worker *w)
{
    const struct worker_process *child = &w->child;
    const char *said = child->words_len > 0 ? "; the last it said: " : "";
    int words_len = (int)child->words_len;
    job->killed = w->canceled;
    if (w->canceled) /* how it died was our doing, and says nothing */
        return;
    if (child->fault == ERR_OUT_OF_MEMORY) {
        err_set(&job->e, ERR_OUT_OF_MEMORY, "There is no memory for the result");
    } else if (child->fault != 0 && child->exit_signal == SIGKILL) {
        err_set(&job->e, ERR_WORKER_CRASHED, "Worker process %d talked nonsense, and was killed%s%.*s", job->pid, said,
                words_len, child->words);
    } else if (child->exit_signal != 0) {
        job->exit_signal = child->exit_signal;
        err_set(&job->e, ERR_WORKER_CRASHED, "Worker process %d died of signal %d (%s)%s%.*s", job->pid,
                child->exit_signal, strsignal(child->exit_signal), said, words_len, child->words);
    } else {
        job->exit_code = child->exit_code;
        err_set(&job->e, ERR_WORKER_CRASHED, "Worker process %d exited with %d in the middle of the task%s%.*s",
                job->pid, child->exit_code, said, words_len, child->words);
    }
}

/* How long its place stays empty. */
static uint64_t pause_ms(const struct worker *w)
{
    if (w->quick_deaths <= QUICK_DEATHS)
        return 0;
    unsigned doubled = w->quick_deaths - QUICK_DEATHS - 1;
    uint64_t ms = doubled < 6 ? (uint64_t)FIRST_PAUSE_MS << doubled : LONGEST_PAUSE_MS;
    return ms < LONGEST_PAUSE_MS ? ms : LONGEST_PAUSE_MS;
}

const char *const worker_fault_names[WORKER_FAULTS + 1] = {
    [WORKER_EXITED] = "exited",
    [WORKER_SPAWN_FAILED] = "spawn_failed",
    [WORKER_START_TIMEOUT] = "start_timeout",
    [WORKER_PROTOCOL_ERROR] = "protocol_error",
    [WORKER_OUT_OF_MEMORY] = "out_of_memory",
};

static enum worker_fault fault_of(const struct worker *w)
{
    const struct worker_process *child = &w->child;
    if (child->spawn_error != 0)
        return WORKER_SPAWN_FAILED;
    if (child->exit_signal != SIGKILL) /* it was faster than we */
        return WORKER_EXITED;
    if (child->fault != 0)
        return child->fault == ERR_OUT_OF_MEMORY ? WORKER_OUT_OF_MEMORY : WORKER_PROTOCOL_ERROR;
    return w->late ? WORKER_START_TIMEOUT : WORKER_EXITED;
}

/* Tells of one that is lost, unless that was our doing. */
static void tell(const struct worker *w)
{
    char system[128];
    const struct worker_process *child = &w->child;
    const struct process_pool *force = w->force;
    if (force->on_worker == NULL || force->stopping || w->dismissed)
        return;
    struct worker_event event = {
        .was_up = w->up,
        .fault = fault_of(w),
        .pid = child->spawn_error == 0 ? child->process.pid : 0,
        .exit_code = -1,
        .function = w->job == NULL ? NULL : w->job->function->name,
        .retry_ns = pause_ms(w) * NS_PER_MS,
    };
    if (child->words_len > 0)
        event.last_words = (struct str){child->words, child->words_len};
    if (event.fault == WORKER_SPAWN_FAILED)
        event.system = uv_strerror_r(child->spawn_error, system, sizeof system);
    else if (event.fault == WORKER_EXITED && child->exit_signal == 0)
        event.exit_code = child->exit_code;
    else if (event.fault == WORKER_EXITED)
        event.exit_signal = child->exit_signal;
    force->on_worker(force->user, &event);
}

static void spawn(struct worker *w);

static void on_clock_closed(uv_handle_t *handle)
{
    struct process_pool *force = container_of((uv_timer_t *)handle, struct worker, clock)->force;
    if (--force->left == 0)
        free(force);
}

static void on_pause_over(uv_timer_t *clock)
{
    spawn(container_of(clock, struct worker, clock));
}

/* All of it is gone: what comes now is a new one, or nothing. */
static void replace(struct worker *w)
{
    w->state = DOWN;
    if (w->force->stopping) {
        uv_close((uv_handle_t *)&w->clock, on_clock_closed);
        return;
    }
    w->force->restarts++;
    if (pause_ms(w) == 0)
        spawn(w);
    else
        uv_timer_start(&w->clock, on_pause_over, pause_ms(w), 0);
}

/* -- what its child tells ------------------------------------------------------------------------------------------ */

static struct worker *worker_of(struct worker_process *child)
{
    return container_of(child, struct worker, child);
}

/* Fills the job. False when what the worker says makes no sense. */
static bool take_answer(struct job *job, const struct answer_frame *answer, const char *output)
{
    if (answer->rc > 0 || answer->rc < -ERROR_COUNT || (answer->rc != 0 && answer->len != 0))
        return false;
    struct str said = {answer->msg, strnlen(answer->msg, sizeof answer->msg)};
    struct reader reader = {output, output + answer->len};
    int rc = answer->rc;
    if (rc != 0) {
        err_set(&job->e, rc, "%.*s", str_is_utf8(said) ? (int)said.len : 0, said.at);
    } else {
        job->memory = arena_new();
        rc = ERR_OUT_OF_MEMORY;
        if (job->memory != NULL)
            rc = type_deserialize(job->function->output, &reader, job->memory, job->output);
        if (rc == ERR_INVALID || (rc == 0 && reader.at != reader.end))
            return false;
        if (rc != 0)
            err_set(&job->e, rc, "There is no memory for the result");
    }
    job->usage = (struct usage){answer->user_ns, answer->system_ns, answer->peak_rss_bytes};
    job->accounted = true;
    return true;
}

static bool on_answer(struct worker *w, const struct answer_frame *answer, const char *output)
{
    struct job *job = w->job;
    if (!take_answer(job, answer, output))
        return false;
    w->job = NULL;
    w->tasks_done++;
    pool_job_ended(job);
    drain(w); /* who waited for it decides what becomes of the queue, before the slot takes the next from there */
    if (w->state != BUSY) /* the pool was stopped */
        return true;
    if (w->force->max_tasks != INTEGER_ABSENT && w->tasks_done >= w->force->max_tasks)
        dismiss(w);
    else
        become_idle(w);
    return true;
}

static bool on_frame(struct worker_process *child, const struct answer_frame *answer, const char *output)
{
    struct worker *w = worker_of(child);
    if (w->state != STARTING)
        return on_answer(w, answer, output);
    uv_timer_stop(&w->clock);
    become_idle(w);
    return true;
}

static void on_unfit(struct worker_process *child)
{
    leave(worker_of(child));
}

static void on_gone(struct worker_process *child)
{
    struct worker *w = worker_of(child);
    struct job *job = w->job;
    bool quick = !w->dismissed && job == NULL && w->tasks_done == 0;
    w->quick_deaths = quick ? w->quick_deaths + 1 : 0;
    tell(w);
    w->job = NULL;
    if (job != NULL)
        blame(job, w);
    replace(w);
    if (job != NULL)
        pool_job_ended(job);
    drain(w);
}

static const struct worker_process_events events = {.frame = on_frame, .unfit = on_unfit, .gone = on_gone};

/* A slot that waits for ever for its worker would be lost without a trace. */
static void on_start_over(uv_timer_t *clock)
{
    struct worker *w = container_of(clock, struct worker, clock);
    if (!worker_process_is_ready(
            &w->child)) { /* it has said something, or gone, and it is the loop that is late to tell */
        uv_timer_start(clock, on_start_over, w->force->start_ms, 0);
        return;
    }
    leave(w);
    w->late = true;
    worker_process_kill(&w->child);
}

static void spawn(struct worker *w)
{
    w->state = STARTING;
    w->up = w->late = w->canceled = w->dismissed = false;
    w->tasks_done = 0;
    w->spawned_ns = uv_hrtime();
    uv_loop_t *loop = w->force->pool.runtime->loop;
    worker_process_spawn(&w->child, loop, w->force->command, &events);
    uv_update_time(loop); /* its clock may stand where it stood before something that took long, as our own start */
    uv_timer_start(&w->clock, on_start_over, w->force->start_ms, 0);
}

/* -- the pool's backend -------------------------------------------------------------------------------------------- */

static struct process_pool *force_of(struct pool *pool)
{
    return container_of(pool, struct process_pool, pool);
}

/* A worker that was killed while it was idle may not have been reaped yet; no task is to meet it. */
static void force_check(struct pool *pool)
{
    struct process_pool *force = force_of(pool);
    while (!list_empty(&force->idle)) {
        struct worker *w = container_of(force->idle.next, struct worker, link);
        if (worker_process_is_ready(&w->child))
            return;
        leave(w);
    }
}

static int force_start(struct pool *pool, struct job *job)
{
    struct process_pool *force = force_of(pool);
    CHECK(!list_empty(&force->idle));
    struct worker *w = container_of(force->idle.next, struct worker, link);
    size_t len = type_serialized_size(job->function->input, job->input);
    if (len > FRAME_MOST)
        return err_set(&job->e, ERR_INVALID, "The input is too large for a worker process");
    struct parcel *parcel = parcel_new(job->function->name, len);
    if (parcel == NULL)
        return err_set(&job->e, ERR_OUT_OF_MEMORY, "There is no memory to hand the task to a worker process");
    type_serialize(job->function->input, job->input, parcel->input);

    list_remove(&w->link);
    w->state = BUSY;
    w->job = job;
    job->slot = w;
    job->pid = w->child.process.pid;
    atomic_store_explicit(&job->tid, w->child.process.pid, memory_order_relaxed);
    worker_process_send(&w->child, parcel);
    return 0;
}

static void force_cancel(struct pool *pool, struct job *job)
{
    (void)pool;
    struct worker *w = job->slot;
    if (w->child.exited)
        return; /* it was faster than we, and the job ends with it in a moment */
    w->canceled = true;
    dismiss(w);
}

static bool force_look(const struct pool *pool, struct arena *arena, struct pool_stats *out)
{
    const struct process_pool *force = container_of(pool, const struct process_pool, pool);
    struct worker_stats *views = arena_calloc(arena, force->count, sizeof *views);
    if (views == NULL)
        return false;
    out->restarts = force->restarts;
    out->workers.items = views;
    for (size_t i = 0; i < force->count; i++) {
        const struct worker *w = &force->workers[i];
        if (w->state != DOWN && w->state != LEAVING && !w->child.exited)
            views[out->workers.count++] = (struct worker_stats){
                .pid = w->child.process.pid,
                .busy = w->state == BUSY,
                .tasks_done = w->tasks_done,
                .age_ns = uv_hrtime() - w->spawned_ns,
            };
    }
    return true;
}

static void force_stop(struct pool *pool)
{
    struct process_pool *force = force_of(pool);
    force->stopping = true;
    for (size_t i = 0; i < force->count; i++) {
        struct worker *w = &force->workers[i];
        if (w->state == DOWN)
            uv_close((uv_handle_t *)&w->clock, on_clock_closed);
        else if (w->state != LEAVING)
            dismiss(w);
    }
}

static const struct pool_backend backend = {
    .check = force_check, .start = force_start, .cancel = force_cancel, .get_stats = force_look, .stop = force_stop};

int processes_new(struct runtime *runtime, const struct process_config *config, int64_t queue_limit, struct pool **out,
                  struct err *e)
{
    size_t count = (size_t)config->size;
    struct process_pool *force = calloc(1, sizeof *force + count * sizeof force->workers[0]);
    if (force == NULL)
        return err_set(e, ERR_OUT_OF_MEMORY, "there is no memory for the worker processes");
    pool_init(&force->pool, runtime, &backend, STR("processes"), EXECUTOR_PROCESSES, config->size, config->size_source,
              queue_limit);
    force->command = config->command;
    force->max_tasks = config->max_tasks;
    force->start_ms = (config->start_ns == 0 ? WORKER_START_NS : config->start_ns) / NS_PER_MS;
    force->on_worker = config->on_worker;
    force->user = config->user;
    force->count = force->left = count;
    list_init(&force->idle);
    *out = &force->pool;
    for (size_t i = 0; i < count; i++) {
        struct worker *w = &force->workers[i];
        w->force = force;
        list_init(&w->link);
        uv_timer_init(runtime->loop, &w->clock);
        spawn(w);
    }
    return 0;
}

/* test_thread_pool - pools of threads: order of jobs, cancellation, abandoned jobs, failures at the start. */
#include "runtime/types/type_parse.h"
#include "tests/unit/support/builtins.h"
#include "tests/unit/support/faulty_function.h"

#include "runtime/executors/pool.h"
#include "runtime/task/admission.h"
#include "tests/unit/support/alloc_fault.h"
#include "tests/unit/support/task_asserts.h"

#include <dirent.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* -- fixture ------------------------------------------------------------------------------------------------------- */

/* A runtime with one pool for each size; their names are default, b, c and d. */
static struct fixture *start_thread_pools(size_t count, const int64_t sizes[], int64_t queue_limit)
{
    static const char *const names[] = {"default", "b", "c", "d"};
    static struct pool_config pools[COUNT_OF(names)]; /* borrowed by the runtime */
    for (size_t i = 0; i < count; i++)
        pools[i] = (struct pool_config){str_from(names[i]), sizes[i], "configured"};
    struct limits limits;
    record_set_defaults(&limits_type, &limits);
    limits.queue_limit = queue_limit;
    limits.pools = (struct array){pools, count};
    return fixture_start(&(struct runtime_config){.limits = &limits});
}

static struct fixture *start_thread_pool(int64_t threads)
{
    struct fixture *f = start_thread_pools(1, &threads, 10000);
    assert_non_null(f);
    return f;
}

static void stop_thread_pools(struct fixture *f, struct gate *gate)
{
    for (size_t i = 0; i < f->runtime->limits.pools.count; i++) {
        const struct pool *pool = pool_at(f, EXECUTOR_THREADS, i);
        assert_int_equal(pool->busy, 0);
        assert_int_equal(pool->queued, 0);
        assert_int_equal(pool->executor.admitted, 0);
        assert_int_equal(pool->executor.abandoned, 0);
        assert_int_equal(pool->free, pool->executor.size);
    }
    assert_true(fixture_free(f));
    if (gate != NULL)
        gate_free(gate);
}

static size_t process_thread_count(void)
{
    size_t count = 0;
    DIR *dir = opendir("/proc/self/task");
    assert_non_null(dir);
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

static void submit_thread_action(struct fixture *f, struct waiter *w, struct gate *gate, enum action action,
                                 int64_t number)
{
    struct task_spec spec = faulty_thread_spec(f, gate, action, number);
    submit_and_drain(f, &spec, w);
}

/* -- success ------------------------------------------------------------------------------------------------------- */

static void task_runs_in_thread(void **state)
{
    (void)state;
    struct fixture *f = start_thread_pool(1);
    struct gate *gate = gate_new();
    struct waiter w = {0};
    submit_thread_action(f, &w, gate, ACTION_ECHO, 42);
    wait_until_done(f, &w);
    assert_ended(&w, TASK_SUCCEEDED, 0);
    const struct faulty_output *out = faulty_output(&w);
    assert_int_equal(out->number, 42);
    assert_string_equal(out->text.data, "a text that lives in the arena");
    assert_int_equal(out->pid, getpid());
    assert_int_not_equal(out->tid, gettid());
    assert_int_equal(w.info.pid, out->pid);
    assert_int_equal(w.info.tid, out->tid);
    assert_int_equal(w.info.executor, EXECUTOR_THREADS);
    assert_true(str_eq(w.info.pool, "default"));
    assert_non_null(w.info.usage);
    assert_true(w.info.usage->worker_peak_rss_bytes == INTEGER_ABSENT);
    assert_int_equal(w.info.exit_code, -1);
    task_release(w.task);
    stop_thread_pools(f, gate);
}

static void thread_function_errors(void **state)
{
    (void)state;
    struct fixture *f = start_thread_pool(1);
    for (int rc = -1; rc >= -ERROR_COUNT; rc--) {
        struct waiter w = {0};
        submit_thread_action(f, &w, NULL, ACTION_FAIL, rc);
        wait_until_done(f, &w);
        assert_ended(&w, TASK_FAILED, rc);
        assert_string_equal(w.info.detail, "a text that lives in the arena");
        assert_null(w.info.output);
        assert_non_null(w.info.usage);
        task_release(w.task);
    }
    stop_thread_pools(f, NULL);
}

/* Pool threads block signals, so that signals do not interrupt blocking calls. */
static void threads_block_signals(void **state)
{
    (void)state;
    struct fixture *f = start_thread_pool(1);
    struct waiter w = {0};
    submit_thread_action(f, &w, NULL, ACTION_SIGNAL_MASK, 0);
    wait_until_done(f, &w);
    assert_int_equal(faulty_output(&w)->number, 1);
    task_release(w.task);
    stop_thread_pools(f, NULL);
}

static void pool_starts_configured_threads(void **state)
{
    (void)state;
    stop_thread_pools(start_thread_pool(1), NULL); /* with the first thread, sanitizers start one of their own */
    size_t before = process_thread_count();
    struct fixture *f = start_thread_pool(4);
    assert_int_equal(process_thread_count(), before + 4);
    struct gate *gate = gate_new();
    enum { TASKS = 200 };
    struct waiter *w = calloc(TASKS, sizeof *w);
    assert_non_null(w);
    for (size_t i = 0; i < TASKS; i++)
        submit_thread_action(f, &w[i], gate, i < 4 ? ACTION_WAIT_GATE : ACTION_ECHO, (int64_t)i);
    gate_await_active(gate, 4);
    assert_int_equal(pool_at(f, EXECUTOR_THREADS, 0)->busy, 4);
    assert_int_equal(pool_at(f, EXECUTOR_THREADS, 0)->queued, TASKS - 4);
    gate_open(gate);
    assert_true(run_until_idle(f));
    for (size_t i = 0; i < TASKS; i++) {
        assert_ended(&w[i], TASK_SUCCEEDED, 0);
        task_release(w[i].task);
    }
    free(w);
    assert_int_equal(gate->max_active, 4);
    assert_int_equal(gate->tid_count, 4);
    assert_int_equal(gate->runs, TASKS);
    assert_int_equal(pool_at(f, EXECUTOR_THREADS, 0)->tasks_done, TASKS);
    assert_int_equal(process_thread_count(), before + 4);
    stop_thread_pools(f, gate);
    while (process_thread_count() > before) /* joined threads disappear from /proc a moment later */
        ;
}

static void pools_are_independent(void **state)
{
    (void)state;
    struct fixture *f = start_thread_pools(3, (int64_t[]){1, 2, 1}, 100);
    assert_non_null(f);
    struct gate *gate = gate_new(), *blocked_gate = gate_new();
    struct waiter blocked[3] = {{0}}, w[6] = {{0}};
    for (size_t i = 0; i < COUNT_OF(blocked); i++)
        submit_thread_action(f, &blocked[i], blocked_gate, ACTION_WAIT_GATE, 0);
    gate_await_active(blocked_gate, 1);
    for (size_t i = 0; i < COUNT_OF(w); i++) {
        struct task_spec spec = faulty_thread_spec(f, gate, ACTION_ECHO, (int64_t)i);
        spec.options.pool = 1 + (int64_t)i % 2;
        submit_and_drain(f, &spec, &w[i]);
    }
    for (size_t i = 0; i < COUNT_OF(w); i++) {
        wait_until_done(f, &w[i]);
        assert_ended(&w[i], TASK_SUCCEEDED, 0);
        assert_true(str_eq(w[i].info.pool, i % 2 == 0 ? "b" : "c"));
        task_release(w[i].task);
    }
    assert_int_equal(task_info_of(blocked[0].task).state, TASK_RUNNING);
    assert_int_equal(task_info_of(blocked[1].task).state, TASK_QUEUED);
    gate_open(blocked_gate);
    assert_true(run_until_idle(f));
    for (size_t i = 0; i < COUNT_OF(blocked); i++)
        task_release(blocked[i].task);
    gate_free(blocked_gate);
    stop_thread_pools(f, gate);
}

static void queue_is_fifo(void **state)
{
    (void)state;
    struct fixture *f = start_thread_pool(1);
    struct gate *gate = gate_new();
    enum { TASKS = 300 };
    struct waiter *w = calloc(TASKS, sizeof *w);
    assert_non_null(w);
    for (size_t i = 0; i < TASKS; i++)
        submit_thread_action(f, &w[i], gate, i == 0 ? ACTION_WAIT_GATE : ACTION_ECHO, (int64_t)i);
    gate_await_active(gate, 1);
    for (size_t i = 1; i < TASKS; i++)
        if (i % 7 == 3)
            cancel(f, w[i].task, CANCEL_CLIENT);
    gate_open(gate);
    assert_true(run_until_idle(f));
    size_t next = 0;
    for (size_t i = 0; i < TASKS; i++) {
        if (i % 7 == 3) {
            assert_ended(&w[i], TASK_CANCELED, ERR_CANCELED);
            assert_int_equal(w[i].info.cancel_effect, EFFECT_PREVENTED);
            assert_int_equal(w[i].info.tid, 0);
        } else {
            assert_ended(&w[i], TASK_SUCCEEDED, 0);
            assert_int_equal(gate->order[next++], i);
        }
        task_release(w[i].task);
    }
    assert_int_equal(gate->runs, next);
    free(w);
    stop_thread_pools(f, gate);
}

/* One turn of the loop delivers only jobs that completed before it, so that a long queue of short jobs does not starve
 * other handles. */
static void long_queue_does_not_starve_loop(void **state)
{
    (void)state;
    struct fixture *f = start_thread_pool(2);
    enum { TASKS = 3000 };
    struct waiter *w = calloc(TASKS, sizeof *w);
    assert_non_null(w);
    struct gate *gate = gate_new();
    for (size_t i = 0; i < TASKS; i++)
        submit_thread_action(f, &w[i], gate, ACTION_ECHO, (int64_t)i);
    while (f->done_calls < TASKS) {
        size_t before = f->done_calls;
        uv_run(&f->loop, UV_RUN_ONCE);
        assert_true(f->done_calls - before <= 2);
    }
    for (size_t i = 0; i < TASKS; i++)
        task_release(w[i].task);
    free(w);
    stop_thread_pools(f, gate);
}

/* -- cancel and limits --------------------------------------------------------------------------------------------- */

static void canceled_running_task_is_abandoned(void **state)
{
    (void)state;
    struct fixture *f = start_thread_pool(1);
    struct gate *gate = gate_new();
    struct waiter w = {0}, next = {0};
    submit_thread_action(f, &w, gate, ACTION_WAIT_GATE, 1);
    submit_thread_action(f, &next, gate, ACTION_ECHO, 2);
    gate_await_active(gate, 1);
    cancel(f, w.task, CANCEL_CLIENT);
    assert_int_equal(w.done, 0);
    task_drain(f->runtime);
    assert_ended(&w, TASK_CANCELED, ERR_CANCELED);
    assert_int_equal(w.info.cancel_effect, EFFECT_ABANDONED);
    assert_int_equal(w.info.pid, getpid());
    assert_int_not_equal(w.info.tid, 0);
    assert_null(w.info.usage);
    assert_null(w.info.output);
    task_release(w.task); /* its thread may still read the input */
    assert_int_equal(runtime_unfinished(f->runtime), 1);
    assert_int_equal(runtime_abandoned(f->runtime), 1);
    const struct pool *pool = pool_at(f, EXECUTOR_THREADS, 0);
    assert_int_equal(pool->busy, 1);
    assert_int_equal(pool->executor.admitted, 1);
    assert_int_equal(task_info_of(next.task).state, TASK_QUEUED); /* the slot is not free */
    uv_run(&f->loop, UV_RUN_NOWAIT);
    assert_int_equal(task_info_of(next.task).state, TASK_QUEUED);
    gate_open(gate);
    wait_until_done(f, &next);
    assert_ended(&next, TASK_SUCCEEDED, 0);
    assert_int_equal(w.done, 1); /* the result of the abandoned job is dropped */
    assert_int_equal(runtime_abandoned(f->runtime), 0);
    assert_int_equal(pool->tasks_done, 2);
    task_release(next.task);
    stop_thread_pools(f, gate);
}

/* run() has returned, but the loop thread has not ended the job yet. */
static void cancel_after_job_returned_is_too_late(void **state)
{
    (void)state;
    struct fixture *f = start_thread_pool(1);
    struct waiter w = {0};
    uv_run(&f->loop, UV_RUN_NOWAIT); /* adds the pool's uv_async_t to the loop's epoll descriptor */
    submit_thread_action(f, &w, NULL, ACTION_ECHO, 1);
    struct pollfd wakeup = {.fd = uv_backend_fd(&f->loop), .events = POLLIN};
    assert_int_equal(poll(&wakeup, 1, 60000), 1);
    cancel(f, w.task, CANCEL_CLIENT);
    wait_until_done(f, &w);
    assert_ended(&w, TASK_SUCCEEDED, 0);
    assert_true(w.info.cancel_requested && w.info.cancel_completed);
    assert_int_equal(w.info.cancel_effect, EFFECT_TOO_LATE);
    assert_int_equal(runtime_abandoned(f->runtime), 0);
    task_release(w.task);
    stop_thread_pools(f, NULL);
}

static void timeout_and_deadline_abandon_task(void **state)
{
    (void)state;
    for (int deadline = 0; deadline <= 1; deadline++) {
        struct fixture *f = start_thread_pool(1);
        struct gate *gate = gate_new();
        struct task_spec spec = faulty_thread_spec(f, gate, ACTION_WAIT_GATE, 1);
        *(deadline ? &spec.options.deadline_ns : &spec.options.timeout_ns) = MS(200); /* long enough to start */
        struct waiter w = {0}, queued = {0};
        assert_int_equal(submit(f, &spec, &w), 0);
        spec = faulty_thread_spec(f, gate, ACTION_ECHO, 2);
        spec.options.timeout_ns = MS(1); /* counts from the start, which never comes */
        spec.options.deadline_ns = MS(210);
        assert_int_equal(submit(f, &spec, &queued), 0);
        wait_until_done(f, &w);
        assert_ended(&w, TASK_FAILED, deadline ? ERR_DEADLINE_EXCEEDED : ERR_TIMEOUT);
        assert_int_equal(w.info.cancel_effect, EFFECT_ABANDONED);
        assert_int_equal(w.info.cancel_reason, deadline ? CANCEL_DEADLINE : CANCEL_TIMEOUT);
        assert_true(w.info.duration_ns + (deadline ? w.info.queued_ns : 0) >= MS(200));
        wait_until_done(f, &queued);
        assert_ended(&queued, TASK_FAILED, ERR_DEADLINE_EXCEEDED);
        assert_int_equal(queued.info.cancel_effect, EFFECT_PREVENTED);
        task_release(w.task);
        task_release(queued.task);
        gate_open(gate);
        assert_true(run_until(f, no_abandoned_jobs, f));
        assert_true(gate->runs <= 1);
        stop_thread_pools(f, gate);
    }
}

/* A function that polls run_canceled() returns when it is canceled, and its slot is free again. */
static void canceled_function_frees_slot(void **state)
{
    (void)state;
    struct fixture *f = start_thread_pool(2);
    struct gate *gate = gate_new();
    struct waiter w[5] = {{0}};
    for (size_t i = 0; i < COUNT_OF(w); i++)
        submit_thread_action(f, &w[i], gate, ACTION_SPIN, (int64_t)i);
    for (size_t i = 0; i < COUNT_OF(w); i++) {
        cancel(f, w[i].task, CANCEL_CLIENT);
        wait_until_done(f, &w[i]);
        assert_ended(&w[i], TASK_CANCELED, ERR_CANCELED);
        task_release(w[i].task);
    }
    assert_true(run_until(f, no_abandoned_jobs, f));
    stop_thread_pools(f, gate);
}

/* The task is canceled at about the time when run() returns: the effect is abandoned or too_late, never both. */
static void cancel_races_with_completion(void **state)
{
    (void)state;
    struct fixture *f = start_thread_pool(1);
    struct gate *gate = gate_new();
    for (int i = 0; i < 100; i++) {
        struct waiter w = {0};
        submit_thread_action(f, &w, gate, ACTION_ECHO, i);
        while (gate_run_count(gate) <= (size_t)i)
            ;
        cancel(f, w.task, CANCEL_CLIENT);
        task_drain(f->runtime);
        bool too_late = w.done == 0;
        wait_until_done(f, &w);
        assert_ended(&w, too_late ? TASK_SUCCEEDED : TASK_CANCELED, too_late ? 0 : ERR_CANCELED);
        assert_int_equal(w.info.cancel_effect, too_late ? EFFECT_TOO_LATE : EFFECT_ABANDONED);
        assert_int_equal(w.info.output != NULL, too_late);
        task_release(w.task);
        assert_true(run_until(f, no_abandoned_jobs, f));
        assert_int_equal(w.done, 1);
    }
    stop_thread_pools(f, gate);
}

/* A job that is canceled before a thread takes it does not run. */
static void cancel_races_with_start(void **state)
{
    (void)state;
    struct fixture *f = start_thread_pool(4);
    struct gate *gate = gate_new();
    enum { ROUNDS = 300 };
    for (int i = 0; i < ROUNDS; i++) {
        struct waiter w[4] = {{0}};
        for (size_t j = 0; j < COUNT_OF(w); j++) {
            struct task_spec spec = faulty_thread_spec(f, gate, ACTION_ECHO, i);
            assert_int_equal(submit(f, &spec, &w[j]), 0);
        }
        for (size_t j = 0; j < COUNT_OF(w); j++)
            cancel(f, w[j].task, CANCEL_CLIENT);
        assert_true(run_until_idle(f)); /* jobs that had returned before the cancellation end in a later turn */
        for (size_t j = 0; j < COUNT_OF(w); j++) {
            assert_int_equal(w[j].info.state == TASK_SUCCEEDED, w[j].info.cancel_effect == EFFECT_TOO_LATE);
            task_release(w[j].task);
        }
        assert_true(run_until(f, no_abandoned_jobs, f));
    }
    assert_true(gate->runs < (size_t)4 * ROUNDS); /* some jobs did not run */
    stop_thread_pools(f, gate);
}

/* A delivered result cancels queued tasks before its slot is freed and would start one of them. */
static void resolved_gather_starts_no_queued_job(void **state)
{
    (void)state;
    static const char *const modes[] = {"any", "race", "all"};
    for (size_t m = 0; m < COUNT_OF(modes); m++) {
        struct fixture *f = start_thread_pool(1);
        struct gate *gate = gate_new();
        struct task_spec children[4];
        for (size_t i = 0; i < COUNT_OF(children); i++)
            children[i] = faulty_thread_spec(f, gate, i == 0 && m == 2 ? ACTION_FAIL : ACTION_ECHO,
                                             i == 0 && m == 2 ? ERR_INTERNAL : (int64_t)i);
        struct task_spec spec = gather_of(f, modes[m], COUNT_OF(children), children);
        struct waiter w = {0};
        submit_and_wait(f, &spec, &w);
        assert_ended(&w, m == 2 ? TASK_FAILED : TASK_SUCCEEDED, m == 2 ? ERR_CHILD_FAILED : 0);
        for (size_t i = 1; i < COUNT_OF(children); i++) {
            struct task_info child = task_info_of(child_at(w.task, i));
            assert_int_equal(child.state, TASK_CANCELED);
            assert_int_equal(child.cancel_effect, EFFECT_PREVENTED);
        }
        task_release(w.task);
        assert_true(run_until(f, no_abandoned_jobs, f));
        assert_int_equal(gate->runs, 1);
        stop_thread_pools(f, gate);
    }
}

/* task_get_info() reports pid and tid while the job runs. */
static void get_info_while_running(void **state)
{
    (void)state;
    struct fixture *f = start_thread_pool(2);
    struct gate *gate = gate_new();
    for (int i = 0; i < 200; i++) {
        struct waiter w = {0};
        submit_thread_action(f, &w, gate, ACTION_ECHO, i);
        while (w.done == 0) {
            struct task_info info = task_info_of(w.task);
            assert_true(info.state == TASK_RUNNING || info.state == TASK_QUEUED);
            assert_null(info.output);
            assert_null(info.usage);
            uv_run(&f->loop, UV_RUN_NOWAIT);
        }
        task_release(w.task);
    }
    struct waiter w = {0};
    submit_thread_action(f, &w, gate, ACTION_SPIN, 0);
    gate_await_active(gate, 1);
    assert_int_not_equal(task_info_of(w.task).tid, 0);
    cancel(f, w.task, CANCEL_CLIENT);
    for (int i = 0; i < 1000; i++)
        assert_null(task_info_of(w.task).usage);
    task_drain(f->runtime);
    while (runtime_abandoned(f->runtime) > 0) {
        assert_int_equal(task_info_of(w.task).state, TASK_CANCELED);
        uv_run(&f->loop, UV_RUN_NOWAIT);
    }
    assert_null(task_info_of(w.task).usage);
    assert_null(task_info_of(w.task).output);
    task_release(w.task);
    stop_thread_pools(f, gate);
}

/* -- start and close ----------------------------------------------------------------------------------------------- */

static void thread_task_out_of_memory(void **state)
{
    (void)state;
    struct fixture *f = start_thread_pool(1);
    struct waiter first = {0};
    submit_thread_action(f, &first, NULL, ACTION_ECHO, 0); /* makes the allocations that happen only once */
    wait_until_done(f, &first);
    task_release(first.task);
    unsigned long n = 0;
    unsigned failures = 0;
    bool failed;
    do {
        struct task_spec spec = faulty_thread_spec(f, NULL, ACTION_LARGE_OUTPUT, 300000);
        struct task_spec *copy = arena_alloc(f->arena, sizeof *copy);
        assert_non_null(copy);
        *copy = spec;
        struct waiter w = {.fixture = f};
        alloc_fail_at(++n);
        int rc = task_submit(f->runtime, copy, f->arena, uv_hrtime(), waiter_done, &w, &w.task, NULL);
        if (rc == 0) {
            wait_until_done(f, &w);
            failed = alloc_count() >= n;
            alloc_fail_at(0);
            assert_int_equal(w.info.rc, failed ? ERR_OUT_OF_MEMORY : 0);
            failures += failed;
            task_release(w.task);
        } else {
            failed = true;
            alloc_fail_at(0);
            assert_int_equal(rc, ERR_OUT_OF_MEMORY);
        }
        arena_unref(f->arena);
        f->arena = arena_new();
    } while (failed);
    assert_true(failures >= 2); /* at least those of the output arena and of its text */
    stop_thread_pools(f, NULL);
}

static void thread_pool_startup_out_of_memory(void **state)
{
    (void)state;
    unsigned long n = 0;
    struct fixture *f;
    size_t before = process_thread_count();
    do {
        alloc_fail_at(++n);
        f = start_thread_pools(4, (int64_t[]){2, 1, 3, 2}, 100);
        alloc_fail_at(0);
        assert_true(f != NULL || process_thread_count() <= before + 8);
    } while (f == NULL);
    assert_true(n >= 7); /* at least the fixture, the runtime, four pools and the arena */
    stop_thread_pools(f, NULL);
}

/* Runs in a child process whose address space suffices only for some of the thread stacks. */
static void thread_limit_fails_startup(void **state)
{
    (void)state;
    const char *build = getenv("GATHERD_BUILD");
    if (build != NULL && strcmp(build, "release") != 0)
        skip(); /* sanitizers reserve terabytes of address space */
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        uv_loop_t loop;
        struct pool_config pools[] = {{STR("default"), 2, "configured"}, {STR("many"), 500, "configured"}};
        struct limits limits;
        record_set_defaults(&limits_type, &limits);
        limits.pools = (struct array){pools, 2};
        setrlimit(RLIMIT_AS, &(struct rlimit){1 << 28, 1 << 28});
        struct runtime *runtime = NULL;
        struct err e = {0};
        struct runtime_config config = {.loop = &loop, .limits = &limits, .registry = builtins_new()};
        bool ok = uv_loop_init(&loop) == 0;
        ok = ok && runtime_new(&config, &runtime, &e) == ERR_INTERNAL;
        registry_unref(config.registry);
        ok = ok && e.rc == ERR_INTERNAL && strstr(e.msg, "many") != NULL && strstr(e.msg, "500") != NULL;
        ok = ok && runtime == NULL && uv_run(&loop, UV_RUN_DEFAULT) == 0 && uv_loop_close(&loop) == 0;
        _exit(ok ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void close_without_tasks(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++)
        stop_thread_pools(start_thread_pools(4, (int64_t[]){1, 4, 2, 8}, 10), NULL);
}

/* The last `done` may close the runtime. */
static void close_from_thread_done_callback(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        struct fixture *f = start_thread_pool(2);
        struct waiter w = {.on_done = waiter_close_runtime};
        submit_thread_action(f, &w, NULL, ACTION_ECHO, 1);
        assert_true(run_until(f, loop_is_finished, f));
        assert_int_equal(w.done, 1);
        uv_close((uv_handle_t *)&f->timeout_timer, NULL);
        uv_run(&f->loop, UV_RUN_NOWAIT);
        assert_int_equal(uv_loop_close(&f->loop), 0);
        arena_unref(f->arena);
        free(f);
    }
}

/* Many tasks in several pools are canceled or expire at random times. */
static void random_thread_tasks(void **state)
{
    (void)state;
    struct fixture *f = start_thread_pools(3, (int64_t[]){1, 3, 2}, 10000);
    assert_non_null(f);
    struct gate *gate = gate_new();
    enum { TASKS = 3000 };
    struct waiter *w = calloc(TASKS, sizeof *w);
    assert_non_null(w);
    struct prng prng = {31337};
    size_t may_run = 0;
    for (size_t i = 0; i < TASKS; i++) {
        static const enum action actions[] = {ACTION_ECHO,         ACTION_ECHO, ACTION_ECHO,
                                              ACTION_LARGE_OUTPUT, ACTION_FAIL, ACTION_SPIN};
        enum action action = actions[prng_below(&prng, COUNT_OF(actions))];
        struct task_spec spec = faulty_thread_spec(f, gate, action, action == ACTION_FAIL ? ERR_OVERFLOW : 1000);
        spec.options.pool = (int64_t)prng_below(&prng, 4) - 1;
        if (spec.options.pool < 0)
            spec.options.pool = INTEGER_ABSENT;
        if (action == ACTION_SPIN)
            spec.options.timeout_ns = 1 + prng_below(&prng, MS(1));
        else if (prng_below(&prng, 5) == 0)
            *(prng_below(&prng, 2) ? &spec.options.timeout_ns : &spec.options.deadline_ns) =
                1 + prng_below(&prng, MS(2));
        assert_int_equal(submit(f, &spec, &w[i]), 0);
        if (prng_below(&prng, 2) == 0)
            task_drain(f->runtime);
        if (prng_below(&prng, 4) == 0)
            uv_run(&f->loop, UV_RUN_NOWAIT);
        if (prng_below(&prng, 4) == 0) {
            cancel(f, w[prng_below(&prng, i + 1)].task, CANCEL_CLIENT);
            task_drain(f->runtime);
        }
    }
    assert_true(run_until_idle(f));
    for (size_t i = 0; i < TASKS; i++) {
        assert_int_equal(w[i].done, 1);
        const struct task_info *v = &w[i].info;
        bool prevented = v->cancel_completed && v->cancel_effect == EFFECT_PREVENTED;
        may_run += !prevented;
        assert_int_equal(prevented, v->pid == 0);
        assert_int_equal(v->output != NULL, v->state == TASK_SUCCEEDED);
        task_release(w[i].task);
    }
    assert_true(run_until(f, no_abandoned_jobs, f));
    assert_true(gate->runs <= may_run);
    free(w);
    stop_thread_pools(f, gate);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(task_runs_in_thread),
        cmocka_unit_test(thread_function_errors),
        cmocka_unit_test(threads_block_signals),
        cmocka_unit_test(pool_starts_configured_threads),
        cmocka_unit_test(pools_are_independent),
        cmocka_unit_test(queue_is_fifo),
        cmocka_unit_test(long_queue_does_not_starve_loop),
        cmocka_unit_test(canceled_running_task_is_abandoned),
        cmocka_unit_test(cancel_after_job_returned_is_too_late),
        cmocka_unit_test(timeout_and_deadline_abandon_task),
        cmocka_unit_test(canceled_function_frees_slot),
        cmocka_unit_test(cancel_races_with_completion),
        cmocka_unit_test(cancel_races_with_start),
        cmocka_unit_test(resolved_gather_starts_no_queued_job),
        cmocka_unit_test(get_info_while_running),
        cmocka_unit_test(thread_task_out_of_memory),
        cmocka_unit_test(thread_pool_startup_out_of_memory),
        cmocka_unit_test(thread_limit_fails_startup),
        cmocka_unit_test(close_without_tasks),
        cmocka_unit_test(close_from_thread_done_callback),
        cmocka_unit_test(random_thread_tasks),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

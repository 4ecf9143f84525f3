/* Pools of threads: who runs when, and what becomes of a job whose task has ended without it. */
#include "runtime/types/type_parse.h"
#include "tests/unit/support/faulty_function.h"

#include "runtime/executors/pool.h"
#include "runtime/task/task_submit.h"
#include "tests/unit/support/alloc_fault.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* -- the fixture ----------------------------------------------------------------------------------------------------- */

/* With a pool of each of these sizes, named default, b, c... */
static struct fixture *start_with(size_t count, const int64_t sizes[], int64_t queue_limit)
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

static struct fixture *start(int64_t threads)
{
    struct fixture *f = start_with(1, &threads, 10000);
    assert_non_null(f);
    return f;
}

static void finish(struct fixture *f, struct stage *stage)
{
    for (size_t i = 0; i < f->runtime->limits.pools.count; i++) {
        const struct pool *pool = f->runtime->threads[i];
        assert_int_equal(pool->busy, 0);
        assert_int_equal(pool->queued, 0);
        assert_int_equal(pool->admitted, 0);
        assert_int_equal(pool->abandoned, 0);
        assert_int_equal(pool->free, pool->size);
    }
    assert_true(fixture_free(f));
    if (stage != NULL)
        stage_free(stage);
}

static size_t threads_of_process(void)
{
    size_t count = 0;
    DIR *dir = opendir("/proc/self/task");
    assert_non_null(dir);
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

static void submit_deed(struct fixture *f, struct watch *w, struct stage *stage, enum deed deed, int64_t number)
{
    struct task_spec spec = thread_deed_of(f, stage, deed, number);
    assert_int_equal(submit(f, &spec, w), 0);
    task_drain(f->runtime);
}

static void await(struct fixture *f, const struct watch *w)
{
    assert_true(run_until(f, watch_is_done, w));
}

static void check_ended(const struct watch *w, enum task_state state, int rc)
{
    assert_int_equal(w->done, 1);
    assert_false(w->inside_call);
    assert_int_equal(w->view.rc, rc);
    assert_int_equal(w->view.state, state);
}

/* -- what is right ------------------------------------------------------------------------------------------------- */

static void a_task_runs_in_a_thread(void **state)
{
    (void)state;
    struct fixture *f = start(1);
    struct stage *stage = stage_new();
    struct watch w = {0};
    submit_deed(f, &w, stage, DEED_ECHO, 42);
    await(f, &w);
    check_ended(&w, TASK_SUCCEEDED, 0);
    const struct deed_output *out = deed_output(&w);
    assert_int_equal(out->number, 42);
    assert_string_equal(out->text.at, "a text that lives in the arena");
    assert_int_equal(out->pid, getpid());
    assert_int_not_equal(out->tid, gettid());
    assert_int_equal(w.view.pid, out->pid);
    assert_int_equal(w.view.tid, out->tid);
    assert_int_equal(w.view.executor, EXECUTOR_THREADS);
    assert_true(str_eq(w.view.pool, "default"));
    assert_non_null(w.view.usage);
    assert_true(w.view.usage->worker_peak_rss_bytes == INTEGER_ABSENT);
    assert_int_equal(w.view.exit_code, -1);
    task_release(w.task);
    finish(f, stage);
}

static void functions_fail_as_they_like(void **state)
{
    (void)state;
    struct fixture *f = start(1);
    for (int rc = -1; rc >= -ERROR_COUNT; rc--) {
        struct watch w = {0};
        submit_deed(f, &w, NULL, DEED_FAIL, rc);
        await(f, &w);
        check_ended(&w, TASK_FAILED, rc);
        assert_string_equal(w.view.detail, "a text that lives in the arena");
        assert_null(w.view.output);
        assert_non_null(w.view.usage);
        task_release(w.task);
    }
    finish(f, NULL);
}

/* They are the loop's; a call that blocks is not to be interrupted by them. */
static void threads_get_no_signals(void **state)
{
    (void)state;
    struct fixture *f = start(1);
    struct watch w = {0};
    submit_deed(f, &w, NULL, DEED_MASK, 0);
    await(f, &w);
    assert_int_equal(deed_output(&w)->number, 1);
    task_release(w.task);
    finish(f, NULL);
}

static void as_many_threads_as_configured(void **state)
{
    (void)state;
    finish(start(1), NULL); /* sanitizers have a thread of their own, from the first that is started */
    size_t before = threads_of_process();
    struct fixture *f = start(4);
    assert_int_equal(threads_of_process(), before + 4);
    struct stage *stage = stage_new();
    enum { TASKS = 200 };
    struct watch *w = calloc(TASKS, sizeof *w);
    assert_non_null(w);
    for (size_t i = 0; i < TASKS; i++)
        submit_deed(f, &w[i], stage, i < 4 ? DEED_GATE : DEED_ECHO, (int64_t)i);
    stage_await_active(stage, 4);
    assert_int_equal(f->runtime->threads[0]->busy, 4);
    assert_int_equal(f->runtime->threads[0]->queued, TASKS - 4);
    stage_open(stage);
    assert_true(run_until_idle(f));
    for (size_t i = 0; i < TASKS; i++) {
        check_ended(&w[i], TASK_SUCCEEDED, 0);
        task_release(w[i].task);
    }
    free(w);
    assert_int_equal(stage->most_active, 4);
    assert_int_equal(stage->tid_count, 4);
    assert_int_equal(stage->runs, TASKS);
    assert_int_equal(f->runtime->threads[0]->tasks_done, TASKS);
    assert_int_equal(threads_of_process(), before + 4);
    finish(f, stage);
    while (threads_of_process() > before) /* joined, but perhaps still in the list for a moment */
        ;
}

static void pools_do_not_wait_for_one_another(void **state)
{
    (void)state;
    struct fixture *f = start_with(3, (int64_t[]){1, 2, 1}, 100);
    assert_non_null(f);
    struct stage *stage = stage_new(), *gate = stage_new();
    struct watch blocked[3] = {{0}}, w[6] = {{0}};
    for (size_t i = 0; i < COUNT_OF(blocked); i++)
        submit_deed(f, &blocked[i], gate, DEED_GATE, 0);
    stage_await_active(gate, 1);
    for (size_t i = 0; i < COUNT_OF(w); i++) {
        struct task_spec spec = thread_deed_of(f, stage, DEED_ECHO, (int64_t)i);
        spec.options.pool = 1 + (int64_t)i % 2;
        assert_int_equal(submit(f, &spec, &w[i]), 0);
        task_drain(f->runtime);
    }
    for (size_t i = 0; i < COUNT_OF(w); i++) {
        await(f, &w[i]);
        check_ended(&w[i], TASK_SUCCEEDED, 0);
        assert_true(str_eq(w[i].view.pool, i % 2 == 0 ? "b" : "c"));
        task_release(w[i].task);
    }
    assert_int_equal(view_of(blocked[0].task).state, TASK_RUNNING);
    assert_int_equal(view_of(blocked[1].task).state, TASK_QUEUED);
    stage_open(gate);
    assert_true(run_until_idle(f));
    for (size_t i = 0; i < COUNT_OF(blocked); i++)
        task_release(blocked[i].task);
    stage_free(gate);
    finish(f, stage);
}

static void first_in_first_out(void **state)
{
    (void)state;
    struct fixture *f = start(1);
    struct stage *stage = stage_new();
    enum { TASKS = 300 };
    struct watch *w = calloc(TASKS, sizeof *w);
    assert_non_null(w);
    for (size_t i = 0; i < TASKS; i++)
        submit_deed(f, &w[i], stage, i == 0 ? DEED_GATE : DEED_ECHO, (int64_t)i);
    stage_await_active(stage, 1);
    for (size_t i = 1; i < TASKS; i++)
        if (i % 7 == 3)
            cancel(f, w[i].task, CANCEL_CLIENT);
    stage_open(stage);
    assert_true(run_until_idle(f));
    size_t next = 0;
    for (size_t i = 0; i < TASKS; i++) {
        if (i % 7 == 3) {
            check_ended(&w[i], TASK_CANCELED, ERR_CANCELED);
            assert_int_equal(w[i].view.cancel_effect, EFFECT_PREVENTED);
            assert_int_equal(w[i].view.tid, 0);
        } else {
            check_ended(&w[i], TASK_SUCCEEDED, 0);
            assert_int_equal(stage->order[next++], i);
        }
        task_release(w[i].task);
    }
    assert_int_equal(stage->runs, next);
    free(w);
    finish(f, stage);
}

/* One turn of the loop delivers what has ended by then, and no more: a long queue of short jobs keeps nobody else from his turn. */
static void a_long_queue_lets_the_loop_turn(void **state)
{
    (void)state;
    struct fixture *f = start(2);
    enum { TASKS = 3000 };
    struct watch *w = calloc(TASKS, sizeof *w);
    assert_non_null(w);
    struct stage *stage = stage_new();
    for (size_t i = 0; i < TASKS; i++)
        submit_deed(f, &w[i], stage, DEED_ECHO, (int64_t)i);
    while (f->done_calls < TASKS) {
        size_t before = f->done_calls;
        uv_run(&f->loop, UV_RUN_ONCE);
        assert_true(f->done_calls - before <= 2);
    }
    for (size_t i = 0; i < TASKS; i++)
        task_release(w[i].task);
    free(w);
    finish(f, stage);
}

/* -- cancel and limits --------------------------------------------------------------------------------------------- */

static void a_running_task_that_is_canceled_is_abandoned(void **state)
{
    (void)state;
    struct fixture *f = start(1);
    struct stage *stage = stage_new();
    struct watch w = {0}, next = {0};
    submit_deed(f, &w, stage, DEED_GATE, 1);
    submit_deed(f, &next, stage, DEED_ECHO, 2);
    stage_await_active(stage, 1);
    cancel(f, w.task, CANCEL_CLIENT);
    assert_int_equal(w.done, 0);
    task_drain(f->runtime);
    check_ended(&w, TASK_CANCELED, ERR_CANCELED);
    assert_int_equal(w.view.cancel_effect, EFFECT_ABANDONED);
    assert_int_equal(w.view.pid, getpid());
    assert_int_not_equal(w.view.tid, 0);
    assert_null(w.view.usage);
    assert_null(w.view.output);
    task_release(w.task); /* its thread still reads the input */
    assert_int_equal(runtime_unfinished(f->runtime), 1);
    assert_int_equal(runtime_abandoned(f->runtime), 1);
    const struct pool *pool = f->runtime->threads[0];
    assert_int_equal(pool->busy, 1);
    assert_int_equal(pool->admitted, 1);
    assert_int_equal(view_of(next.task).state, TASK_QUEUED); /* the slot is not free */
    uv_run(&f->loop, UV_RUN_NOWAIT);
    assert_int_equal(view_of(next.task).state, TASK_QUEUED);
    stage_open(stage);
    await(f, &next);
    check_ended(&next, TASK_SUCCEEDED, 0);
    assert_int_equal(w.done, 1); /* the result that came later was nobody's */
    assert_int_equal(runtime_abandoned(f->runtime), 0);
    assert_int_equal(pool->tasks_done, 2);
    task_release(next.task);
    finish(f, stage);
}

static void timeout_and_deadline_abandon(void **state)
{
    (void)state;
    for (int deadline = 0; deadline <= 1; deadline++) {
        struct fixture *f = start(1);
        struct stage *stage = stage_new();
        struct task_spec spec = thread_deed_of(f, stage, DEED_GATE, 1);
        *(deadline ? &spec.options.deadline_ns : &spec.options.timeout_ns) = MS(10);
        struct watch w = {0}, queued = {0};
        assert_int_equal(submit(f, &spec, &w), 0);
        spec = thread_deed_of(f, stage, DEED_ECHO, 2);
        spec.options.timeout_ns = MS(1); /* does not count yet */
        spec.options.deadline_ns = MS(12);
        assert_int_equal(submit(f, &spec, &queued), 0);
        await(f, &w);
        check_ended(&w, TASK_FAILED, deadline ? ERR_DEADLINE_EXCEEDED : ERR_TIMEOUT);
        assert_int_equal(w.view.cancel_effect, EFFECT_ABANDONED);
        assert_int_equal(w.view.cancel_reason, deadline ? CANCEL_DEADLINE : CANCEL_TIMEOUT);
        assert_true(w.view.duration_ns + (deadline ? w.view.queued_ns : 0) >= MS(10));
        await(f, &queued);
        check_ended(&queued, TASK_FAILED, ERR_DEADLINE_EXCEEDED);
        assert_int_equal(queued.view.cancel_effect, EFFECT_PREVENTED);
        task_release(w.task);
        task_release(queued.task);
        stage_open(stage);
        assert_true(run_until(f, nothing_abandoned, f));
        assert_true(stage->runs <= 1);
        finish(f, stage);
    }
}

/* A function that looks whether it was canceled gives its slot back. */
static void a_function_may_stop_by_itself(void **state)
{
    (void)state;
    struct fixture *f = start(2);
    struct stage *stage = stage_new();
    struct watch w[5] = {{0}};
    for (size_t i = 0; i < COUNT_OF(w); i++)
        submit_deed(f, &w[i], stage, DEED_SPIN, (int64_t)i);
    for (size_t i = 0; i < COUNT_OF(w); i++) {
        cancel(f, w[i].task, CANCEL_CLIENT);
        await(f, &w[i]);
        check_ended(&w[i], TASK_CANCELED, ERR_CANCELED);
        task_release(w[i].task);
    }
    assert_true(run_until(f, nothing_abandoned, f));
    finish(f, stage);
}

/* It had ended when the cancel came, only the loop had not heard of it: either is true, but not both. */
static void canceled_when_it_has_just_ended(void **state)
{
    (void)state;
    struct fixture *f = start(1);
    struct stage *stage = stage_new();
    for (int i = 0; i < 100; i++) {
        struct watch w = {0};
        submit_deed(f, &w, stage, DEED_ECHO, i);
        while (stage_runs(stage) <= (size_t)i)
            ;
        cancel(f, w.task, CANCEL_CLIENT);
        task_drain(f->runtime);
        check_ended(&w, TASK_CANCELED, ERR_CANCELED);
        assert_int_equal(w.view.cancel_effect, EFFECT_ABANDONED);
        assert_null(w.view.output);
        task_release(w.task);
        assert_true(run_until(f, nothing_abandoned, f));
        assert_int_equal(w.done, 1);
    }
    finish(f, stage);
}

/* What was canceled before a thread took it up is not run any more. */
static void canceled_in_the_turn_it_starts(void **state)
{
    (void)state;
    struct fixture *f = start(4);
    struct stage *stage = stage_new();
    enum { ROUNDS = 300 };
    for (int i = 0; i < ROUNDS; i++) {
        struct watch w[4] = {{0}};
        for (size_t j = 0; j < COUNT_OF(w); j++) {
            struct task_spec spec = thread_deed_of(f, stage, DEED_ECHO, i);
            assert_int_equal(submit(f, &spec, &w[j]), 0);
        }
        for (size_t j = 0; j < COUNT_OF(w); j++)
            cancel(f, w[j].task, CANCEL_CLIENT);
        task_drain(f->runtime);
        for (size_t j = 0; j < COUNT_OF(w); j++)
            task_release(w[j].task);
        assert_true(run_until(f, nothing_abandoned, f));
    }
    assert_true(stage->runs < (size_t)4 * ROUNDS); /* some were just taken up */
    finish(f, stage);
}

/* Whoever waited for a task decides what becomes of those behind it before its slot takes up the next. */
static void a_decided_gather_starts_nobody(void **state)
{
    (void)state;
    static const char *const modes[] = {"any", "race", "all"};
    for (size_t m = 0; m < COUNT_OF(modes); m++) {
        struct fixture *f = start(1);
        struct stage *stage = stage_new();
        struct task_spec children[4];
        for (size_t i = 0; i < COUNT_OF(children); i++)
            children[i] = thread_deed_of(f, stage, i == 0 && m == 2 ? DEED_FAIL : DEED_ECHO,
                                         i == 0 && m == 2 ? ERR_INTERNAL : (int64_t)i);
        struct task_spec spec = gather_of(f, modes[m], COUNT_OF(children), children);
        struct watch w = {0};
        assert_int_equal(submit(f, &spec, &w), 0);
        task_drain(f->runtime);
        await(f, &w);
        check_ended(&w, m == 2 ? TASK_FAILED : TASK_SUCCEEDED, m == 2 ? ERR_CHILD_FAILED : 0);
        for (size_t i = 1; i < COUNT_OF(children); i++) {
            struct task_info child = view_of(family_child(w.task, i));
            assert_int_equal(child.state, TASK_CANCELED);
            assert_int_equal(child.cancel_effect, EFFECT_PREVENTED);
        }
        task_release(w.task);
        assert_true(run_until(f, nothing_abandoned, f));
        assert_int_equal(stage->runs, 1);
        finish(f, stage);
    }
}

/* Both are read by the loop while a thread is at work. */
static void looking_at_a_task_at_any_moment(void **state)
{
    (void)state;
    struct fixture *f = start(2);
    struct stage *stage = stage_new();
    for (int i = 0; i < 200; i++) {
        struct watch w = {0};
        submit_deed(f, &w, stage, DEED_ECHO, i);
        while (w.done == 0) {
            struct task_info view = view_of(w.task);
            assert_true(view.state == TASK_RUNNING || view.state == TASK_QUEUED);
            assert_null(view.output);
            assert_null(view.usage);
            uv_run(&f->loop, UV_RUN_NOWAIT);
        }
        task_release(w.task);
    }
    struct watch w = {0};
    submit_deed(f, &w, stage, DEED_SPIN, 0);
    stage_await_active(stage, 1);
    assert_int_not_equal(view_of(w.task).tid, 0);
    cancel(f, w.task, CANCEL_CLIENT);
    for (int i = 0; i < 1000; i++)
        assert_null(view_of(w.task).usage);
    task_drain(f->runtime);
    while (runtime_abandoned(f->runtime) > 0) {
        assert_int_equal(view_of(w.task).state, TASK_CANCELED);
        uv_run(&f->loop, UV_RUN_NOWAIT);
    }
    assert_null(view_of(w.task).usage);
    assert_null(view_of(w.task).output);
    task_release(w.task);
    finish(f, stage);
}

/* -- the beginning and the end ------------------------------------------------------------------------------------- */

static void without_memory_a_task_fails(void **state)
{
    (void)state;
    struct fixture *f = start(1);
    struct watch first = {0};
    submit_deed(f, &first, NULL, DEED_ECHO, 0); /* what is allocated once is there from now on */
    await(f, &first);
    task_release(first.task);
    unsigned long n = 0;
    unsigned failures = 0;
    bool failed;
    do {
        struct task_spec spec = thread_deed_of(f, NULL, DEED_LARGE, 300000);
        struct task_spec *copy = arena_alloc(f->arena, sizeof *copy);
        assert_non_null(copy);
        *copy = spec;
        struct watch w = {.fixture = f};
        alloc_fail_at(++n);
        int rc = task_submit(f->runtime, copy, f->arena, uv_hrtime(), watch_done, &w, &w.task, NULL);
        if (rc == 0) {
            assert_true(run_until(f, watch_is_done, &w));
            failed = alloc_count() >= n;
            alloc_fail_at(0);
            assert_int_equal(w.view.rc, failed ? ERR_OUT_OF_MEMORY : 0);
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
    assert_true(failures >= 2); /* the thread's arena, and the text in it */
    finish(f, NULL);
}

static void a_runtime_needs_memory(void **state)
{
    (void)state;
    unsigned long n = 0;
    struct fixture *f;
    size_t before = threads_of_process();
    do {
        alloc_fail_at(++n);
        f = start_with(4, (int64_t[]){2, 1, 3, 2}, 100);
        alloc_fail_at(0);
        assert_true(f != NULL || threads_of_process() <= before + 8);
    } while (f == NULL);
    assert_true(n >= 7); /* fixture, runtime, four pools, arena */
    finish(f, NULL);
}

/* In a process of its own, with room for the stacks of some threads only. */
static void the_system_has_no_more_threads(void **state)
{
    (void)state;
    const char *build = getenv("GATHERD_BUILD");
    if (build != NULL && strcmp(build, "release") != 0)
        skip(); /* sanitizers take terabytes of addresses */
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
        bool ok = uv_loop_init(&loop) == 0;
        ok =
            ok && runtime_new(&(struct runtime_config){.loop = &loop, .limits = &limits}, &runtime, &e) == ERR_INTERNAL;
        ok = ok && e.rc == ERR_INTERNAL && strstr(e.msg, "many") != NULL && strstr(e.msg, "500") != NULL;
        ok = ok && runtime == NULL && uv_run(&loop, UV_RUN_DEFAULT) == 0 && uv_loop_close(&loop) == 0;
        _exit(ok ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void closed_at_once(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++)
        finish(start_with(4, (int64_t[]){1, 4, 2, 8}, 10), NULL);
}

/* What is delivered last may close the runtime. */
static void closed_from_inside_done(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        struct fixture *f = start(2);
        struct watch w = {.then = close_runtime};
        submit_deed(f, &w, NULL, DEED_ECHO, 1);
        assert_true(run_until(f, loop_is_dead, f));
        assert_int_equal(w.done, 1);
        uv_close((uv_handle_t *)&f->guard, NULL);
        uv_run(&f->loop, UV_RUN_NOWAIT);
        assert_int_equal(uv_loop_close(&f->loop), 0);
        arena_unref(f->arena);
        free(f);
    }
}

/* Many tasks in several pools, canceled, timed out, expired and left alone, at any moment. */
static void chaos(void **state)
{
    (void)state;
    struct fixture *f = start_with(3, (int64_t[]){1, 3, 2}, 10000);
    assert_non_null(f);
    struct stage *stage = stage_new();
    enum { TASKS = 3000 };
    struct watch *w = calloc(TASKS, sizeof *w);
    assert_non_null(w);
    struct dice dice = {31337};
    size_t may_run = 0;
    for (size_t i = 0; i < TASKS; i++) {
        static const enum deed deeds[] = {DEED_ECHO, DEED_ECHO, DEED_ECHO, DEED_LARGE, DEED_FAIL, DEED_SPIN};
        enum deed deed = deeds[dice_roll(&dice, COUNT_OF(deeds))];
        struct task_spec spec = thread_deed_of(f, stage, deed, deed == DEED_FAIL ? ERR_OVERFLOW : 1000);
        spec.options.pool = (int64_t)dice_roll(&dice, 4) - 1;
        if (spec.options.pool < 0)
            spec.options.pool = INTEGER_ABSENT;
        if (deed == DEED_SPIN)
            spec.options.timeout_ns = 1 + dice_roll(&dice, MS(1));
        else if (dice_roll(&dice, 5) == 0)
            *(dice_roll(&dice, 2) ? &spec.options.timeout_ns : &spec.options.deadline_ns) = 1 + dice_roll(&dice, MS(2));
        assert_int_equal(submit(f, &spec, &w[i]), 0);
        if (dice_roll(&dice, 2) == 0)
            task_drain(f->runtime);
        if (dice_roll(&dice, 4) == 0)
            uv_run(&f->loop, UV_RUN_NOWAIT);
        if (dice_roll(&dice, 4) == 0) {
            cancel(f, w[dice_roll(&dice, i + 1)].task, CANCEL_CLIENT);
            task_drain(f->runtime);
        }
    }
    assert_true(run_until_idle(f));
    for (size_t i = 0; i < TASKS; i++) {
        assert_int_equal(w[i].done, 1);
        const struct task_info *v = &w[i].view;
        bool prevented = v->cancel_completed && v->cancel_effect == EFFECT_PREVENTED;
        may_run += !prevented;
        assert_int_equal(prevented, v->pid == 0);
        assert_int_equal(v->output != NULL, v->state == TASK_SUCCEEDED);
        task_release(w[i].task);
    }
    assert_true(run_until(f, nothing_abandoned, f));
    assert_true(stage->runs <= may_run);
    free(w);
    finish(f, stage);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_task_runs_in_a_thread),
        cmocka_unit_test(functions_fail_as_they_like),
        cmocka_unit_test(threads_get_no_signals),
        cmocka_unit_test(as_many_threads_as_configured),
        cmocka_unit_test(pools_do_not_wait_for_one_another),
        cmocka_unit_test(first_in_first_out),
        cmocka_unit_test(a_long_queue_lets_the_loop_turn),
        cmocka_unit_test(a_running_task_that_is_canceled_is_abandoned),
        cmocka_unit_test(timeout_and_deadline_abandon),
        cmocka_unit_test(a_function_may_stop_by_itself),
        cmocka_unit_test(canceled_when_it_has_just_ended),
        cmocka_unit_test(canceled_in_the_turn_it_starts),
        cmocka_unit_test(a_decided_gather_starts_nobody),
        cmocka_unit_test(looking_at_a_task_at_any_moment),
        cmocka_unit_test(without_memory_a_task_fails),
        cmocka_unit_test(a_runtime_needs_memory),
        cmocka_unit_test(the_system_has_no_more_threads),
        cmocka_unit_test(closed_at_once),
        cmocka_unit_test(closed_from_inside_done),
        cmocka_unit_test(chaos),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

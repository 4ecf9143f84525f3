/* test_pool - admission to pools of threads and worker processes, and validation of executor options. */
#include "runtime/lib/check.h"
#include "runtime/types/type_parse.h"
#include "tests/unit/support/builtins.h"
#include "tests/unit/support/faulty_function.h"

#include "runtime/executors/pool.h"
#include "runtime/task/admission.h"
#include "tests/unit/support/task_asserts.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct pool_config test_pools[] = {{STR("default"), 2, "configured"}, {STR("side"), 1, "configured"}};

/* A runtime with two pools of threads, default=2 and side=1, and `processes` worker processes. */
static struct fixture *start(int64_t processes, int64_t queue_limit)
{
    struct limits limits;
    record_set_defaults(&limits_type, &limits);
    limits.queue_limit = queue_limit;
    limits.pools = (struct array){test_pools, 2};
    struct fixture *f = fixture_start(&(struct runtime_config){.limits = &limits,
                                                               .options.processes = processes,
                                                               .options.processes_source = "configured",
                                                               .processes.command = faulty_worker_command,
                                                               .options.worker_max_tasks = INTEGER_ABSENT});
    assert_non_null(f);
    return f;
}

static struct task_spec action_for(struct fixture *f, enum executor_kind executor, int64_t pool, struct gate *gate,
                                   enum action action)
{
    struct task_spec spec =
        executor == EXECUTOR_THREADS ? faulty_thread_spec(f, gate, action, 0) : faulty_spec(f, action, 0, NULL);
    spec.options.pool = pool;
    return spec;
}

/* Calls task_submit() and task_drain(), as the service does; sets *e on failure. */
static int try_submit(struct fixture *f, const struct task_spec *spec, struct waiter *w, struct err *e)
{
    *w = (struct waiter){.fixture = f};
    *e = (struct err){0};
    struct task_spec *copy = arena_alloc(f->arena, sizeof *copy);
    assert_non_null(copy);
    *copy = *spec;
    int rc = task_submit(f->runtime, copy, f->arena, uv_hrtime(), waiter_done, w, &w->task, e);
    assert_int_equal(e->rc, rc);
    task_drain(f->runtime);
    arena_unref(f->arena);
    f->arena = arena_new();
    return rc;
}

static const struct {
    enum executor_kind executor;
    int64_t pool;
    int64_t size;
    const char *name;
    enum action action; /* occupies a slot until it is canceled */
} pool_cases[] = {
    {EXECUTOR_THREADS, 0, 2, "default", ACTION_WAIT_GATE},
    {EXECUTOR_THREADS, 1, 1, "side", ACTION_WAIT_GATE},
    {EXECUTOR_PROCESSES, INTEGER_ABSENT, 2, "processes", ACTION_SPIN},
};

static struct pool *case_pool(const struct fixture *f, size_t p)
{
    return pool_at(f, pool_cases[p].executor, pool_cases[p].pool == INTEGER_ABSENT ? 0 : (size_t)pool_cases[p].pool);
}

static void pool_rejects_beyond_slots_and_queue(void **state)
{
    (void)state;
    for (size_t p = 0; p < COUNT_OF(pool_cases); p++) {
        for (int64_t queue_limit = 0; queue_limit <= 3; queue_limit++) {
            struct fixture *f = start(2, queue_limit);
            struct gate *gate = gate_new();
            const struct pool *pool = case_pool(f, p);
            size_t capacity = (size_t)(pool_cases[p].size + queue_limit);
            struct waiter w[8] = {{0}}, extra;
            struct err e;
            for (size_t i = 0; i < capacity; i++) {
                struct task_spec spec =
                    action_for(f, pool_cases[p].executor, pool_cases[p].pool, gate, pool_cases[p].action);
                assert_int_equal(try_submit(f, &spec, &w[i], &e), 0);
            }
            assert_int_equal(pool->executor.admitted, capacity);
            struct task_spec spec = action_for(f, pool_cases[p].executor, pool_cases[p].pool, gate, ACTION_ECHO);
            assert_int_equal(try_submit(f, &spec, &extra, &e), ERR_POOL_FULL);
            assert_string_equal(e.pool, pool_cases[p].name);
            assert_non_null(strstr(e.msg, pool_cases[p].name));
            assert_int_equal(runtime_unfinished(f->runtime), capacity);
            /* The loop still accepts tasks. */
            spec = sleep_of(f, 0);
            assert_int_equal(try_submit(f, &spec, &extra, &e), 0);
            task_release(extra.task);

            cancel(f, w[capacity - 1].task, CANCEL_CLIENT); /* removes a task from the queue, if queue_limit > 0 */
            task_drain(f->runtime);
            if (queue_limit > 0) {
                spec = action_for(f, pool_cases[p].executor, pool_cases[p].pool, gate, ACTION_ECHO);
                assert_int_equal(w[capacity - 1].done, 1);
                assert_int_equal(try_submit(f, &spec, &extra, &e), 0);
                cancel(f, extra.task, CANCEL_CLIENT);
                task_drain(f->runtime);
                task_release(extra.task);
            }
            gate_open(gate);
            for (size_t i = 0; i < capacity; i++)
                cancel(f, w[i].task, CANCEL_CLIENT);
            assert_true(run_until_idle(f) && run_until(f, no_abandoned_jobs, f));
            for (size_t i = 0; i < capacity; i++)
                task_release(w[i].task);
            assert_int_equal(pool->executor.admitted, 0);
            assert_true(fixture_free(f));
            gate_free(gate);
        }
    }
}

/* A gather is admitted as a whole or not at all; if it is larger than the capacity, with ERR_LIMIT_EXCEEDED. */
static void gather_is_admitted_atomically(void **state)
{
    (void)state;
    for (size_t p = 0; p < COUNT_OF(pool_cases); p++) {
        struct fixture *f = start(2, 4);
        size_t capacity = (size_t)pool_cases[p].size + 4;
        struct waiter w, first;
        struct err e;
        struct task_spec child = action_for(f, pool_cases[p].executor, pool_cases[p].pool, NULL, ACTION_ECHO);
        struct task_spec spec = gather_of_copies(f, "all", capacity + 1, &child);
        assert_int_equal(try_submit(f, &spec, &w, &e), ERR_LIMIT_EXCEEDED);
        assert_non_null(strstr(e.msg, pool_cases[p].name));
        assert_null(e.pool);
        assert_int_equal(runtime_unfinished(f->runtime), 0);
        assert_int_equal(case_pool(f, p)->executor.admitted, 0);

        child = action_for(f, pool_cases[p].executor, pool_cases[p].pool, NULL, ACTION_ECHO);
        assert_int_equal(try_submit(f, &child, &first, &e), 0);
        child = action_for(f, pool_cases[p].executor, pool_cases[p].pool, NULL, ACTION_ECHO);
        spec = gather_of_copies(f, "all", capacity, &child);
        assert_int_equal(try_submit(f, &spec, &w, &e), ERR_POOL_FULL);
        assert_string_equal(e.pool, pool_cases[p].name);
        assert_int_equal(runtime_unfinished(f->runtime), 1);
        wait_until_done(f, &first);
        task_release(first.task);

        child = action_for(f, pool_cases[p].executor, pool_cases[p].pool, NULL, ACTION_ECHO);
        spec = gather_of_copies(f, "all", capacity, &child);
        assert_int_equal(try_submit(f, &spec, &w, &e), 0);
        wait_until_done(f, &w);
        assert_int_equal(w.info.state, TASK_SUCCEEDED);
        assert_int_equal(output_integer(w.task, "counts.succeeded"), (int64_t)capacity);
        task_release(w.task);
        assert_true(fixture_free(f));
    }
}

static void submit_accepts_null_error(void **state)
{
    (void)state;
    struct fixture *f = start(0, 0);
    struct task_spec child = action_for(f, EXECUTOR_THREADS, 1, NULL, ACTION_ECHO);
    struct task_spec specs[] = {gather_of_copies(f, "all", 2, &child), faulty_spec(f, ACTION_ECHO, 0, NULL), child};
    static const int rcs[] = {ERR_LIMIT_EXCEEDED, ERR_EXECUTOR_DISABLED, 0};
    struct waiter w[COUNT_OF(specs)] = {{0}}, full = {0};
    for (size_t i = 0; i < COUNT_OF(specs); i++)
        assert_int_equal(
            task_submit(f->runtime, &specs[i], f->arena, uv_hrtime(), waiter_done, &w[i], &w[i].task, NULL), rcs[i]);
    w[2].fixture = f;
    assert_int_equal(task_submit(f->runtime, &specs[2], f->arena, uv_hrtime(), waiter_done, &full, &full.task, NULL),
                     ERR_POOL_FULL);
    task_drain(f->runtime);
    wait_until_done(f, &w[2]);
    task_release(w[2].task);
    assert_true(fixture_free(f));
}

static void disabled_executor_is_rejected(void **state)
{
    (void)state;
    struct fixture *f = start(0, 100);
    struct waiter w;
    struct err e;
    struct task_spec spec = faulty_spec(f, ACTION_ECHO, 0, NULL);
    assert_int_equal(try_submit(f, &spec, &w, &e), ERR_EXECUTOR_DISABLED);
    assert_non_null(strstr(e.msg, "processes"));
    struct task_spec children[] = {sleep_of(f, 0), faulty_spec(f, ACTION_ECHO, 0, NULL)};
    spec = gather_of(f, "all", 2, children);
    assert_int_equal(try_submit(f, &spec, &w, &e), ERR_EXECUTOR_DISABLED);
    assert_int_equal(runtime_unfinished(f->runtime), 0);
    spec = action_for(f, EXECUTOR_THREADS, INTEGER_ABSENT, NULL, ACTION_ECHO);
    assert_int_equal(try_submit(f, &spec, &w, &e), 0);
    wait_until_done(f, &w);
    task_release(w.task);
    assert_true(fixture_free(f));
}

/* An abandoned job counts against the capacity until its thread returns. */
static void abandoned_jobs_occupy_slots(void **state)
{
    (void)state;
    for (int64_t queue_limit = 0; queue_limit <= 2; queue_limit++) {
        struct fixture *f = start(0, queue_limit);
        struct gate *gate = gate_new();
        struct waiter w[2], queued[3], late;
        struct err e;
        for (size_t i = 0; i < 2; i++) {
            struct task_spec spec = action_for(f, EXECUTOR_THREADS, 0, gate, ACTION_WAIT_GATE);
            assert_int_equal(try_submit(f, &spec, &w[i], &e), 0);
        }
        gate_await_active(gate, 2);
        for (size_t i = 0; i < 2; i++)
            cancel(f, w[i].task, CANCEL_CLIENT);
        task_drain(f->runtime);
        assert_int_equal(runtime_abandoned(f->runtime), 2);
        struct task_spec spec;
        for (int64_t i = 0; i < queue_limit; i++) {
            spec = action_for(f, EXECUTOR_THREADS, 0, gate, ACTION_ECHO);
            assert_int_equal(try_submit(f, &spec, &queued[i], &e), 0);
        }
        spec = action_for(f, EXECUTOR_THREADS, 0, gate, ACTION_ECHO);
        assert_int_equal(try_submit(f, &spec, &late, &e), ERR_POOL_FULL);
        gate_open(gate);
        assert_true(run_until_idle(f) && run_until(f, no_abandoned_jobs, f));
        for (size_t i = 0; i < 2; i++)
            task_release(w[i].task);
        for (int64_t i = 0; i < queue_limit; i++)
            task_release(queued[i].task);
        assert_true(fixture_free(f));
        gate_free(gate);
    }
}

static void spec_options_are_validated(void **state)
{
    (void)state;
    struct fixture *f = start(0, 1);
    static const struct {
        const char *function;
        int executor;
        int64_t pool, parallel;
        const char *pointer; /* NULL: valid */
    } rows[] = {
        {"block", ENUM_ABSENT, INTEGER_ABSENT, INTEGER_ABSENT, NULL},
        {"block", EXECUTOR_THREADS, 1, INTEGER_ABSENT, NULL},
        {"block", ENUM_ABSENT, 1, INTEGER_ABSENT, NULL},
        {"block", EXECUTOR_PROCESSES, INTEGER_ABSENT, INTEGER_ABSENT, NULL},
        {"block", EXECUTOR_PROCESSES, 0, INTEGER_ABSENT, "/pool"},
        {"block", EXECUTOR_LOOP, INTEGER_ABSENT, INTEGER_ABSENT, "/executor"},
        {"block", ENUM_ABSENT, INTEGER_ABSENT, 2, "/parallel"},
        {"sleep", ENUM_ABSENT, INTEGER_ABSENT, INTEGER_ABSENT, NULL},
        {"sleep", EXECUTOR_THREADS, INTEGER_ABSENT, INTEGER_ABSENT, "/executor"},
        {"sleep", EXECUTOR_PROCESSES, INTEGER_ABSENT, INTEGER_ABSENT, "/executor"},
        {"sleep", ENUM_ABSENT, 0, INTEGER_ABSENT, "/pool"},
        {"sleep", ENUM_ABSENT, INTEGER_ABSENT, 1, "/parallel"},
        {"gather", EXECUTOR_THREADS, INTEGER_ABSENT, INTEGER_ABSENT, "/executor"},
        {"map", EXECUTOR_PROCESSES, INTEGER_ABSENT, INTEGER_ABSENT, "/executor"},
        {"sum", ENUM_ABSENT, INTEGER_ABSENT, 1, NULL},
        {"sum", ENUM_ABSENT, INTEGER_ABSENT, 64, NULL},
        {"sum", EXECUTOR_THREADS, 1, 2, NULL},
        {"sum", ENUM_ABSENT, 1, 2, "/pool"},
        {"primes", EXECUTOR_LOOP, INTEGER_ABSENT, 2, "/executor"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct task_spec spec = spec_of(f, builtins_find(rows[i].function));
        spec.options.executor = rows[i].executor;
        spec.options.pool = rows[i].pool;
        spec.options.parallel = rows[i].parallel;
        struct check_error check_error = {0};
        assert_int_equal(task_spec_type.check(&spec, &check_error), rows[i].pointer == NULL);
        assert_string_equal(check_error.pointer, rows[i].pointer == NULL ? "" : rows[i].pointer);
        assert_int_equal(check_error.detail[0] == '\0', rows[i].pointer == NULL);
    }
    assert_true(fixture_free(f));
}

/* The members of each struct function are consistent. */
static void function_executors_are_consistent(void **state)
{
    (void)state;
    struct registry *registry = builtins_new();
    for (const struct function *const *f = registry_functions(registry); *f != NULL; f++) {
        assert_true(((*f)->executors & EXECUTOR_BIT((*f)->executor)) != 0);
        bool loop = ((*f)->executors & EXECUTOR_BIT(EXECUTOR_LOOP)) != 0;
        bool pools = ((*f)->executors & ~EXECUTOR_BIT(EXECUTOR_LOOP)) != 0;
        assert_int_equal((*f)->start != NULL, loop);
        assert_int_equal((*f)->cancel != NULL, loop);
        assert_int_equal((*f)->run != NULL, pools);
        assert_int_equal((*f)->children != NULL, (*f)->child_ended != NULL);
        assert_int_equal((*f)->split != NULL, (*f)->merge != NULL);
        assert_true((*f)->split == NULL || pools);
    }
    registry_unref(registry);
}

static void pool_stats_match_configuration(void **state)
{
    (void)state;
    struct fixture *f = start(3, 7);
    struct arena *arena = arena_new();
    struct array all_stats;
    assert_true(runtime_get_pool_stats(f->runtime, arena, &all_stats));
    assert_int_equal(all_stats.count, 3);
    const struct pool_stats *info = all_stats.items;
    static const char *const names[] = {"default", "side", "processes"};
    static const int64_t sizes[] = {2, 1, 3};
    for (size_t i = 0; i < 3; i++) {
        assert_true(str_eq(info[i].name, names[i]));
        assert_int_equal(info[i].size, sizes[i]);
        assert_int_equal(info[i].executor, i < 2 ? EXECUTOR_THREADS : EXECUTOR_PROCESSES);
        assert_true(str_eq(info[i].size_source, "configured"));
        assert_int_equal(info[i].queue_limit, 7);
        assert_int_equal(info[i].busy + info[i].queued + info[i].abandoned + info[i].tasks_done, 0);
        assert_int_equal(info[i].restarts == INTEGER_ABSENT, i < 2);
        assert_int_equal(info[i].workers.items == NULL, i < 2);
    }
    assert_int_equal(info[2].workers.count, 3);
    const struct worker_stats *workers = info[2].workers.items;
    CHECK(workers != NULL);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(kill((pid_t)workers[i].pid, 0), 0);
        assert_false(workers[i].busy);
        assert_true(workers[i].pid != workers[(i + 1) % 3].pid);
    }
    arena_unref(arena);
    assert_true(fixture_free(f));
}

/* A gather of gathers whose children run on all executors. */
static void gather_over_all_executors(void **state)
{
    (void)state;
    struct fixture *f = start(2, 1000);
    struct task_spec children[60], inner[3];
    for (size_t i = 0; i < COUNT_OF(children); i++) {
        switch (i % 4) {
        case 0:
            children[i] = action_for(f, EXECUTOR_THREADS, (int64_t)i % 2, NULL, ACTION_ECHO);
            break;
        case 1:
            children[i] = faulty_spec(f, ACTION_ECHO, 0, NULL);
            break;
        case 2:
            children[i] = sleep_of(f, MS(1));
            break;
        default:
            inner[0] = faulty_spec(f, ACTION_ECHO, 0, NULL);
            inner[1] = action_for(f, EXECUTOR_THREADS, 0, NULL, ACTION_ECHO);
            inner[2] = sleep_of(f, 0);
            children[i] = gather_of(f, "all", 3, inner);
        }
    }
    struct task_spec spec = gather_of(f, "all", COUNT_OF(children), children);
    set_integer(&spec, "max_concurrency", 7);
    struct waiter w = {0};
    submit_and_drain(f, &spec, &w);
    assert_true(run_until_idle(f));
    assert_int_equal(w.done, 1);
    assert_int_equal(w.info.state, TASK_SUCCEEDED);
    assert_int_equal(output_integer(w.task, "counts.succeeded"), COUNT_OF(children));
    task_release(w.task);
    assert_true(fixture_free(f));
}

int main(int argc, char **argv)
{
    if (faulty_is_worker(argc, argv))
        return faulty_worker_main(argc, argv);
    signal(SIGPIPE, SIG_IGN); /* as in the service */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pool_rejects_beyond_slots_and_queue), cmocka_unit_test(gather_is_admitted_atomically),
        cmocka_unit_test(submit_accepts_null_error),           cmocka_unit_test(disabled_executor_is_rejected),
        cmocka_unit_test(abandoned_jobs_occupy_slots),         cmocka_unit_test(spec_options_are_validated),
        cmocka_unit_test(function_executors_are_consistent),   cmocka_unit_test(pool_stats_match_configuration),
        cmocka_unit_test(gather_over_all_executors),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

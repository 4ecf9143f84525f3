/* test_parallel - parallel calls and maps. */
#include "runtime/executors/pool.h"
#include "runtime/executors/run_context.h"
#include "runtime/executors/worker_main.h"
#include "runtime/lib/check.h"
#include "runtime/task/admission.h"
#include "runtime/task/parallel.h"
#include "runtime/types/type_parse.h"
#include "runtime/types/type_rules.h"
#include "tests/unit/support/alloc_fault.h"
#include "tests/unit/support/builtins.h"
#include "tests/unit/support/faulty_function.h"
#include "tests/unit/support/task_asserts.h"

#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* -- parallel_split_range() ---------------------------------------------------------------------------------------- */

static void assert_partition(int64_t from, int64_t to, int64_t max_parts)
{
    int64_t size = to > from ? to - from : 0, next = from, smallest = INT64_MAX, largest = 0;
    int64_t part_from, part_to, count = parallel_split_range(from, to, max_parts, 0, &part_from, &part_to);
    assert_int_equal(count, size < max_parts ? (size > 0 ? size : 1) : max_parts);
    for (int64_t i = 0; i < count; i++) {
        assert_int_equal(parallel_split_range(from, to, max_parts, i, &part_from, &part_to), count);
        assert_int_equal(part_from, next);
        assert_true(part_to >= part_from);
        int64_t part = part_to - part_from;
        smallest = part < smallest ? part : smallest;
        largest = part > largest ? part : largest;
        next = part_to;
    }
    assert_int_equal(next, from + size);
    assert_true(largest - smallest <= 1);
    assert_true(smallest > 0 || size == 0);
}

static void split_range_covers_range_once(void **state)
{
    (void)state;
    int64_t max_bound = INT64_C(1) << 53;
    for (int64_t max_parts = 1; max_parts <= 64; max_parts++) {
        for (int64_t size = 0; size <= 200; size++) {
            assert_partition(0, size, max_parts);
            assert_partition(1000, 1000 + size, max_parts);
            assert_partition(max_bound - size, max_bound, max_parts);
        }
        assert_partition(0, max_bound, max_parts);
        assert_partition(1, max_bound, max_parts);
        assert_partition(5, 3, max_parts);
        assert_partition(max_bound, 0, max_parts);
    }
    struct prng prng = {5};
    for (int i = 0; i < 20000; i++) {
        int64_t from = (int64_t)(prng_below(&prng, UINT32_MAX) << 21 | prng_below(&prng, 1 << 21));
        int64_t to = prng_below(&prng, 2) ? from + (int64_t)prng_below(&prng, 300)
                                          : (int64_t)(prng_below(&prng, UINT32_MAX) << 21);
        assert_partition(from, to, 1 + (int64_t)prng_below(&prng, 64));
    }
}

/* -- a mock of a parallelizable function --------------------------------------------------------------------------- */

struct share_input {
    int64_t from, to;
    int64_t failing_number; /* the part whose range contains this number fails; absent: none */
    int64_t merge_fails;    /* not absent: merge() of the second part fails */
    atomic_size_t *runs;    /* counts parts that have begun; borrowed, as are the next two */
    atomic_size_t *ended;   /* counts parts that have ended; may be NULL */
    atomic_bool *gate;      /* parts wait until it is true; may be NULL */
};

struct share_output {
    int64_t covered;
    int64_t merge_fails;
    struct array parts;
};

static const struct field no_fields[] = {{0}};
static const struct type number_type = {.kind = TYPE_INTEGER, .min = 0, .max = INT64_MAX};
static const struct type share_input_type = {
    .kind = TYPE_RECORD, .fields = no_fields, .size = sizeof(struct share_input)};
static const struct field share_output_fields[] = {
    {"covered", &number_type, offsetof(struct share_output, covered), FIELD_REQUIRED, NULL, "Numbers", NULL},
    {0},
};
static const struct type share_output_type = {
    .kind = TYPE_RECORD, .fields = share_output_fields, .size = sizeof(struct share_output)};

static bool in_range(const struct share_input *input, int64_t number)
{
    return number >= input->from && number < input->to;
}

static int share_run(const void *in, void *out, struct run_context *run)
{
    const struct share_input *input = in;
    struct share_output *output = out;
    atomic_fetch_add(input->runs, 1);
    if (in_range(input, input->failing_number))
        return err_set(run->e, ERR_OVERFLOW, "The part from %lld failed", (long long)input->from);
    while (input->gate != NULL && !atomic_load(input->gate))
        sched_yield();
    output->covered = input->to - input->from;
    output->merge_fails = input->merge_fails;
    if (input->ended != NULL)
        atomic_fetch_add(input->ended, 1);
    return 0;
}

static int64_t share_split(const void *in, int64_t max_parts, int64_t index, void *part)
{
    const struct share_input *input = in;
    struct share_input *out = part;
    return parallel_split_range(input->from, input->to, max_parts, index, &out->from, &out->to);
}

static int share_merge(void *out, const void *part, struct err *e)
{
    struct share_output *output = out;
    const struct share_output *partial = part;
    output->covered += partial->covered;
    if (partial->merge_fails != INTEGER_ABSENT && output->covered > partial->covered)
        return err_set(e, ERR_OVERFLOW, "The parts can't be merged");
    return 0;
}

static const struct function function_share = {
    .name = "share",
    .doc = "Counts the numbers of a range",
    .executor = EXECUTOR_THREADS,
    .executors = EXECUTOR_BIT(EXECUTOR_THREADS),
    .input = &share_input_type,
    .output = &share_output_type,
    .run = share_run,
    .split = share_split,
    .merge = share_merge,
    .parts_offset = offsetof(struct share_output, parts),
};

static struct task_spec make_share_spec(struct fixture *f, int64_t size, int64_t parallel, atomic_size_t *runs)
{
    struct task_spec spec = spec_of(f, &function_share);
    *(struct share_input *)spec.input =
        (struct share_input){.to = size, .failing_number = INTEGER_ABSENT, .merge_fails = INTEGER_ABSENT, .runs = runs};
    spec.options.parallel = parallel;
    return spec;
}

/* -- fixture ------------------------------------------------------------------------------------------------------- */

static char *const worker_command[] = {(char[]){"/proc/self/exe"}, (char[]){FAULTY_WORKER_FLAG}, NULL};

static struct fixture *start_runtime(int64_t threads, int64_t processes, int64_t queue_limit)
{
    static struct pool_config pools[1];
    pools[0] = (struct pool_config){STR("default"), threads, "configured"};
    struct limits limits;
    record_set_defaults(&limits_type, &limits);
    limits.queue_limit = queue_limit;
    limits.pools = (struct array){pools, 1};
    struct fixture *f = fixture_start(&(struct runtime_config){.limits = &limits,
                                                               .options.processes = processes,
                                                               .options.processes_source = "configured",
                                                               .processes.command = worker_command,
                                                               .options.worker_max_tasks = INTEGER_ABSENT});
    assert_non_null(f);
    return f;
}

static void stop_runtime(struct fixture *f)
{
    assert_true(run_until(f, no_abandoned_jobs, f));
    assert_int_equal(pool_at(f, EXECUTOR_THREADS, 0)->executor.admitted, 0);
    assert_int_equal(pool_at(f, EXECUTOR_THREADS, 0)->busy, 0);
    assert_true(fixture_free(f));
}

static void submit_and_run(struct fixture *f, const struct task_spec *spec, struct waiter *w)
{
    *w = (struct waiter){0};
    submit_and_wait(f, spec, w);
}

/* The array of parts in the output. */
static struct array output_parts(const struct waiter *w)
{
    struct array parts;
    const struct function *function = w->task->spec->function;
    assert_non_null(w->info.output);
    memcpy(&parts, (const char *)w->info.output + function->parts_offset, sizeof parts);
    return parts;
}

/* -- tests --------------------------------------------------------------------------------------------------------- */

static void parallel_sum_matches_formula(void **state)
{
    (void)state;
    struct fixture *f = start_runtime(3, 3, 1000);
    static const int64_t sizes[] = {0, 1, 2, 3, 7, 64, 1000, 100001};
    static const int64_t parallels[] = {1, 2, 3, 7, 64};
    for (int executor = EXECUTOR_THREADS; executor <= EXECUTOR_PROCESSES; executor++) {
        for (size_t s = 0; s < COUNT_OF(sizes); s++) {
            for (size_t p = 0; p < COUNT_OF(parallels); p++) {
                struct task_spec spec = spec_of(f, builtins_find("sum"));
                set_integer(&spec, "n", sizes[s]);
                spec.options.parallel = parallels[p];
                spec.options.executor = executor;
                struct waiter w;
                submit_and_run(f, &spec, &w);
                assert_ended(&w, TASK_SUCCEEDED, 0);
                assert_int_equal(output_integer(w.task, "sum"), sizes[s] * (sizes[s] - 1) / 2);
                struct array parts = output_parts(&w);
                int64_t expected = sizes[s] < parallels[p] ? (sizes[s] > 0 ? sizes[s] : 1) : parallels[p];
                assert_int_equal(parts.count, parallels[p] == 1 ? 0 : expected);
                assert_int_equal(parts.items == NULL, parallels[p] == 1);
                CHECK(parts.items != NULL || parts.count == 0);
                for (size_t i = 0; i < parts.count; i++) {
                    struct task_info part = task_info_of(((struct task *const *)parts.items)[i]);
                    assert_int_equal(part.state, TASK_SUCCEEDED);
                    assert_int_equal(part.executor, executor);
                    assert_int_equal(part.index, i);
                    assert_true(part.pid != 0 && part.tid != 0 && part.usage != NULL);
                }
                assert_int_equal(w.info.executor, executor);
                task_release(w.task);
            }
        }
    }
    stop_runtime(f);
}

static void parallel_primes_run_on_workers(void **state)
{
    (void)state;
    struct fixture *f = start_runtime(1, 4, 1000);
    struct task_spec spec = spec_of(f, builtins_find("primes"));
    set_integer(&spec, "to", 1000000);
    spec.options.parallel = 64;
    struct waiter w;
    submit_and_run(f, &spec, &w);
    assert_ended(&w, TASK_SUCCEEDED, 0);
    assert_int_equal(output_integer(w.task, "count"), 78498);
    int pids[64] = {0};
    size_t distinct = 0;
    struct array parts = output_parts(&w);
    for (size_t i = 0; i < parts.count; i++) {
        int pid = task_info_of(((struct task *const *)parts.items)[i]).pid;
        size_t j = 0;
        while (j < distinct && pids[j] != pid)
            j++;
        if (j == distinct)
            pids[distinct++] = pid;
    }
    assert_int_equal(parts.count, 64);
    assert_true(distinct >= 1 && distinct <= 4);
    task_release(w.task);
    stop_runtime(f);
}

static void merge_overflow_fails_task(void **state)
{
    (void)state;
    struct fixture *f = start_runtime(2, 0, 1000);
    int64_t max_bound = INT64_C(1) << 53;
    struct task_spec spec = spec_of(f, builtins_find("sum"));
    set_integer(&spec, "from", max_bound - 1500); /* the sum overflows, but not the sum of each part */
    set_integer(&spec, "n", max_bound);
    spec.options.executor = EXECUTOR_THREADS;
    spec.options.parallel = 64;
    struct waiter w;
    submit_and_run(f, &spec, &w);
    assert_ended(&w, TASK_FAILED, ERR_OVERFLOW);
    assert_null(w.info.output);
    assert_non_null(strstr(w.info.detail, "64-bit"));
    task_release(w.task);

    atomic_size_t runs = 0;
    spec = make_share_spec(f, 100, 4, &runs);
    ((struct share_input *)spec.input)->merge_fails = 1;
    submit_and_run(f, &spec, &w);
    assert_ended(&w, TASK_FAILED, ERR_OVERFLOW);
    assert_string_equal(w.info.detail, "The parts can't be merged");
    assert_int_equal(atomic_load(&runs), 4);
    task_release(w.task);
    stop_runtime(f);
}

/* When a part fails, the task fails, and queued parts do not start. */
static void first_failed_part_cancels_others(void **state)
{
    (void)state;
    for (int64_t threads = 1; threads <= 3; threads++) {
        struct fixture *f = start_runtime(threads, 0, 1000);
        atomic_size_t runs = 0;
        struct task_spec spec = make_share_spec(f, 100, 10, &runs);
        ((struct share_input *)spec.input)->failing_number = 25;
        struct waiter w;
        submit_and_run(f, &spec, &w);
        assert_ended(&w, TASK_FAILED, ERR_OVERFLOW);
        assert_string_equal(w.info.detail, "The part from 20 failed");
        assert_null(w.info.output);
        assert_false(w.info.cancel_requested);
        assert_int_equal(children_count(w.task), 0); /* parts are not children of the requested function */
        if (threads == 1)
            assert_int_equal(atomic_load(&runs), 3);
        task_release(w.task);
        stop_runtime(f);
    }
}

static void worker_crash_fails_task(void **state)
{
    (void)state;
    struct fixture *f = start_runtime(1, 2, 1000);
    struct task_spec spec = spec_of(f, builtins_find("sum"));
    set_integer(&spec, "n", INT64_C(1) << 31);
    spec.options.parallel = 4;
    struct waiter w = {0};
    submit_and_drain(f, &spec, &w);
    while (pool_at(f, EXECUTOR_PROCESSES, 0)->busy < 2)
        uv_run(&f->loop, UV_RUN_ONCE);
    struct arena *arena = arena_new();
    struct array stats;
    assert_true(runtime_get_pool_stats(f->runtime, arena, &stats));
    const struct pool_stats *info = (const struct pool_stats *)stats.items + 1;
    assert_int_equal(kill((pid_t)((const struct worker_stats *)info->workers.items)[0].pid, SIGKILL), 0);
    arena_unref(arena);
    wait_until_done(f, &w);
    assert_ended(&w, TASK_FAILED, ERR_WORKER_CRASHED);
    assert_non_null(strstr(w.info.detail, "signal 9"));
    task_release(w.task);
    stop_runtime(f);
}

static bool two_slots_busy(const void *of)
{
    const struct fixture *f = of;
    const struct pool *processes = pool_at(f, EXECUTOR_PROCESSES, 0);
    return pool_at(f, EXECUTOR_THREADS, 0)->busy == 2 || (processes != NULL && processes->busy == 2);
}

static bool workers_are_ready(const void *of)
{
    const struct pool *processes = pool_at(of, EXECUTOR_PROCESSES, 0);
    return processes->free == (size_t)processes->executor.size;
}

/* Cancellation, timeout and deadline cancel every part; the effect on the task is the most severe of theirs. */
static void cancel_timeout_and_deadline_reach_all_parts(void **state)
{
    (void)state;
    for (int executor = EXECUTOR_THREADS; executor <= EXECUTOR_PROCESSES; executor++) {
        for (int cause = 0; cause < 3; cause++) {
            struct fixture *f = start_runtime(2, 2, 1000);
            assert_true(run_until(f, workers_are_ready, f));
            struct task_spec spec = spec_of(f, builtins_find("sum"));
            set_integer(&spec, "n", INT64_C(1) << 32);
            spec.options.executor = executor;
            spec.options.parallel = 10;
            if (cause == 1)
                spec.options.timeout_ns = MS(30);
            if (cause == 2)
                spec.options.deadline_ns = MS(300);
            struct waiter w = {0};
            submit_and_drain(f, &spec, &w);
            if (cause != 1)
                assert_true(run_until(f, two_slots_busy, f));
            if (cause == 0)
                cancel(f, w.task, CANCEL_CLIENT);
            task_drain(f->runtime);
            wait_until_done(f, &w);
            static const int rcs[] = {ERR_CANCELED, ERR_TIMEOUT, ERR_DEADLINE_EXCEEDED};
            assert_ended(&w, cause == 0 ? TASK_CANCELED : TASK_FAILED, rcs[cause]);
            assert_int_equal(w.info.cancel_effect, executor == EXECUTOR_THREADS ? EFFECT_ABANDONED : EFFECT_KILLED);
            assert_null(w.info.output);
            assert_int_equal(runtime_unfinished(f->runtime), 0);
            task_release(w.task);
            stop_runtime(f);
        }
    }
}

static void cancel_other(struct waiter *w)
{
    struct waiter *other = w->user;
    task_cancel(other->task, CANCEL_CLIENT);
}

/* The task is canceled by the `done` of another task that ends in the same turn of the loop, before or after the last
 * part. After the last part the cancellation is too late, and the task succeeds. */
static void cancel_after_last_part_is_too_late(void **state)
{
    (void)state;
    struct fixture *f = start_runtime(3, 0, 1000);
    unsigned too_late = 0;
    for (int i = 0; i < 300; i++) {
        atomic_size_t runs = 0, ended = 0;
        atomic_bool gate = false;
        struct waiter w = {0}, first = {.on_done = cancel_other, .user = &w};
        struct task_spec spec = make_share_spec(f, 1, INTEGER_ABSENT, &runs);
        ((struct share_input *)spec.input)->ended = &ended;
        assert_int_equal(submit(f, &spec, &first), 0);
        while (atomic_load(&ended) < 1)
            sched_yield();
        spec = make_share_spec(f, 100, 2, &runs);
        ((struct share_input *)spec.input)->ended = &ended;
        ((struct share_input *)spec.input)->gate = &gate;
        submit_and_drain(f, &spec, &w);
        atomic_store(&gate, true);
        while (atomic_load(&ended) < 3)
            sched_yield();
        for (int j = 0; j < i; j++) /* run() is about to return */
            sched_yield();
        wait_until_done(f, &w);
        struct children *children = task_state(w.task);
        bool complete =
            children->children[0]->state == TASK_SUCCEEDED && children->children[1]->state == TASK_SUCCEEDED;
        assert_int_equal(first.done, 1);
        assert_int_equal(w.info.state, complete ? TASK_SUCCEEDED : TASK_CANCELED);
        if (complete)
            assert_int_equal(output_integer(w.task, "covered"), 100);
        if (complete && w.info.cancel_requested) { /* if not requested: the task was delivered before */
            assert_int_equal(w.info.cancel_effect, EFFECT_TOO_LATE);
            too_late++;
        }
        task_release(first.task);
        task_release(w.task);
        assert_true(run_until(f, no_abandoned_jobs, f));
    }
    assert_true(too_late > 0);
    stop_runtime(f);
}

/* After a part has failed, the task fails, even if its cancellation is too late for the other part. */
static void cancel_after_failed_part_never_succeeds(void **state)
{
    (void)state;
    struct fixture *f = start_runtime(1, 2, 1000);
    struct task_spec spec = spec_of(f, builtins_find("sum"));
    int64_t max_bound = INT64_C(1) << 53;
    set_integer(&spec, "from", max_bound - (INT64_C(1) << 31)); /* each part overflows */
    set_integer(&spec, "n", max_bound);
    spec.options.parallel = 2;
    struct waiter w = {0};
    submit_and_drain(f, &spec, &w);
    struct children *children = task_state(w.task);
    while (!task_ended(children->children[0]) && !task_ended(children->children[1]))
        uv_run(&f->loop, UV_RUN_ONCE);
    cancel(f, w.task, CANCEL_CLIENT);
    task_drain(f->runtime);
    wait_until_done(f, &w);
    assert_int_equal(w.done, 1);
    assert_true(w.info.rc == ERR_OVERFLOW || w.info.rc == ERR_CANCELED);
    assert_null(w.info.output);
    task_release(w.task);
    stop_runtime(f);
}

static void cancel_before_start_runs_no_part(void **state)
{
    (void)state;
    struct fixture *f = start_runtime(1, 0, 1000);
    atomic_size_t runs = 0;
    struct task_spec spec = make_share_spec(f, 100, 4, &runs);
    struct waiter w = {0};
    assert_int_equal(submit(f, &spec, &w), 0);
    cancel(f, w.task, CANCEL_CLIENT);
    task_drain(f->runtime);
    assert_ended(&w, TASK_CANCELED, ERR_CANCELED);
    assert_int_equal(w.info.cancel_effect, EFFECT_PREVENTED);
    assert_int_equal(atomic_load(&runs), 0);
    task_release(w.task);
    stop_runtime(f);
}

static void parts_are_admitted_all_or_none(void **state)
{
    (void)state;
    struct fixture *f = start_runtime(2, 0, 3);
    atomic_size_t runs = 0;
    struct waiter w, other = {0};
    struct task_spec spec = make_share_spec(f, 100, 6, &runs);
    w = (struct waiter){0};
    assert_int_equal(submit(f, &spec, &w), ERR_LIMIT_EXCEEDED);
    spec = make_share_spec(f, 5, 6, &runs); /* a range of 5 numbers has at most 5 parts */
    submit_and_run(f, &spec, &w);
    assert_ended(&w, TASK_SUCCEEDED, 0);
    task_release(w.task);
    spec = make_share_spec(f, 1, INTEGER_ABSENT, &runs);
    assert_int_equal(submit(f, &spec, &other), 0);
    spec = make_share_spec(f, 100, 5, &runs);
    assert_int_equal(submit(f, &spec, &w), ERR_POOL_FULL);
    assert_int_equal(runtime_unfinished(f->runtime), 1);
    wait_until_done(f, &other);
    task_release(other.task);
    submit_and_run(f, &spec, &w);
    assert_ended(&w, TASK_SUCCEEDED, 0);
    task_release(w.task);
    stop_runtime(f);
}

static void submit_fails_when_out_of_memory(void **state)
{
    (void)state;
    struct fixture *f = start_runtime(2, 0, 1000);
    atomic_size_t runs = 0;
    unsigned long n = 0;
    bool failed;
    do {
        struct task_spec spec = make_share_spec(f, 100, 64, &runs);
        struct task_spec *copy = arena_alloc(f->arena, sizeof *copy);
        assert_non_null(copy);
        *copy = spec;
        atomic_store(&runs, 0);
        struct waiter w = {.fixture = f};
        alloc_fail_at(++n);
        int rc = task_submit(f->runtime, copy, f->arena, uv_hrtime(), waiter_done, &w, &w.task, NULL);
        failed = alloc_count() >= n;
        alloc_fail_at(0);
        assert_int_equal(rc, failed ? ERR_OUT_OF_MEMORY : 0);
        task_drain(f->runtime);
        if (rc == 0) {
            wait_until_done(f, &w);
            assert_ended(&w, TASK_SUCCEEDED, 0);
            assert_int_equal(output_integer(w.task, "covered"), 100);
            task_release(w.task);
        }
        assert_int_equal(atomic_load(&runs), failed ? 0 : 64);
        assert_int_equal(runtime_unfinished(f->runtime), 0);
        arena_unref(f->arena);
        f->arena = arena_new();
    } while (failed);
    assert_true(n > 3);
    stop_runtime(f);
}

/* -- map ----------------------------------------------------------------------------------------------------------- */

static struct task_spec make_map_spec(struct fixture *f, const char *function, size_t count)
{
    struct task_spec spec = spec_of(f, builtins_find("map"));
    const struct type *type = spec.function->input;
    for (const struct field *field = type->fields; field->name != NULL; field++) {
        char *value = (char *)spec.input + field->offset;
        if (strcmp(field->name, "function") == 0) {
            const struct function *of = builtins_find(function);
            memcpy(value, &of, sizeof(void *));
        } else if (strcmp(field->name, "inputs") == 0) {
            struct array inputs = {arena_calloc(f->arena, count + 1, sizeof(void *)), count};
            CHECK(inputs.items != NULL);
            for (size_t i = 0; i < count; i++)
                ((void **)inputs.items)[i] = spec_of(f, builtins_find(function)).input;
            memcpy(value, &inputs, sizeof inputs);
        }
    }
    return spec;
}

static void *map_input(const struct task_spec *spec, size_t i)
{
    struct array inputs = {0};
    for (const struct field *field = spec->function->input->fields; field->name != NULL; field++)
        if (strcmp(field->name, "inputs") == 0)
            memcpy(&inputs, (const char *)spec->input + field->offset, sizeof inputs);
    CHECK(inputs.items != NULL);
    return ((void **)inputs.items)[i];
}

static void map_keeps_input_order(void **state)
{
    (void)state;
    struct fixture *f = start_runtime(3, 2, 1000);
    for (int executor = EXECUTOR_THREADS; executor <= EXECUTOR_PROCESSES; executor++) {
        enum { COUNT = 50 };
        struct task_spec spec = make_map_spec(f, "sum", COUNT), item_spec = {.function = builtins_find("sum")};
        for (size_t i = 0; i < COUNT; i++) {
            item_spec.input = map_input(&spec, i);
            set_integer(&item_spec, "n", i == 7 ? INT64_C(1) << 20 : (int64_t)i); /* one item takes longer */
        }
        for (const struct field *field = spec.function->input->fields; field->name != NULL; field++)
            if (strcmp(field->name, "executor") == 0)
                memcpy((char *)spec.input + field->offset, &executor, sizeof executor);
        struct check_error check_error;
        assert_true(type_check_rules(spec.function->input, spec.input, &check_error));
        struct waiter w;
        submit_and_run(f, &spec, &w);
        assert_ended(&w, TASK_SUCCEEDED, 0);
        assert_int_equal(output_integer(w.task, "counts.succeeded"), COUNT);
        for (size_t i = 0; i < COUNT; i++) {
            struct task_info child = task_info_of(child_at(w.task, i));
            int64_t n = i == 7 ? INT64_C(1) << 20 : (int64_t)i;
            assert_int_equal(output_integer(child_at(w.task, i), "sum"), n * (n - 1) / 2);
            assert_int_equal(child.executor, executor);
            assert_int_equal(child.index, i);
        }
        task_release(w.task);
    }
    stop_runtime(f);
}

static void map_tolerates_configured_failures(void **state)
{
    (void)state;
    struct fixture *f = start_runtime(1, 0, 1000);
    for (int64_t tolerated_failures = 0; tolerated_failures <= 3; tolerated_failures++) {
        struct task_spec spec = make_map_spec(f, "sum", 10), item_spec = {.function = builtins_find("sum")};
        int executor = EXECUTOR_THREADS;
        for (const struct field *field = spec.function->input->fields; field->name != NULL; field++)
            if (strcmp(field->name, "executor") == 0)
                memcpy((char *)spec.input + field->offset, &executor, sizeof executor);
        set_integer(&spec, "tolerated_failures", tolerated_failures);
        for (size_t i = 0; i < 10; i++) {
            item_spec.input = map_input(&spec, i);
            set_integer(&item_spec, "n", INT64_C(1) << 53);
            set_integer(&item_spec, "from", (INT64_C(1) << 53) - (i == 2 || i == 5 ? 5000 : 5));
        }
        struct waiter w;
        submit_and_run(f, &spec, &w);
        assert_ended(&w, tolerated_failures < 2 ? TASK_FAILED : TASK_SUCCEEDED,
                     tolerated_failures < 2 ? ERR_CHILD_FAILED : 0);
        assert_int_equal(output_integer(w.task, "counts.failed"), tolerated_failures < 1 ? 1 : 2);
        assert_int_equal(output_integer(w.task, "counts.canceled"), tolerated_failures < 1   ? 7
                                                                    : tolerated_failures < 2 ? 4
                                                                                             : 0);
        assert_int_equal(task_info_of(child_at(w.task, 2)).rc, ERR_OVERFLOW);
        task_release(w.task);
    }
    stop_runtime(f);
}

static void empty_map_and_nested_map(void **state)
{
    (void)state;
    struct fixture *f = start_runtime(1, 0, 1000);
    struct task_spec spec = make_map_spec(f, "sleep", 0);
    struct waiter w;
    submit_and_run(f, &spec, &w);
    assert_ended(&w, TASK_SUCCEEDED, 0);
    assert_int_equal(output_integer(w.task, "counts.total"), 0);
    task_release(w.task);

    spec = make_map_spec(f, "map", 3);
    for (size_t i = 0; i < 3; i++) {
        struct task_spec inner = make_map_spec(f, "sleep", i + 1);
        memcpy(map_input(&spec, i), inner.input, inner.function->input->size);
    }
    submit_and_run(f, &spec, &w);
    assert_ended(&w, TASK_SUCCEEDED, 0);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(output_integer(child_at(w.task, i), "counts.succeeded"), i + 1);
    task_release(w.task);
    stop_runtime(f);
}

static void map_rejects_unsuitable_options(void **state)
{
    (void)state;
    struct fixture *f = start_runtime(1, 0, 10);
    static const struct {
        const char *function;
        int executor;
        int64_t pool;
        const char *pointer;
    } rows[] = {
        {"sleep", ENUM_ABSENT, INTEGER_ABSENT, NULL},
        {"sleep", EXECUTOR_THREADS, INTEGER_ABSENT, "/executor"},
        {"sleep", ENUM_ABSENT, 0, "/pool"},
        {"sum", EXECUTOR_THREADS, 0, NULL},
        {"sum", ENUM_ABSENT, 0, "/pool"},
        {"block", EXECUTOR_PROCESSES, INTEGER_ABSENT, NULL},
        {"block", EXECUTOR_LOOP, INTEGER_ABSENT, "/executor"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct task_spec spec = make_map_spec(f, rows[i].function, 1);
        for (const struct field *field = spec.function->input->fields; field->name != NULL; field++) {
            if (strcmp(field->name, "executor") == 0)
                memcpy((char *)spec.input + field->offset, &rows[i].executor, sizeof rows[i].executor);
            if (strcmp(field->name, "pool") == 0)
                memcpy((char *)spec.input + field->offset, &rows[i].pool, sizeof rows[i].pool);
        }
        struct check_error check_error = {0};
        assert_int_equal(type_check_rules(spec.function->input, spec.input, &check_error), rows[i].pointer == NULL);
        assert_string_equal(check_error.pointer, rows[i].pointer == NULL ? "" : rows[i].pointer);
    }
    stop_runtime(f);
}

int main(int argc, char **argv)
{
    if (faulty_is_worker(argc, argv)) {
        struct registry *registry = builtins_new();
        int rc = worker_serve(registry, INTEGER_ABSENT);
        registry_unref(registry);
        return rc;
    }
    signal(SIGPIPE, SIG_IGN); /* as in the service */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(split_range_covers_range_once),
        cmocka_unit_test(parallel_sum_matches_formula),
        cmocka_unit_test(parallel_primes_run_on_workers),
        cmocka_unit_test(merge_overflow_fails_task),
        cmocka_unit_test(first_failed_part_cancels_others),
        cmocka_unit_test(worker_crash_fails_task),
        cmocka_unit_test(cancel_timeout_and_deadline_reach_all_parts),
        cmocka_unit_test(cancel_after_last_part_is_too_late),
        cmocka_unit_test(cancel_after_failed_part_never_succeeds),
        cmocka_unit_test(cancel_before_start_runs_no_part),
        cmocka_unit_test(parts_are_admitted_all_or_none),
        cmocka_unit_test(submit_fails_when_out_of_memory),
        cmocka_unit_test(map_keeps_input_order),
        cmocka_unit_test(map_tolerates_configured_failures),
        cmocka_unit_test(empty_map_and_nested_map),
        cmocka_unit_test(map_rejects_unsuitable_options),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

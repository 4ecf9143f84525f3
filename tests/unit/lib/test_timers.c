/* test_timers - the timer heap compared with a model, and the uv timer that drives it. */
#include "runtime/lib/timers.h"
#include "tests/unit/support/alloc_fault.h"
#include "tests/unit/support/runtime_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct harness;

/* A timer and its state in the model. */
struct test_timer {
    struct timer timer;
    struct harness *harness;
    bool running;
    uint64_t due_ns;
    unsigned fired;
};

struct harness {
    struct fixture *f; /* its loop runs the timers */
    struct timers timers;
    bool closed;
    struct test_timer *test_timers;
    size_t count, running, fired;
    unsigned batches;                          /* calls of after_batch() */
    uint64_t last_iteration_ms;                /* loop time at the last batch */
    uint64_t last_ns;                          /* due time of the last timer fired in this batch, or 0 */
    unsigned early, out_of_order, not_running; /* timers that fired too early, after a later timer, or while stopped */
    unsigned same_iteration;                   /* batches in the same iteration of the loop as the batch before */
    void (*hook)(struct test_timer *s);        /* called by each callback; may be NULL */
    struct prng prng;
};

static void on_batch(struct timers *t)
{
    struct harness *b = container_of(t, struct harness, timers);
    b->same_iteration += b->batches > 0 && uv_now(&b->f->loop) == b->last_iteration_ms;
    b->last_iteration_ms = uv_now(&b->f->loop);
    b->batches++;
    b->last_ns = 0;
}

static void on_fire(struct timer *timer)
{
    struct test_timer *s = container_of(timer, struct test_timer, timer);
    struct harness *b = s->harness;
    b->early += uv_hrtime() < s->due_ns;
    b->out_of_order += s->due_ns < b->last_ns;
    b->not_running += !s->running || timer->heap_slot != 0;
    b->last_ns = s->due_ns;
    s->running = false;
    s->fired++;
    b->fired++;
    b->running--;
    if (b->hook != NULL)
        b->hook(s);
}

static void start_timer(struct test_timer *s, uint64_t due_ns)
{
    s->harness->running += !s->running;
    s->running = true;
    s->due_ns = due_ns;
    timers_start(&s->harness->timers, &s->timer, due_ns);
}

static void stop_timer(struct test_timer *s)
{
    s->harness->running -= s->running;
    s->running = false;
    timers_stop(&s->harness->timers, &s->timer);
}

static struct harness *harness_new(size_t count)
{
    struct harness *b = calloc(1, sizeof *b);
    assert_non_null(b);
    b->f = fixture_new(NULL);
    assert_non_null(b->f);
    assert_int_equal(timers_init(&b->timers, &b->f->loop, on_batch), 0);
    b->test_timers = calloc(count, sizeof *b->test_timers);
    assert_non_null(b->test_timers);
    b->count = count;
    b->prng.state = 4711;
    for (size_t i = 0; i < count; i++)
        b->test_timers[i] = (struct test_timer){.timer.fire = on_fire, .harness = b};
    assert_true(timers_reserve(&b->timers, count));
    return b;
}

static void on_timers_closed(struct timers *t)
{
    container_of(t, struct harness, timers)->closed = true;
}

static bool is_closed(const void *arg)
{
    return ((const struct harness *)arg)->closed;
}

static bool is_idle(const void *arg)
{
    return ((const struct harness *)arg)->running == 0;
}

/* Checks the final invariants and frees everything. */
static void harness_free(struct harness *b)
{
    assert_int_equal(b->early, 0);
    assert_int_equal(b->out_of_order, 0);
    assert_int_equal(b->not_running, 0);
    assert_int_equal(b->same_iteration, 0);
    assert_int_equal(b->timers.count, b->running);
    for (size_t i = 0; i < b->count; i++) {
        assert_int_equal(b->test_timers[i].timer.heap_slot != 0, b->test_timers[i].running);
        stop_timer(&b->test_timers[i]);
    }
    timers_unreserve(&b->timers, b->count);
    assert_int_equal(b->timers.count, 0);
    assert_int_equal(b->timers.reserved, 0);
    /* An empty heap must not keep the loop alive. */
    assert_int_equal(uv_is_active((uv_handle_t *)&b->timers.uv_timer), 0);

    timers_close(&b->timers, on_timers_closed);
    assert_false(b->closed); /* close_cb must not be called from inside timers_close() */
    assert_true(run_until(b->f, is_closed, b));
    assert_true(fixture_free(b->f));
    free(b->test_timers);
    free(b);
}

/* -- the heap ------------------------------------------------------------------------------------------------------ */

/* All due times have passed, so one batch fires all running timers, in order. */
static void random_operations_fire_in_order(void **state)
{
    (void)state;
    enum { TIMER_COUNT = 500, OPERATION_COUNT = 10000 };
    static const uint64_t ranges[] = {1000000000, 100, 2, 1}; /* numbers of different due times; 1: all are equal */
    for (size_t round = 0; round < COUNT_OF(ranges); round++) {
        struct harness *b = harness_new(TIMER_COUNT);
        unsigned *expected_fired = calloc(TIMER_COUNT, sizeof *expected_fired);
        assert_non_null(expected_fired);
        for (size_t i = 0; i < OPERATION_COUNT; i++) {
            struct test_timer *s = &b->test_timers[prng_below(&b->prng, TIMER_COUNT)];
            if (prng_below(&b->prng, 3) == 0)
                stop_timer(s);
            else
                start_timer(s, 1 + prng_below(&b->prng, ranges[round])); /* starts a timer, or moves a running one */
            assert_int_equal(b->timers.count, b->running);
            assert_int_equal(s->timer.heap_slot != 0, s->running);
        }
        for (size_t i = 0; i < TIMER_COUNT; i++)
            expected_fired[i] = b->test_timers[i].running;
        size_t expected = b->running;
        assert_true(run_until(b->f, is_idle, b));
        assert_int_equal(b->fired, expected);
        assert_int_equal(b->batches, 1);
        for (size_t i = 0; i < TIMER_COUNT; i++)
            assert_int_equal(b->test_timers[i].fired, expected_fired[i]);
        free(expected_fired);
        harness_free(b);
    }
}

/* As above, but due times are before and after the present time, and the loop runs in between. */
static void random_operations_while_time_passes(void **state)
{
    (void)state;
    enum { TIMER_COUNT = 300, OPERATION_COUNT = 10000 };
    struct harness *b = harness_new(TIMER_COUNT);
    for (size_t i = 0; i < OPERATION_COUNT; i++) {
        struct test_timer *s = &b->test_timers[prng_below(&b->prng, TIMER_COUNT)];
        if (prng_below(&b->prng, 3) == 0)
            stop_timer(s);
        else
            start_timer(s, uv_hrtime() - MS(1) + prng_below(&b->prng, MS(5)));
        if (prng_below(&b->prng, 20) == 0)
            uv_run(&b->f->loop, UV_RUN_NOWAIT);
        assert_int_equal(b->timers.count, b->running);
    }
    assert_true(run_until(b->f, is_idle, b));
    assert_true(b->fired > 0);
    harness_free(b);
}

static void ten_thousand_timers_fire_once(void **state)
{
    (void)state;
    enum { TIMER_COUNT = 10000 };
    struct harness *b = harness_new(TIMER_COUNT);
    uint64_t now = uv_hrtime();
    for (size_t i = 0; i < TIMER_COUNT; i++)
        start_timer(&b->test_timers[i], now + prng_below(&b->prng, MS(20)));
    assert_true(run_until(b->f, is_idle, b));
    for (size_t i = 0; i < TIMER_COUNT; i++)
        assert_int_equal(b->test_timers[i].fired, 1);
    harness_free(b);
}

/* -- callbacks that start and stop timers -------------------------------------------------------------------------- */

static void change_random_timers(struct test_timer *s)
{
    struct harness *b = s->harness;
    if (b->fired > 5000)
        return;
    for (int i = 0; i < 3; i++) {
        struct test_timer *other =
            &b->test_timers[prng_below(&b->prng, b->count)]; /* may be the timer that just fired */
        if (prng_below(&b->prng, 3) == 0)
            stop_timer(other);
        else
            start_timer(other, uv_hrtime() + prng_below(&b->prng, MS(2)));
    }
}

static void callback_may_start_stop_and_move_timers(void **state)
{
    (void)state;
    struct harness *b = harness_new(200);
    b->hook = change_random_timers;
    uint64_t now = uv_hrtime();
    for (size_t i = 0; i < b->count; i++)
        start_timer(&b->test_timers[i], now + prng_below(&b->prng, MS(2)));
    assert_true(run_until(b->f, is_idle, b));
    assert_true(b->fired > 200);
    harness_free(b);
}

static void stop_all_timers(struct test_timer *s)
{
    for (size_t i = 0; i < s->harness->count; i++)
        stop_timer(&s->harness->test_timers[i]);
}

static void timer_stopped_in_batch_does_not_fire(void **state)
{
    (void)state;
    struct harness *b = harness_new(100);
    b->hook = stop_all_timers;
    for (size_t i = 0; i < b->count; i++)
        start_timer(&b->test_timers[i], 1000);
    assert_true(run_until(b->f, is_idle, b));
    assert_int_equal(b->fired, 1);
    harness_free(b);
}

/* A timer is not accessed after its callback, so that the callback may reuse its memory. */
static void reset_timer(struct test_timer *s)
{
    memset(&s->timer, 0, sizeof s->timer);
    s->timer.fire = on_fire;
}

static void fired_timer_may_be_reused_in_callback(void **state)
{
    (void)state;
    struct harness *b = harness_new(10);
    b->hook = reset_timer;
    for (size_t i = 0; i < b->count; i++)
        start_timer(&b->test_timers[i], 1 + i);
    assert_true(run_until(b->f, is_idle, b));
    assert_int_equal(b->fired, 10);
    harness_free(b);
}

static void restart_in_past(struct test_timer *s)
{
    if (s->fired < 5)
        start_timer(s, 1);
}

/* A timer that is started by a callback fires in the next iteration even if it is already due, so that other handles
 * are served. */
static void timer_started_in_callback_fires_next_iteration(void **state)
{
    (void)state;
    struct harness *b = harness_new(2);
    b->hook = restart_in_past;
    start_timer(&b->test_timers[0], 1);
    start_timer(&b->test_timers[1], 1);
    assert_true(run_until(b->f, is_idle, b));
    assert_int_equal(b->test_timers[0].fired, 5);
    assert_int_equal(b->test_timers[1].fired, 5);
    assert_int_equal(b->batches, 5);
    harness_free(b);
}

/* -- the uv timer -------------------------------------------------------------------------------------------------- */

static void equal_times_fire_in_one_batch(void **state)
{
    (void)state;
    struct harness *b = harness_new(1000);
    uint64_t at = uv_hrtime() + MS(3);
    for (size_t i = 0; i < b->count; i++)
        start_timer(&b->test_timers[i], at);
    assert_true(run_until(b->f, is_idle, b));
    assert_int_equal(b->fired, 1000);
    assert_int_equal(b->batches, 1);
    harness_free(b);
}

static void start_never_fires_synchronously(void **state)
{
    (void)state;
    struct harness *b = harness_new(3);
    start_timer(&b->test_timers[0], 0);
    start_timer(&b->test_timers[1], 1);
    start_timer(&b->test_timers[2], uv_hrtime());
    assert_int_equal(b->fired, 0);
    assert_true(run_until(b->f, is_idle, b));
    assert_int_equal(b->fired, 3);
    harness_free(b);
}

/* Due times near whole milliseconds, where rounding errors would be detected. on_fire() counts early timers. */
static void timers_never_fire_early(void **state)
{
    (void)state;
    struct harness *b = harness_new(60);
    uint64_t boundary = (uv_hrtime() / NS_PER_MS + 2) * NS_PER_MS;
    for (size_t i = 0; i < b->count; i += 3) {
        start_timer(&b->test_timers[i], boundary + i * NS_PER_MS / 6 - 1);
        start_timer(&b->test_timers[i + 1], boundary + i * NS_PER_MS / 6);
        start_timer(&b->test_timers[i + 2], boundary + i * NS_PER_MS / 6 + 1);
    }
    assert_true(run_until(b->f, is_idle, b));
    harness_free(b);
}

static void earlier_timer_rearms_uv_timer(void **state)
{
    (void)state;
    struct harness *b = harness_new(3);
    start_timer(&b->test_timers[0], uv_hrtime() + 3600 * NS_PER_SECOND);
    start_timer(&b->test_timers[1], uv_hrtime() + MS(2)); /* must re-arm the uv timer, or run_until() fails */
    b->running--;                                         /* is_idle() ignores the first timer */
    assert_true(run_until(b->f, is_idle, b));
    assert_int_equal(b->test_timers[1].fired, 1);
    start_timer(&b->test_timers[2], uv_hrtime() + 1800 * NS_PER_SECOND);
    start_timer(&b->test_timers[2], uv_hrtime() + MS(2)); /* moving a running timer must re-arm too */
    assert_true(run_until(b->f, is_idle, b));
    b->running++;
    assert_int_equal(b->test_timers[2].fired, 1);
    assert_int_equal(b->test_timers[0].fired, 0);
    harness_free(b);
}

/* The uv timer stays armed for the old due time; then it finds no timer due and is armed again. */
static void postponed_timer_still_fires(void **state)
{
    (void)state;
    struct harness *b = harness_new(2);
    start_timer(&b->test_timers[0], uv_hrtime() + MS(1));
    start_timer(&b->test_timers[0], uv_hrtime() + MS(4));
    start_timer(&b->test_timers[1], uv_hrtime() + MS(1));
    start_timer(&b->test_timers[1], uv_hrtime() + MS(6));
    stop_timer(&b->test_timers[0]);
    start_timer(&b->test_timers[0], uv_hrtime() + MS(5));
    assert_true(run_until(b->f, is_idle, b));
    assert_int_equal(b->test_timers[0].fired, 1);
    assert_int_equal(b->test_timers[1].fired, 1);
    harness_free(b);
}

static void maximum_times_do_not_fire(void **state)
{
    (void)state;
    struct harness *b = harness_new(3);
    start_timer(&b->test_timers[0], UINT64_MAX);
    start_timer(&b->test_timers[1], UINT64_MAX - 1);
    start_timer(&b->test_timers[2], uv_hrtime() + MS(1));
    b->running -= 2;
    assert_true(run_until(b->f, is_idle, b));
    b->running += 2;
    assert_int_equal(b->fired, 1);
    harness_free(b);
}

static void loop_is_not_alive_without_timers(void **state)
{
    (void)state;
    struct harness *b = harness_new(2);
    assert_int_equal(uv_loop_alive(&b->f->loop), 0);
    start_timer(&b->test_timers[0], uv_hrtime() + NS_PER_SECOND);
    start_timer(&b->test_timers[1], uv_hrtime() + 2 * NS_PER_SECOND);
    assert_int_not_equal(uv_loop_alive(&b->f->loop), 0);
    stop_timer(&b->test_timers[0]);
    assert_int_not_equal(uv_loop_alive(&b->f->loop), 0);
    stop_timer(&b->test_timers[1]);
    assert_int_equal(uv_loop_alive(&b->f->loop), 0);
    stop_timer(&b->test_timers[1]); /* no effect on a stopped timer */
    start_timer(&b->test_timers[0], 0);
    stop_timer(&b->test_timers[0]);
    assert_int_equal(uv_loop_alive(&b->f->loop), 0);
    harness_free(b);
}

/* -- reservations -------------------------------------------------------------------------------------------------- */

static void all_reserved_timers_can_run(void **state)
{
    (void)state;
    for (size_t count = 1; count < 300; count++) {
        struct harness *b = harness_new(count);
        for (size_t i = 0; i < count; i++)
            start_timer(&b->test_timers[i], 1 + prng_below(&b->prng, 1000)); /* a sanitizer checks the heap's bounds */
        assert_true(run_until(b->f, is_idle, b));
        assert_int_equal(b->fired, count);
        harness_free(b);
    }
}

static void failed_reserve_changes_nothing(void **state)
{
    (void)state;
    struct harness *b = harness_new(40);
    for (size_t i = 0; i < b->count; i++)
        start_timer(&b->test_timers[i], 1 + prng_below(&b->prng, 1000));
    size_t reserved = b->timers.reserved;
    alloc_fail_at(1);
    assert_false(timers_reserve(&b->timers, 100000));
    alloc_fail_at(0);
    assert_int_equal(b->timers.reserved, reserved);
    assert_false(timers_reserve(&b->timers, SIZE_MAX));
    assert_false(timers_reserve(&b->timers, SIZE_MAX / 16));
    assert_false(timers_reserve(&b->timers, SIZE_MAX / 64 + 1));
    assert_int_equal(b->timers.reserved, reserved);

    assert_true(timers_reserve(&b->timers, 100000)); /* reallocates the heap with timers in it */
    timers_unreserve(&b->timers, 100000);
    assert_true(run_until(b->f, is_idle, b));
    assert_int_equal(b->fired, 40);
    harness_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_operations_fire_in_order),
        cmocka_unit_test(random_operations_while_time_passes),
        cmocka_unit_test(ten_thousand_timers_fire_once),
        cmocka_unit_test(callback_may_start_stop_and_move_timers),
        cmocka_unit_test(timer_stopped_in_batch_does_not_fire),
        cmocka_unit_test(fired_timer_may_be_reused_in_callback),
        cmocka_unit_test(timer_started_in_callback_fires_next_iteration),
        cmocka_unit_test(equal_times_fire_in_one_batch),
        cmocka_unit_test(start_never_fires_synchronously),
        cmocka_unit_test(timers_never_fire_early),
        cmocka_unit_test(earlier_timer_rearms_uv_timer),
        cmocka_unit_test(postponed_timer_still_fires),
        cmocka_unit_test(maximum_times_do_not_fire),
        cmocka_unit_test(loop_is_not_alive_without_timers),
        cmocka_unit_test(all_reserved_timers_can_run),
        cmocka_unit_test(failed_reserve_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

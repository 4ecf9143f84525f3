/* test_timers - the heap of timers against a model, and the clock behind it. */
#include "runtime/lib/timers.h"
#include "tests/unit/support/alloc_fault.h"
#include "tests/unit/support/runtime_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct bench;

/* A timer and what the model knows of it. */
struct subject {
    struct timer timer;
    struct bench *bench;
    bool running;
    uint64_t at_ns;
    unsigned fired;
};

struct bench {
    struct fixture *f; /* for its loop */
    struct timers timers;
    bool closed;
    struct subject *subjects;
    size_t count, running, fired;
    unsigned batches;                 /* calls of `after` */
    uint64_t last_turn_ms;            /* the loop's time at the last one */
    uint64_t last_ns;                 /* the time of the timer that fired last in this batch; 0 at its beginning */
    unsigned early, unordered, wrong; /* timers that fired too early, after a later one, or without running */
    unsigned crowded;                 /* batches that came in the same turn of the loop as the one before */
    void (*then)(struct subject *s);  /* what the callbacks do besides taking notes; may be NULL */
    struct dice dice;
};

static void on_batch(struct timers *t)
{
    struct bench *b = container_of(t, struct bench, timers);
    b->crowded += b->batches > 0 && uv_now(&b->f->loop) == b->last_turn_ms;
    b->last_turn_ms = uv_now(&b->f->loop);
    b->batches++;
    b->last_ns = 0;
}

static void on_fire(struct timer *timer)
{
    struct subject *s = container_of(timer, struct subject, timer);
    struct bench *b = s->bench;
    b->early += uv_hrtime() < s->at_ns;
    b->unordered += s->at_ns < b->last_ns;
    b->wrong += !s->running || timer->slot != 0;
    b->last_ns = s->at_ns;
    s->running = false;
    s->fired++;
    b->fired++;
    b->running--;
    if (b->then != NULL)
        b->then(s);
}

static void start(struct subject *s, uint64_t at_ns)
{
    s->bench->running += !s->running;
    s->running = true;
    s->at_ns = at_ns;
    timers_start(&s->bench->timers, &s->timer, at_ns);
}

static void stop(struct subject *s)
{
    s->bench->running -= s->running;
    s->running = false;
    timers_stop(&s->bench->timers, &s->timer);
}

static struct bench *bench_new(size_t count)
{
    struct bench *b = calloc(1, sizeof *b);
    assert_non_null(b);
    b->f = fixture_new(NULL);
    assert_non_null(b->f);
    assert_int_equal(timers_init(&b->timers, &b->f->loop, on_batch), 0);
    b->subjects = calloc(count, sizeof *b->subjects);
    assert_non_null(b->subjects);
    b->count = count;
    b->dice.state = 4711;
    for (size_t i = 0; i < count; i++)
        b->subjects[i] = (struct subject){.timer.fire = on_fire, .bench = b};
    assert_true(timers_reserve(&b->timers, count));
    return b;
}

static void on_closed(struct timers *t)
{
    container_of(t, struct bench, timers)->closed = true;
}

static bool is_closed(const void *of)
{
    return ((const struct bench *)of)->closed;
}

static bool is_idle(const void *of)
{
    return ((const struct bench *)of)->running == 0;
}

/* Checks what must always hold at the end, and gives everything back. */
static void bench_free(struct bench *b)
{
    assert_int_equal(b->early, 0);
    assert_int_equal(b->unordered, 0);
    assert_int_equal(b->wrong, 0);
    assert_int_equal(b->crowded, 0);
    assert_int_equal(b->timers.count, b->running);
    for (size_t i = 0; i < b->count; i++) {
        assert_int_equal(b->subjects[i].timer.slot != 0, b->subjects[i].running);
        stop(&b->subjects[i]);
    }
    timers_unreserve(&b->timers, b->count);
    assert_int_equal(b->timers.count, 0);
    assert_int_equal(b->timers.reserved, 0);
    assert_int_equal(uv_is_active((uv_handle_t *)&b->timers.clock),
                     0); /* no timer, no clock that keeps the loop alive */

    timers_close(&b->timers, on_closed);
    assert_false(b->closed); /* not from inside */
    assert_true(run_until(b->f, is_closed, b));
    assert_true(fixture_free(b->f));
    free(b->subjects);
    free(b);
}

/* -- the heap -------------------------------------------------------------------------------------------------------- */

/* All times have passed, so one batch fires everything that is running, in order. */
static void random_operations_fire_in_order(void **state)
{
    (void)state;
    enum { SUBJECTS = 500, OPERATIONS = 10000 };
    static const uint64_t spans[] = {1000000000, 100, 2,
                                     1}; /* how far apart the times are: from all different to all equal */
    for (size_t round = 0; round < COUNT_OF(spans); round++) {
        struct bench *b = bench_new(SUBJECTS);
        unsigned *starts = calloc(SUBJECTS, sizeof *starts);
        assert_non_null(starts);
        for (size_t i = 0; i < OPERATIONS; i++) {
            struct subject *s = &b->subjects[dice_roll(&b->dice, SUBJECTS)];
            if (dice_roll(&b->dice, 3) == 0)
                stop(s);
            else
                start(s, 1 + dice_roll(&b->dice, spans[round])); /* a new one, or a move of a running one */
            assert_int_equal(b->timers.count, b->running);
            assert_int_equal(s->timer.slot != 0, s->running);
        }
        for (size_t i = 0; i < SUBJECTS; i++)
            starts[i] = b->subjects[i].running;
        size_t expected = b->running;
        assert_true(run_until(b->f, is_idle, b));
        assert_int_equal(b->fired, expected);
        assert_int_equal(b->batches, 1);
        for (size_t i = 0; i < SUBJECTS; i++)
            assert_int_equal(b->subjects[i].fired, starts[i]);
        free(starts);
        bench_free(b);
    }
}

/* The same while time goes by: times from a little ago to a little ahead, and turns of the loop in between. */
static void random_operations_while_time_passes(void **state)
{
    (void)state;
    enum { SUBJECTS = 300, OPERATIONS = 10000 };
    struct bench *b = bench_new(SUBJECTS);
    for (size_t i = 0; i < OPERATIONS; i++) {
        struct subject *s = &b->subjects[dice_roll(&b->dice, SUBJECTS)];
        if (dice_roll(&b->dice, 3) == 0)
            stop(s);
        else
            start(s, uv_hrtime() - MS(1) + dice_roll(&b->dice, MS(5)));
        if (dice_roll(&b->dice, 20) == 0)
            uv_run(&b->f->loop, UV_RUN_NOWAIT);
        assert_int_equal(b->timers.count, b->running);
    }
    assert_true(run_until(b->f, is_idle, b));
    assert_true(b->fired > 0);
    bench_free(b);
}

static void each_of_ten_thousand_fires_once(void **state)
{
    (void)state;
    enum { SUBJECTS = 10000 };
    struct bench *b = bench_new(SUBJECTS);
    uint64_t now = uv_hrtime();
    for (size_t i = 0; i < SUBJECTS; i++)
        start(&b->subjects[i], now + dice_roll(&b->dice, MS(20)));
    assert_true(run_until(b->f, is_idle, b));
    for (size_t i = 0; i < SUBJECTS; i++)
        assert_int_equal(b->subjects[i].fired, 1);
    bench_free(b);
}

/* -- callbacks that meddle ------------------------------------------------------------------------------------------- */

static void meddle(struct subject *s)
{
    struct bench *b = s->bench;
    if (b->fired > 5000)
        return;
    for (int i = 0; i < 3; i++) {
        struct subject *other = &b->subjects[dice_roll(&b->dice, b->count)]; /* may be the one that just fired */
        if (dice_roll(&b->dice, 3) == 0)
            stop(other);
        else
            start(other, uv_hrtime() + dice_roll(&b->dice, MS(2)));
    }
}

static void callbacks_start_stop_and_move_others(void **state)
{
    (void)state;
    struct bench *b = bench_new(200);
    b->then = meddle;
    uint64_t now = uv_hrtime();
    for (size_t i = 0; i < b->count; i++)
        start(&b->subjects[i], now + dice_roll(&b->dice, MS(2)));
    assert_true(run_until(b->f, is_idle, b));
    assert_true(b->fired > 200);
    bench_free(b);
}

static void stop_everybody(struct subject *s)
{
    for (size_t i = 0; i < s->bench->count; i++)
        stop(&s->bench->subjects[i]);
}

static void what_is_stopped_in_a_batch_does_not_fire(void **state)
{
    (void)state;
    struct bench *b = bench_new(100);
    b->then = stop_everybody;
    for (size_t i = 0; i < b->count; i++)
        start(&b->subjects[i], 1000);
    assert_true(run_until(b->f, is_idle, b));
    assert_int_equal(b->fired, 1);
    bench_free(b);
}

/* The same object may carry another timer at once: nothing of it is touched after its callback. */
static void forget_itself(struct subject *s)
{
    memset(&s->timer, 0, sizeof s->timer);
    s->timer.fire = on_fire;
}

static void a_fired_timer_belongs_to_its_owner(void **state)
{
    (void)state;
    struct bench *b = bench_new(10);
    b->then = forget_itself;
    for (size_t i = 0; i < b->count; i++)
        start(&b->subjects[i], 1 + i);
    assert_true(run_until(b->f, is_idle, b));
    assert_int_equal(b->fired, 10);
    bench_free(b);
}

static void start_again_in_the_past(struct subject *s)
{
    if (s->fired < 5)
        start(s, 1);
}

/* What a callback starts waits for the next turn, also when its time has passed: others on the loop get their turn. */
static void what_callbacks_start_waits_for_the_next_turn(void **state)
{
    (void)state;
    struct bench *b = bench_new(2);
    b->then = start_again_in_the_past;
    start(&b->subjects[0], 1);
    start(&b->subjects[1], 1);
    assert_true(run_until(b->f, is_idle, b));
    assert_int_equal(b->subjects[0].fired, 5);
    assert_int_equal(b->subjects[1].fired, 5);
    assert_int_equal(b->batches, 5);
    bench_free(b);
}

/* -- the clock ------------------------------------------------------------------------------------------------------- */

static void one_batch_for_equal_times(void **state)
{
    (void)state;
    struct bench *b = bench_new(1000);
    uint64_t at = uv_hrtime() + MS(3);
    for (size_t i = 0; i < b->count; i++)
        start(&b->subjects[i], at);
    assert_true(run_until(b->f, is_idle, b));
    assert_int_equal(b->fired, 1000);
    assert_int_equal(b->batches, 1);
    bench_free(b);
}

static void start_does_not_fire(void **state)
{
    (void)state;
    struct bench *b = bench_new(3);
    start(&b->subjects[0], 0);
    start(&b->subjects[1], 1);
    start(&b->subjects[2], uv_hrtime());
    assert_int_equal(b->fired, 0);
    assert_true(run_until(b->f, is_idle, b));
    assert_int_equal(b->fired, 3);
    bench_free(b);
}

/* Times on both sides of each millisecond's edge, where rounding could go wrong. on_fire() notes what is early. */
static void never_early(void **state)
{
    (void)state;
    struct bench *b = bench_new(60);
    uint64_t edge = (uv_hrtime() / NS_PER_MS + 2) * NS_PER_MS;
    for (size_t i = 0; i < b->count; i += 3) {
        start(&b->subjects[i], edge + i * NS_PER_MS / 6 - 1);
        start(&b->subjects[i + 1], edge + i * NS_PER_MS / 6);
        start(&b->subjects[i + 2], edge + i * NS_PER_MS / 6 + 1);
    }
    assert_true(run_until(b->f, is_idle, b));
    bench_free(b);
}

static void an_earlier_timer_moves_the_clock(void **state)
{
    (void)state;
    struct bench *b = bench_new(3);
    start(&b->subjects[0], uv_hrtime() + 3600 * NS_PER_SECOND);
    start(&b->subjects[1], uv_hrtime() + MS(2)); /* without this moving the clock, run_until() would never see it */
    b->running--;                                /* the first is not waited for */
    assert_true(run_until(b->f, is_idle, b));
    assert_int_equal(b->subjects[1].fired, 1);
    start(&b->subjects[2], uv_hrtime() + 1800 * NS_PER_SECOND);
    start(&b->subjects[2], uv_hrtime() + MS(2)); /* so does moving a running one */
    assert_true(run_until(b->f, is_idle, b));
    b->running++;
    assert_int_equal(b->subjects[2].fired, 1);
    assert_int_equal(b->subjects[0].fired, 0);
    bench_free(b);
}

/* The clock stays armed for the old time; it must then find nothing due, and arm itself for the new one. */
static void a_later_timer_still_fires(void **state)
{
    (void)state;
    struct bench *b = bench_new(2);
    start(&b->subjects[0], uv_hrtime() + MS(1));
    start(&b->subjects[0], uv_hrtime() + MS(4));
    start(&b->subjects[1], uv_hrtime() + MS(1));
    start(&b->subjects[1], uv_hrtime() + MS(6));
    stop(&b->subjects[0]);
    start(&b->subjects[0], uv_hrtime() + MS(5));
    assert_true(run_until(b->f, is_idle, b));
    assert_int_equal(b->subjects[0].fired, 1);
    assert_int_equal(b->subjects[1].fired, 1);
    bench_free(b);
}

static void the_far_end_of_time(void **state)
{
    (void)state;
    struct bench *b = bench_new(3);
    start(&b->subjects[0], UINT64_MAX);
    start(&b->subjects[1], UINT64_MAX - 1);
    start(&b->subjects[2], uv_hrtime() + MS(1));
    b->running -= 2;
    assert_true(run_until(b->f, is_idle, b));
    b->running += 2;
    assert_int_equal(b->fired, 1);
    bench_free(b);
}

static void without_timers_the_loop_is_not_alive(void **state)
{
    (void)state;
    struct bench *b = bench_new(2);
    assert_int_equal(uv_loop_alive(&b->f->loop), 0);
    start(&b->subjects[0], uv_hrtime() + NS_PER_SECOND);
    start(&b->subjects[1], uv_hrtime() + 2 * NS_PER_SECOND);
    assert_int_not_equal(uv_loop_alive(&b->f->loop), 0);
    stop(&b->subjects[0]);
    assert_int_not_equal(uv_loop_alive(&b->f->loop), 0);
    stop(&b->subjects[1]);
    assert_int_equal(uv_loop_alive(&b->f->loop), 0);
    stop(&b->subjects[1]); /* not running: nothing happens */
    start(&b->subjects[0], 0);
    stop(&b->subjects[0]);
    assert_int_equal(uv_loop_alive(&b->f->loop), 0);
    bench_free(b);
}

/* -- room ------------------------------------------------------------------------------------------------------------ */

static void as_many_run_as_were_reserved(void **state)
{
    (void)state;
    for (size_t count = 1; count < 300; count++) {
        struct bench *b = bench_new(count);
        for (size_t i = 0; i < count; i++)
            start(&b->subjects[i], 1 + dice_roll(&b->dice, 1000)); /* a sanitizer sees what is out of bounds */
        assert_true(run_until(b->f, is_idle, b));
        assert_int_equal(b->fired, count);
        bench_free(b);
    }
}

static void failed_reservations_change_nothing(void **state)
{
    (void)state;
    struct bench *b = bench_new(40);
    for (size_t i = 0; i < b->count; i++)
        start(&b->subjects[i], 1 + dice_roll(&b->dice, 1000));
    size_t reserved = b->timers.reserved;
    alloc_fail_at(1);
    assert_false(timers_reserve(&b->timers, 100000));
    alloc_fail_at(0);
    assert_int_equal(b->timers.reserved, reserved);
    assert_false(timers_reserve(&b->timers, SIZE_MAX));
    assert_false(timers_reserve(&b->timers, SIZE_MAX / 16));
    assert_false(timers_reserve(&b->timers, SIZE_MAX / 64 + 1));
    assert_int_equal(b->timers.reserved, reserved);

    assert_true(timers_reserve(&b->timers, 100000)); /* the heap moves, with timers in it */
    timers_unreserve(&b->timers, 100000);
    assert_true(run_until(b->f, is_idle, b));
    assert_int_equal(b->fired, 40);
    bench_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_operations_fire_in_order),
        cmocka_unit_test(random_operations_while_time_passes),
        cmocka_unit_test(each_of_ten_thousand_fires_once),
        cmocka_unit_test(callbacks_start_stop_and_move_others),
        cmocka_unit_test(what_is_stopped_in_a_batch_does_not_fire),
        cmocka_unit_test(a_fired_timer_belongs_to_its_owner),
        cmocka_unit_test(what_callbacks_start_waits_for_the_next_turn),
        cmocka_unit_test(one_batch_for_equal_times),
        cmocka_unit_test(start_does_not_fire),
        cmocka_unit_test(never_early),
        cmocka_unit_test(an_earlier_timer_moves_the_clock),
        cmocka_unit_test(a_later_timer_still_fires),
        cmocka_unit_test(the_far_end_of_time),
        cmocka_unit_test(without_timers_the_loop_is_not_alive),
        cmocka_unit_test(as_many_run_as_were_reserved),
        cmocka_unit_test(failed_reservations_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

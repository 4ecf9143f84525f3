/* test_task - states, cancellation, time limits, admission and release of single tasks. */
#include "runtime/lib/check.h"
#include "runtime/types/type_parse.h"
#include "tests/unit/support/alloc_fault.h"
#include "tests/unit/support/builtins.h"
#include "tests/unit/support/loop_function.h"
#include "tests/unit/support/task_asserts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define ABSENT UINT64_MAX

static void assert_never_started(const struct waiter *w)
{
    assert_int_equal(w->info.pid, 0);
    assert_int_equal(w->info.tid, 0);
    assert_true(w->info.queued_ns != ABSENT);
    assert_true(w->info.duration_ns == ABSENT);
    assert_null(w->info.output);
}

/* -- states -------------------------------------------------------------------------------------------------------- */

static void zero_sleep_is_done_in_first_drain(void **state)
{
    struct fixture *f = *state;
    struct task_spec spec = sleep_of(f, 0);
    struct waiter w = {0};
    assert_int_equal(submit(f, &spec, &w), 0);
    assert_int_equal(w.done, 0);
    assert_int_equal(runtime_unfinished(f->runtime), 1);
    task_drain(f->runtime);
    assert_ended(&w, TASK_SUCCEEDED, 0);
    assert_non_null(w.info.output);
    assert_false(w.info.cancel_requested);
    assert_false(w.info.cancel_completed);
    assert_int_equal(runtime_unfinished(f->runtime), 0);
    task_drain(f->runtime);
    assert_int_equal(w.done, 1);
    task_release(w.task);
}

static void task_info_in_each_state(void **state)
{
    struct fixture *f = *state;
    struct mock_counts mock_counts = {0};
    struct task_spec spec = mock_manual(f, &mock_counts);
    spec.options.name = STR("mine");
    struct waiter w = {0};
    uint64_t received = uv_hrtime() - MS(5);
    assert_int_equal(submit_received(f, &spec, received, &w), 0);

    struct task_info info = task_info_of(w.task);
    assert_int_equal(info.state, TASK_QUEUED);
    assert_false(info.done);
    assert_true(info.received_ns == received);
    assert_true(info.queued_ns == ABSENT && info.duration_ns == ABSENT);
    assert_int_equal(info.pid, 0);
    assert_int_equal(info.tid, 0);
    assert_string_equal(info.spec->options.name.data, "mine");

    task_drain(f->runtime);
    info = task_info_of(w.task);
    assert_int_equal(info.state, TASK_RUNNING);
    assert_false(info.done);
    assert_int_equal(info.pid, getpid());
    assert_int_equal(info.tid, gettid());
    assert_true(info.queued_ns >= MS(5) && info.queued_ns != ABSENT);
    assert_true(info.duration_ns == ABSENT);
    assert_null(info.output);
    assert_false(info.cancel_requested || info.cancel_completed);

    mock_input_of(&spec)->on_cancel = MOCK_STOP_LATER; /* changes the submitted task, which shares the input */
    cancel(f, w.task, CANCEL_CLIENT);
    info = task_info_of(w.task);
    assert_int_equal(info.state, TASK_CANCELING);
    assert_false(info.done);
    assert_true(info.cancel_requested);
    assert_false(info.cancel_completed);
    assert_int_equal(info.cancel_reason, CANCEL_CLIENT);
    assert_int_equal(info.rc, 0);

    mock_stop(w.task);
    assert_true(task_info_of(w.task).done);
    assert_int_equal(w.done, 0); /* only task_drain() delivers */
    task_drain(f->runtime);
    assert_ended(&w, TASK_CANCELED, ERR_CANCELED);
    assert_canceled(&w, CANCEL_CLIENT, EFFECT_STOPPED);
    assert_true(w.info.duration_ns != ABSENT && w.info.queued_ns >= MS(5));
    assert_int_equal(w.info.pid, getpid());
    task_release(w.task);
}

static void task_fails_with_error_of_function(void **state)
{
    struct fixture *f = *state;
    struct mock_counts mock_counts = {0};
    for (uint64_t duration = 0; duration <= MS(1); duration += MS(1)) {
        struct task_spec spec = mock_timed(f, &mock_counts, duration, ERR_INTERNAL);
        struct waiter w = {0};
        submit_and_wait(f, &spec, &w);
        assert_ended(&w, TASK_FAILED, ERR_INTERNAL);
        assert_null(w.info.output);
        assert_true(w.info.duration_ns >= duration);
        task_release(w.task);
    }
}

static void sleep_never_ends_early(void **state)
{
    struct fixture *f = *state;
    static const uint64_t durations[] = {1, 999, 999999, 1000000, 1000001, 1500000, 2999999, 3000001};
    struct waiter waiters[COUNT_OF(durations)] = {{0}};
    for (size_t i = 0; i < COUNT_OF(durations); i++) {
        struct task_spec spec = sleep_of(f, durations[i]);
        assert_int_equal(submit(f, &spec, &waiters[i]), 0);
    }
    task_drain(f->runtime);
    assert_true(run_until_idle(f));
    for (size_t i = 0; i < COUNT_OF(durations); i++) {
        assert_ended(&waiters[i], TASK_SUCCEEDED, 0);
        int64_t slept = output_integer(waiters[i].task, "slept_seconds");
        assert_true((uint64_t)slept >= durations[i]);
        assert_true(waiters[i].info.duration_ns >= (uint64_t)slept);
        task_release(waiters[i].task);
    }
}

static void done_is_called_in_order_of_completion(void **state)
{
    struct fixture *f = *state;
    struct mock_counts mock_counts = {0};
    struct waiter w[5] = {{0}};
    for (size_t i = 0; i < COUNT_OF(w); i++) {
        struct task_spec spec = mock_manual(f, &mock_counts);
        assert_int_equal(submit(f, &spec, &w[i]), 0);
    }
    task_drain(f->runtime);
    static const size_t order[COUNT_OF(w)] = {3, 0, 4, 1, 2};
    for (size_t i = 0; i < COUNT_OF(w); i++)
        mock_end(w[order[i]].task, 0);
    task_drain(f->runtime);
    for (size_t i = 0; i < COUNT_OF(w); i++) {
        assert_int_equal(w[order[i]].completion_index, i + 1);
        task_release(w[order[i]].task);
    }
}

/* -- cancel -------------------------------------------------------------------------------------------------------- */

static void cancel_while_queued_prevents_start(void **state)
{
    struct fixture *f = *state;
    struct mock_counts mock_counts = {0};
    struct task_spec spec = mock_manual(f, &mock_counts);
    struct waiter w = {0};
    assert_int_equal(submit(f, &spec, &w), 0);
    cancel(f, w.task, CANCEL_CLIENT);
    assert_int_equal(w.done, 0);
    assert_int_equal(runtime_unfinished(f->runtime), 0);
    cancel(f, w.task, CANCEL_SHUTDOWN); /* does not change the reason */
    task_drain(f->runtime);
    assert_ended(&w, TASK_CANCELED, ERR_CANCELED);
    assert_canceled(&w, CANCEL_CLIENT, EFFECT_PREVENTED);
    assert_never_started(&w);
    assert_int_equal(mock_counts.started, 0);
    assert_int_equal(mock_counts.canceled, 0);
    task_release(w.task);
}

/* Each reaction of a function to a cancellation, for each reason. */
static void cancel_while_running(void **state)
{
    struct fixture *f = *state;
    static const enum cancel_reason reasons[] = {CANCEL_CLIENT,   CANCEL_PARENT,  CANCEL_SIBLING,
                                                 CANCEL_SHUTDOWN, CANCEL_TIMEOUT, CANCEL_DEADLINE};
    for (size_t r = 0; r < COUNT_OF(reasons); r++) {
        for (enum mock_cancel on_cancel = 0; on_cancel < MOCK_CANCEL_COUNT; on_cancel++) {
            for (int rc = ERR_INTERNAL; rc <= 0; rc -= ERR_INTERNAL) {
                struct mock_counts mock_counts = {0};
                struct task_spec spec = mock_timed(f, &mock_counts, MOCK_MANUAL, rc);
                mock_input_of(&spec)->on_cancel = on_cancel;
                struct waiter w = {0};
                submit_and_drain(f, &spec, &w);
                cancel(f, w.task, reasons[r]);
                bool stops = on_cancel == MOCK_STOP || on_cancel == MOCK_STOP_LATER;
                if (on_cancel == MOCK_STOP_LATER || on_cancel == MOCK_END_LATER) {
                    task_drain(f->runtime);
                    assert_int_equal(w.done, 0);
                    assert_int_equal(task_info_of(w.task).state, TASK_CANCELING);
                    assert_int_equal(started_timers(f), 0); /* its time limits are stopped */
                    for (size_t again = 0; again < COUNT_OF(reasons); again++)
                        cancel(f, w.task, reasons[again]);
                    if (stops)
                        mock_stop(w.task);
                    else
                        mock_end(w.task, rc);
                }
                assert_int_equal(w.done, 0);
                task_drain(f->runtime);
                assert_canceled(&w, reasons[r], stops ? EFFECT_STOPPED : EFFECT_TOO_LATE);
                if (!stops)
                    assert_ended(&w, rc == 0 ? TASK_SUCCEEDED : TASK_FAILED, rc);
                else if (reasons[r] == CANCEL_TIMEOUT)
                    assert_ended(&w, TASK_FAILED, ERR_TIMEOUT);
                else if (reasons[r] == CANCEL_DEADLINE)
                    assert_ended(&w, TASK_FAILED, ERR_DEADLINE_EXCEEDED);
                else
                    assert_ended(&w, TASK_CANCELED, reasons[r] == CANCEL_SHUTDOWN ? ERR_SHUTTING_DOWN : ERR_CANCELED);
                assert_int_equal(mock_counts.started, 1);
                assert_int_equal(mock_counts.canceled, 1);
                assert_int_equal(mock_counts.active, 0);
                task_release(w.task);
            }
        }
    }
}

static void cancel_self(struct waiter *w)
{
    cancel(w->fixture, w->task, CANCEL_CLIENT);
    task_drain(w->fixture->runtime);
}

static void cancel_after_done_has_no_effect(void **state)
{
    struct fixture *f = *state;
    struct task_spec spec = sleep_of(f, 0);
    struct waiter w = {.on_done = cancel_self};
    submit_and_drain(f, &spec, &w);
    cancel(f, w.task, CANCEL_CLIENT);
    task_drain(f->runtime);
    assert_ended(&w, TASK_SUCCEEDED, 0);
    assert_false(task_info_of(w.task).cancel_requested);
    assert_false(task_info_of(w.task).cancel_completed);
    assert_int_equal(task_info_of(w.task).state, TASK_SUCCEEDED);
    task_release(w.task);
}

/* The task has ended, but is not delivered yet. */
static void cancel_before_delivery_has_no_effect(void **state)
{
    struct fixture *f = *state;
    struct mock_counts mock_counts = {0};
    struct task_spec spec = mock_manual(f, &mock_counts);
    struct waiter w = {0};
    submit_and_drain(f, &spec, &w);
    mock_end(w.task, 0);
    cancel(f, w.task, CANCEL_CLIENT);
    task_drain(f->runtime);
    assert_ended(&w, TASK_SUCCEEDED, 0);
    assert_false(w.info.cancel_requested);
    assert_int_equal(mock_counts.canceled, 0);
    task_release(w.task);
}

static void cancel_other(struct waiter *w)
{
    struct waiter *other = w->user;
    cancel(w->fixture, other->task, CANCEL_CLIENT);
    task_drain(w->fixture->runtime); /* returns at once, because it is called from inside `done` */
    CHECK(other->done == 0);
}

static void cancel_from_done_of_another_task(void **state)
{
    struct fixture *f = *state;
    struct mock_counts mock_counts = {0};
    struct waiter queued = {0}, running = {0}, first = {.on_done = cancel_other, .user = &queued},
                  second = {.on_done = cancel_other, .user = &running};
    struct task_spec running_spec = mock_manual(f, &mock_counts);
    submit_and_drain(f, &running_spec, &running);
    struct task_spec next_spec = mock_manual(f, &mock_counts);
    submit_and_drain(f, &next_spec, &first);
    next_spec = mock_manual(f, &mock_counts);
    submit_and_drain(f, &next_spec, &second);

    /* Before the drain, the ready queue has: end of `first`, end of `second`, start of `queued`. */
    mock_end(first.task, 0);
    mock_end(second.task, 0);
    running_spec = mock_manual(f, &mock_counts);
    submit_and_drain(f, &running_spec, &queued);
    assert_ended(&first, TASK_SUCCEEDED, 0);
    assert_ended(&second, TASK_SUCCEEDED, 0);
    assert_ended(&queued, TASK_CANCELED, ERR_CANCELED);
    assert_canceled(&queued, CANCEL_CLIENT, EFFECT_PREVENTED);
    assert_ended(&running, TASK_CANCELED, ERR_CANCELED);
    assert_canceled(&running, CANCEL_CLIENT, EFFECT_STOPPED);
    assert_int_equal(mock_counts.started, 3);
    assert_int_equal(queued.completion_index, 3);
    assert_int_equal(running.completion_index, 4);
    task_release(first.task);
    task_release(running.task);
    task_release(second.task);
    task_release(queued.task);
}

struct alarm {
    struct timer timer;
    struct waiter *waiter;
};

static void on_alarm(struct timer *timer)
{
    struct waiter *w = container_of(timer, struct alarm, timer)->waiter;
    cancel(w->fixture, w->task, CANCEL_CLIENT);
}

/* The cancellation and the end of the sleep are in the same batch of timers, in either order. */
static void cancel_from_timer(void **state)
{
    struct fixture *f = *state;
    for (int offset = -1; offset <= 1; offset++) {
        struct task_spec spec = sleep_of(f, MS(2));
        struct waiter w = {0};
        struct alarm alarm = {.timer.fire = on_alarm, .waiter = &w};
        submit_and_drain(f, &spec, &w);
        assert_true(timers_reserve(&f->runtime->timers, 1));
        timers_start(&f->runtime->timers, &alarm.timer,
                     w.task->started_ns + (offset < 0    ? MS(2) - 1
                                           : offset == 0 ? MS(2)
                                                         : MS(2) + 1));
        wait_until_done(f, &w);
        timers_stop(&f->runtime->timers, &alarm.timer);
        timers_unreserve(&f->runtime->timers, 1);
        if (offset < 0)
            assert_ended(&w, TASK_CANCELED, ERR_CANCELED);
        if (offset > 0)
            assert_ended(&w, TASK_SUCCEEDED, 0);
        assert_int_equal(w.done, 1);
        assert_int_equal(w.info.state == TASK_CANCELED, w.info.cancel_requested);
        task_release(w.task);
    }
}

static void on_uv_alarm(uv_timer_t *timer)
{
    struct waiter *w = timer->data;
    cancel(w->fixture, w->task, CANCEL_CLIENT);
    task_drain(w->fixture->runtime);
}

static void cancel_from_loop_callback(void **state)
{
    struct fixture *f = *state;
    struct task_spec spec = sleep_of(f, 3600 * NS_PER_SECOND);
    struct waiter w = {0};
    submit_and_drain(f, &spec, &w);
    uv_timer_t timer;
    uv_timer_init(&f->loop, &timer);
    timer.data = &w;
    uv_timer_start(&timer, on_uv_alarm, 1, 0);
    wait_until_done(f, &w);
    assert_ended(&w, TASK_CANCELED, ERR_CANCELED);
    task_release(w.task);
    uv_close((uv_handle_t *)&timer, NULL);
    uv_run(&f->loop, UV_RUN_NOWAIT);
}

/* -- time limits --------------------------------------------------------------------------------------------------- */

static void timeout_counts_from_start(void **state)
{
    struct fixture *f = *state;
    struct mock_counts mock_counts = {0};
    struct task_spec spec = mock_manual(f, &mock_counts);
    spec.options.timeout_ns = MS(3);
    spec.options.deadline_ns = 3600 * NS_PER_SECOND;
    struct waiter w = {0};
    assert_int_equal(submit_received(f, &spec, uv_hrtime() - NS_PER_SECOND, &w), 0); /* received a second ago */
    task_drain(f->runtime);
    wait_until_done(f, &w);
    assert_ended(&w, TASK_FAILED, ERR_TIMEOUT);
    assert_canceled(&w, CANCEL_TIMEOUT, EFFECT_STOPPED);
    assert_true(w.info.queued_ns >= NS_PER_SECOND);
    assert_true(w.info.duration_ns >= MS(3));
    task_release(w.task);
}

static void deadline_counts_from_receipt(void **state)
{
    struct fixture *f = *state;
    struct mock_counts mock_counts = {0};
    struct task_spec spec = mock_manual(f, &mock_counts);
    spec.options.timeout_ns = NS_PER_SECOND;
    spec.options.deadline_ns = NS_PER_SECOND;
    struct waiter w = {0};
    assert_int_equal(submit_received(f, &spec, uv_hrtime() - NS_PER_SECOND + MS(20), &w), 0);
    task_drain(f->runtime);
    wait_until_done(f, &w);
    assert_ended(&w, TASK_FAILED, ERR_DEADLINE_EXCEEDED);
    assert_int_equal(w.info.cancel_reason, CANCEL_DEADLINE);
    assert_true(w.info.queued_ns + (w.info.duration_ns == ABSENT ? 0 : w.info.duration_ns) >= NS_PER_SECOND);
    task_release(w.task);
}

static void default_timeout_and_deadline_apply(void **state)
{
    (void)state;
    struct limits limits;
    struct mock_counts mock_counts = {0};
    for (int default_kind = 0; default_kind < 2; default_kind++) {
        record_set_defaults(&limits_type, &limits);
        if (default_kind == 0)
            limits.default_timeout_seconds = MS(2);
        else
            limits.default_deadline_seconds = MS(20);
        struct fixture *f = fixture_new(&limits);
        assert_non_null(f);
        struct task_spec spec = mock_manual(f, &mock_counts);
        struct waiter w = {0};
        submit_and_wait(f, &spec, &w);
        assert_ended(&w, TASK_FAILED, default_kind == 0 ? ERR_TIMEOUT : ERR_DEADLINE_EXCEEDED);
        task_release(w.task);

        spec = mock_manual(f, &mock_counts); /* a requested timeout may exceed the default */
        spec.options.timeout_ns = spec.options.deadline_ns = 3600 * NS_PER_SECOND;
        struct waiter overriding = {0}, sleeping = {0};
        assert_int_equal(submit(f, &spec, &overriding), 0);
        spec = sleep_of(f, MS(30));
        spec.options = (struct task_options){.timeout_ns = NS_PER_SECOND * 60, .deadline_ns = NS_PER_SECOND * 60};
        submit_and_wait(f, &spec, &sleeping);
        assert_ended(&sleeping, TASK_SUCCEEDED, 0);
        assert_int_equal(overriding.done, 0);
        mock_end(overriding.task, 0);
        task_drain(f->runtime);
        assert_ended(&overriding, TASK_SUCCEEDED, 0);
        task_release(overriding.task);
        task_release(sleeping.task);
        assert_true(fixture_free(f));
    }
}

static void expired_deadline_prevents_start(void **state)
{
    struct fixture *f = *state;
    struct mock_counts mock_counts = {0};
    for (int by_timer = 0; by_timer < 2; by_timer++) {
        struct task_spec spec = mock_manual(f, &mock_counts);
        spec.options.deadline_ns = MS(1);
        struct waiter w = {0};
        assert_int_equal(submit_received(f, &spec, uv_hrtime() - MS(1), &w), 0);
        assert_int_equal(w.done, 0);
        if (!by_timer)
            task_drain(f->runtime);
        wait_until_done(f, &w);
        assert_ended(&w, TASK_FAILED, ERR_DEADLINE_EXCEEDED);
        assert_canceled(&w, CANCEL_DEADLINE, EFFECT_PREVENTED);
        assert_never_started(&w);
        assert_true(w.info.queued_ns >= MS(1));
        task_release(w.task);
    }
    assert_int_equal(mock_counts.started, 0);
}

/* If a function succeeds after its timeout, the task succeeds, with the effect too_late. */
static void task_may_succeed_after_timeout(void **state)
{
    struct fixture *f = *state;
    struct mock_counts mock_counts = {0};
    struct task_spec spec = mock_timed(f, &mock_counts, MS(5), 0);
    spec.options.timeout_ns = MS(1);
    mock_input_of(&spec)->on_cancel = MOCK_END_LATER;
    struct waiter w = {0};
    submit_and_wait(f, &spec, &w);
    assert_ended(&w, TASK_SUCCEEDED, 0);
    assert_canceled(&w, CANCEL_TIMEOUT, EFFECT_TOO_LATE);
    assert_int_equal(mock_counts.canceled, 1);
    task_release(w.task);
}

static void earlier_of_timeout_and_deadline_applies(void **state)
{
    struct fixture *f = *state;
    struct mock_counts mock_counts = {0};
    static const struct {
        uint64_t timeout_ns, deadline_ns;
        int rc;
    } rows[] = {{MS(1), 3600 * NS_PER_SECOND, ERR_TIMEOUT}, {3600 * NS_PER_SECOND, MS(20), ERR_DEADLINE_EXCEEDED}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct task_spec spec = mock_manual(f, &mock_counts);
        spec.options.timeout_ns = rows[i].timeout_ns;
        spec.options.deadline_ns = rows[i].deadline_ns;
        struct waiter w = {0};
        submit_and_wait(f, &spec, &w);
        assert_ended(&w, TASK_FAILED, rows[i].rc);
        task_release(w.task);
    }
}

static void ended_task_leaves_no_timer(void **state)
{
    struct fixture *f = *state;
    struct task_spec spec = sleep_of(f, 0);
    struct waiter w = {0};
    assert_int_equal(submit(f, &spec, &w), 0);
    assert_int_equal(started_timers(f), 1); /* that of the default deadline */
    assert_int_equal(reserved_timers(f), TIMERS_PER_TASK);
    task_drain(f->runtime);
    assert_int_equal(started_timers(f), 0);
    assert_int_equal(reserved_timers(f), 0);
    assert_int_equal(uv_loop_alive(&f->loop), 0);
    task_release(w.task);
}

/* -- admission ----------------------------------------------------------------------------------------------------- */

static void submit_beyond_max_tasks_is_rejected(void **state)
{
    (void)state;
    struct limits limits;
    record_set_defaults(&limits_type, &limits);
    limits.max_tasks = 5;
    struct fixture *f = fixture_new(&limits);
    assert_non_null(f);
    struct mock_counts mock_counts = {0};
    struct task_spec one = mock_manual(f, &mock_counts);
    struct task_spec six = gather_of_copies(f, "all", 5, &one), three = gather_of_copies(f, "all", 2, &one);
    struct waiter rejected = {0}, w[3] = {{0}};
    struct err e = {0};
    struct task *task = NULL;
    assert_int_equal(task_submit(f->runtime, &six, f->arena, uv_hrtime(), NULL, NULL, &task, &e), ERR_LIMIT_EXCEEDED);
    assert_ptr_equal(e.limit, &limits_fields[LIMIT_TASKS]); /* even an idle service could not admit six tasks */
    assert_int_equal(submit(f, &three, &w[0]), 0);
    one = mock_manual(f, &mock_counts);
    assert_int_equal(submit(f, &one, &w[1]), 0);
    one = mock_manual(f, &mock_counts);
    struct task_spec two = gather_of(f, "all", 1, &one);
    assert_int_equal(submit(f, &two, &rejected), ERR_TOO_MANY_TASKS); /* 6 tasks, one more than the limit */
    assert_int_equal(submit(f, &one, &w[2]), 0);                      /* 5 tasks, the limit */
    one = mock_manual(f, &mock_counts);
    assert_int_equal(submit(f, &one, &rejected), ERR_TOO_MANY_TASKS);
    assert_int_equal(runtime_unfinished(f->runtime), 5);
    assert_int_equal(reserved_timers(f), 5 * TIMERS_PER_TASK);

    assert_int_equal(task_submit(f->runtime, &one, f->arena, uv_hrtime(), NULL, NULL, &task, &e), ERR_TOO_MANY_TASKS);
    assert_int_equal(e.rc, ERR_TOO_MANY_TASKS);
    assert_null(e.limit);
    assert_non_null(strstr(e.msg, "max_tasks"));
    assert_null(task);

    task_drain(f->runtime);
    mock_end(w[1].task, 0); /* an ended task does not count, even if it is not released */
    struct waiter again = {0};
    submit_and_drain(f, &one, &again);
    assert_int_equal(again.done, 0);
    runtime_cancel_all(f->runtime);
    task_drain(f->runtime);
    assert_int_equal(rejected.done, 0);
    assert_null(rejected.task);
    assert_int_equal(mock_counts.started, 5);
    for (size_t i = 0; i < COUNT_OF(w); i++)
        task_release(w[i].task);
    task_release(again.task);
    assert_true(fixture_free(f));
}

static void queued_tasks_run_after_new_ones_are_rejected(void **state)
{
    struct fixture *f = *state;
    struct mock_counts mock_counts = {0};
    struct task_spec spec = mock_manual(f, &mock_counts);
    struct waiter w = {0}, rejected = {0};
    assert_int_equal(submit(f, &spec, &w), 0);
    runtime_reject_new(f->runtime);
    spec = mock_manual(f, &mock_counts);
    assert_int_equal(submit(f, &spec, &rejected), ERR_SHUTTING_DOWN);
    task_drain(f->runtime); /* starts the queued task nevertheless */
    assert_int_equal(mock_counts.started, 1);
    mock_end(w.task, 0);
    task_drain(f->runtime);
    assert_ended(&w, TASK_SUCCEEDED, 0);
    assert_int_equal(rejected.done, 0);
    task_release(w.task);
}

/* Each allocation of task_submit() for a tree of tasks fails in turn. */
static void submit_out_of_memory_starts_nothing(void **state)
{
    (void)state;
    enum { COPIES = 300, PROBE_COUNT = 2 + 2 * COPIES };
    unsigned long n = 0, failures = 0;
    bool failed;
    do {
        struct fixture *f = fixture_new(NULL);
        assert_non_null(f);
        struct mock_counts mock_counts = {0};
        struct task_spec mock = mock_timed(f, &mock_counts, 0, 0);
        struct task_spec inner = gather_of_copies(f, "all", COPIES, &mock);
        inner.options.deadline_ns = NS_PER_SECOND * 60;
        struct task_spec children[] = {mock, inner, inner, mock};
        struct task_spec *spec = arena_alloc(f->arena, sizeof *spec);
        assert_non_null(spec);
        *spec = gather_of(f, "all", COUNT_OF(children), children);
        struct waiter w = {.fixture = f};

        alloc_fail_at(++n);
        struct err e = {0};
        int rc = task_submit(f->runtime, spec, f->arena, uv_hrtime(), waiter_done, &w, &w.task, &e);
        failed = alloc_count() >= n;
        alloc_fail_at(0);
        if (failed) {
            failures++;
            assert_int_equal(rc, ERR_OUT_OF_MEMORY);
            assert_int_equal(e.rc, ERR_OUT_OF_MEMORY);
            assert_null(w.task);
            assert_int_equal(runtime_unfinished(f->runtime), 0);
            assert_int_equal(started_timers(f), 0);
            assert_int_equal(reserved_timers(f), 0);
            assert_int_equal(uv_loop_alive(&f->loop), 0);
            task_drain(f->runtime);
            assert_int_equal(w.done, 0);
            assert_int_equal(mock_counts.started, 0);
            assert_int_equal(submit(f, spec, &w), 0); /* the same spec in the same arena can be submitted again */
        } else {
            assert_int_equal(rc, 0);
        }
        task_drain(f->runtime);
        assert_ended(&w, TASK_SUCCEEDED, 0);
        assert_int_equal(mock_counts.ended, PROBE_COUNT);
        task_release(w.task);
        assert_true(fixture_free(f));
    } while (failed);
    assert_true(failures > 5);
}

/* As above, for a single task that does not fit the arena's current block. */
static void single_submit_fails_when_out_of_memory(void **state)
{
    struct fixture *f = *state;
    unsigned failures = 0;
    for (size_t used = 0; used < 900; used += 16) {
        for (unsigned long n = 1; n <= 2; n++) {
            assert_non_null(arena_alloc(f->arena, used));
            struct task_spec spec = sleep_of(f, 0);
            struct waiter w = {.fixture = f};
            alloc_fail_at(n);
            int rc = task_submit(f->runtime, &spec, f->arena, uv_hrtime(), waiter_done, &w, &w.task, NULL);
            bool failed = alloc_count() >= n;
            alloc_fail_at(0);
            failures += failed;
            assert_int_equal(rc, failed ? ERR_OUT_OF_MEMORY : 0);
            assert_int_equal(runtime_unfinished(f->runtime), !failed);
            assert_int_equal(reserved_timers(f), failed ? 0 : TIMERS_PER_TASK);
            task_drain(f->runtime);
            assert_int_equal(w.done, !failed);
            if (!failed)
                task_release(w.task);
            arena_unref(f->arena);
            f->arena = arena_new();
        }
    }
    assert_true(failures > 1);
}

static void runtime_new_fails_when_out_of_memory(void **state)
{
    (void)state;
    struct limits limits;
    record_set_defaults(&limits_type, &limits);
    uv_loop_t loop;
    assert_int_equal(uv_loop_init(&loop), 0);
    struct runtime *runtime = NULL;
    struct err e = {0};
    unsigned long n = 0;
    int rc;
    struct runtime_config config = {.loop = &loop, .limits = &limits, .registry = builtins_new()};
    do {
        alloc_fail_at(++n);
        rc = runtime_new(&config, &runtime, &e);
        assert_int_equal(rc, alloc_count() >= n ? ERR_OUT_OF_MEMORY : 0);
        assert_int_equal(runtime != NULL, rc == 0);
        if (rc != 0)
            assert_int_equal(uv_run(&loop, UV_RUN_NOWAIT), 0);
    } while (rc != 0);
    alloc_fail_at(0);
    assert_true(n > 1);
    registry_unref(config.registry);
    runtime_close(runtime);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&loop), 0);
}

/* -- many tasks ---------------------------------------------------------------------------------------------------- */

static void cancel_all_reaches_every_state(void **state)
{
    struct fixture *f = *state;
    struct mock_counts mock_counts = {0};
    struct waiter queued = {0}, running = {0}, canceling = {0}, slow_to_cancel = {0}, ended = {0}, gather = {0};
    struct task_spec spec = mock_manual(f, &mock_counts);
    assert_int_equal(submit(f, &spec, &running), 0);
    spec = mock_manual(f, &mock_counts);
    mock_input_of(&spec)->on_cancel = MOCK_STOP_LATER;
    assert_int_equal(submit(f, &spec, &canceling), 0);
    spec = mock_manual(f, &mock_counts);
    mock_input_of(&spec)->on_cancel = MOCK_STOP_LATER;
    assert_int_equal(submit(f, &spec, &slow_to_cancel), 0);
    spec = mock_manual(f, &mock_counts);
    spec = gather_of_copies(f, "all_settled", 3, &spec);
    set_integer(&spec, "max_concurrency", 1);
    assert_int_equal(submit(f, &spec, &gather), 0);
    spec = sleep_of(f, 0);
    submit_and_drain(f, &spec, &ended);
    cancel(f, canceling.task, CANCEL_CLIENT);
    spec = mock_manual(f, &mock_counts);
    assert_int_equal(submit(f, &spec, &queued), 0);

    f->in_call = true;
    runtime_cancel_all(f->runtime);
    runtime_cancel_all(f->runtime); /* no further effect */
    f->in_call = false;
    task_drain(f->runtime);
    assert_ended(&queued, TASK_CANCELED, ERR_SHUTTING_DOWN);
    assert_canceled(&queued, CANCEL_SHUTDOWN, EFFECT_PREVENTED);
    assert_ended(&running, TASK_CANCELED, ERR_SHUTTING_DOWN);
    assert_canceled(&running, CANCEL_SHUTDOWN, EFFECT_STOPPED);
    assert_ended(&ended, TASK_SUCCEEDED, 0);
    assert_false(task_info_of(ended.task).cancel_requested);
    assert_ended(&gather, TASK_CANCELED, ERR_SHUTTING_DOWN);
    assert_int_equal(output_integer(gather.task, "counts.canceled"), 3);
    assert_int_equal(task_info_of(child_at(gather.task, 0)).cancel_effect, EFFECT_STOPPED);
    for (size_t i = 0; i < 3; i++) {
        struct task_info info = task_info_of(child_at(gather.task, i));
        assert_int_equal(info.cancel_reason, CANCEL_PARENT);
        assert_int_equal(info.cancel_effect, i == 0 ? EFFECT_STOPPED : EFFECT_PREVENTED);
    }
    assert_int_equal(runtime_unfinished(f->runtime), 2);

    assert_int_equal(canceling.done + slow_to_cancel.done, 0);
    mock_stop(canceling.task);
    mock_stop(slow_to_cancel.task);
    task_drain(f->runtime);
    assert_ended(&canceling, TASK_CANCELED, ERR_CANCELED); /* the client had canceled it before the shutdown */
    assert_ended(&slow_to_cancel, TASK_CANCELED, ERR_SHUTTING_DOWN);

    struct waiter *all[] = {&queued, &running, &canceling, &slow_to_cancel, &ended, &gather};
    for (size_t i = 0; i < COUNT_OF(all); i++)
        task_release(all[i]->task);
}

static void cancel_all(struct waiter *w)
{
    runtime_cancel_all(w->fixture->runtime);
    task_drain(w->fixture->runtime);
}

static void cancel_all_from_done(void **state)
{
    struct fixture *f = *state;
    struct mock_counts mock_counts = {0};
    struct waiter others[10] = {{0}}, w = {.on_done = cancel_all};
    struct task_spec spec;
    for (size_t i = 0; i < 5; i++) {
        spec = mock_manual(f, &mock_counts);
        assert_int_equal(submit(f, &spec, &others[i]), 0);
    }
    task_drain(f->runtime);
    spec = sleep_of(f, 0);
    assert_int_equal(submit(f, &spec, &w), 0);
    for (size_t i = 5; i < 10; i++) {
        spec = mock_manual(f, &mock_counts);
        assert_int_equal(submit(f, &spec, &others[i]), 0);
    }
    task_drain(f->runtime);
    assert_ended(&w, TASK_SUCCEEDED, 0);
    for (size_t i = 0; i < 10; i++) {
        assert_ended(&others[i], TASK_CANCELED, ERR_SHUTTING_DOWN);
        task_release(others[i].task);
    }
    task_release(w.task);
}

static void release_self(struct waiter *w)
{
    task_release(w->task);
}

static void release_others_and_self(struct waiter *w)
{
    struct waiter *others = w->user;
    for (size_t i = 0; i < 5; i++)
        task_release(others[i].task);
    task_release(w->task);
}

/* Each task has an arena of its own, so that a sanitizer detects use after free and leaks. */
static void tasks_can_be_released_in_any_order(void **state)
{
    struct fixture *f = *state;
    enum { TASKS = 40 };
    struct waiter w[TASKS] = {{0}};
    struct prng prng = {99};
    struct task_spec spec;
    for (size_t i = 0; i < TASKS; i++) {
        spec = sleep_of(f, i % 3 == 0 ? 0 : prng_below(&prng, MS(3)));
        w[i].on_done = i % 4 == 0 ? release_self : NULL;
        assert_int_equal(submit(f, &spec, &w[i]), 0);
    }
    task_drain(f->runtime);
    assert_true(run_until_idle(f));
    for (size_t left = TASKS - TASKS / 4; left > 0; left--) {
        size_t i;
        do
            i = prng_below(&prng, TASKS);
        while (w[i].on_done != NULL);
        assert_ended(&w[i], TASK_SUCCEEDED, 0);
        task_release(w[i].task);
        w[i].on_done = release_self;
    }

    struct waiter others[5] = {{0}}, last = {.on_done = release_others_and_self, .user = others};
    for (size_t i = 0; i < 5; i++) {
        spec = sleep_of(f, 0);
        assert_int_equal(submit(f, &spec, &others[i]), 0);
    }
    spec = sleep_of(f, 0);
    submit_and_drain(f, &spec, &last);
    assert_int_equal(last.done, 1);
}

struct chain {
    struct waiter waiters[1000];
    size_t next;
};

static void submit_next(struct waiter *w)
{
    struct chain *chain = w->user;
    task_release(w->task);
    if (chain->next == COUNT_OF(chain->waiters))
        return;
    struct waiter *next = &chain->waiters[chain->next++];
    *next = (struct waiter){.on_done = submit_next, .user = chain};
    struct task_spec spec = sleep_of(w->fixture, 0);
    CHECK(submit(w->fixture, &spec, next) == 0);
    task_drain(w->fixture->runtime); /* must not recurse */
    CHECK(next->done == 0);
}

static void submit_from_done_does_not_recurse(void **state)
{
    struct fixture *f = *state;
    struct chain *chain = calloc(1, sizeof *chain);
    assert_non_null(chain);
    chain->waiters[0] = (struct waiter){.on_done = submit_next, .user = chain};
    chain->next = 1;
    struct task_spec spec = sleep_of(f, 0);
    submit_and_drain(f, &spec, &chain->waiters[0]);
    for (size_t i = 0; i < COUNT_OF(chain->waiters); i++)
        assert_ended(&chain->waiters[i], TASK_SUCCEEDED, 0);
    free(chain);
}

static void two_runtimes_on_one_loop(void **state)
{
    struct fixture *f = *state;
    struct limits limits;
    record_set_defaults(&limits_type, &limits);
    struct runtime *first_runtime = f->runtime, *other;
    struct runtime_config config = {.loop = &f->loop, .limits = &limits, .registry = runtime_registry(first_runtime)};
    assert_int_equal(runtime_new(&config, &other, NULL), 0);
    struct waiter w[2] = {{0}};
    struct task_spec spec = sleep_of(f, MS(1));
    assert_int_equal(submit(f, &spec, &w[0]), 0);
    f->runtime = other;
    spec = sleep_of(f, MS(2));
    assert_int_equal(submit(f, &spec, &w[1]), 0);
    f->runtime = first_runtime;
    runtime_cancel_all(first_runtime);
    task_drain(first_runtime);
    assert_int_equal(w[0].done, 1);
    assert_int_equal(runtime_unfinished(other), 1);
    task_drain(other);
    wait_until_done(f, &w[1]);
    assert_ended(&w[1], TASK_SUCCEEDED, 0);
    task_release(w[0].task);
    task_release(w[1].task);
    runtime_close(other);
    uv_run(&f->loop, UV_RUN_NOWAIT);
}

/* Thousands of random tasks: `done` is called exactly once for each, with consistent info. */
static void every_random_task_is_done_once(void **state)
{
    struct fixture *f = *state;
    enum { TASKS = 2000 };
    struct waiter *w = calloc(TASKS, sizeof *w);
    assert_non_null(w);
    struct mock_counts mock_counts = {0};
    struct prng prng = {20250101};
    for (size_t i = 0; i < TASKS; i++) {
        static const int result_codes[] = {0, 0, ERR_INTERNAL, ERR_INVALID};
        struct task_spec spec = mock_timed(f, &mock_counts, prng_below(&prng, 3) * prng_below(&prng, MS(2)),
                                           result_codes[prng_below(&prng, 4)]);
        mock_input_of(&spec)->on_cancel = (enum mock_cancel)prng_below(&prng, MOCK_CANCEL_COUNT);
        mock_input_of(&spec)->cancel_delay_ns = prng_below(&prng, MS(1));
        if (prng_below(&prng, 3) == 0)
            spec.options.timeout_ns = 1 + prng_below(&prng, MS(2));
        if (prng_below(&prng, 3) == 0)
            spec.options.deadline_ns = 1 + prng_below(&prng, MS(4));
        assert_int_equal(submit(f, &spec, &w[i]), 0);
        if (prng_below(&prng, 4) == 0)
            cancel(f, w[prng_below(&prng, i + 1)].task, (enum cancel_reason)prng_below(&prng, CANCEL_TIMEOUT));
        if (prng_below(&prng, 5) == 0)
            task_drain(f->runtime);
        if (prng_below(&prng, 20) == 0)
            uv_run(&f->loop, UV_RUN_NOWAIT);
    }
    task_drain(f->runtime);
    assert_true(run_until_idle(f));

    size_t started = 0;
    for (size_t i = 0; i < TASKS; i++) {
        const struct task_info info = w[i].info;
        assert_int_equal(w[i].done, 1);
        assert_false(w[i].done_in_call);
        assert_true(info.done);
        started += info.pid != 0;
        assert_int_equal(info.cancel_requested, info.cancel_completed);
        assert_int_equal(info.rc == 0, info.state == TASK_SUCCEEDED);
        assert_int_equal(info.output != NULL, info.state == TASK_SUCCEEDED);
        assert_int_equal(info.pid == 0, info.duration_ns == ABSENT);
        if (info.pid == 0)
            assert_int_equal(info.cancel_effect, EFFECT_PREVENTED);
        if (info.state == TASK_CANCELED)
            assert_true(info.cancel_requested && info.cancel_effect != EFFECT_TOO_LATE);
        if (info.state == TASK_SUCCEEDED && info.cancel_requested)
            assert_int_equal(info.cancel_effect, EFFECT_TOO_LATE);
        if (info.rc == ERR_TIMEOUT)
            assert_true(info.cancel_reason == CANCEL_TIMEOUT && info.cancel_effect == EFFECT_STOPPED);
        task_release(w[i].task);
    }
    assert_int_equal(started, mock_counts.started);
    assert_int_equal(mock_counts.started, mock_counts.ended);
    assert_int_equal(mock_counts.active, 0);
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(zero_sleep_is_done_in_first_drain, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(task_info_in_each_state, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(task_fails_with_error_of_function, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(sleep_never_ends_early, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(done_is_called_in_order_of_completion, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(cancel_while_queued_prevents_start, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(cancel_while_running, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(cancel_after_done_has_no_effect, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(cancel_before_delivery_has_no_effect, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(cancel_from_done_of_another_task, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(cancel_from_timer, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(cancel_from_loop_callback, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(timeout_counts_from_start, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(deadline_counts_from_receipt, fixture_setup, fixture_teardown),
        cmocka_unit_test(default_timeout_and_deadline_apply),
        cmocka_unit_test_setup_teardown(expired_deadline_prevents_start, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(task_may_succeed_after_timeout, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(earlier_of_timeout_and_deadline_applies, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(ended_task_leaves_no_timer, fixture_setup, fixture_teardown),
        cmocka_unit_test(submit_beyond_max_tasks_is_rejected),
        cmocka_unit_test_setup_teardown(queued_tasks_run_after_new_ones_are_rejected, fixture_setup, fixture_teardown),
        cmocka_unit_test(submit_out_of_memory_starts_nothing),
        cmocka_unit_test_setup_teardown(single_submit_fails_when_out_of_memory, fixture_setup, fixture_teardown),
        cmocka_unit_test(runtime_new_fails_when_out_of_memory),
        cmocka_unit_test_setup_teardown(cancel_all_reaches_every_state, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(cancel_all_from_done, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(tasks_can_be_released_in_any_order, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(submit_from_done_does_not_recurse, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(two_runtimes_on_one_loop, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(every_random_task_is_done_once, fixture_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

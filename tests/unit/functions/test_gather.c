/* test_gather - gathers: modes, limits, cancellation of children, and random trees of gathers. */
#include "runtime/lib/check.h"
#include "runtime/types/type_parse.h"
#include "runtime/types/type_rules.h"
#include "tests/unit/support/loop_function.h"
#include "tests/unit/support/task_asserts.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HOUR (3600 * NS_PER_SECOND)

/* -- checks -------------------------------------------------------------------------------------------------------- */

static void check_counts(const struct task *gather, int64_t succeeded, int64_t failed, int64_t canceled)
{
    assert_int_equal(output_integer(gather, "counts.succeeded"), succeeded);
    assert_int_equal(output_integer(gather, "counts.failed"), failed);
    assert_int_equal(output_integer(gather, "counts.canceled"), canceled);
    assert_int_equal(output_integer(gather, "counts.total"), succeeded + failed + canceled);
}

static void check_child(struct task *gather, size_t i, enum task_state state, int rc)
{
    struct task_info info = task_info_of(child_at(gather, i));
    assert_int_equal(info.index, i);
    assert_int_equal(info.state, state);
    assert_int_equal(info.rc, rc);
}

static void check_child_canceled(struct task *gather, size_t i, enum cancel_reason reason, enum cancel_effect effect)
{
    struct task_info info = task_info_of(child_at(gather, i));
    assert_true(info.cancel_requested && info.cancel_completed);
    assert_int_equal(info.cancel_reason, reason);
    assert_int_equal(info.cancel_effect, effect);
}

/* Ends the child and delivers its end to the gather. */
static void end_child_manually(struct fixture *f, struct waiter *w, size_t i, int rc)
{
    mock_end(child_at(w->task, i), rc);
    task_drain(f->runtime);
}

/* Starts a gather of `count` mocks of the duration MOCK_MANUAL. */
static void run_manual(struct fixture *f, struct mock_counts *mock_counts, const char *mode, size_t count,
                       struct waiter *w)
{
    struct task_spec mock = mock_manual(f, mock_counts);
    struct task_spec gather = gather_of_copies(f, mode, count, &mock);
    submit_and_drain(f, &gather, w);
    assert_int_equal(w->done, 0);
}

/* -- modes --------------------------------------------------------------------------------------------------------- */

static void empty_gather_succeeds(void **state)
{
    struct fixture *f = *state;
    static const char *const modes[] = {"all", "all_settled"};
    for (size_t i = 0; i < COUNT_OF(modes); i++) {
        struct task_spec spec = gather_of(f, modes[i], 0, NULL);
        struct waiter w = {0};
        submit_and_drain(f, &spec, &w);
        assert_ended(&w, TASK_SUCCEEDED, 0);
        check_counts(w.task, 0, 0, 0);
        assert_int_equal(output_integer(w.task, "winner"), INT64_MIN);
        assert_int_equal(output_integer(w.task, "serial_seconds"), 0);
        task_release(w.task);
    }
}

static void unsatisfiable_input_is_rejected(void **state)
{
    struct fixture *f = *state;
    struct mock_counts mock_counts = {0};
    struct task_spec mock = mock_manual(f, &mock_counts);
    static const struct {
        const char *mode;
        size_t count;
        int64_t quorum, tolerated;
        const char *pointer; /* NULL: valid */
        int rc;
    } rows[] = {
        {"all", 0, INT64_MIN, 0, NULL, 0},
        {"all_settled", 0, INT64_MIN, 0, NULL, 0},
        {"any", 0, INT64_MIN, 0, "/tasks", ERR_INVALID},
        {"race", 0, INT64_MIN, 0, "/tasks", ERR_INVALID},
        {"quorum", 0, 1, 0, "/tasks", ERR_INVALID},
        {"quorum", 3, INT64_MIN, 0, "/quorum", ERR_INVALID},
        {"quorum", 3, 4, 0, "/quorum", ERR_INVALID_ARGUMENT},
        {"quorum", 3, INT32_MAX, 0, "/quorum", ERR_INVALID_ARGUMENT},
        {"quorum", 3, 3, 0, NULL, 0},
        {"quorum", 3, 1, 0, NULL, 0},
        {"all", 3, 1, 0, "/quorum", ERR_INVALID},
        {"any", 3, 1, 0, "/quorum", ERR_INVALID},
        {"all", 3, INT64_MIN, 5, NULL, 0},
        {"any", 3, INT64_MIN, 1, "/tolerated_failures", ERR_INVALID},
        {"quorum", 3, 2, 1, "/tolerated_failures", ERR_INVALID},
        {"all_settled", 3, INT64_MIN, 1, "/tolerated_failures", ERR_INVALID},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct task_spec spec = gather_of_copies(f, rows[i].mode, rows[i].count, &mock);
        set_integer(&spec, "quorum", rows[i].quorum);
        set_integer(&spec, "tolerated_failures", rows[i].tolerated);
        struct check_error check_error = {0};
        assert_int_equal(type_check_rules(spec.function->input, spec.input, &check_error), rows[i].pointer == NULL);
        assert_int_equal(check_error.rc, rows[i].rc);
        assert_string_equal(check_error.pointer, rows[i].pointer == NULL ? "" : rows[i].pointer);
        assert_int_equal(check_error.detail[0] == '\0', rows[i].pointer == NULL);
    }
}

static void gather_of_one_child(void **state)
{
    struct fixture *f = *state;
    static const char *const modes[] = {"all", "all_settled", "any", "race", "quorum"};
    for (size_t i = 0; i < COUNT_OF(modes); i++) {
        for (int rc = ERR_INTERNAL; rc <= 0; rc -= ERR_INTERNAL) {
            struct mock_counts mock_counts = {0};
            struct task_spec spec = mock_manual(f, &mock_counts);
            spec = gather_of(f, modes[i], 1, &spec);
            if (strcmp(modes[i], "quorum") == 0)
                set_integer(&spec, "quorum", 1);
            struct waiter w = {0};
            submit_and_drain(f, &spec, &w);
            end_child_manually(f, &w, 0, rc);
            bool wins = rc == 0 || strcmp(modes[i], "all_settled") == 0;
            assert_ended(&w, wins ? TASK_SUCCEEDED : TASK_FAILED, wins ? 0 : ERR_CHILD_FAILED);
            check_counts(w.task, rc == 0, rc != 0, 0);
            assert_false(task_info_of(child_at(w.task, 0)).cancel_requested);
            task_release(w.task);
        }
    }
}

static void all_succeeds_after_last_child(void **state)
{
    struct fixture *f = *state;
    struct mock_counts mock_counts = {0};
    struct waiter w = {0};
    run_manual(f, &mock_counts, "all", 3, &w);
    end_child_manually(f, &w, 2, 0);
    end_child_manually(f, &w, 0, 0);
    assert_int_equal(w.done, 0);
    assert_null(task_info_of(w.task).output);
    end_child_manually(f, &w, 1, 0);
    assert_ended(&w, TASK_SUCCEEDED, 0);
    check_counts(w.task, 3, 0, 0);
    assert_null(w.info.detail);
    task_release(w.task);
}

static void all_fails_fast_and_cancels_siblings(void **state)
{
    struct fixture *f = *state;
    struct mock_counts mock_counts = {0};
    struct waiter w = {0};
    run_manual(f, &mock_counts, "all", 4, &w);
    end_child_manually(f, &w, 3, 0);
    end_child_manually(f, &w, 1, ERR_INTERNAL);
    assert_ended(&w, TASK_FAILED, ERR_CHILD_FAILED);
    check_counts(w.task, 1, 1, 2);
    assert_int_equal(output_integer(w.task, "winner"), INT64_MIN);
    check_child(w.task, 0, TASK_CANCELED, ERR_CANCELED);
    check_child(w.task, 1, TASK_FAILED, ERR_INTERNAL);
    check_child(w.task, 2, TASK_CANCELED, ERR_CANCELED);
    check_child(w.task, 3, TASK_SUCCEEDED, 0);
    check_child_canceled(w.task, 0, CANCEL_SIBLING, EFFECT_STOPPED);
    assert_false(task_info_of(child_at(w.task, 3)).cancel_requested);
    assert_non_null(w.info.detail);
    assert_false(w.info.cancel_requested);
    task_release(w.task);
}

static void all_counts_every_failure(void **state)
{
    struct fixture *f = *state;
    struct mock_counts mock_counts = {0};
    struct waiter w = {0};
    run_manual(f, &mock_counts, "all", 4, &w);
    mock_end(child_at(w.task, 0), ERR_INTERNAL); /* three children end before the first is delivered */
    mock_end(child_at(w.task, 2), ERR_INVALID);
    mock_end(child_at(w.task, 3), ERR_TIMEOUT);
    task_drain(f->runtime);
    assert_ended(&w, TASK_FAILED, ERR_CHILD_FAILED);
    check_counts(w.task, 0, 3, 1);
    assert_string_equal(w.info.detail,
                        "Mode \"all\" was not met (4 tasks: 0 succeeded, 3 failed, 1 canceled); task 0 failed "
                        "first: Internal error");
    check_child(w.task, 0, TASK_FAILED, ERR_INTERNAL);
    check_child(w.task, 2, TASK_FAILED, ERR_INVALID);
    check_child(w.task, 3, TASK_FAILED, ERR_TIMEOUT);
    task_release(w.task);
}

static void all_honors_tolerated_failures(void **state)
{
    struct fixture *f = *state;
    for (int64_t tolerated = 0; tolerated <= 4; tolerated++) {
        for (int64_t failures = 0; failures <= 4; failures++) {
            struct mock_counts mock_counts = {0};
            struct task_spec spec = mock_manual(f, &mock_counts);
            spec = gather_of_copies(f, "all", 4, &spec);
            set_integer(&spec, "tolerated_failures", tolerated);
            struct waiter w = {0};
            submit_and_drain(f, &spec, &w);
            int64_t ended = 0;
            while (w.done == 0) {
                end_child_manually(f, &w, (size_t)ended, ended < failures ? ERR_INTERNAL : 0);
                ended++;
            }
            bool wins = failures <= tolerated;
            assert_ended(&w, wins ? TASK_SUCCEEDED : TASK_FAILED, wins ? 0 : ERR_CHILD_FAILED);
            if (wins)
                check_counts(w.task, 4 - failures, failures, 0);
            else
                check_counts(w.task, 0, tolerated + 1, 4 - tolerated - 1);
            task_release(w.task);
        }
    }
}

static void all_settled_accepts_failures(void **state)
{
    struct fixture *f = *state;
    struct mock_counts mock_counts = {0};
    struct waiter w = {0};
    run_manual(f, &mock_counts, "all_settled", 4, &w);
    end_child_manually(f, &w, 0, ERR_INTERNAL);
    end_child_manually(f, &w, 2, 0);
    end_child_manually(f, &w, 3, ERR_INVALID);
    assert_int_equal(w.done, 0);
    assert_int_equal(mock_counts.canceled, 0);
    end_child_manually(f, &w, 1, 0);
    assert_ended(&w, TASK_SUCCEEDED, 0);
    check_counts(w.task, 2, 2, 0);
    task_release(w.task);

    struct waiter all_failing = {0};
    run_manual(f, &mock_counts, "all_settled", 2, &all_failing);
    end_child_manually(f, &all_failing, 0, ERR_INTERNAL);
    end_child_manually(f, &all_failing, 1, ERR_INTERNAL);
    assert_ended(&all_failing, TASK_SUCCEEDED, 0);
    task_release(all_failing.task);
}

static void any_succeeds_on_first_success(void **state)
{
    struct fixture *f = *state;
    struct mock_counts mock_counts = {0};
    struct waiter w = {0};
    run_manual(f, &mock_counts, "any", 4, &w);
    end_child_manually(f, &w, 3, ERR_INTERNAL);
    assert_int_equal(w.done, 0);
    end_child_manually(f, &w, 2, 0);
    assert_ended(&w, TASK_SUCCEEDED, 0);
    check_counts(w.task, 1, 1, 2);
    assert_int_equal(output_integer(w.task, "winner"), 2);
    task_release(w.task);

    struct waiter all_failing = {0};
    run_manual(f, &mock_counts, "any", 3, &all_failing);
    for (size_t i = 0; i < 3; i++)
        end_child_manually(f, &all_failing, i, ERR_INTERNAL);
    assert_ended(&all_failing, TASK_FAILED, ERR_CHILD_FAILED);
    check_counts(all_failing.task, 0, 3, 0);
    assert_int_equal(output_integer(all_failing.task, "winner"), INT64_MIN);
    task_release(all_failing.task);
}

static void race_follows_first_completion(void **state)
{
    struct fixture *f = *state;
    for (int rc = ERR_INTERNAL; rc <= 0; rc -= ERR_INTERNAL) {
        struct mock_counts mock_counts = {0};
        struct waiter w = {0};
        run_manual(f, &mock_counts, "race", 3, &w);
        end_child_manually(f, &w, 1, rc);
        assert_ended(&w, rc == 0 ? TASK_SUCCEEDED : TASK_FAILED, rc == 0 ? 0 : ERR_CHILD_FAILED);
        check_counts(w.task, rc == 0, rc != 0, 2);
        assert_int_equal(output_integer(w.task, "winner"), 1);
        task_release(w.task);
    }
}

static void quorum_resolves_early(void **state)
{
    struct fixture *f = *state;
    enum { CHILDREN = 5 };
    for (int64_t quorum = 1; quorum <= CHILDREN; quorum++) {
        for (unsigned failing = 0; failing < 1U << CHILDREN; failing++) { /* a bit for each child: whether it fails */
            struct mock_counts mock_counts = {0};
            struct task_spec spec = mock_manual(f, &mock_counts);
            spec = gather_of_copies(f, "quorum", CHILDREN, &spec);
            set_integer(&spec, "quorum", quorum);
            struct waiter w = {0};
            submit_and_drain(f, &spec, &w);
            int64_t succeeded = 0, failed = 0;
            while (succeeded < quorum && failed <= CHILDREN - quorum) {
                size_t i = (size_t)(succeeded + failed);
                assert_int_equal(w.done, 0);
                end_child_manually(f, &w, i, failing >> i & 1 ? ERR_INTERNAL : 0);
                succeeded += !(failing >> i & 1);
                failed += failing >> i & 1;
            }
            bool wins = succeeded == quorum;
            assert_ended(&w, wins ? TASK_SUCCEEDED : TASK_FAILED, wins ? 0 : ERR_CHILD_FAILED);
            check_counts(w.task, succeeded, failed, CHILDREN - succeeded - failed);
            assert_int_equal(output_integer(w.task, "quorum"), quorum);
            assert_int_equal(output_integer(w.task, "winner"), INT64_MIN);
            task_release(w.task);
        }
    }
}

/* All children end before the first of them is delivered. */
static void simultaneous_completions_have_one_winner(void **state)
{
    struct fixture *f = *state;
    static const char *const modes[] = {"any", "race"};
    for (size_t m = 0; m < COUNT_OF(modes); m++) {
        struct mock_counts mock_counts = {0};
        struct waiter w = {0};
        run_manual(f, &mock_counts, modes[m], 10, &w);
        for (size_t i = 10; i-- > 0;)
            mock_end(child_at(w.task, i), 0);
        task_drain(f->runtime);
        assert_ended(&w, TASK_SUCCEEDED, 0);
        check_counts(w.task, 10, 0, 0); /* ended children are not canceled */
        assert_int_equal(output_integer(w.task, "winner"), 9);
        task_release(w.task);
    }
}

/* When its result is decided, a gather waits for a canceled child that ends later. */
static void gather_ends_after_last_child(void **state)
{
    struct fixture *f = *state;
    struct mock_counts mock_counts = {0};
    for (enum mock_cancel on_cancel = 0; on_cancel < MOCK_CANCEL_COUNT; on_cancel++) {
        struct task_spec slow = mock_manual(f, &mock_counts), quick = mock_manual(f, &mock_counts);
        mock_input_of(&slow)->on_cancel = on_cancel;
        struct task_spec spec = gather_of(f, "any", 2, (struct task_spec[]){slow, quick});
        struct waiter w = {0};
        submit_and_drain(f, &spec, &w);
        end_child_manually(f, &w, 1, 0);
        struct task *child = child_at(w.task, 0);
        if (on_cancel == MOCK_STOP_LATER || on_cancel == MOCK_END_LATER) {
            assert_int_equal(w.done, 0);
            assert_int_equal(task_info_of(w.task).state, TASK_RUNNING);
            assert_int_equal(task_info_of(child).state, TASK_CANCELING);
            if (on_cancel == MOCK_STOP_LATER)
                mock_stop(child);
            else
                mock_end(child, 0);
            task_drain(f->runtime);
        }
        bool stopped = on_cancel == MOCK_STOP || on_cancel == MOCK_STOP_LATER;
        assert_ended(&w, TASK_SUCCEEDED, 0);
        check_counts(w.task, stopped ? 1 : 2, 0, stopped ? 1 : 0);
        check_child_canceled(w.task, 0, CANCEL_SIBLING, stopped ? EFFECT_STOPPED : EFFECT_TOO_LATE);
        assert_int_equal(output_integer(w.task, "winner"), 1);
        assert_true(child->ended_ns <= w.task->ended_ns);
        task_release(w.task);
    }
}

static void results_keep_input_order(void **state)
{
    struct fixture *f = *state;
    enum { CHILDREN = 200 };
    struct prng prng = {7};
    struct task_spec children[CHILDREN];
    uint64_t durations[CHILDREN];
    for (size_t i = 0; i < CHILDREN; i++) {
        durations[i] = prng_below(&prng, MS(4));
        children[i] = sleep_of(f, durations[i]);
    }
    struct task_spec spec = gather_of(f, "all", CHILDREN, children);
    struct waiter w = {0};
    submit_and_wait(f, &spec, &w);
    assert_ended(&w, TASK_SUCCEEDED, 0);
    uint64_t serial = 0;
    for (size_t i = 0; i < CHILDREN; i++) {
        struct task *child = child_at(w.task, i);
        check_child(w.task, i, TASK_SUCCEEDED, 0);
        assert_true((uint64_t)output_integer(child, "slept_seconds") >= durations[i]);
        serial += task_info_of(child).duration_ns;
    }
    assert_true(output_integer(w.task, "serial_seconds") == (int64_t)serial);
    task_release(w.task);
}

/* -- max_concurrency ----------------------------------------------------------------------------------------------- */

static void max_concurrency_is_not_exceeded(void **state)
{
    struct fixture *f = *state;
    for (int64_t max = 1; max <= 9; max += 2) {
        struct mock_counts mock_counts = {0};
        struct prng prng = {(uint64_t)max};
        struct task_spec children[50];
        for (size_t i = 0; i < COUNT_OF(children); i++)
            children[i] = mock_timed(f, &mock_counts, prng_below(&prng, 2) * prng_below(&prng, MS(1)), 0);
        struct task_spec spec = gather_of(f, "all", COUNT_OF(children), children);
        set_integer(&spec, "max_concurrency", max);
        struct waiter w = {0};
        submit_and_wait(f, &spec, &w);
        assert_ended(&w, TASK_SUCCEEDED, 0);
        assert_int_equal(mock_counts.ended, 50);
        assert_true(mock_counts.max_active <= (size_t)max);
        task_release(w.task);
    }
}

static void children_start_in_order(void **state)
{
    struct fixture *f = *state;
    struct mock_counts mock_counts = {0};
    struct task_spec spec = mock_manual(f, &mock_counts);
    spec = gather_of_copies(f, "all_settled", 5, &spec);
    set_integer(&spec, "max_concurrency", 2);
    struct waiter w = {0};
    submit_and_drain(f, &spec, &w);
    static const size_t ends[] = {1, 0, 2, 4, 3}; /* indexes of children, in the order in which they end */
    for (size_t step = 0; step < 5; step++) {
        size_t expected_started = step + 2 < 5 ? step + 2 : 5;
        assert_int_equal(mock_counts.started, expected_started);
        assert_int_equal(mock_counts.active, expected_started - step);
        for (size_t i = expected_started; i < 5; i++) {
            struct task_info info = task_info_of(child_at(w.task, i));
            assert_int_equal(info.state, TASK_SUBMITTED);
            assert_int_equal(info.pid, 0);
        }
        end_child_manually(f, &w, ends[step], step % 2 ? ERR_INTERNAL : 0);
    }
    assert_ended(&w, TASK_SUCCEEDED, 0);
    check_counts(w.task, 3, 2, 0);
    task_release(w.task);
}

static void resolved_gather_starts_no_child(void **state)
{
    struct fixture *f = *state;
    struct mock_counts mock_counts = {0};
    struct task_spec spec = mock_manual(f, &mock_counts);
    mock_input_of(&spec)->on_cancel = MOCK_STOP_LATER;
    spec = gather_of_copies(f, "all", 10, &spec);
    set_integer(&spec, "max_concurrency", 2);
    struct waiter w = {0};
    submit_and_drain(f, &spec, &w);
    end_child_manually(f, &w, 0, ERR_INTERNAL); /* decides the result; another child could start now */
    assert_int_equal(mock_counts.started, 2);
    for (size_t i = 2; i < 10; i++)
        check_child_canceled(w.task, i, CANCEL_SIBLING, EFFECT_PREVENTED);
    assert_int_equal(w.done, 0);
    mock_stop(child_at(w.task, 1));
    task_drain(f->runtime);
    assert_ended(&w, TASK_FAILED, ERR_CHILD_FAILED);
    check_counts(w.task, 0, 1, 9);
    assert_int_equal(mock_counts.started, 2);
    task_release(w.task);
}

/* With max_concurrency 1, the first child runs while the deadlines of three other children pass, which never start;
 * then the last child runs. */
static void deadline_expires_before_child_starts(void **state)
{
    struct fixture *f = *state;
    struct mock_counts mock_counts = {0};
    struct task_spec children[5];
    for (size_t i = 0; i < COUNT_OF(children); i++) {
        children[i] = mock_manual(f, &mock_counts);
        children[i].options.timeout_ns = HOUR; /* no effect on a task that never starts */
        if (i >= 1 && i <= 3)
            children[i].options.deadline_ns = MS(i);
    }
    struct task_spec spec = gather_of(f, "all_settled", COUNT_OF(children), children);
    set_integer(&spec, "max_concurrency", 1);
    struct waiter w = {0}, later = {0};
    submit_and_drain(f, &spec, &w);
    spec = sleep_of(f, MS(5));
    submit_and_wait(f, &spec, &later);
    for (size_t i = 1; i <= 3; i++) {
        check_child(w.task, i, TASK_FAILED, ERR_DEADLINE_EXCEEDED);
        check_child_canceled(w.task, i, CANCEL_DEADLINE, EFFECT_PREVENTED);
    }
    assert_int_equal(mock_counts.started, 1);
    assert_int_equal(w.done, 0);
    end_child_manually(f, &w, 0, 0);
    assert_int_equal(mock_counts.started, 2);
    end_child_manually(f, &w, 4, 0);
    assert_ended(&w, TASK_SUCCEEDED, 0);
    check_counts(w.task, 2, 3, 0);
    task_release(w.task);
    task_release(later.task);
}

/* The deadlines of all children have passed before the gather starts. */
static void expired_children_never_start(void **state)
{
    struct fixture *f = *state;
    static const int64_t concurrency[] = {INT64_MIN, 1, 2};
    for (size_t c = 0; c < COUNT_OF(concurrency); c++) {
        for (int iterations = 0; iterations < 2; iterations++) {
            struct mock_counts mock_counts = {0};
            struct task_spec late = mock_manual(f, &mock_counts);
            late.options.deadline_ns = MS(1);
            struct task_spec spec = gather_of_copies(f, "all_settled", 5, &late);
            set_integer(&spec, "max_concurrency", concurrency[c]);
            struct waiter w = {0};
            assert_int_equal(submit_received(f, &spec, uv_hrtime() - MS(2), &w), 0);
            if (iterations > 0)
                uv_run(&f->loop, UV_RUN_NOWAIT);
            task_drain(f->runtime);
            wait_until_done(f, &w);
            assert_ended(&w, TASK_SUCCEEDED, 0);
            check_counts(w.task, 0, 5, 0);
            assert_int_equal(mock_counts.started, 0);
            task_release(w.task);
        }
    }
}

static void expired_child_frees_concurrency(void **state)
{
    struct fixture *f = *state;
    struct mock_counts mock_counts = {0};
    struct task_spec late = mock_manual(f, &mock_counts), in_time = mock_manual(f, &mock_counts);
    late.options.deadline_ns = MS(1);
    struct task_spec spec = gather_of(f, "all_settled", 3, (struct task_spec[]){late, late, in_time});
    set_integer(&spec, "max_concurrency", 1);
    struct waiter w = {0};
    assert_int_equal(submit_received(f, &spec, uv_hrtime() - MS(2), &w), 0);
    task_drain(f->runtime);
    assert_int_equal(mock_counts.active, 1);
    end_child_manually(f, &w, 2, 0);
    wait_until_done(f, &w);
    check_counts(w.task, 1, 2, 0);
    task_release(w.task);
}

/* The first child ends before it is detected that the deadline of the second has passed: the first must win. */
static void race_ignores_later_expirations(void **state)
{
    struct fixture *f = *state;
    struct mock_counts mock_counts = {0};
    struct task_spec quick = mock_timed(f, &mock_counts, 0, 0), late = mock_manual(f, &mock_counts);
    late.options.deadline_ns = MS(1);
    struct task_spec spec = gather_of(f, "race", 3, (struct task_spec[]){quick, late, late});
    struct waiter w = {0};
    assert_int_equal(submit_received(f, &spec, uv_hrtime() - MS(2), &w), 0);
    task_drain(f->runtime);
    assert_ended(&w, TASK_SUCCEEDED, 0);
    check_counts(w.task, 1, 2, 0);
    assert_int_equal(output_integer(w.task, "winner"), 0);
    task_release(w.task);
}

/* -- cancellation of children -------------------------------------------------------------------------------------- */

/* A gather with max_concurrency 2 of three children: a mock, a gather with max_concurrency 1 of two mocks, and a gather
 * of two mocks, which cannot start. */
static struct task_spec nested_gather(struct fixture *f, struct mock_counts *mock_counts)
{
    struct task_spec mock = mock_manual(f, mock_counts);
    struct task_spec inner = gather_of_copies(f, "all_settled", 2, &mock), waiting = inner;
    set_integer(&inner, "max_concurrency", 1);
    struct task_spec spec = gather_of(f, "all_settled", 3, (struct task_spec[]){mock, inner, waiting});
    set_integer(&spec, "max_concurrency", 2);
    return spec;
}

static void check_nested_canceled(struct task *gather)
{
    check_counts(gather, 0, 0, 3);
    for (size_t i = 0; i < 3; i++) {
        check_child(gather, i, TASK_CANCELED, ERR_CANCELED);
        check_child_canceled(gather, i, CANCEL_PARENT, i < 2 ? EFFECT_STOPPED : EFFECT_PREVENTED);
    }
    struct task *running = child_at(gather, 1), *waiting = child_at(gather, 2);
    check_counts(running, 0, 0, 2);
    check_child_canceled(running, 0, CANCEL_PARENT, EFFECT_STOPPED);
    check_child_canceled(running, 1, CANCEL_PARENT, EFFECT_PREVENTED);
    assert_null(task_info_of(waiting).output);
    check_child_canceled(waiting, 0, CANCEL_PARENT, EFFECT_PREVENTED);
    check_child_canceled(waiting, 1, CANCEL_PARENT, EFFECT_PREVENTED);
    assert_true(running->ended_ns <= gather->ended_ns && waiting->ended_ns <= gather->ended_ns);
    assert_true(child_at(waiting, 1)->ended_ns <= waiting->ended_ns);
}

/* Fires the task's timer for timeout and deadline now. */
static void fire_limit(struct task *task)
{
    assert_int_not_equal(task->limit_timer.heap_slot, 0);
    timers_stop(&task->runtime->timers, &task->limit_timer);
    task->limit_timer.fire(&task->limit_timer);
}

static void cancellation_propagates_to_children(void **state)
{
    struct fixture *f = *state;
    static const struct {
        enum cancel_reason reason;
        int rc;
    } rows[] = {{CANCEL_CLIENT, ERR_CANCELED},
                {CANCEL_SHUTDOWN, ERR_SHUTTING_DOWN},
                {CANCEL_TIMEOUT, ERR_TIMEOUT},
                {CANCEL_DEADLINE, ERR_DEADLINE_EXCEEDED}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct mock_counts mock_counts = {0};
        struct task_spec spec = nested_gather(f, &mock_counts);
        spec.options.timeout_ns = rows[i].reason == CANCEL_TIMEOUT ? HOUR : 3 * HOUR;
        spec.options.deadline_ns = 2 * HOUR;
        struct waiter w = {0};
        submit_and_drain(f, &spec, &w);
        assert_int_equal(mock_counts.started, 2);
        if (rows[i].reason == CANCEL_CLIENT || rows[i].reason == CANCEL_SHUTDOWN)
            cancel(f, w.task, rows[i].reason);
        else
            fire_limit(w.task);
        task_drain(f->runtime);
        bool fails = rows[i].reason == CANCEL_TIMEOUT || rows[i].reason == CANCEL_DEADLINE;
        assert_ended(&w, fails ? TASK_FAILED : TASK_CANCELED, rows[i].rc);
        assert_int_equal(w.info.cancel_reason, rows[i].reason);
        assert_int_equal(w.info.cancel_effect, EFFECT_STOPPED);
        check_nested_canceled(w.task);
        assert_int_equal(mock_counts.started, 2);
        assert_int_equal(mock_counts.active, 0);
        task_release(w.task);
    }
}

static void canceled_queued_gather_starts_no_child(void **state)
{
    struct fixture *f = *state;
    struct mock_counts mock_counts = {0};
    struct task_spec spec = nested_gather(f, &mock_counts);
    struct waiter w = {0};
    assert_int_equal(submit(f, &spec, &w), 0);
    cancel(f, w.task, CANCEL_CLIENT);
    assert_int_equal(runtime_unfinished(f->runtime), 0);
    task_drain(f->runtime);
    assert_ended(&w, TASK_CANCELED, ERR_CANCELED);
    assert_int_equal(w.info.cancel_effect, EFFECT_PREVENTED);
    assert_null(w.info.output);
    assert_int_equal(mock_counts.started, 0);
    task_release(w.task);
}

/* The children end some time after they are canceled, stopped or successfully. */
static void canceled_gather_waits_for_children(void **state)
{
    struct fixture *f = *state;
    struct mock_counts mock_counts = {0};
    struct task_spec ends_later = mock_manual(f, &mock_counts), slow = mock_manual(f, &mock_counts);
    mock_input_of(&ends_later)->on_cancel = MOCK_END_LATER;
    mock_input_of(&slow)->on_cancel = MOCK_STOP_LATER;
    struct task_spec spec = gather_of(f, "any", 3, (struct task_spec[]){ends_later, slow, ends_later});
    spec = gather_of(f, "all", 1, &spec);
    struct waiter w = {0};
    submit_and_drain(f, &spec, &w);
    struct task *inner = child_at(w.task, 0);
    cancel(f, w.task, CANCEL_CLIENT);
    task_drain(f->runtime);
    assert_int_equal(task_info_of(w.task).state, TASK_CANCELING);
    assert_int_equal(task_info_of(inner).state, TASK_CANCELING);
    mock_end(child_at(inner, 0), 0); /* a success decides mode any, so the cancellation is too late */
    task_drain(f->runtime);
    mock_stop(child_at(inner, 1));
    task_drain(f->runtime);
    assert_int_equal(w.done, 0);
    mock_end(child_at(inner, 2), ERR_INTERNAL);
    task_drain(f->runtime);
    assert_ended(&w, TASK_SUCCEEDED, 0);
    assert_int_equal(w.info.cancel_effect, EFFECT_TOO_LATE);
    check_counts(w.task, 1, 0, 0);
    check_counts(inner, 1, 1, 1);
    assert_int_equal(output_integer(inner, "winner"), 0);
    check_child(inner, 0, TASK_SUCCEEDED, 0);
    check_child_canceled(inner, 0, CANCEL_PARENT, EFFECT_TOO_LATE);
    task_release(w.task);
}

static void child_does_not_inherit_timeout(void **state)
{
    (void)state;
    struct limits limits;
    record_set_defaults(&limits_type, &limits);
    limits.default_timeout_seconds = MS(1);
    struct fixture *f = fixture_new(&limits);
    assert_non_null(f);
    struct task_spec children[] = {sleep_of(f, MS(5)), sleep_of(f, MS(5))};
    children[1].options.timeout_ns = MS(1);
    struct task_spec spec = gather_of(f, "all_settled", 2, children);
    spec.options.timeout_ns = HOUR;
    struct waiter w = {0};
    submit_and_wait(f, &spec, &w);
    assert_ended(&w, TASK_SUCCEEDED, 0);
    check_child(w.task, 0, TASK_SUCCEEDED, 0);
    check_child(w.task, 1, TASK_FAILED, ERR_TIMEOUT);
    check_counts(w.task, 1, 1, 0);
    task_release(w.task);
    assert_true(fixture_free(f));
}

/* -- deadlines below a gather that has not started ----------------------------------------------------------------- */

/* Starts a gather with max_concurrency 1 of a mock and a gather. While that waits, the deadline of its first child
 * passes. */
static void run_with_queued_deadline(struct fixture *f, struct mock_counts *mock_counts, size_t waiting,
                                     struct waiter *w)
{
    struct task_spec mock = mock_manual(f, mock_counts), late[3] = {mock, mock, mock};
    late[0].options.deadline_ns = MS(1);
    struct task_spec inner = gather_of(f, "all_settled", waiting, late);
    struct task_spec spec = gather_of(f, "all_settled", 2, (struct task_spec[]){mock, inner});
    set_integer(&spec, "max_concurrency", 1);
    submit_and_drain(f, &spec, w);
    struct waiter later = {0};
    spec = sleep_of(f, MS(3));
    submit_and_wait(f, &spec, &later);
    task_release(later.task);
    assert_int_equal(mock_counts->started, 1);
    assert_int_equal(w->done, 0);
}

static void child_of_queued_gather_expires(void **state)
{
    struct fixture *f = *state;
    struct mock_counts mock_counts = {0};
    struct waiter w = {0};
    run_with_queued_deadline(f, &mock_counts, 3, &w);
    end_child_manually(f, &w, 0, 0);
    struct task *inner = child_at(w.task, 1);
    assert_int_equal(task_info_of(inner).state, TASK_RUNNING);
    assert_int_equal(mock_counts.started, 3);
    mock_end(child_at(inner, 1), 0);
    mock_end(child_at(inner, 2), 0);
    task_drain(f->runtime);
    wait_until_done(f, &w);
    assert_ended(&w, TASK_SUCCEEDED, 0);
    check_counts(w.task, 2, 0, 0);
    check_counts(inner, 2, 1, 0);
    check_child(inner, 0, TASK_FAILED, ERR_DEADLINE_EXCEEDED);
    check_child_canceled(inner, 0, CANCEL_DEADLINE, EFFECT_PREVENTED);
    task_release(w.task);
}

static void queued_gather_outlives_expired_child(void **state)
{
    struct fixture *f = *state;
    struct mock_counts mock_counts = {0};
    struct waiter w = {0};
    run_with_queued_deadline(f, &mock_counts, 1, &w);
    end_child_manually(f, &w, 0, 0);
    wait_until_done(f, &w);
    assert_ended(&w, TASK_SUCCEEDED, 0);
    check_counts(w.task, 2, 0, 0);
    struct task *inner = child_at(w.task, 1);
    check_child(w.task, 1, TASK_SUCCEEDED, 0);
    check_counts(inner, 0, 1, 0);
    assert_true(task_info_of(inner).pid != 0);
    task_release(w.task);
}

static void cancel_queued_gather_with_expired_child(void **state)
{
    struct fixture *f = *state;
    for (size_t waiting = 1; waiting <= 3; waiting++) {
        struct mock_counts mock_counts = {0};
        struct waiter w = {0};
        run_with_queued_deadline(f, &mock_counts, waiting, &w);
        cancel(f, w.task, CANCEL_CLIENT);
        task_drain(f->runtime);
        assert_ended(&w, TASK_CANCELED, ERR_CANCELED);
        check_counts(w.task, 0, 0, 2);
        assert_int_equal(mock_counts.started, 1);
        task_release(w.task);
    }
}

/* The deadlines of a queued gather and of its child have both passed when the loop first runs. */
static void queued_tree_deadlines_expire_together(void **state)
{
    struct fixture *f = *state;
    struct mock_counts mock_counts = {0};
    for (int order = 0; order < 3; order++) {
        struct task_spec spec = mock_manual(f, &mock_counts);
        spec.options.deadline_ns = MS(2);
        spec = gather_of_copies(f, "all", 2, &spec);
        spec.options.deadline_ns = MS(1 + order);
        struct waiter w = {0};
        assert_int_equal(submit_received(f, &spec, uv_hrtime() - MS(10), &w), 0);
        wait_until_done(f, &w); /* task_drain() was not called, so the timers fire first */
        assert_ended(&w, TASK_FAILED, ERR_DEADLINE_EXCEEDED);
        assert_int_equal(w.info.cancel_effect, EFFECT_PREVENTED);
        task_release(w.task);
    }
    assert_int_equal(mock_counts.started, 0);
}

/* -- size ---------------------------------------------------------------------------------------------------------- */

static void gather_of_100000_children(void **state)
{
    struct fixture *f = *state;
    enum { CHILDREN = 100000 };
    static const char *const modes[] = {"all", "race"};
    static const int64_t concurrency[] = {INT64_MIN, 1};
    for (size_t m = 0; m < COUNT_OF(modes); m++) {
        for (size_t c = 0; c < COUNT_OF(concurrency); c++) {
            struct task_spec spec = sleep_of(f, 0);
            spec = gather_of_copies(f, modes[m], CHILDREN, &spec);
            set_integer(&spec, "max_concurrency", concurrency[c]);
            struct waiter w = {0};
            assert_int_equal(submit(f, &spec, &w), 0);
            assert_int_equal(runtime_unfinished(f->runtime), CHILDREN + 1);
            task_drain(f->runtime);
            assert_ended(&w, TASK_SUCCEEDED, 0);
            if (m == 0)
                check_counts(w.task, CHILDREN, 0, 0);
            else if (c == 1)
                check_counts(w.task, 1, 0, CHILDREN - 1);
            task_release(w.task);
        }
    }

    struct mock_counts mock_counts = {0};
    struct task_spec spec = mock_timed(f, &mock_counts, HOUR, 0);
    spec.options.timeout_ns = HOUR + HOUR; /* each task has two timers: this, and the one that ends the mock */
    spec = gather_of_copies(f, "all", CHILDREN, &spec);
    struct waiter w = {0};
    submit_and_drain(f, &spec, &w);
    assert_int_equal(mock_counts.active, CHILDREN);
    assert_int_equal(started_timers(f), 2 * CHILDREN + 1);
    cancel(f, w.task, CANCEL_CLIENT);
    task_drain(f->runtime);
    assert_ended(&w, TASK_CANCELED, ERR_CANCELED);
    check_counts(w.task, 0, 0, CHILDREN);
    task_release(w.task);
}

static void nested_gathers(void **state)
{
    struct fixture *f = *state;
    enum { DEPTH = 64 }; /* the maximum of max_gather_depth */
    for (int variant = 0; variant < 3; variant++) {
        struct mock_counts mock_counts = {0};
        struct task_spec spec = mock_manual(f, &mock_counts);
        for (int depth = 0; depth < DEPTH; depth++)
            spec = gather_of(f, "all", 1, &spec);
        struct waiter w = {0};
        submit_and_drain(f, &spec, &w);
        assert_int_equal(runtime_unfinished(f->runtime), DEPTH + 1);
        struct task *innermost = w.task;
        while (child_at(innermost, 0) != NULL)
            innermost = child_at(innermost, 0);
        if (variant == 2)
            cancel(f, w.task, CANCEL_CLIENT);
        else
            mock_end(innermost, variant == 0 ? 0 : ERR_INTERNAL);
        task_drain(f->runtime);
        if (variant == 0)
            assert_ended(&w, TASK_SUCCEEDED, 0);
        else if (variant == 1)
            assert_ended(&w, TASK_FAILED, ERR_CHILD_FAILED);
        else
            assert_ended(&w, TASK_CANCELED, ERR_CANCELED);
        check_counts(w.task, variant == 0, variant == 1, variant == 2);
        task_release(w.task);
    }
}

/* -- random trees -------------------------------------------------------------------------------------------------- */

/* Random trees of gathers and mocks are submitted, canceled, ended and timed out at random times. The invariants are
 * checked on the tasks, during the run and at its end, independently of the implementation of gather. */

enum { TREES = 6, CANCEL_TIMERS = 4, TREE_TASKS = 150, TREE_DEPTH = 4 };

struct simulation;

struct cancel_timer {
    struct timer timer;
    struct simulation *simulation;
};

struct simulation {
    struct fixture *f;
    struct prng prng;
    struct waiter waiters[TREES];
    size_t submitted;
    struct cancel_timer cancel_timers[CANCEL_TIMERS];
};

static struct task_spec random_mock(struct simulation *p)
{
    static const int ends[] = {0, 0, 0, 0, ERR_INTERNAL};
    struct prng *prng = &p->prng;
    struct mock_counts *mock_counts = arena_alloc(p->f->arena, sizeof *mock_counts);
    CHECK(mock_counts != NULL);
    uint64_t durations[] = {0, MOCK_MANUAL, 1 + prng_below(prng, MS(2)), 1 + prng_below(prng, MS(1) / 10)};
    struct task_spec spec = mock_timed(p->f, mock_counts, durations[prng_below(prng, COUNT_OF(durations))],
                                       ends[prng_below(prng, COUNT_OF(ends))]);
    mock_input_of(&spec)->on_cancel = (enum mock_cancel)prng_below(prng, MOCK_CANCEL_COUNT);
    mock_input_of(&spec)->cancel_delay_ns = prng_below(prng, 2) ? MOCK_MANUAL : prng_below(prng, MS(1));
    return spec;
}

/* A random mock or gather of at most *left tasks, which are subtracted from *left. */
static struct task_spec random_tree(struct simulation *p, int depth, size_t *left)
{
    static const char *const modes[] = {"all", "all_settled", "any", "race", "quorum"};
    struct prng *prng = &p->prng;
    struct task_spec spec, children[8];
    if (depth == 0 || (depth < TREE_DEPTH && prng_below(prng, 3) > 0)) {
        spec = random_mock(p);
    } else {
        size_t count = 0, max = prng_below(prng, COUNT_OF(children) + 1);
        while (count<max && * left> 0) {
            --*left;
            children[count++] = random_tree(p, depth - 1, left);
        }
        size_t mode = prng_below(prng, count == 0 ? 2 : COUNT_OF(modes));
        spec = gather_of(p->f, modes[mode], count, children);
        if (prng_below(prng, 2) == 0)
            set_integer(&spec, "max_concurrency", 1 + (int64_t)prng_below(prng, 4));
        if (mode == 0 && prng_below(prng, 2) == 0)
            set_integer(&spec, "tolerated_failures", (int64_t)prng_below(prng, 4));
        if (mode == 4)
            set_integer(&spec, "quorum", 1 + (int64_t)prng_below(prng, count));
        CHECK(type_check_rules(spec.function->input, spec.input, &(struct check_error){0}));
    }
    if (prng_below(prng, 6) == 0)
        spec.options.timeout_ns = 1 + prng_below(prng, MS(2));
    if (prng_below(prng, 6) == 0)
        spec.options.deadline_ns = 1 + prng_below(prng, MS(4));
    return spec;
}

static bool has_started(const struct task *task)
{
    return task->started_ns != 0;
}

static size_t unfinished_in(struct task *task)
{
    size_t count = !task_ended(task);
    for (size_t i = 0; i < children_count(task); i++)
        count += unfinished_in(child_at(task, i));
    return count;
}

/* Whether the task is a mock that only mock_end() or mock_stop() can end, because it has no timer. */
static bool needs_manual_end(const struct task *task)
{
    if (task->spec->function != &function_mock)
        return false;
    const struct mock_input *input = task->spec->input;
    if (task->state == TASK_RUNNING || (task->state == TASK_CANCELING && input->on_cancel == MOCK_END_LATER))
        return input->duration_ns == MOCK_MANUAL;
    return task->state == TASK_CANCELING && input->on_cancel == MOCK_STOP_LATER &&
           input->cancel_delay_ns == MOCK_MANUAL;
}

static void end_manually(struct task *task)
{
    const struct mock_input *input = task->spec->input;
    if (task->state == TASK_CANCELING && input->on_cancel == MOCK_STOP_LATER)
        mock_stop(task);
    else
        mock_end(task, input->rc);
}

/* Ends mocks of the tree that need it, each with the probability 1 / one_in. */
static void end_random_mocks(struct simulation *p, struct task *task, uint64_t one_in)
{
    if (needs_manual_end(task) && prng_below(&p->prng, one_in) == 0)
        end_manually(task);
    for (size_t i = 0; i < children_count(task); i++)
        end_random_mocks(p, child_at(task, i), one_in);
}

/* A random task of the tree whose parent has started, so that it may be canceled on its own. */
static struct task *random_task(struct simulation *p, struct task *tree)
{
    struct task *task = tree;
    while (has_started(task) && children_count(task) > 0 && prng_below(&p->prng, 4) > 0)
        task = child_at(task, prng_below(&p->prng, children_count(task)));
    return task;
}

static void cancel_random_tree(struct simulation *p)
{
    if (p->submitted > 0)
        cancel(p->f, p->waiters[prng_below(&p->prng, p->submitted)].task,
               (enum cancel_reason)prng_below(&p->prng, CANCEL_TIMEOUT));
}

static void on_cancel_timer(struct timer *timer)
{
    cancel_random_tree(container_of(timer, struct cancel_timer, timer)->simulation);
}

static void maybe_cancel_another(struct waiter *w)
{
    struct simulation *p = w->user;
    if (prng_below(&p->prng, 2) == 0)
        cancel_random_tree(p);
    if (prng_below(&p->prng, 20) == 0)
        runtime_cancel_all(p->f->runtime);
    task_drain(p->f->runtime);
}

static void submit_random_tree(struct simulation *p)
{
    size_t left = prng_below(&p->prng, TREE_TASKS);
    struct task_spec spec = random_tree(p, TREE_DEPTH, &left);
    struct waiter *w = &p->waiters[p->submitted];
    *w = (struct waiter){.on_done = maybe_cancel_another, .user = p};
    uint64_t received = uv_hrtime() - prng_below(&p->prng, 3) * prng_below(&p->prng, MS(2));
    assert_int_equal(submit_received(p->f, &spec, received, w), 0);
    p->submitted++;
}

static void random_step(struct simulation *p)
{
    struct prng *prng = &p->prng;
    struct waiter *w = p->submitted == 0 ? NULL : &p->waiters[prng_below(prng, p->submitted)];
    switch (prng_below(prng, 10)) {
    case 0:
        if (p->submitted < TREES)
            submit_random_tree(p);
        break;
    case 1:
        if (prng_below(prng, 3) == 0)
            cancel_random_tree(p);
        break;
    case 2:
        if (w != NULL && w->done == 0 && p->f->runtime->ready == NULL) /* ready is NULL: no child is queued */
            task_cancel(random_task(p, w->task), CANCEL_CLIENT);
        break;
    case 3: {
        struct cancel_timer *cancel_timer = &p->cancel_timers[prng_below(prng, CANCEL_TIMERS)];
        timers_start(&p->f->runtime->timers, &cancel_timer->timer, uv_hrtime() + prng_below(prng, MS(2)));
        break;
    }
    case 4:
    case 5:
        if (w != NULL)
            end_random_mocks(p, w->task, 4);
        break;
    case 6:
        uv_run(&p->f->loop, UV_RUN_NOWAIT);
        break;
    default:
        task_drain(p->f->runtime);
        assert_null(p->f->runtime->ready);
        break;
    }
}

static void check_invariants(struct simulation *p)
{
    size_t unfinished = 0;
    for (size_t i = 0; i < p->submitted; i++) {
        unfinished += unfinished_in(p->waiters[i].task);
        assert_true(p->waiters[i].done <= (task_ended(p->waiters[i].task) ? 1 : 0));
    }
    assert_int_equal(runtime_unfinished(p->f->runtime), unfinished);
    assert_int_equal(reserved_timers(p->f), TIMERS_PER_TASK * unfinished + CANCEL_TIMERS);
}

static bool has_manual_mock(struct task *task)
{
    bool found = needs_manual_end(task);
    for (size_t i = 0; i < children_count(task) && !found; i++)
        found = has_manual_mock(child_at(task, i));
    return found;
}

static bool is_blocked_or_idle(const void *of)
{
    const struct simulation *p = of;
    for (size_t i = 0; i < p->submitted; i++)
        if (has_manual_mock(p->waiters[i].task))
            return true;
    return runtime_unfinished(p->f->runtime) == 0 && p->f->runtime->ready == NULL;
}

static void finish_all(struct simulation *p)
{
    while (p->submitted < TREES)
        submit_random_tree(p);
    task_drain(p->f->runtime);
    while (runtime_unfinished(p->f->runtime) > 0) {
        for (size_t i = 0; i < p->submitted; i++)
            end_random_mocks(p, p->waiters[i].task, 2);
        task_drain(p->f->runtime);
        assert_true(run_until(p->f, is_blocked_or_idle, p));
        check_invariants(p);
    }
}

/* Checks the invariants of an ended task. */
static void check_task(const struct task *task)
{
    const struct task_info info = task_info_of(task);
    const struct task_options *options = &task->spec->options;
    assert_true(info.done);
    assert_true(task->received_ns <= task->ended_ns);
    assert_int_equal(info.cancel_requested, info.cancel_completed);
    assert_int_equal(task->limit_timer.heap_slot, 0);
    assert_int_equal(info.rc == 0, info.state == TASK_SUCCEEDED);
    if (has_started(task)) {
        assert_true(task->received_ns <= task->started_ns && task->started_ns <= task->ended_ns);
        assert_true(options->deadline_ns == SECONDS_ABSENT ||
                    task->started_ns < task->received_ns + options->deadline_ns);
        assert_true(!info.cancel_requested || info.cancel_effect != EFFECT_PREVENTED);
    } else {
        assert_true(info.cancel_requested && info.cancel_effect == EFFECT_PREVENTED);
        assert_null(info.output);
    }
    if (info.cancel_requested && info.cancel_effect != EFFECT_TOO_LATE) {
        if (info.cancel_reason == CANCEL_TIMEOUT) {
            assert_true(has_started(task) && info.state == TASK_FAILED && info.rc == ERR_TIMEOUT);
            assert_true(info.duration_ns >= options->timeout_ns);
        } else if (info.cancel_reason == CANCEL_DEADLINE) {
            assert_true(info.state == TASK_FAILED && info.rc == ERR_DEADLINE_EXCEEDED);
            assert_true(task->ended_ns >= task->received_ns + options->deadline_ns);
        } else {
            assert_int_equal(info.state, TASK_CANCELED);
            assert_int_equal(info.rc, info.cancel_reason == CANCEL_SHUTDOWN ? ERR_SHUTTING_DOWN : ERR_CANCELED);
        }
    } else {
        assert_int_not_equal(info.state, TASK_CANCELED);
    }
}

static void check_mock(const struct task *task)
{
    const struct mock_input *input = task->spec->input;
    const struct task_info info = task_info_of(task);
    assert_int_equal(input->mock_counts->started, has_started(task));
    assert_int_equal(input->mock_counts->ended, has_started(task));
    assert_int_equal(input->mock_counts->canceled, has_started(task) && info.cancel_requested);
    if (!info.cancel_requested || info.cancel_effect == EFFECT_TOO_LATE)
        assert_int_equal(info.rc, input->rc);
    if (!info.cancel_requested && input->duration_ns != MOCK_MANUAL)
        assert_true(info.duration_ns >= input->duration_ns);
    assert_int_equal(info.output != NULL, info.state == TASK_SUCCEEDED);
}

/* The maximum number of children that ran at the same time. */
static size_t peak_concurrency(struct task *gather)
{
    size_t max = 0;
    for (size_t i = 0; i < children_count(gather); i++) {
        const struct task *task = child_at(gather, i);
        size_t concurrent = 0; /* children that ran when `task` started, itself included; equal times do not overlap */
        for (size_t j = 0; j < children_count(gather) && has_started(task); j++) {
            const struct task *other = child_at(gather, j);
            concurrent += i == j || (has_started(other) && other->started_ns < task->started_ns &&
                                     other->ended_ns > task->started_ns);
        }
        max = concurrent > max ? concurrent : max;
    }
    return max;
}

static void check_winner(struct task *gather, const char *mode)
{
    int64_t index = output_integer(gather, "winner");
    if (index == INT64_MIN)
        return;
    bool race = strcmp(mode, "race") == 0;
    assert_true(race || strcmp(mode, "any") == 0);
    const struct task *winner = child_at(gather, (size_t)index);
    assert_non_null(winner);
    assert_true(race || winner->state == TASK_SUCCEEDED);
    for (size_t i = 0; i < children_count(gather); i++) { /* no child that could have won ended earlier */
        const struct task *other = child_at(gather, i);
        assert_true(winner->ended_ns <= other->ended_ns || (!race && other->state != TASK_SUCCEEDED));
    }
}

static void check_gather(struct task *gather)
{
    const struct task_info info = task_info_of(gather);
    int64_t total = (int64_t)children_count(gather), succeeded = 0, failed = 0, canceled = 0;
    uint64_t serial = 0;
    for (int64_t i = 0; i < total; i++) {
        const struct task *child = child_at(gather, (size_t)i);
        const struct task_info child_info = task_info_of(child);
        assert_ptr_equal(child->parent, gather);
        assert_int_equal(child_info.index, i);
        assert_true(child->ended_ns <= gather->ended_ns);
        assert_true(!has_started(child) || (has_started(gather) && gather->started_ns <= child->started_ns));
        succeeded += child_info.state == TASK_SUCCEEDED;
        failed += child_info.state == TASK_FAILED;
        canceled += child_info.state == TASK_CANCELED;
        serial += has_started(child) ? child_info.duration_ns : 0;
        if (child_info.cancel_requested && child_info.cancel_reason == CANCEL_PARENT)
            assert_true(info.cancel_requested);
        if (child_info.cancel_requested)
            assert_int_not_equal(child_info.cancel_reason, CANCEL_SHUTDOWN);
    }
    if (!has_started(gather)) {
        assert_true(succeeded == 0 && failed == 0);
        return;
    }
    assert_non_null(info.output);
    check_counts(gather, succeeded, failed, canceled);
    assert_int_equal(output_integer(gather, "counts.total"), total);
    assert_true(output_integer(gather, "serial_seconds") == (int64_t)serial);
    int64_t max = get_integer(gather->spec, "max_concurrency");
    assert_true(max == INT64_MIN || (int64_t)peak_concurrency(gather) <= max);

    bool won = info.state == TASK_SUCCEEDED, lost = info.rc == ERR_CHILD_FAILED;
    static const char *const modes[] = {"all", "all_settled", "any", "race", "quorum"};
    const char *mode = modes[output_integer(gather, "mode")];
    check_winner(gather, mode);
    if (!won && !lost) {
        assert_true(info.cancel_requested);
        return;
    }
    assert_true(!info.cancel_requested || (won && info.cancel_effect == EFFECT_TOO_LATE));
    int64_t quorum = get_integer(gather->spec, "quorum"), tolerated = get_integer(gather->spec, "tolerated_failures");
    if (strcmp(mode, "all") == 0)
        assert_int_equal(won, failed + canceled <= tolerated);
    if (strcmp(mode, "all_settled") == 0)
        assert_true(won);
    if (strcmp(mode, "any") == 0)
        assert_int_equal(won, succeeded > 0);
    if (strcmp(mode, "race") == 0)
        assert_int_equal(won, child_at(gather, (size_t)output_integer(gather, "winner"))->state == TASK_SUCCEEDED);
    if (strcmp(mode, "quorum") == 0)
        assert_true(won ? succeeded >= quorum : failed + canceled > total - quorum);
    if ((won && strcmp(mode, "any") == 0) || strcmp(mode, "race") == 0)
        assert_true(output_integer(gather, "winner") != INT64_MIN);
}

static void check_tree(struct task *task)
{
    check_task(task);
    if (task->spec->function == &function_mock)
        check_mock(task);
    else
        check_gather(task);
    for (size_t i = 0; i < children_count(task); i++)
        check_tree(child_at(task, i));
}

static void simulation(uint64_t seed)
{
    struct simulation *p = calloc(1, sizeof *p);
    assert_non_null(p);
    p->f = fixture_new(NULL);
    assert_non_null(p->f);
    p->prng.state = seed;
    assert_true(timers_reserve(&p->f->runtime->timers, CANCEL_TIMERS));
    for (size_t i = 0; i < CANCEL_TIMERS; i++)
        p->cancel_timers[i] = (struct cancel_timer){.timer.fire = on_cancel_timer, .simulation = p};

    uint64_t steps = prng_below(&p->prng, 200);
    for (uint64_t i = 0; i < steps; i++) {
        random_step(p);
        check_invariants(p);
    }
    finish_all(p);

    for (size_t i = 0; i < CANCEL_TIMERS; i++)
        timers_stop(&p->f->runtime->timers, &p->cancel_timers[i].timer);
    timers_unreserve(&p->f->runtime->timers, CANCEL_TIMERS);
    for (size_t i = 0; i < p->submitted; i++) {
        assert_int_equal(p->waiters[i].done, 1);
        assert_false(p->waiters[i].done_in_call);
        check_tree(p->waiters[i].task);
    }
    for (size_t i = 0; i < p->submitted; i++)
        task_release(p->waiters[i].task);
    assert_true(fixture_free(p->f));
    free(p);
}

/* GATHERD_TEST_SEED=N runs only the seed N, GATHERD_TEST_RUNS=N the seeds 1 to N. */
static void random_gather_trees(void **state)
{
    const char *seed_env = getenv("GATHERD_TEST_SEED"), *count_env = getenv("GATHERD_TEST_RUNS");
    uint64_t first = seed_env == NULL ? 1 : strtoull(seed_env, NULL, 10),
             runs = count_env == NULL ? 300 : strtoull(count_env, NULL, 10);
    uint64_t *seed = *state;
    for (*seed = first; *seed < first + (seed_env == NULL ? runs : 1); ++*seed)
        simulation(*seed);
    *seed = 0;
}

static int seed_setup(void **state)
{
    *state = calloc(1, sizeof(uint64_t));
    return *state == NULL ? -1 : 0;
}

static int seed_teardown(void **state)
{
    const uint64_t *seed = *state;
    if (*seed != 0)
        print_error("random_gather_trees failed with GATHERD_TEST_SEED=%" PRIu64 "\n", *seed);
    free(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(empty_gather_succeeds, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(unsatisfiable_input_is_rejected, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(gather_of_one_child, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(all_succeeds_after_last_child, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(all_fails_fast_and_cancels_siblings, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(all_counts_every_failure, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(all_honors_tolerated_failures, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(all_settled_accepts_failures, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(any_succeeds_on_first_success, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(race_follows_first_completion, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(quorum_resolves_early, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(simultaneous_completions_have_one_winner, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(gather_ends_after_last_child, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(results_keep_input_order, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(max_concurrency_is_not_exceeded, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(children_start_in_order, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(resolved_gather_starts_no_child, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(deadline_expires_before_child_starts, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(expired_children_never_start, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(expired_child_frees_concurrency, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(race_ignores_later_expirations, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(cancellation_propagates_to_children, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(canceled_queued_gather_starts_no_child, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(canceled_gather_waits_for_children, fixture_setup, fixture_teardown),
        cmocka_unit_test(child_does_not_inherit_timeout),
        cmocka_unit_test_setup_teardown(child_of_queued_gather_expires, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(queued_gather_outlives_expired_child, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(cancel_queued_gather_with_expired_child, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(queued_tree_deadlines_expire_together, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(gather_of_100000_children, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(nested_gathers, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(random_gather_trees, seed_setup, seed_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

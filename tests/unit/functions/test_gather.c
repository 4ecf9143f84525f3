/* test_gather - its modes, its limits, and what reaches its children; then whole trees of them, left to chance. */
#include "runtime/lib/check.h"
#include "runtime/types/type_parse.h"
#include "tests/unit/support/loop_function.h"
#include "tests/unit/support/runtime_fixture.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HOUR (3600 * NS_PER_SECOND)

/* -- checks ---------------------------------------------------------------------------------------------------------- */

static void check_counts(const struct task *gather, int64_t succeeded, int64_t failed, int64_t canceled)
{
    assert_int_equal(output_integer(gather, "counts.succeeded"), succeeded);
    assert_int_equal(output_integer(gather, "counts.failed"), failed);
    assert_int_equal(output_integer(gather, "counts.canceled"), canceled);
    assert_int_equal(output_integer(gather, "counts.total"), succeeded + failed + canceled);
}

static void check_ended(const struct watch *w, enum task_state state, int rc)
{
    assert_int_equal(w->done, 1);
    assert_false(w->inside_call);
    assert_int_equal(w->view.state, state);
    assert_int_equal(w->view.rc, rc);
}

static void check_child(struct task *gather, size_t i, enum task_state state, int rc)
{
    struct task_info view = view_of(family_child(gather, i));
    assert_int_equal(view.index, i);
    assert_int_equal(view.state, state);
    assert_int_equal(view.rc, rc);
}

static void check_child_canceled(struct task *gather, size_t i, enum cancel_reason reason, enum cancel_effect effect)
{
    struct task_info view = view_of(family_child(gather, i));
    assert_true(view.cancel_requested && view.cancel_completed);
    assert_int_equal(view.cancel_reason, reason);
    assert_int_equal(view.cancel_effect, effect);
}

/* Submits it and lets it start. */
static void run(struct fixture *f, const struct task_spec *spec, struct watch *w)
{
    assert_int_equal(submit(f, spec, w), 0);
    task_drain(f->runtime);
}

/* Ends the child by hand, and lets the gather know. */
static void end_child(struct fixture *f, struct watch *w, size_t i, int rc)
{
    probe_end(family_child(w->task, i), rc);
    task_drain(f->runtime);
}

/* A running gather of this many probes, which end by hand. */
static void run_by_hand(struct fixture *f, struct tally *tally, const char *mode, size_t count, struct watch *w)
{
    struct task_spec probe = probe_by_hand(f, tally);
    struct task_spec gather = gather_of_copies(f, mode, count, &probe);
    run(f, &gather, w);
    assert_int_equal(w->done, 0);
}

/* -- modes ----------------------------------------------------------------------------------------------------------- */

static void of_nothing_succeeds_at_once(void **state)
{
    struct fixture *f = *state;
    static const char *const modes[] = {"all", "all_settled"};
    for (size_t i = 0; i < COUNT_OF(modes); i++) {
        struct task_spec spec = gather_of(f, modes[i], 0, NULL);
        struct watch w = {0};
        run(f, &spec, &w);
        check_ended(&w, TASK_SUCCEEDED, 0);
        check_counts(w.task, 0, 0, 0);
        assert_int_equal(output_integer(w.task, "winner"), INT64_MIN);
        assert_int_equal(output_integer(w.task, "serial_seconds"), 0);
        task_release(w.task);
    }
}

static void what_cannot_be_won_is_refused(void **state)
{
    struct fixture *f = *state;
    struct tally tally = {0};
    struct task_spec probe = probe_by_hand(f, &tally);
    static const struct {
        const char *mode;
        size_t count;
        int64_t quorum, tolerated;
        const char *pointer; /* NULL: it is fine */
    } rows[] = {
        {"all", 0, INT64_MIN, 0, NULL},
        {"all_settled", 0, INT64_MIN, 0, NULL},
        {"any", 0, INT64_MIN, 0, "/tasks"},
        {"race", 0, INT64_MIN, 0, "/tasks"},
        {"quorum", 0, 1, 0, "/tasks"},
        {"quorum", 3, INT64_MIN, 0, "/quorum"},
        {"quorum", 3, 4, 0, "/quorum"},
        {"quorum", 3, INT32_MAX, 0, "/quorum"},
        {"quorum", 3, 3, 0, NULL},
        {"quorum", 3, 1, 0, NULL},
        {"all", 3, 1, 0, "/quorum"},
        {"any", 3, 1, 0, "/quorum"},
        {"all", 3, INT64_MIN, 5, NULL},
        {"any", 3, INT64_MIN, 1, "/tolerated_failures"},
        {"quorum", 3, 2, 1, "/tolerated_failures"},
        {"all_settled", 3, INT64_MIN, 1, "/tolerated_failures"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct task_spec spec = gather_of_copies(f, rows[i].mode, rows[i].count, &probe);
        set_integer(&spec, "quorum", rows[i].quorum);
        set_integer(&spec, "tolerated_failures", rows[i].tolerated);
        struct check_error check_error = {0};
        assert_int_equal(spec.function->input->check(spec.input, &check_error), rows[i].pointer == NULL);
        assert_string_equal(check_error.pointer, rows[i].pointer == NULL ? "" : rows[i].pointer);
        assert_int_equal(check_error.detail[0] == '\0', rows[i].pointer == NULL);
    }
}

static void one_child_is_nothing_special(void **state)
{
    struct fixture *f = *state;
    static const char *const modes[] = {"all", "all_settled", "any", "race", "quorum"};
    for (size_t i = 0; i < COUNT_OF(modes); i++) {
        for (int rc = ERR_INTERNAL; rc <= 0; rc -= ERR_INTERNAL) {
            struct tally tally = {0};
            struct task_spec spec = probe_by_hand(f, &tally);
            spec = gather_of(f, modes[i], 1, &spec);
            if (strcmp(modes[i], "quorum") == 0)
                set_integer(&spec, "quorum", 1);
            struct watch w = {0};
            run(f, &spec, &w);
            end_child(f, &w, 0, rc);
            bool wins = rc == 0 || strcmp(modes[i], "all_settled") == 0;
            check_ended(&w, wins ? TASK_SUCCEEDED : TASK_FAILED, wins ? 0 : ERR_CHILD_FAILED);
            check_counts(w.task, rc == 0, rc != 0, 0);
            assert_false(view_of(family_child(w.task, 0)).cancel_requested);
            task_release(w.task);
        }
    }
}

static void all_succeeds_with_its_last_child(void **state)
{
    struct fixture *f = *state;
    struct tally tally = {0};
    struct watch w = {0};
    run_by_hand(f, &tally, "all", 3, &w);
    end_child(f, &w, 2, 0);
    end_child(f, &w, 0, 0);
    assert_int_equal(w.done, 0);
    assert_null(view_of(w.task).output);
    end_child(f, &w, 1, 0);
    check_ended(&w, TASK_SUCCEEDED, 0);
    check_counts(w.task, 3, 0, 0);
    assert_null(w.view.detail);
    task_release(w.task);
}

static void all_fails_with_the_first_failure_and_cancels_the_rest(void **state)
{
    struct fixture *f = *state;
    struct tally tally = {0};
    struct watch w = {0};
    run_by_hand(f, &tally, "all", 4, &w);
    end_child(f, &w, 3, 0);
    end_child(f, &w, 1, ERR_INTERNAL);
    check_ended(&w, TASK_FAILED, ERR_CHILD_FAILED);
    check_counts(w.task, 1, 1, 2);
    assert_int_equal(output_integer(w.task, "winner"), INT64_MIN);
    check_child(w.task, 0, TASK_CANCELED, ERR_CANCELED);
    check_child(w.task, 1, TASK_FAILED, ERR_INTERNAL);
    check_child(w.task, 2, TASK_CANCELED, ERR_CANCELED);
    check_child(w.task, 3, TASK_SUCCEEDED, 0);
    check_child_canceled(w.task, 0, CANCEL_SIBLING, EFFECT_STOPPED);
    assert_false(view_of(family_child(w.task, 3)).cancel_requested);
    assert_non_null(w.view.detail);
    assert_false(w.view.cancel_requested);
    task_release(w.task);
}

static void all_lists_every_failure(void **state)
{
    struct fixture *f = *state;
    struct tally tally = {0};
    struct watch w = {0};
    run_by_hand(f, &tally, "all", 4, &w);
    probe_end(family_child(w.task, 0), ERR_INTERNAL); /* three at once, before the gather hears of the first */
    probe_end(family_child(w.task, 2), ERR_INVALID);
    probe_end(family_child(w.task, 3), ERR_TIMEOUT);
    task_drain(f->runtime);
    check_ended(&w, TASK_FAILED, ERR_CHILD_FAILED);
    check_counts(w.task, 0, 3, 1);
    assert_string_equal(w.view.detail,
                        "Mode all was lost (of 4 tasks 0 succeeded, 3 failed, 1 canceled); task 0 failed "
                        "first: Something went wrong inside gatherd");
    check_child(w.task, 0, TASK_FAILED, ERR_INTERNAL);
    check_child(w.task, 2, TASK_FAILED, ERR_INVALID);
    check_child(w.task, 3, TASK_FAILED, ERR_TIMEOUT);
    task_release(w.task);
}

static void all_tolerates_as_many_failures_as_it_was_told(void **state)
{
    struct fixture *f = *state;
    for (int64_t tolerated = 0; tolerated <= 4; tolerated++) {
        for (int64_t failures = 0; failures <= 4; failures++) {
            struct tally tally = {0};
            struct task_spec spec = probe_by_hand(f, &tally);
            spec = gather_of_copies(f, "all", 4, &spec);
            set_integer(&spec, "tolerated_failures", tolerated);
            struct watch w = {0};
            run(f, &spec, &w);
            int64_t ended = 0;
            while (w.done == 0) {
                end_child(f, &w, (size_t)ended, ended < failures ? ERR_INTERNAL : 0);
                ended++;
            }
            bool wins = failures <= tolerated;
            check_ended(&w, wins ? TASK_SUCCEEDED : TASK_FAILED, wins ? 0 : ERR_CHILD_FAILED);
            if (wins)
                check_counts(w.task, 4 - failures, failures, 0);
            else
                check_counts(w.task, 0, tolerated + 1, 4 - tolerated - 1);
            task_release(w.task);
        }
    }
}

static void all_settled_takes_what_comes(void **state)
{
    struct fixture *f = *state;
    struct tally tally = {0};
    struct watch w = {0};
    run_by_hand(f, &tally, "all_settled", 4, &w);
    end_child(f, &w, 0, ERR_INTERNAL);
    end_child(f, &w, 2, 0);
    end_child(f, &w, 3, ERR_INVALID);
    assert_int_equal(w.done, 0);
    assert_int_equal(tally.canceled, 0);
    end_child(f, &w, 1, 0);
    check_ended(&w, TASK_SUCCEEDED, 0);
    check_counts(w.task, 2, 2, 0);
    task_release(w.task);

    struct watch hopeless = {0};
    run_by_hand(f, &tally, "all_settled", 2, &hopeless);
    end_child(f, &hopeless, 0, ERR_INTERNAL);
    end_child(f, &hopeless, 1, ERR_INTERNAL);
    check_ended(&hopeless, TASK_SUCCEEDED, 0);
    task_release(hopeless.task);
}

static void any_is_won_by_the_first_success(void **state)
{
    struct fixture *f = *state;
    struct tally tally = {0};
    struct watch w = {0};
    run_by_hand(f, &tally, "any", 4, &w);
    end_child(f, &w, 3, ERR_INTERNAL);
    assert_int_equal(w.done, 0);
    end_child(f, &w, 2, 0);
    check_ended(&w, TASK_SUCCEEDED, 0);
    check_counts(w.task, 1, 1, 2);
    assert_int_equal(output_integer(w.task, "winner"), 2);
    task_release(w.task);

    struct watch hopeless = {0};
    run_by_hand(f, &tally, "any", 3, &hopeless);
    for (size_t i = 0; i < 3; i++)
        end_child(f, &hopeless, i, ERR_INTERNAL);
    check_ended(&hopeless, TASK_FAILED, ERR_CHILD_FAILED);
    check_counts(hopeless.task, 0, 3, 0);
    assert_int_equal(output_integer(hopeless.task, "winner"), INT64_MIN);
    task_release(hopeless.task);
}

static void race_is_decided_by_the_first_end(void **state)
{
    struct fixture *f = *state;
    for (int rc = ERR_INTERNAL; rc <= 0; rc -= ERR_INTERNAL) {
        struct tally tally = {0};
        struct watch w = {0};
        run_by_hand(f, &tally, "race", 3, &w);
        end_child(f, &w, 1, rc);
        check_ended(&w, rc == 0 ? TASK_SUCCEEDED : TASK_FAILED, rc == 0 ? 0 : ERR_CHILD_FAILED);
        check_counts(w.task, rc == 0, rc != 0, 2);
        assert_int_equal(output_integer(w.task, "winner"), 1);
        task_release(w.task);
    }
}

static void quorum_is_won_and_lost_as_early_as_it_can_be(void **state)
{
    struct fixture *f = *state;
    enum { CHILDREN = 5 };
    for (int64_t quorum = 1; quorum <= CHILDREN; quorum++) {
        for (unsigned failing = 0; failing < 1U << CHILDREN; failing++) { /* each child's end, as a bit */
            struct tally tally = {0};
            struct task_spec spec = probe_by_hand(f, &tally);
            spec = gather_of_copies(f, "quorum", CHILDREN, &spec);
            set_integer(&spec, "quorum", quorum);
            struct watch w = {0};
            run(f, &spec, &w);
            int64_t succeeded = 0, failed = 0;
            while (succeeded < quorum && failed <= CHILDREN - quorum) {
                size_t i = (size_t)(succeeded + failed);
                assert_int_equal(w.done, 0);
                end_child(f, &w, i, failing >> i & 1 ? ERR_INTERNAL : 0);
                succeeded += !(failing >> i & 1);
                failed += failing >> i & 1;
            }
            bool wins = succeeded == quorum;
            check_ended(&w, wins ? TASK_SUCCEEDED : TASK_FAILED, wins ? 0 : ERR_CHILD_FAILED);
            check_counts(w.task, succeeded, failed, CHILDREN - succeeded - failed);
            assert_int_equal(output_integer(w.task, "quorum"), quorum);
            assert_int_equal(output_integer(w.task, "winner"), INT64_MIN);
            task_release(w.task);
        }
    }
}

/* All ends come at the same moment, before the gather hears of the first. */
static void there_is_exactly_one_winner(void **state)
{
    struct fixture *f = *state;
    static const char *const modes[] = {"any", "race"};
    for (size_t m = 0; m < COUNT_OF(modes); m++) {
        struct tally tally = {0};
        struct watch w = {0};
        run_by_hand(f, &tally, modes[m], 10, &w);
        for (size_t i = 10; i-- > 0;)
            probe_end(family_child(w.task, i), 0);
        task_drain(f->runtime);
        check_ended(&w, TASK_SUCCEEDED, 0);
        check_counts(w.task, 10, 0, 0); /* nobody was canceled who had ended */
        assert_int_equal(output_integer(w.task, "winner"), 9);
        task_release(w.task);
    }
}

/* The gather is decided, but a child takes its time: it is waited for. */
static void it_ends_after_its_last_child(void **state)
{
    struct fixture *f = *state;
    struct tally tally = {0};
    for (enum probe_cancel on_cancel = 0; on_cancel < PROBE_CANCELS; on_cancel++) {
        struct task_spec slow = probe_by_hand(f, &tally), quick = probe_by_hand(f, &tally);
        probe_of(&slow)->on_cancel = on_cancel;
        struct task_spec spec = gather_of(f, "any", 2, (struct task_spec[]){slow, quick});
        struct watch w = {0};
        run(f, &spec, &w);
        end_child(f, &w, 1, 0);
        struct task *child = family_child(w.task, 0);
        if (on_cancel == PROBE_STOPS_LATER || on_cancel == PROBE_ENDS_LATER) {
            assert_int_equal(w.done, 0);
            assert_int_equal(view_of(w.task).state, TASK_RUNNING);
            assert_int_equal(view_of(child).state, TASK_CANCELING);
            if (on_cancel == PROBE_STOPS_LATER)
                probe_stop(child);
            else
                probe_end(child, 0);
            task_drain(f->runtime);
        }
        bool stopped = on_cancel == PROBE_STOPS || on_cancel == PROBE_STOPS_LATER;
        check_ended(&w, TASK_SUCCEEDED, 0);
        check_counts(w.task, stopped ? 1 : 2, 0, stopped ? 1 : 0);
        check_child_canceled(w.task, 0, CANCEL_SIBLING, stopped ? EFFECT_STOPPED : EFFECT_TOO_LATE);
        assert_int_equal(output_integer(w.task, "winner"), 1);
        assert_true(child->ended_ns <= w.task->ended_ns);
        task_release(w.task);
    }
}

static void results_come_in_the_order_of_the_input(void **state)
{
    struct fixture *f = *state;
    enum { CHILDREN = 200 };
    struct dice dice = {7};
    struct task_spec children[CHILDREN];
    uint64_t durations[CHILDREN];
    for (size_t i = 0; i < CHILDREN; i++) {
        durations[i] = dice_roll(&dice, MS(4));
        children[i] = sleep_of(f, durations[i]);
    }
    struct task_spec spec = gather_of(f, "all", CHILDREN, children);
    struct watch w = {0};
    run(f, &spec, &w);
    assert_true(run_until(f, watch_is_done, &w));
    check_ended(&w, TASK_SUCCEEDED, 0);
    uint64_t serial = 0;
    for (size_t i = 0; i < CHILDREN; i++) {
        struct task *child = family_child(w.task, i);
        check_child(w.task, i, TASK_SUCCEEDED, 0);
        assert_true((uint64_t)output_integer(child, "slept_seconds") >= durations[i]);
        serial += view_of(child).duration_ns;
    }
    assert_true(output_integer(w.task, "serial_seconds") == (int64_t)serial);
    task_release(w.task);
}

/* -- max_concurrency -------------------------------------------------------------------------------------------------- */

static void no_more_than_max_concurrency_run(void **state)
{
    struct fixture *f = *state;
    for (int64_t most = 1; most <= 9; most += 2) {
        struct tally tally = {0};
        struct dice dice = {(uint64_t)most};
        struct task_spec children[50];
        for (size_t i = 0; i < COUNT_OF(children); i++)
            children[i] = probe_after(f, &tally, dice_roll(&dice, 2) * dice_roll(&dice, MS(1)), 0);
        struct task_spec spec = gather_of(f, "all", COUNT_OF(children), children);
        set_integer(&spec, "max_concurrency", most);
        struct watch w = {0};
        run(f, &spec, &w);
        assert_true(run_until(f, watch_is_done, &w));
        check_ended(&w, TASK_SUCCEEDED, 0);
        assert_int_equal(tally.ended, 50);
        assert_true(tally.most_active <= (size_t)most);
        task_release(w.task);
    }
}

static void turns_come_in_order_and_as_soon_as_one_ends(void **state)
{
    struct fixture *f = *state;
    struct tally tally = {0};
    struct task_spec spec = probe_by_hand(f, &tally);
    spec = gather_of_copies(f, "all_settled", 5, &spec);
    set_integer(&spec, "max_concurrency", 2);
    struct watch w = {0};
    run(f, &spec, &w);
    static const size_t ends[] = {1, 0, 2, 4, 3}; /* who ends, turn by turn */
    for (size_t turn = 0; turn < 5; turn++) {
        size_t begun = turn + 2 < 5 ? turn + 2 : 5;
        assert_int_equal(tally.started, begun);
        assert_int_equal(tally.active, begun - turn);
        for (size_t i = begun; i < 5; i++) {
            struct task_info view = view_of(family_child(w.task, i));
            assert_int_equal(view.state, TASK_SUBMITTED);
            assert_int_equal(view.pid, 0);
        }
        end_child(f, &w, ends[turn], turn % 2 ? ERR_INTERNAL : 0);
    }
    check_ended(&w, TASK_SUCCEEDED, 0);
    check_counts(w.task, 3, 2, 0);
    task_release(w.task);
}

static void a_decided_gather_starts_nobody(void **state)
{
    struct fixture *f = *state;
    struct tally tally = {0};
    struct task_spec spec = probe_by_hand(f, &tally);
    probe_of(&spec)->on_cancel = PROBE_STOPS_LATER;
    spec = gather_of_copies(f, "all", 10, &spec);
    set_integer(&spec, "max_concurrency", 2);
    struct watch w = {0};
    run(f, &spec, &w);
    end_child(f, &w, 0, ERR_INTERNAL); /* decides it, and makes room for another one */
    assert_int_equal(tally.started, 2);
    for (size_t i = 2; i < 10; i++)
        check_child_canceled(w.task, i, CANCEL_SIBLING, EFFECT_PREVENTED);
    assert_int_equal(w.done, 0);
    probe_stop(family_child(w.task, 1));
    task_drain(f->runtime);
    check_ended(&w, TASK_FAILED, ERR_CHILD_FAILED);
    check_counts(w.task, 0, 1, 9);
    assert_int_equal(tally.started, 2);
    task_release(w.task);
}

/* Their time is up before their turn has come. The one that runs keeps the only place; then the last one has its turn. */
static void a_deadline_may_pass_before_the_turn(void **state)
{
    struct fixture *f = *state;
    struct tally tally = {0};
    struct task_spec children[5];
    for (size_t i = 0; i < COUNT_OF(children); i++) {
        children[i] = probe_by_hand(f, &tally);
        children[i].options.timeout_ns = HOUR; /* says nothing about one that never starts */
        if (i >= 1 && i <= 3)
            children[i].options.deadline_ns = MS(i);
    }
    struct task_spec spec = gather_of(f, "all_settled", COUNT_OF(children), children);
    set_integer(&spec, "max_concurrency", 1);
    struct watch w = {0}, later = {0};
    run(f, &spec, &w);
    spec = sleep_of(f, MS(5));
    run(f, &spec, &later);
    assert_true(run_until(f, watch_is_done, &later));
    for (size_t i = 1; i <= 3; i++) {
        check_child(w.task, i, TASK_FAILED, ERR_DEADLINE_EXCEEDED);
        check_child_canceled(w.task, i, CANCEL_DEADLINE, EFFECT_PREVENTED);
    }
    assert_int_equal(tally.started, 1);
    assert_int_equal(w.done, 0);
    end_child(f, &w, 0, 0);
    assert_int_equal(tally.started, 2);
    end_child(f, &w, 4, 0);
    check_ended(&w, TASK_SUCCEEDED, 0);
    check_counts(w.task, 2, 3, 0);
    task_release(w.task);
    task_release(later.task);
}

/* All time was up before the gather itself started. */
static void children_received_too_late_never_start(void **state)
{
    struct fixture *f = *state;
    static const int64_t concurrency[] = {INT64_MIN, 1, 2};
    for (size_t c = 0; c < COUNT_OF(concurrency); c++) {
        for (int turns = 0; turns < 2; turns++) {
            struct tally tally = {0};
            struct task_spec late = probe_by_hand(f, &tally);
            late.options.deadline_ns = MS(1);
            struct task_spec spec = gather_of_copies(f, "all_settled", 5, &late);
            set_integer(&spec, "max_concurrency", concurrency[c]);
            struct watch w = {0};
            assert_int_equal(submit_received(f, &spec, uv_hrtime() - MS(2), &w), 0);
            if (turns > 0)
                uv_run(&f->loop, UV_RUN_NOWAIT);
            task_drain(f->runtime);
            assert_true(run_until(f, watch_is_done, &w));
            check_ended(&w, TASK_SUCCEEDED, 0);
            check_counts(w.task, 0, 5, 0);
            assert_int_equal(tally.started, 0);
            task_release(w.task);
        }
    }
}

static void who_expired_in_the_queue_takes_no_place(void **state)
{
    struct fixture *f = *state;
    struct tally tally = {0};
    struct task_spec late = probe_by_hand(f, &tally), in_time = probe_by_hand(f, &tally);
    late.options.deadline_ns = MS(1);
    struct task_spec spec = gather_of(f, "all_settled", 3, (struct task_spec[]){late, late, in_time});
    set_integer(&spec, "max_concurrency", 1);
    struct watch w = {0};
    assert_int_equal(submit_received(f, &spec, uv_hrtime() - MS(2), &w), 0);
    task_drain(f->runtime);
    assert_int_equal(tally.active, 1);
    end_child(f, &w, 2, 0);
    assert_true(run_until(f, watch_is_done, &w));
    check_counts(w.task, 1, 2, 0);
    task_release(w.task);
}

/* The first ended before the second was found to be too late: that it was found later in the queue must not matter. */
static void the_first_end_wins_though_others_expired_in_the_queue(void **state)
{
    struct fixture *f = *state;
    struct tally tally = {0};
    struct task_spec quick = probe_after(f, &tally, 0, 0), late = probe_by_hand(f, &tally);
    late.options.deadline_ns = MS(1);
    struct task_spec spec = gather_of(f, "race", 3, (struct task_spec[]){quick, late, late});
    struct watch w = {0};
    assert_int_equal(submit_received(f, &spec, uv_hrtime() - MS(2), &w), 0);
    task_drain(f->runtime);
    check_ended(&w, TASK_SUCCEEDED, 0);
    check_counts(w.task, 1, 2, 0);
    assert_int_equal(output_integer(w.task, "winner"), 0);
    task_release(w.task);
}

/* -- what reaches the children ----------------------------------------------------------------------------------------- */

/* A gather of: a running probe, a running gather of a running and a waiting probe, and a waiting gather of two probes. */
static struct task_spec family_of_three(struct fixture *f, struct tally *tally)
{
    struct task_spec probe = probe_by_hand(f, tally);
    struct task_spec inner = gather_of_copies(f, "all_settled", 2, &probe), waiting = inner;
    set_integer(&inner, "max_concurrency", 1);
    struct task_spec spec = gather_of(f, "all_settled", 3, (struct task_spec[]){probe, inner, waiting});
    set_integer(&spec, "max_concurrency", 2);
    return spec;
}

static void check_family_canceled(struct task *gather)
{
    check_counts(gather, 0, 0, 3);
    for (size_t i = 0; i < 3; i++) {
        check_child(gather, i, TASK_CANCELED, ERR_CANCELED);
        check_child_canceled(gather, i, CANCEL_PARENT, i < 2 ? EFFECT_STOPPED : EFFECT_PREVENTED);
    }
    struct task *running = family_child(gather, 1), *waiting = family_child(gather, 2);
    check_counts(running, 0, 0, 2);
    check_child_canceled(running, 0, CANCEL_PARENT, EFFECT_STOPPED);
    check_child_canceled(running, 1, CANCEL_PARENT, EFFECT_PREVENTED);
    assert_null(view_of(waiting).output);
    check_child_canceled(waiting, 0, CANCEL_PARENT, EFFECT_PREVENTED);
    check_child_canceled(waiting, 1, CANCEL_PARENT, EFFECT_PREVENTED);
    assert_true(running->ended_ns <= gather->ended_ns && waiting->ended_ns <= gather->ended_ns);
    assert_true(family_child(waiting, 1)->ended_ns <= waiting->ended_ns);
}

/* As if its timeout or deadline, the earlier of them, were over. */
static void pass_limit(struct task *task)
{
    assert_int_not_equal(task->limit_timer.heap_slot, 0);
    timers_stop(&task->runtime->timers, &task->limit_timer);
    task->limit_timer.fire(&task->limit_timer);
}

static void cancel_timeout_and_deadline_reach_all_children(void **state)
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
        struct tally tally = {0};
        struct task_spec spec = family_of_three(f, &tally);
        spec.options.timeout_ns = rows[i].reason == CANCEL_TIMEOUT ? HOUR : 3 * HOUR;
        spec.options.deadline_ns = 2 * HOUR;
        struct watch w = {0};
        run(f, &spec, &w);
        assert_int_equal(tally.started, 2);
        if (rows[i].reason == CANCEL_CLIENT || rows[i].reason == CANCEL_SHUTDOWN)
            cancel(f, w.task, rows[i].reason);
        else
            pass_limit(w.task);
        task_drain(f->runtime);
        bool fails = rows[i].reason == CANCEL_TIMEOUT || rows[i].reason == CANCEL_DEADLINE;
        check_ended(&w, fails ? TASK_FAILED : TASK_CANCELED, rows[i].rc);
        assert_int_equal(w.view.cancel_reason, rows[i].reason);
        assert_int_equal(w.view.cancel_effect, EFFECT_STOPPED);
        check_family_canceled(w.task);
        assert_int_equal(tally.started, 2);
        assert_int_equal(tally.active, 0);
        task_release(w.task);
    }
}

static void canceled_while_queued_nothing_below_starts(void **state)
{
    struct fixture *f = *state;
    struct tally tally = {0};
    struct task_spec spec = family_of_three(f, &tally);
    struct watch w = {0};
    assert_int_equal(submit(f, &spec, &w), 0);
    cancel(f, w.task, CANCEL_CLIENT);
    assert_int_equal(runtime_unfinished(f->runtime), 0);
    task_drain(f->runtime);
    check_ended(&w, TASK_CANCELED, ERR_CANCELED);
    assert_int_equal(w.view.cancel_effect, EFFECT_PREVENTED);
    assert_null(w.view.output);
    assert_int_equal(tally.started, 0);
    task_release(w.task);
}

/* Children that answer a cancel later, or have an answer after all. */
static void a_canceled_gather_waits_for_its_children(void **state)
{
    struct fixture *f = *state;
    struct tally tally = {0};
    struct task_spec stubborn = probe_by_hand(f, &tally), slow = probe_by_hand(f, &tally);
    probe_of(&stubborn)->on_cancel = PROBE_ENDS_LATER;
    probe_of(&slow)->on_cancel = PROBE_STOPS_LATER;
    struct task_spec spec = gather_of(f, "any", 3, (struct task_spec[]){stubborn, slow, stubborn});
    spec = gather_of(f, "all", 1, &spec);
    struct watch w = {0};
    run(f, &spec, &w);
    struct task *inner = family_child(w.task, 0);
    cancel(f, w.task, CANCEL_CLIENT);
    task_drain(f->runtime);
    assert_int_equal(view_of(w.task).state, TASK_CANCELING);
    assert_int_equal(view_of(inner).state, TASK_CANCELING);
    probe_end(family_child(inner, 0), 0); /* a success, which is what mode any is after: the cancel came too late */
    task_drain(f->runtime);
    probe_stop(family_child(inner, 1));
    task_drain(f->runtime);
    assert_int_equal(w.done, 0);
    probe_end(family_child(inner, 2), ERR_INTERNAL);
    task_drain(f->runtime);
    check_ended(&w, TASK_SUCCEEDED, 0);
    assert_int_equal(w.view.cancel_effect, EFFECT_TOO_LATE);
    check_counts(w.task, 1, 0, 0);
    check_counts(inner, 1, 1, 1);
    assert_int_equal(output_integer(inner, "winner"), 0);
    check_child(inner, 0, TASK_SUCCEEDED, 0);
    check_child_canceled(inner, 0, CANCEL_PARENT, EFFECT_TOO_LATE);
    task_release(w.task);
}

static void a_child_has_no_limits_but_its_own(void **state)
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
    struct watch w = {0};
    run(f, &spec, &w);
    assert_true(run_until(f, watch_is_done, &w));
    check_ended(&w, TASK_SUCCEEDED, 0);
    check_child(w.task, 0, TASK_SUCCEEDED, 0);
    check_child(w.task, 1, TASK_FAILED, ERR_TIMEOUT);
    check_counts(w.task, 1, 1, 0);
    task_release(w.task);
    assert_true(fixture_free(f));
}

/* -- deadlines below a gather that has not started --------------------------------------------------------------------- */

/* The only place is taken; behind it waits a gather, whose first child has a deadline that passes meanwhile. */
static void run_with_a_deadline_in_waiting(struct fixture *f, struct tally *tally, size_t waiting, struct watch *w)
{
    struct task_spec probe = probe_by_hand(f, tally), late[3] = {probe, probe, probe};
    late[0].options.deadline_ns = MS(1);
    struct task_spec inner = gather_of(f, "all_settled", waiting, late);
    struct task_spec spec = gather_of(f, "all_settled", 2, (struct task_spec[]){probe, inner});
    set_integer(&spec, "max_concurrency", 1);
    run(f, &spec, w);
    struct watch later = {0};
    spec = sleep_of(f, MS(3));
    run(f, &spec, &later);
    assert_true(run_until(f, watch_is_done, &later));
    task_release(later.task);
    assert_int_equal(tally->started, 1);
    assert_int_equal(w->done, 0);
}

static void a_waiting_gathers_child_may_expire(void **state)
{
    struct fixture *f = *state;
    struct tally tally = {0};
    struct watch w = {0};
    run_with_a_deadline_in_waiting(f, &tally, 3, &w);
    end_child(f, &w, 0, 0);
    struct task *inner = family_child(w.task, 1);
    assert_int_equal(view_of(inner).state, TASK_RUNNING);
    assert_int_equal(tally.started, 3);
    probe_end(family_child(inner, 1), 0);
    probe_end(family_child(inner, 2), 0);
    task_drain(f->runtime);
    assert_true(run_until(f, watch_is_done, &w));
    check_ended(&w, TASK_SUCCEEDED, 0);
    check_counts(w.task, 2, 0, 0);
    check_counts(inner, 2, 1, 0);
    check_child(inner, 0, TASK_FAILED, ERR_DEADLINE_EXCEEDED);
    check_child_canceled(inner, 0, CANCEL_DEADLINE, EFFECT_PREVENTED);
    task_release(w.task);
}

static void a_waiting_gather_outlives_its_only_child(void **state)
{
    struct fixture *f = *state;
    struct tally tally = {0};
    struct watch w = {0};
    run_with_a_deadline_in_waiting(f, &tally, 1, &w);
    end_child(f, &w, 0, 0);
    assert_true(run_until(f, watch_is_done, &w));
    check_ended(&w, TASK_SUCCEEDED, 0);
    check_counts(w.task, 2, 0, 0);
    struct task *inner = family_child(w.task, 1);
    check_child(w.task, 1, TASK_SUCCEEDED, 0);
    check_counts(inner, 0, 1, 0);
    assert_true(view_of(inner).pid != 0);
    task_release(w.task);
}

static void a_waiting_gather_with_an_expired_child_can_be_canceled(void **state)
{
    struct fixture *f = *state;
    for (size_t waiting = 1; waiting <= 3; waiting++) {
        struct tally tally = {0};
        struct watch w = {0};
        run_with_a_deadline_in_waiting(f, &tally, waiting, &w);
        cancel(f, w.task, CANCEL_CLIENT);
        task_drain(f->runtime);
        check_ended(&w, TASK_CANCELED, ERR_CANCELED);
        check_counts(w.task, 0, 0, 2);
        assert_int_equal(tally.started, 1);
        task_release(w.task);
    }
}

/* A gather's deadline and its child's, both long over when the loop has its first turn. */
static void all_deadlines_of_a_queued_tree_pass_at_once(void **state)
{
    struct fixture *f = *state;
    struct tally tally = {0};
    for (int order = 0; order < 3; order++) {
        struct task_spec spec = probe_by_hand(f, &tally);
        spec.options.deadline_ns = MS(2);
        spec = gather_of_copies(f, "all", 2, &spec);
        spec.options.deadline_ns = MS(1 + order);
        struct watch w = {0};
        assert_int_equal(submit_received(f, &spec, uv_hrtime() - MS(10), &w), 0);
        assert_true(run_until(f, watch_is_done, &w)); /* without a drain, the first callback is the timers' */
        check_ended(&w, TASK_FAILED, ERR_DEADLINE_EXCEEDED);
        assert_int_equal(w.view.cancel_effect, EFFECT_PREVENTED);
        task_release(w.task);
    }
    assert_int_equal(tally.started, 0);
}

/* -- size ------------------------------------------------------------------------------------------------------------ */

static void a_hundred_thousand_children(void **state)
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
            struct watch w = {0};
            assert_int_equal(submit(f, &spec, &w), 0);
            assert_int_equal(runtime_unfinished(f->runtime), CHILDREN + 1);
            task_drain(f->runtime);
            check_ended(&w, TASK_SUCCEEDED, 0);
            if (m == 0)
                check_counts(w.task, CHILDREN, 0, 0);
            else if (c == 1)
                check_counts(w.task, 1, 0, CHILDREN - 1);
            task_release(w.task);
        }
    }

    struct tally tally = {0};
    struct task_spec spec = probe_after(f, &tally, HOUR, 0);
    spec.options.timeout_ns = HOUR + HOUR; /* two timers for each */
    spec = gather_of_copies(f, "all", CHILDREN, &spec);
    struct watch w = {0};
    run(f, &spec, &w);
    assert_int_equal(tally.active, CHILDREN);
    assert_int_equal(running_timers(f), 2 * CHILDREN + 1);
    cancel(f, w.task, CANCEL_CLIENT);
    task_drain(f->runtime);
    check_ended(&w, TASK_CANCELED, ERR_CANCELED);
    check_counts(w.task, 0, 0, CHILDREN);
    task_release(w.task);
}

static void gathers_in_gathers(void **state)
{
    struct fixture *f = *state;
    enum { DEPTH = 64 }; /* as deep as the limit can be set */
    for (int how = 0; how < 3; how++) {
        struct tally tally = {0};
        struct task_spec spec = probe_by_hand(f, &tally);
        for (int depth = 0; depth < DEPTH; depth++)
            spec = gather_of(f, "all", 1, &spec);
        struct watch w = {0};
        run(f, &spec, &w);
        assert_int_equal(runtime_unfinished(f->runtime), DEPTH + 1);
        struct task *innermost = w.task;
        while (family_child(innermost, 0) != NULL)
            innermost = family_child(innermost, 0);
        if (how == 2)
            cancel(f, w.task, CANCEL_CLIENT);
        else
            probe_end(innermost, how == 0 ? 0 : ERR_INTERNAL);
        task_drain(f->runtime);
        if (how == 0)
            check_ended(&w, TASK_SUCCEEDED, 0);
        else if (how == 1)
            check_ended(&w, TASK_FAILED, ERR_CHILD_FAILED);
        else
            check_ended(&w, TASK_CANCELED, ERR_CANCELED);
        check_counts(w.task, how == 0, how == 1, how == 2);
        task_release(w.task);
    }
}

/* -- trees left to chance ------------------------------------------------------------------------------------------------
 *
 * Random trees of gathers and probes are submitted, canceled, ended by hand and timed out at random moments. What must
 * hold at each moment and at the end is checked on the tasks themselves, by rules that know nothing of how gather works.
 */

enum { TREES = 6, ALARMS = 4, TREE_TASKS = 150, TREE_DEPTH = 4 };

struct play;

struct alarm {
    struct timer timer;
    struct play *play;
};

struct play {
    struct fixture *f;
    struct dice dice;
    struct watch watches[TREES];
    size_t submitted;
    struct alarm alarms[ALARMS];
};

static struct task_spec random_probe(struct play *p)
{
    static const int ends[] = {0, 0, 0, 0, ERR_INTERNAL};
    struct dice *d = &p->dice;
    struct tally *tally = arena_alloc(p->f->arena, sizeof *tally);
    CHECK(tally != NULL);
    uint64_t durations[] = {0, BY_HAND, 1 + dice_roll(d, MS(2)), 1 + dice_roll(d, MS(1) / 10)};
    struct task_spec spec =
        probe_after(p->f, tally, durations[dice_roll(d, COUNT_OF(durations))], ends[dice_roll(d, COUNT_OF(ends))]);
    probe_of(&spec)->on_cancel = (enum probe_cancel)dice_roll(d, PROBE_CANCELS);
    probe_of(&spec)->linger_ns = dice_roll(d, 2) ? BY_HAND : dice_roll(d, MS(1));
    return spec;
}

/* A gather that its check() lets pass, with at most *left tasks in it, of which it takes what it uses. */
static struct task_spec random_tree(struct play *p, int depth, size_t *left)
{
    static const char *const modes[] = {"all", "all_settled", "any", "race", "quorum"};
    struct dice *d = &p->dice;
    struct task_spec spec, children[8];
    if (depth == 0 || (depth < TREE_DEPTH && dice_roll(d, 3) > 0)) {
        spec = random_probe(p);
    } else {
        size_t count = 0, most = dice_roll(d, COUNT_OF(children) + 1);
        while (count<most && * left> 0) {
            --*left;
            children[count++] = random_tree(p, depth - 1, left);
        }
        size_t mode = dice_roll(d, count == 0 ? 2 : COUNT_OF(modes));
        spec = gather_of(p->f, modes[mode], count, children);
        if (dice_roll(d, 2) == 0)
            set_integer(&spec, "max_concurrency", 1 + (int64_t)dice_roll(d, 4));
        if (mode == 0 && dice_roll(d, 2) == 0)
            set_integer(&spec, "tolerated_failures", (int64_t)dice_roll(d, 4));
        if (mode == 4)
            set_integer(&spec, "quorum", 1 + (int64_t)dice_roll(d, count));
        CHECK(spec.function->input->check(spec.input, &(struct check_error){0}));
    }
    if (dice_roll(d, 6) == 0)
        spec.options.timeout_ns = 1 + dice_roll(d, MS(2));
    if (dice_roll(d, 6) == 0)
        spec.options.deadline_ns = 1 + dice_roll(d, MS(4));
    return spec;
}

static bool has_started(const struct task *task)
{
    return task->started_ns != 0;
}

static size_t unfinished_in(struct task *task)
{
    size_t count = !task_ended(task);
    for (size_t i = 0; i < family_size(task); i++)
        count += unfinished_in(family_child(task, i));
    return count;
}

/* Waits for no timer, so that only probe_end() or probe_stop() helps. */
static bool needs_a_hand(const struct task *task)
{
    if (task->spec->function != &function_probe)
        return false;
    const struct probe_input *input = task->spec->input;
    if (task->state == TASK_RUNNING || (task->state == TASK_CANCELING && input->on_cancel == PROBE_ENDS_LATER))
        return input->duration_ns == BY_HAND;
    return task->state == TASK_CANCELING && input->on_cancel == PROBE_STOPS_LATER && input->linger_ns == BY_HAND;
}

static void lend_a_hand(struct task *task)
{
    const struct probe_input *input = task->spec->input;
    if (task->state == TASK_CANCELING && input->on_cancel == PROBE_STOPS_LATER)
        probe_stop(task);
    else
        probe_end(task, input->rc);
}

/* Ends, of the probes that wait for a hand, one in `one_in`. */
static void lend_hands(struct play *p, struct task *task, uint64_t one_in)
{
    if (needs_a_hand(task) && dice_roll(&p->dice, one_in) == 0)
        lend_a_hand(task);
    for (size_t i = 0; i < family_size(task); i++)
        lend_hands(p, family_child(task, i), one_in);
}

/* A task of the tree whose parent has started, and which may therefore be canceled by itself. */
static struct task *random_task(struct play *p, struct task *tree)
{
    struct task *task = tree;
    while (has_started(task) && family_size(task) > 0 && dice_roll(&p->dice, 4) > 0)
        task = family_child(task, dice_roll(&p->dice, family_size(task)));
    return task;
}

static void cancel_a_tree(struct play *p)
{
    if (p->submitted > 0)
        cancel(p->f, p->watches[dice_roll(&p->dice, p->submitted)].task,
               (enum cancel_reason)dice_roll(&p->dice, CANCEL_TIMEOUT));
}

static void on_alarm(struct timer *timer)
{
    cancel_a_tree(container_of(timer, struct alarm, timer)->play);
}

static void sometimes_cancel_another(struct watch *w)
{
    struct play *p = w->user;
    if (dice_roll(&p->dice, 2) == 0)
        cancel_a_tree(p);
    if (dice_roll(&p->dice, 20) == 0)
        runtime_cancel_all(p->f->runtime);
    task_drain(p->f->runtime);
}

static void submit_a_tree(struct play *p)
{
    size_t left = dice_roll(&p->dice, TREE_TASKS);
    struct task_spec spec = random_tree(p, TREE_DEPTH, &left);
    struct watch *w = &p->watches[p->submitted];
    *w = (struct watch){.then = sometimes_cancel_another, .user = p};
    uint64_t received = uv_hrtime() - dice_roll(&p->dice, 3) * dice_roll(&p->dice, MS(2));
    assert_int_equal(submit_received(p->f, &spec, received, w), 0);
    p->submitted++;
}

static void make_a_move(struct play *p)
{
    struct dice *d = &p->dice;
    struct watch *w = p->submitted == 0 ? NULL : &p->watches[dice_roll(d, p->submitted)];
    switch (dice_roll(d, 10)) {
    case 0:
        if (p->submitted < TREES)
            submit_a_tree(p);
        break;
    case 1:
        if (dice_roll(d, 3) == 0)
            cancel_a_tree(p);
        break;
    case 2:
        if (w != NULL && w->done == 0 && p->f->runtime->ready == NULL) /* then no child is queued */
            task_cancel(random_task(p, w->task), CANCEL_CLIENT);
        break;
    case 3: {
        struct alarm *alarm = &p->alarms[dice_roll(d, ALARMS)];
        timers_start(&p->f->runtime->timers, &alarm->timer, uv_hrtime() + dice_roll(d, MS(2)));
        break;
    }
    case 4:
    case 5:
        if (w != NULL)
            lend_hands(p, w->task, 4);
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

static void check_moment(struct play *p)
{
    size_t unfinished = 0;
    for (size_t i = 0; i < p->submitted; i++) {
        unfinished += unfinished_in(p->watches[i].task);
        assert_true(p->watches[i].done <= (task_ended(p->watches[i].task) ? 1 : 0));
    }
    assert_int_equal(runtime_unfinished(p->f->runtime), unfinished);
    assert_int_equal(reserved_timers(p->f), TIMERS_PER_TASK * unfinished + ALARMS);
}

static bool look_for_hands(struct task *task)
{
    bool found = needs_a_hand(task);
    for (size_t i = 0; i < family_size(task) && !found; i++)
        found = look_for_hands(family_child(task, i));
    return found;
}

static bool cannot_go_on_alone(const void *of)
{
    const struct play *p = of;
    for (size_t i = 0; i < p->submitted; i++)
        if (look_for_hands(p->watches[i].task))
            return true;
    return runtime_unfinished(p->f->runtime) == 0 && p->f->runtime->ready == NULL;
}

static void bring_to_an_end(struct play *p)
{
    while (p->submitted < TREES)
        submit_a_tree(p);
    task_drain(p->f->runtime);
    while (runtime_unfinished(p->f->runtime) > 0) {
        for (size_t i = 0; i < p->submitted; i++)
            lend_hands(p, p->watches[i].task, 2);
        task_drain(p->f->runtime);
        assert_true(run_until(p->f, cannot_go_on_alone, p));
        check_moment(p);
    }
}

/* What is true of any task that has ended. */
static void check_task(const struct task *task)
{
    const struct task_info view = view_of(task);
    const struct task_options *options = &task->spec->options;
    assert_true(view.done);
    assert_true(task->received_ns <= task->ended_ns);
    assert_int_equal(view.cancel_requested, view.cancel_completed);
    assert_int_equal(task->limit_timer.heap_slot, 0);
    assert_int_equal(view.rc == 0, view.state == TASK_SUCCEEDED);
    if (has_started(task)) {
        assert_true(task->received_ns <= task->started_ns && task->started_ns <= task->ended_ns);
        assert_true(options->deadline_ns == SECONDS_ABSENT ||
                    task->started_ns < task->received_ns + options->deadline_ns);
        assert_true(!view.cancel_requested || view.cancel_effect != EFFECT_PREVENTED);
    } else {
        assert_true(view.cancel_requested && view.cancel_effect == EFFECT_PREVENTED);
        assert_null(view.output);
    }
    if (view.cancel_requested && view.cancel_effect != EFFECT_TOO_LATE) {
        if (view.cancel_reason == CANCEL_TIMEOUT) {
            assert_true(has_started(task) && view.state == TASK_FAILED && view.rc == ERR_TIMEOUT);
            assert_true(view.duration_ns >= options->timeout_ns);
        } else if (view.cancel_reason == CANCEL_DEADLINE) {
            assert_true(view.state == TASK_FAILED && view.rc == ERR_DEADLINE_EXCEEDED);
            assert_true(task->ended_ns >= task->received_ns + options->deadline_ns);
        } else {
            assert_int_equal(view.state, TASK_CANCELED);
            assert_int_equal(view.rc, view.cancel_reason == CANCEL_SHUTDOWN ? ERR_SHUTTING_DOWN : ERR_CANCELED);
        }
    } else {
        assert_int_not_equal(view.state, TASK_CANCELED);
    }
}

static void check_probe(const struct task *task)
{
    const struct probe_input *input = task->spec->input;
    const struct task_info view = view_of(task);
    assert_int_equal(input->tally->started, has_started(task));
    assert_int_equal(input->tally->ended, has_started(task));
    assert_int_equal(input->tally->canceled, has_started(task) && view.cancel_requested);
    if (!view.cancel_requested || view.cancel_effect == EFFECT_TOO_LATE)
        assert_int_equal(view.rc, input->rc);
    if (!view.cancel_requested && input->duration_ns != BY_HAND)
        assert_true(view.duration_ns >= input->duration_ns);
    assert_int_equal(view.output != NULL, view.state == TASK_SUCCEEDED);
}

/* The most children that had started and not ended at the same time. */
static size_t most_at_once(struct task *gather)
{
    size_t most = 0;
    for (size_t i = 0; i < family_size(gather); i++) {
        const struct task *one = family_child(gather, i);
        size_t beside =
            0; /* running when this one started, itself included; equal times count as one after the other */
        for (size_t j = 0; j < family_size(gather) && has_started(one); j++) {
            const struct task *other = family_child(gather, j);
            beside += i == j ||
                      (has_started(other) && other->started_ns < one->started_ns && other->ended_ns > one->started_ns);
        }
        most = beside > most ? beside : most;
    }
    return most;
}

static void check_winner(struct task *gather, const char *mode)
{
    int64_t index = output_integer(gather, "winner");
    if (index == INT64_MIN)
        return;
    bool race = strcmp(mode, "race") == 0;
    assert_true(race || strcmp(mode, "any") == 0);
    const struct task *winner = family_child(gather, (size_t)index);
    assert_non_null(winner);
    assert_true(race || winner->state == TASK_SUCCEEDED);
    for (size_t i = 0; i < family_size(gather); i++) { /* nobody who could have won was earlier */
        const struct task *other = family_child(gather, i);
        assert_true(winner->ended_ns <= other->ended_ns || (!race && other->state != TASK_SUCCEEDED));
    }
}

static void check_gather(struct task *gather)
{
    const struct task_info view = view_of(gather);
    int64_t total = (int64_t)family_size(gather), succeeded = 0, failed = 0, canceled = 0;
    uint64_t serial = 0;
    for (int64_t i = 0; i < total; i++) {
        const struct task *child = family_child(gather, (size_t)i);
        const struct task_info its = view_of(child);
        assert_ptr_equal(child->parent, gather);
        assert_int_equal(its.index, i);
        assert_true(child->ended_ns <= gather->ended_ns);
        assert_true(!has_started(child) || (has_started(gather) && gather->started_ns <= child->started_ns));
        succeeded += its.state == TASK_SUCCEEDED;
        failed += its.state == TASK_FAILED;
        canceled += its.state == TASK_CANCELED;
        serial += has_started(child) ? its.duration_ns : 0;
        if (its.cancel_requested && its.cancel_reason == CANCEL_PARENT)
            assert_true(view.cancel_requested);
        if (its.cancel_requested)
            assert_int_not_equal(its.cancel_reason, CANCEL_SHUTDOWN);
    }
    if (!has_started(gather)) {
        assert_true(succeeded == 0 && failed == 0);
        return;
    }
    assert_non_null(view.output);
    check_counts(gather, succeeded, failed, canceled);
    assert_int_equal(output_integer(gather, "counts.total"), total);
    assert_true(output_integer(gather, "serial_seconds") == (int64_t)serial);
    int64_t most = get_integer(gather->spec, "max_concurrency");
    assert_true(most == INT64_MIN || (int64_t)most_at_once(gather) <= most);

    bool won = view.state == TASK_SUCCEEDED, lost = view.rc == ERR_CHILD_FAILED;
    static const char *const modes[] = {"all", "all_settled", "any", "race", "quorum"};
    const char *mode = modes[output_integer(gather, "mode")];
    check_winner(gather, mode);
    if (!won && !lost) {
        assert_true(view.cancel_requested);
        return;
    }
    assert_true(!view.cancel_requested || (won && view.cancel_effect == EFFECT_TOO_LATE));
    int64_t quorum = get_integer(gather->spec, "quorum"), tolerated = get_integer(gather->spec, "tolerated_failures");
    if (strcmp(mode, "all") == 0)
        assert_int_equal(won, failed + canceled <= tolerated);
    if (strcmp(mode, "all_settled") == 0)
        assert_true(won);
    if (strcmp(mode, "any") == 0)
        assert_int_equal(won, succeeded > 0);
    if (strcmp(mode, "race") == 0)
        assert_int_equal(won, family_child(gather, (size_t)output_integer(gather, "winner"))->state == TASK_SUCCEEDED);
    if (strcmp(mode, "quorum") == 0)
        assert_true(won ? succeeded >= quorum : failed + canceled > total - quorum);
    if ((won && strcmp(mode, "any") == 0) || strcmp(mode, "race") == 0)
        assert_true(output_integer(gather, "winner") != INT64_MIN);
}

static void check_tree(struct task *task)
{
    check_task(task);
    if (task->spec->function == &function_probe)
        check_probe(task);
    else
        check_gather(task);
    for (size_t i = 0; i < family_size(task); i++)
        check_tree(family_child(task, i));
}

static void play(uint64_t seed)
{
    struct play *p = calloc(1, sizeof *p);
    assert_non_null(p);
    p->f = fixture_new(NULL);
    assert_non_null(p->f);
    p->dice.state = seed;
    assert_true(timers_reserve(&p->f->runtime->timers, ALARMS));
    for (size_t i = 0; i < ALARMS; i++)
        p->alarms[i] = (struct alarm){.timer.fire = on_alarm, .play = p};

    uint64_t moves = dice_roll(&p->dice, 200);
    for (uint64_t i = 0; i < moves; i++) {
        make_a_move(p);
        check_moment(p);
    }
    bring_to_an_end(p);

    for (size_t i = 0; i < ALARMS; i++)
        timers_stop(&p->f->runtime->timers, &p->alarms[i].timer);
    timers_unreserve(&p->f->runtime->timers, ALARMS);
    for (size_t i = 0; i < p->submitted; i++) {
        assert_int_equal(p->watches[i].done, 1);
        assert_false(p->watches[i].inside_call);
        check_tree(p->watches[i].task);
    }
    for (size_t i = 0; i < p->submitted; i++)
        task_release(p->watches[i].task);
    assert_true(fixture_free(p->f));
    free(p);
}

/* GATHERD_TEST_SEED=<number> plays that game only, GATHERD_TEST_GAMES=<number> that many. */
static void trees_left_to_chance(void **state)
{
    const char *only = getenv("GATHERD_TEST_SEED"), *many = getenv("GATHERD_TEST_GAMES");
    uint64_t first = only == NULL ? 1 : strtoull(only, NULL, 10), games = many == NULL ? 300 : strtoull(many, NULL, 10);
    uint64_t *seed = *state;
    for (*seed = first; *seed < first + (only == NULL ? games : 1); ++*seed)
        play(*seed);
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
        print_error("it was the game with GATHERD_TEST_SEED=%" PRIu64 "\n", *seed);
    free(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(of_nothing_succeeds_at_once, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_won_is_refused, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(one_child_is_nothing_special, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(all_succeeds_with_its_last_child, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(all_fails_with_the_first_failure_and_cancels_the_rest, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(all_lists_every_failure, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(all_tolerates_as_many_failures_as_it_was_told, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(all_settled_takes_what_comes, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(any_is_won_by_the_first_success, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(race_is_decided_by_the_first_end, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(quorum_is_won_and_lost_as_early_as_it_can_be, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(there_is_exactly_one_winner, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(it_ends_after_its_last_child, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(results_come_in_the_order_of_the_input, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(no_more_than_max_concurrency_run, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(turns_come_in_order_and_as_soon_as_one_ends, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_decided_gather_starts_nobody, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_deadline_may_pass_before_the_turn, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(children_received_too_late_never_start, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(who_expired_in_the_queue_takes_no_place, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(the_first_end_wins_though_others_expired_in_the_queue, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(cancel_timeout_and_deadline_reach_all_children, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(canceled_while_queued_nothing_below_starts, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_canceled_gather_waits_for_its_children, fixture_setup, fixture_teardown),
        cmocka_unit_test(a_child_has_no_limits_but_its_own),
        cmocka_unit_test_setup_teardown(a_waiting_gathers_child_may_expire, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_waiting_gather_outlives_its_only_child, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_waiting_gather_with_an_expired_child_can_be_canceled, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(all_deadlines_of_a_queued_tree_pass_at_once, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_hundred_thousand_children, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(gathers_in_gathers, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(trees_left_to_chance, seed_setup, seed_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

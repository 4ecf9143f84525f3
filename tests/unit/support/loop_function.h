/* loop_function - a mock function of the loop: its input says when and how it ends, and how it reacts to a
 * cancellation.
 *
 * Owns:     nothing; its calls are counted in the test's struct mock_counts.
 */
#ifndef GATHERD_TESTS_UNIT_SUPPORT_LOOP_FUNCTION_H
#define GATHERD_TESTS_UNIT_SUPPORT_LOOP_FUNCTION_H

#include "tests/unit/support/runtime_fixture.h"

#define MOCK_MANUAL UINT64_MAX /* as a duration: until the test calls mock_end() or mock_stop() */

/* Reaction to a cancellation. */
enum mock_cancel {
    MOCK_STOP,       /* ends at once, as stopped */
    MOCK_STOP_LATER, /* ends after cancel_delay_ns, as stopped */
    MOCK_END,        /* ends at once with rc; the cancellation is too late */
    MOCK_END_LATER,  /* ends after its duration with rc; the cancellation is too late */
    MOCK_CANCEL_COUNT
};

struct mock_counts {
    size_t started, ended, canceled;
    size_t active, max_active; /* mocks that have started and not ended, and their maximum */
};

struct mock_input {
    uint64_t duration_ns;     /* 0: ends inside start() */
    uint64_t cancel_delay_ns; /* for MOCK_STOP_LATER */
    int rc;                   /* with which it ends unless it is stopped */
    enum mock_cancel on_cancel;
    struct mock_counts *mock_counts; /* borrowed; not NULL */
};

extern const struct function function_mock;

/* A mock with the duration MOCK_MANUAL, rc 0 and MOCK_STOP. The test may change *mock_input_of(&spec). */
struct task_spec mock_manual(struct fixture *f, struct mock_counts *mock_counts);

/* A mock that ends after duration_ns with rc. */
struct task_spec mock_timed(struct fixture *f, struct mock_counts *mock_counts, uint64_t duration_ns, int rc);

struct mock_input *mock_input_of(struct task_spec *spec);

/* End a running or canceling mock: with rc, or as stopped. They do not call task_drain(). */
void mock_end(struct task *task, int rc);
void mock_stop(struct task *task);

#endif

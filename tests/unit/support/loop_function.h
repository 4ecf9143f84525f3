/* loop_function - a mock function of the loop: the test sets when and how it ends, and how it reacts to a cancel.
 *
 * Owns:     nothing; events are counted in the test's struct mock_counts.
 */
#ifndef GATHERD_TESTS_UNIT_SUPPORT_LOOP_FUNCTION_H
#define GATHERD_TESTS_UNIT_SUPPORT_LOOP_FUNCTION_H

#include "tests/unit/support/runtime_fixture.h"

#define MOCK_MANUAL UINT64_MAX /* as duration: until mock_end() or mock_stop() */

enum mock_cancel {
    MOCK_STOP,       /* ends at once: stopped */
    MOCK_STOP_LATER, /* ends after cancel_delay_ns: stopped */
    MOCK_END,        /* ends normally at once: too late */
    MOCK_END_LATER,  /* ends normally after its duration: too late */
    MOCK_CANCEL_COUNT
};

struct mock_counts {
    size_t started, ended, canceled;
    size_t active, max_active; /* at the same time */
};

struct mock_input {
    uint64_t duration_ns; /* 0: ends inside start() */
    uint64_t cancel_delay_ns;
    int rc; /* of a normal end */
    enum mock_cancel on_cancel;
    struct mock_counts *mock_counts; /* borrowed; not NULL */
};

extern const struct function function_mock;

/* MOCK_MANUAL, success, MOCK_STOP; the test changes *mock_input_of(&spec) as needed. */
struct task_spec mock_manual(struct fixture *f, struct mock_counts *mock_counts);

/* Ends after duration_ns with rc. */
struct task_spec mock_timed(struct fixture *f, struct mock_counts *mock_counts, uint64_t duration_ns, int rc);

struct mock_input *mock_input_of(struct task_spec *spec);

/* Ends a running or canceling mock: normally, or as stopped. Does not drain. */
void mock_end(struct task *task, int rc);
void mock_stop(struct task *task);

#endif

/* loop_function - a function that does as the test says: when it ends, how, and what it makes of a cancel.
 *
 * Owns:     nothing; what happened to its tasks is counted in the mock_counts the test gives them.
 */
#ifndef GATHERD_TESTS_UNIT_SUPPORT_LOOP_FUNCTION_H
#define GATHERD_TESTS_UNIT_SUPPORT_LOOP_FUNCTION_H

#include "tests/unit/support/runtime_fixture.h"

#define MOCK_MANUAL UINT64_MAX /* for a duration: until mock_end() or mock_stop() */

enum mock_cancel {
    MOCK_STOP,       /* ends at once, and says "stopped" */
    MOCK_STOP_LATER, /* ends after cancel_delay_ns, and says "stopped" */
    MOCK_END,        /* ends by itself at once: too late */
    MOCK_END_LATER,  /* goes on to its own end: too late */
    MOCK_CANCEL_COUNT
};

struct mock_counts {
    size_t started, ended, canceled;
    size_t active, max_active; /* at the same time */
};

struct mock_input {
    uint64_t duration_ns; /* 0: it ends inside start() */
    uint64_t cancel_delay_ns;
    int rc; /* how it ends by itself */
    enum mock_cancel on_cancel;
    struct mock_counts *mock_counts; /* the test's; not NULL */
};

extern const struct function function_mock;

/* A probe that ends by hand, succeeds, and stops at once; what is to be different is set in *mock_input_of(&spec). */
struct task_spec mock_manual(struct fixture *f, struct mock_counts *mock_counts);

/* One that ends after duration_ns with rc. */
struct task_spec mock_timed(struct fixture *f, struct mock_counts *mock_counts, uint64_t duration_ns, int rc);

struct mock_input *mock_input_of(struct task_spec *spec);

/* The work of a running or canceling probe ends now: by itself, or because it was canceled. No drain. */
void mock_end(struct task *task, int rc);
void mock_stop(struct task *task);

#endif

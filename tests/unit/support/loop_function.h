/* loop_function - a function that does as the test says: when it ends, how, and what it makes of a cancel.
 *
 * Owns:     nothing; what happened to its tasks is counted in the tally the test gives them.
 */
#ifndef GATHERD_TESTS_UNIT_SUPPORT_LOOP_FUNCTION_H
#define GATHERD_TESTS_UNIT_SUPPORT_LOOP_FUNCTION_H

#include "tests/unit/support/runtime_fixture.h"

#define BY_HAND UINT64_MAX /* for a duration: until probe_end() or probe_stop() */

enum probe_cancel {
    PROBE_STOPS,       /* ends at once, and says "stopped" */
    PROBE_STOPS_LATER, /* ends after linger_ns, and says "stopped" */
    PROBE_ENDS,        /* ends by itself at once: too late */
    PROBE_ENDS_LATER,  /* goes on to its own end: too late */
    PROBE_CANCELS
};

struct tally {
    size_t started, ended, canceled;
    size_t active, most_active; /* at the same time */
};

struct probe_input {
    uint64_t duration_ns; /* 0: it ends inside start() */
    uint64_t linger_ns;
    int rc; /* how it ends by itself */
    enum probe_cancel on_cancel;
    struct tally *tally; /* the test's; not NULL */
};

extern const struct function function_probe;

/* A probe that ends by hand, succeeds, and stops at once; what is to be different is set in *probe_of(&spec). */
struct task_spec probe_by_hand(struct fixture *f, struct tally *tally);

/* One that ends after duration_ns with rc. */
struct task_spec probe_after(struct fixture *f, struct tally *tally, uint64_t duration_ns, int rc);

struct probe_input *probe_of(struct task_spec *spec);

/* The work of a running or canceling probe ends now: by itself, or because it was canceled. No drain. */
void probe_end(struct task *task, int rc);
void probe_stop(struct task *task);

#endif

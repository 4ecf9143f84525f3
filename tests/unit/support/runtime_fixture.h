/* runtime_fixture - a loop with a runtime; helpers that build and submit specs, and run the loop until a condition
 * holds.
 *
 * Owns:     the loop, the runtime, and the arena of the next spec.
 * Threads:  one.
 * Note:     cmocka's asserts call longjmp(3), so the fixture does not use them: its callbacks record, and the test
 *           checks.
 */
#ifndef GATHERD_TESTS_UNIT_SUPPORT_RUNTIME_FIXTURE_H
#define GATHERD_TESTS_UNIT_SUPPORT_RUNTIME_FIXTURE_H

#include "runtime/executors/pool.h"
#include "runtime/runtime.h"
#include "runtime/task/admission.h"
#include "runtime/task/task_internal.h"

#define MS(n) ((uint64_t)(n)*NS_PER_MS)

struct fixture {
    uv_loop_t loop;
    uv_timer_t timeout_timer; /* bounds run_until() */
    bool timed_out;
    struct runtime *runtime;
    struct arena *arena; /* for specs; the next submit() takes it and makes a new one */
    bool in_call;        /* inside submit() or cancel() */
    size_t done_calls;   /* of all waiters */
};

/* A runtime with these limits; NULL: the default limits. Returns NULL on failure. */
struct fixture *fixture_new(const struct limits *limits);

/* A runtime with this configuration, except config->loop, which is ignored. Returns NULL on failure. */
struct fixture *fixture_start(const struct runtime_config *config);

/* False: the test leaked tasks, timers, jobs or handles. */
bool fixture_free(struct fixture *f);

/* For cmocka: sets *state to a fixture with the default limits. */
int fixture_setup(void **state);
int fixture_teardown(void **state);

/* Runs the loop until condition(of) returns true. False: the loop has no active handles any more, or a minute has
 * passed. */
bool run_until(struct fixture *f, bool (*condition)(const void *of), const void *of);

/* Conditions for run_until(); `of` is the fixture. */
bool no_abandoned_jobs(const void *of);
bool loop_is_finished(const void *of); /* no active handle or request */

/* Runs the loop until all tasks have ended. False as for run_until(). */
bool run_until_idle(struct fixture *f);

/* Records the end of one submitted task. */
struct waiter {
    struct fixture *fixture;
    struct task *task;
    int done;                          /* calls of `done` */
    bool done_in_call;                 /* `done` was called from inside submit() or cancel() */
    size_t completion_index;           /* number of this call of `done` among those of all waiters, from 1 */
    struct task_info info;             /* as it was when `done` was called */
    void (*on_done)(struct waiter *w); /* called by `done`; may be NULL */
    void *user;                        /* for on_done */
};
bool waiter_is_done(const void *waiter); /* a condition for run_until() */

/* An on_done that releases the task and closes the runtime. */
void waiter_close_runtime(struct waiter *w);

/* The `done` callback, for tests that do not use submit(). */
void waiter_done(struct task *task, void *waiter);

/* Submit a copy of `spec`, whose input is in f->arena; the time of receipt is now, or received_ns. Return the result of
 * task_submit(). */
int submit(struct fixture *f, const struct task_spec *spec, struct waiter *w);
int submit_received(struct fixture *f, const struct task_spec *spec, uint64_t received_ns, struct waiter *w);

/* task_cancel() with f->in_call set. */
void cancel(struct fixture *f, struct task *task, enum cancel_reason reason);

struct task_info task_info_of(const struct task *task);

/* -- specs, whose inputs are in f->arena --------------------------------------------------------------------------- */

/* A spec without options. Optional fields of its input are absent, the others have their defaults or are 0. */
struct task_spec spec_of(struct fixture *f, const struct function *function);

struct task_spec sleep_of(struct fixture *f, uint64_t duration_ns);
struct task_spec gather_of(struct fixture *f, const char *mode, size_t count, const struct task_spec children[]);

/* A gather of `count` copies of one spec; they share its input. */
struct task_spec gather_of_copies(struct fixture *f, const char *mode, size_t count, const struct task_spec *child);

/* Set or get an INTEGER field of the input, such as "max_concurrency". */
void set_integer(struct task_spec *spec, const char *field, int64_t value);
int64_t get_integer(const struct task_spec *spec, const char *field);

/* -- results ------------------------------------------------------------------------------------------------------- */

/* An INTEGER, ENUM or SECONDS field of the output, such as "winner" or "counts.failed". INT64_MIN: absent. */
int64_t output_integer(const struct task *task, const char *path);

size_t children_count(struct task *task);           /* 0: a function without children */
struct task *child_at(struct task *task, size_t i); /* NULL: out of range */

/* Pool number `index`, from 0, of those of this kind; NULL: out of range, or the executor is disabled. */
struct pool *pool_at(const struct fixture *f, enum executor_kind kind, size_t index);

/* The timers of the runtime; both numbers are 0 when all tasks have ended. */
size_t started_timers(const struct fixture *f);
size_t reserved_timers(const struct fixture *f);

/* -- random numbers ------------------------------------------------------------------------------------------------ */

/* A generator of pseudorandom numbers. */
struct prng {
    uint64_t state; /* initialize with the seed, not 0 */
};
uint64_t prng_below(struct prng *prng, uint64_t limit); /* a number from 0 to limit - 1 */

#endif

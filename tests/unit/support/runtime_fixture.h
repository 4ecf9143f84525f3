/* runtime_fixture - a loop with a runtime, helpers to build and submit specs, and to run the loop until a condition
 * holds.
 *
 * Owns:     the loop, the runtime, and the arena of the next spec.
 * Threads:  one.
 * Note:     cmocka's asserts longjmp, so nothing here asserts: callbacks record, and the test checks.
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
    struct arena *arena; /* for specs; the next submit() takes it */
    bool in_call;        /* inside submit() or cancel() */
    size_t done_calls;   /* of all waiters */
};

/* limits NULL: the defaults. Returns NULL on failure. */
struct fixture *fixture_new(const struct limits *limits);

/* With this configuration, except config->loop; config->registry NULL: the built-in functions. */
struct fixture *fixture_start(const struct runtime_config *config);

/* False: the test leaked tasks, timers or handles. */
bool fixture_free(struct fixture *f);

/* For cmocka: default limits, the fixture in *state. */
int fixture_setup(void **state);
int fixture_teardown(void **state);

/* Runs the loop until condition(of) holds. False: the loop has nothing left to do, or a minute has passed. */
bool run_until(struct fixture *f, bool (*condition)(const void *of), const void *of);

/* Conditions; `of` is a fixture. */
bool no_abandoned_jobs(const void *of);
bool loop_is_finished(const void *of); /* no active handle or request */

/* Runs the loop until all tasks have ended; false as above. */
bool run_until_idle(struct fixture *f);

/* Records the end of one submitted task. */
struct waiter {
    struct fixture *fixture;
    struct task *task;
    int done;                          /* calls of `done` */
    bool done_in_call;                 /* `done` was called inside submit() or cancel() */
    size_t completion_index;           /* position among all calls of `done`, from 1 */
    struct task_info info;             /* when `done` was called */
    void (*on_done)(struct waiter *w); /* called by `done`; may be NULL */
    void *user;                        /* for on_done */
};
bool waiter_is_done(const void *waiter);

/* An on_done that releases the task and closes the runtime. */
void waiter_close_runtime(struct waiter *w);

/* The `done` of tasks submitted without submit(). */
void waiter_done(struct task *task, void *waiter);

/* Submits a copy of `spec`, built in f->arena, received now or at received_ns. Returns what task_submit() returned. */
int submit(struct fixture *f, const struct task_spec *spec, struct waiter *w);
int submit_received(struct fixture *f, const struct task_spec *spec, uint64_t received_ns, struct waiter *w);

/* task_cancel() with f->in_call set. */
void cancel(struct fixture *f, struct task *task, enum cancel_reason reason);

struct task_info task_info_of(const struct task *task);

/* -- specs, built in f->arena by the type tables ------------------------------------------------------------------- */

/* Optional fields of the input are absent, the others have their defaults or 0. */
struct task_spec spec_of(struct fixture *f, const struct function *function);

struct task_spec sleep_of(struct fixture *f, uint64_t duration_ns);
struct task_spec gather_of(struct fixture *f, const char *mode, size_t count, const struct task_spec children[]);

/* A gather of `count` copies of one spec; they share its input. */
struct task_spec gather_of_copies(struct fixture *f, const char *mode, size_t count, const struct task_spec *child);

/* A field of the input, such as "max_concurrency". */
void set_integer(struct task_spec *spec, const char *field, int64_t value);
int64_t get_integer(const struct task_spec *spec, const char *field);

/* -- results ------------------------------------------------------------------------------------------------------- */

/* A field of the output, such as "winner" or "counts.failed"; also ENUM and SECONDS. INT64_MIN: absent. */
int64_t output_integer(const struct task *task, const char *path);

size_t children_count(struct task *task);           /* 0: a function without children */
struct task *child_at(struct task *task, size_t i); /* NULL: out of range */

/* Pool number `index` of this kind; NULL: out of range, or disabled. */
struct pool *pool_at(const struct fixture *f, enum executor_kind kind, size_t index);

/* Both are 0 when all tasks have ended. */
size_t started_timers(const struct fixture *f);
size_t reserved_timers(const struct fixture *f);

/* -- random numbers ------------------------------------------------------------------------------------------------ */

/* Pseudorandom numbers; the seed must not be 0. */
struct prng {
    uint64_t state;
};
uint64_t prng_below(struct prng *d, uint64_t sides); /* 0 .. sides-1 */

#endif

/* runtime_fixture - a loop with a runtime on it, the tasks a test submits there, and ways to turn the loop until something holds.
 *
 * Owns:     the loop, the runtime, and the arena of the spec that is being put together.
 * Threads:  one.
 * Note:     cmocka's asserts leave by longjmp, so nothing here asserts; callbacks take notes, and the test looks at them.
 */
#ifndef GATHERD_TESTS_UNIT_SUPPORT_RUNTIME_FIXTURE_H
#define GATHERD_TESTS_UNIT_SUPPORT_RUNTIME_FIXTURE_H

#include "runtime/executors/pool.h"
#include "runtime/runtime.h"
#include "runtime/task/task_internal.h"
#include "runtime/task/task_submit.h"

#define MS(n) ((uint64_t)(n)*NS_PER_MS)

struct fixture {
    uv_loop_t loop;
    uv_timer_t timeout_timer; /* ends a run_until() that would never end */
    bool timed_out;
    struct runtime *runtime;
    struct arena *arena; /* specs are built in here; the next submit() takes it along */
    bool in_call;        /* a submit() or cancel() is further up the stack */
    size_t done_calls;   /* of all watches */
};

/* A fixture with these limits (NULL: the defaults), in memory that does not move. NULL when something failed. */
struct fixture *fixture_new(const struct limits *limits);

/* One with pools too; the loop is the fixture's own. */
struct fixture *fixture_start(const struct runtime_config *config);

/* Gives everything back. False when the test left tasks, timers or handles behind. */
bool fixture_free(struct fixture *f);

/* The same for cmocka's setup and teardown, with the default limits and the fixture in *state. */
int fixture_setup(void **state);
int fixture_teardown(void **state);

/* Turns the loop until condition(of) holds. False when nothing is left that could bring it about, or when the turns of a
 * minute weren't enough: a bound for what would hang, not a measure. */
bool run_until(struct fixture *f, bool (*condition)(const void *of), const void *of);

/* Conditions on a fixture. */
bool no_abandoned_jobs(const void *of);
bool loop_is_finished(const void *of); /* no handle or request is left */

/* Runs until no task of the fixture is unfinished; false as above. */
bool run_until_idle(struct fixture *f);

/* What became of one submitted task. */
struct waiter {
    struct fixture *fixture;
    struct task *task;
    int done;                          /* how many times `done` was called */
    bool done_in_call;                 /* `done` was called while submit() or cancel() was at work */
    size_t completion_index;           /* among all calls of `done`, from 1 */
    struct task_info info;             /* when `done` was called */
    void (*on_done)(struct waiter *w); /* called by `done`, if set before */
    void *user;                        /* for `then` */
};
bool waiter_is_done(const void *waiter);
void waiter_close_runtime(
    struct waiter *w); /* a `then`: releases the task, and closes the runtime from inside `done` */
void waiter_done(struct task *task, void *waiter); /* the `done` of tasks that are submitted without submit() */

/* Submits a copy of `spec`, which was built in f->arena, received now or at received_ns. The result is task_submit()'s. */
int submit(struct fixture *f, const struct task_spec *spec, struct waiter *w);
int submit_received(struct fixture *f, const struct task_spec *spec, uint64_t received_ns, struct waiter *w);

/* task_cancel(), with fixture->calling set. */
void cancel(struct fixture *f, struct task *task, enum cancel_reason reason);

struct task_info task_info_of(const struct task *task);

/* -- specs, built in f->arena through the type tables, as decoding does ---------------------------------------------- */

/* A spec of this function with all optional fields absent and the others at their defaults or zero. */
struct task_spec spec_of(struct fixture *f, const struct function *function);

struct task_spec sleep_of(struct fixture *f, uint64_t duration_ns);
struct task_spec gather_of(struct fixture *f, const char *mode, size_t count, const struct task_spec children[]);

/* A gather of `count` copies of the same spec, which share its input. */
struct task_spec gather_of_copies(struct fixture *f, const char *mode, size_t count, const struct task_spec *child);

/* The field of an input, as "max_concurrency". */
void set_integer(struct task_spec *spec, const char *field, int64_t value);
int64_t get_integer(const struct task_spec *spec, const char *field);

/* -- results --------------------------------------------------------------------------------------------------------- */

/* The field of an output, as "winner" or "counts.failed"; ENUM and SECONDS too. INT64_MIN when it is absent. */
int64_t output_integer(const struct task *task, const char *path);

size_t children_count(struct task *task);           /* 0 when its function has no children */
struct task *child_at(struct task *task, size_t i); /* NULL when there is none */

/* The pool with this index among those of its kind; NULL: its executor is disabled. */
struct pool *pool_at(const struct fixture *f, enum executor_kind kind, size_t index);

/* What the runtime still holds; each 0 when all tasks have ended. */
size_t started_timers(const struct fixture *f);
size_t reserved_timers(const struct fixture *f);

/* -- chance ---------------------------------------------------------------------------------------------------------- */

/* A sequence of numbers that looks random and is the same for the same seed (which must not be 0). */
struct prng {
    uint64_t state;
};
uint64_t prng_below(struct prng *d, uint64_t sides); /* 0 .. sides-1 */

#endif

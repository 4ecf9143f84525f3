/* task_asserts - submits a task, waits for its end and asserts how it ended.
 *
 * Owns:     nothing.
 * Threads:  one. These assert (cmocka's longjmp), so they may run only on the test's own stack, not in a callback.
 */
#ifndef GATHERD_TESTS_UNIT_SUPPORT_TASK_ASSERTS_H
#define GATHERD_TESTS_UNIT_SUPPORT_TASK_ASSERTS_H

#include "tests/unit/support/runtime_fixture.h"

/* The task is accepted. */
void submit_and_drain(struct fixture *f, const struct task_spec *spec, struct waiter *w);

/* Runs the loop until the task has ended. */
void wait_until_done(struct fixture *f, const struct waiter *w);

void submit_and_wait(struct fixture *f, const struct task_spec *spec, struct waiter *w);

/* The task has ended, and `done` was called once, not from inside submit() or cancel(). */
void assert_ended(const struct waiter *w, enum task_state state, int rc);

/* A cancellation was requested, and had this effect. */
void assert_canceled(const struct waiter *w, enum cancel_reason reason, enum cancel_effect effect);

#endif

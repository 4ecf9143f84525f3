#include "tests/unit/support/task_asserts.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

void submit_and_drain(struct fixture *f, const struct task_spec *spec, struct waiter *w)
{
    assert_int_equal(submit(f, spec, w), 0);
    task_drain(f->runtime);
}

void wait_until_done(struct fixture *f, const struct waiter *w)
{
    assert_true(run_until(f, waiter_is_done, w));
}

void submit_and_wait(struct fixture *f, const struct task_spec *spec, struct waiter *w)
{
    submit_and_drain(f, spec, w);
    wait_until_done(f, w);
}

void assert_ended(const struct waiter *w, enum task_state state, int rc)
{
    assert_int_equal(w->done, 1);
    assert_false(w->done_in_call);
    assert_true(w->info.done);
    if (rc != w->info.rc && w->info.detail != NULL)
        print_message("it says: %s\n", w->info.detail);
    assert_int_equal(w->info.rc, rc);
    assert_int_equal(w->info.state, state);
}

void assert_canceled(const struct waiter *w, enum cancel_reason reason, enum cancel_effect effect)
{
    assert_true(w->info.cancel_requested);
    assert_true(w->info.cancel_completed);
    assert_int_equal(w->info.cancel_reason, reason);
    assert_int_equal(w->info.cancel_effect, effect);
}

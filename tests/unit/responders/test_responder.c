/* test_responder - wake-ups of a responder are delivered once, and are never lost. */
#include "handlers/responders/responder.h"
#include "runtime/lib/util.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* A responder whose operations wait. */
struct fake {
    struct responder base;
    int waits;         /* how often its operations still wait */
    int calls, wakes;  /* of its operations; of on_wake() */
    bool wakes_inside; /* an operation that waits calls responder_wake() before it returns */
    struct response response;
};

static bool fake_waits(struct fake *fake)
{
    fake->calls++;
    if (fake->waits == 0)
        return false;
    fake->waits--;
    if (fake->wakes_inside) {
        responder_wake(&fake->base);
        responder_wake(&fake->base);
    }
    return true;
}

static enum responder_result fake_body(struct responder *base, const char *bytes, size_t *len)
{
    (void)bytes;
    if (!fake_waits(container_of(base, struct fake, base)))
        return RESPONDER_CONTINUE;
    *len = 1;
    return RESPONDER_WAIT;
}

static enum responder_result fake_finish(struct responder *base)
{
    return fake_waits(container_of(base, struct fake, base)) ? RESPONDER_WAIT : RESPONDER_READY;
}

static ssize_t fake_read(struct responder *base, char *out, size_t max)
{
    memset(out, 'a', max);
    return fake_waits(container_of(base, struct fake, base)) ? RESPONDER_READ_WAIT : (ssize_t)max;
}

static const struct responder_ops fake_ops = {.body = fake_body, .finish = fake_finish, .read = fake_read};

static void on_wake(struct responder *base, void *user)
{
    struct fake *fake = user;
    (void)base;
    fake->wakes++;
}

static void fake_init(struct fake *fake, int waits, bool wakes_inside)
{
    *fake = (struct fake){.waits = waits, .wakes_inside = wakes_inside};
    responder_init(&fake->base, &fake_ops, &fake->response);
    fake->base.wake = on_wake;
    fake->base.user = fake;
}

static void waiting_operation_is_woken_once(void **state)
{
    (void)state;
    struct fake fake;
    fake_init(&fake, 1, false);
    assert_int_equal(responder_finish(&fake.base), RESPONDER_WAIT);
    assert_int_equal(fake.wakes, 0);
    responder_wake(&fake.base);
    responder_wake(&fake.base);
    assert_int_equal(fake.wakes, 1);
    assert_int_equal(responder_finish(&fake.base), RESPONDER_READY);
    responder_wake(&fake.base);
    assert_int_equal(fake.wakes, 1);
}

static void wake_inside_operation_repeats_it(void **state)
{
    (void)state;
    struct fake fake;
    char out[4];
    size_t len = 5;
    fake_init(&fake, 3, true);
    assert_int_equal(responder_finish(&fake.base), RESPONDER_READY);
    assert_int_equal(fake.calls, 4);
    fake_init(&fake, 3, true);
    assert_int_equal(responder_read(&fake.base, out, sizeof out), sizeof out);
    assert_int_equal(fake.calls, 4);
    fake_init(&fake, 3, true);
    assert_int_equal(responder_body(&fake.base, "abcde", &len), RESPONDER_CONTINUE);
    assert_int_equal(fake.calls, 4);
    assert_int_equal(len, 5);
    assert_int_equal(fake.wakes, 0);
}

static void paused_body_reports_consumed_bytes(void **state)
{
    (void)state;
    struct fake fake;
    size_t len = 5;
    fake_init(&fake, 1, false);
    assert_int_equal(responder_body(&fake.base, "abcde", &len), RESPONDER_WAIT);
    assert_int_equal(len, 1);
    responder_wake(&fake.base);
    assert_int_equal(fake.wakes, 1);
}

static void cancel_is_optional(void **state)
{
    (void)state;
    struct fake fake;
    fake_init(&fake, 0, false);
    responder_cancel(&fake.base);
    assert_int_equal(fake.calls, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waiting_operation_is_woken_once),
        cmocka_unit_test(wake_inside_operation_repeats_it),
        cmocka_unit_test(paused_body_reports_consumed_bytes),
        cmocka_unit_test(cancel_is_optional),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_check - a failed CHECK() aborts the process. */
#include "runtime/lib/check.h"
#include "runtime/lib/state.h"
#include "tests/unit/support/runtime_fixture.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Whether function() aborts the process that calls it and writes `message` to stderr. */
static bool aborts(void (*function)(void), const char *message)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0)
        return false;
    pid_t child = fork();
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        signal(SIGABRT, SIG_DFL);
        dup2(fds[1], STDERR_FILENO);
        function();
        _exit(0);
    }
    close(fds[1]);
    char output[4096] = "";
    ssize_t received, len = 0;
    while ((received = read(fds[0], output + len, sizeof output - 1 - (size_t)len)) > 0)
        len += received;
    close(fds[0]);
    int status = 0;
    return child > 0 && waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT &&
           strstr(output, message) != NULL;
}

static void satisfied_checks(void)
{
    CHECK(1 + 1 == 2);
    CHECK(true);
}

static void break_check(void)
{
    CHECK(1 + 1 == 3);
}

static void reach_unreachable(void)
{
    UNREACHABLE();
}

enum lamp_state { LAMP_OFF, LAMP_ON, LAMP_BROKEN, LAMP_STATE_COUNT };

static const state_set moves[LAMP_STATE_COUNT] = {
    [LAMP_OFF] = STATE_BIT(LAMP_ON) | STATE_BIT(LAMP_BROKEN),
    [LAMP_ON] = STATE_BIT(LAMP_OFF),
};

static void allowed_moves(void)
{
    enum lamp_state state = LAMP_OFF;
    state = STATE_MOVE(moves, state, LAMP_ON);
    state = STATE_MOVE(moves, state, LAMP_OFF);
    state = STATE_MOVE(moves, state, LAMP_BROKEN);
    CHECK(state == LAMP_BROKEN);
}

static void move_that_no_row_allows(void)
{
    (void)STATE_MOVE(moves, LAMP_ON, LAMP_BROKEN);
}

static void move_from_last_state(void)
{
    (void)STATE_MOVE(moves, LAMP_BROKEN, LAMP_OFF);
}

static void error_code_of_zero(void)
{
    error_code(0);
}

static void error_status_out_of_range(void)
{
    error_status(-ERROR_COUNT - 1);
}

static void close_with_unreleased_task(void)
{
    struct fixture *f = fixture_new(NULL);
    struct task_spec spec = sleep_of(f, 0);
    struct waiter w = {0};
    submit(f, &spec, &w);
    task_drain(f->runtime);
    runtime_close(f->runtime);
}

static void release_unfinished_task(void)
{
    struct fixture *f = fixture_new(NULL);
    struct task_spec spec = sleep_of(f, 0);
    struct waiter w = {0};
    submit(f, &spec, &w);
    task_release(w.task);
}

/* Releases a task that was not delivered yet. */
static void release_before_done(void)
{
    struct fixture *f = fixture_new(NULL);
    struct task_spec spec = sleep_of(f, 0);
    struct waiter w = {0};
    submit(f, &spec, &w);
    task_cancel(w.task, CANCEL_CLIENT);
    task_release(w.task);
}

static void failed_check_aborts(void **state)
{
    (void)state;
    assert_false(aborts(satisfied_checks, ""));
    assert_true(aborts(break_check, "check failed: 1 + 1 == 3\n"));
    assert_true(aborts(reach_unreachable, "check failed: unreachable\n"));
    assert_false(aborts(allowed_moves, ""));
    assert_true(aborts(move_that_no_row_allows, "check failed: "));
    assert_true(aborts(move_from_last_state, "check failed: "));
    assert_true(aborts(error_code_of_zero, "check failed: rc < 0"));
    assert_true(aborts(error_status_out_of_range, "check failed: rc < 0"));
    assert_true(aborts(close_with_unreleased_task, "check failed: list_empty"));
    assert_true(aborts(release_unfinished_task, "->delivered\n"));
    assert_true(aborts(release_before_done, "->delivered\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failed_check_aborts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

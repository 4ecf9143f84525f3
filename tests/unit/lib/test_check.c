/* test_check - a check that fails ends the process. */
#include "runtime/lib/check.h"
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

/* Whether what() ends its process by abort(), with `message` on stderr before. */
static bool aborts(void (*what)(void), const char *message)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return false;
    pid_t child = fork();
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        signal(SIGABRT, SIG_DFL);
        dup2(ends[1], STDERR_FILENO);
        what();
        _exit(0);
    }
    close(ends[1]);
    char said[4096] = "";
    ssize_t got, len = 0;
    while ((got = read(ends[0], said + len, sizeof said - 1 - (size_t)len)) > 0)
        len += got;
    close(ends[0]);
    int status = 0;
    return child > 0 && waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT &&
           strstr(said, message) != NULL;
}

static void hold(void)
{
    CHECK(1 + 1 == 2);
    CHECK(true);
}

static void break_check(void)
{
    CHECK(1 + 1 == 3);
}

static void reach_the_unreachable(void)
{
    UNREACHABLE();
}

static void ask_for_the_code_of_success(void)
{
    error_code(0);
}

static void ask_for_the_code_beyond_the_table(void)
{
    error_status(-ERROR_COUNT - 1);
}

static void close_with_a_task_left(void)
{
    struct fixture *f = fixture_new(NULL);
    struct task_spec spec = sleep_of(f, 0);
    struct watch w = {0};
    submit(f, &spec, &w);
    task_drain(f->runtime);
    runtime_close(f->runtime);
}

static void release_an_unfinished_task(void)
{
    struct fixture *f = fixture_new(NULL);
    struct task_spec spec = sleep_of(f, 0);
    struct watch w = {0};
    submit(f, &spec, &w);
    task_release(w.task);
}

/* It has ended, but `done` has not run: the queue of what is to be delivered still holds it. */
static void release_before_done(void)
{
    struct fixture *f = fixture_new(NULL);
    struct task_spec spec = sleep_of(f, 0);
    struct watch w = {0};
    submit(f, &spec, &w);
    task_cancel(w.task, CANCEL_CLIENT);
    task_release(w.task);
}

static void broken_assertions_end_the_process(void **state)
{
    (void)state;
    assert_false(aborts(hold, ""));
    assert_true(aborts(break_check, "check failed: 1 + 1 == 3\n"));
    assert_true(aborts(reach_the_unreachable, "check failed: unreachable\n"));
    assert_true(aborts(ask_for_the_code_of_success, "check failed: rc < 0"));
    assert_true(aborts(ask_for_the_code_beyond_the_table, "check failed: rc < 0"));
    assert_true(aborts(close_with_a_task_left, "check failed: list_empty"));
    assert_true(aborts(release_an_unfinished_task, "->delivered\n"));
    assert_true(aborts(release_before_done, "->delivered\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(broken_assertions_end_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

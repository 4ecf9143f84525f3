/* test_process_pool - worker processes, and how their failures affect tasks and other workers. */
#include "runtime/types/type_parse.h"
#include "tests/unit/support/faulty_function.h"

#include "runtime/executors/pool.h"
#include "runtime/executors/worker_main.h"
#include "runtime/task/admission.h"
#include "tests/unit/support/alloc_fault.h"
#include "tests/unit/support/task_asserts.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define HOUR (3600 * NS_PER_SECOND)

/* -- fixture ------------------------------------------------------------------------------------------------------- */

static struct fixture *start_workers_with(int64_t processes, char *const *command, int64_t max_tasks,
                                          int64_t queue_limit)
{
    struct limits limits;
    record_set_defaults(&limits_type, &limits);
    limits.queue_limit = queue_limit;
    return fixture_start(&(struct runtime_config){.limits = &limits,
                                                  .options.processes = processes,
                                                  .options.processes_source = "configured",
                                                  .processes.command = command,
                                                  .options.worker_max_tasks = max_tasks});
}

/* Recorded worker events. */
struct event_log {
    struct record {
        struct worker_event event;                                 /* its texts are invalid */
        char function[32], stderr_output[200], spawn_message[128]; /* copies of its texts */
    } records[64];
    size_t count;
};

static void copy_string(char *to, size_t size, const char *text)
{
    snprintf(to, size, "%s", text == NULL ? "" : text);
}

static void on_worker_event(void *user, const struct worker_event *event)
{
    struct event_log *event_log = user;
    struct record *record = &event_log->records[event_log->count++ % COUNT_OF(event_log->records)];
    record->event = *event;
    copy_string(record->function, sizeof record->function, event->function);
    copy_string(record->stderr_output, sizeof record->stderr_output, event->stderr_tail.data);
    copy_string(record->spawn_message, sizeof record->spawn_message, event->spawn_message);
}

/* A runtime with one worker and this start timeout, whose events are recorded in the log. */
static struct fixture *start_with_log(char *const *command, uint64_t start_timeout_ns, int64_t max_tasks,
                                      struct event_log *event_log)
{
    struct limits limits;
    record_set_defaults(&limits_type, &limits);
    struct fixture *f = fixture_start(&(struct runtime_config){.limits = &limits,
                                                               .options.processes = 1,
                                                               .options.processes_source = "configured",
                                                               .processes.command = command,
                                                               .processes.start_timeout_ns = start_timeout_ns,
                                                               .options.worker_max_tasks = max_tasks,
                                                               .processes.on_worker_event = on_worker_event,
                                                               .processes.user = event_log});
    assert_non_null(f);
    *event_log = (struct event_log){0};
    return f;
}

static struct fixture *start_workers(int64_t processes)
{
    struct fixture *f = start_workers_with(processes, faulty_worker_command, INTEGER_ABSENT, 10000);
    assert_non_null(f);
    return f;
}

static struct pool *worker_pool(const struct fixture *f)
{
    return pool_at(f, EXECUTOR_PROCESSES, 0);
}

static bool all_free(const void *of)
{
    const struct pool *pool = worker_pool(of);
    return pool->free == (size_t)pool->executor.size;
}

static bool is_running(const void *waiter)
{
    const struct waiter *w = waiter;
    return task_info_of(w->task).state == TASK_RUNNING;
}

static struct pool_stats get_stats(const struct fixture *f, struct arena *arena)
{
    struct array all_stats;
    assert_true(runtime_get_pool_stats(f->runtime, arena, &all_stats));
    assert_int_equal(all_stats.count, 1);
    return *(const struct pool_stats *)all_stats.items;
}

static int64_t restarts(const struct fixture *f)
{
    struct arena *arena = arena_new();
    int64_t count = get_stats(f, arena).restarts;
    arena_unref(arena);
    return count;
}

/* The pid of worker number `index` of those that run; 0: out of range. */
static int64_t worker_pid(const struct fixture *f, size_t index)
{
    struct arena *arena = arena_new();
    struct pool_stats info = get_stats(f, arena);
    int64_t pid = index < info.workers.count ? ((const struct worker_stats *)info.workers.items)[index].pid : 0;
    arena_unref(arena);
    return pid;
}

struct restart_count {
    const struct fixture *f;
    int64_t restarts;
};

static bool has_restarts(const void *of)
{
    const struct restart_count *c = of;
    return restarts(c->f) >= c->restarts;
}

/* Asserts that all child processes have been reaped. */
static void check_no_children(void)
{
    siginfo_t info = {0};
    assert_int_equal(waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT), -1);
}

static int open_descriptors(void)
{
    int count = 0;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count;
}

static void stop_workers(struct fixture *f)
{
    assert_true(fixture_free(f));
    check_no_children();
}

static void submit_worker_action(struct fixture *f, struct waiter *w, enum action action, int64_t number,
                                 const char *text)
{
    *w = (struct waiter){0};
    struct task_spec spec = faulty_spec(f, action, number, text);
    submit_and_drain(f, &spec, w);
}

/* Submits the action and waits until its task has ended. */
static void run_worker_action(struct fixture *f, struct waiter *w, enum action action, int64_t number, const char *text)
{
    submit_worker_action(f, w, action, number, text);
    wait_until_done(f, w);
}

/* Asserts that the pool runs tasks normally. */
static void check_works(struct fixture *f)
{
    struct waiter w[8];
    for (size_t i = 0; i < COUNT_OF(w); i++)
        submit_worker_action(f, &w[i], ACTION_ECHO, (int64_t)i, "as ever");
    for (size_t i = 0; i < COUNT_OF(w); i++) {
        wait_until_done(f, &w[i]);
        assert_ended(&w[i], TASK_SUCCEEDED, 0);
        assert_int_equal(faulty_output(&w[i])->number, i);
        assert_string_equal(faulty_output(&w[i])->text.data, "as ever");
        task_release(w[i].task);
    }
    assert_int_equal(worker_pool(f)->busy, 0);
    assert_int_equal(worker_pool(f)->queued, 0);
    assert_int_equal(worker_pool(f)->executor.admitted, 0);
    assert_true(run_until(f, all_free, f));
}

/* -- success ------------------------------------------------------------------------------------------------------- */

static void task_runs_in_worker(void **state)
{
    (void)state;
    struct fixture *f = start_workers(2);
    struct waiter w;
    run_worker_action(f, &w, ACTION_ECHO, 42, "h\xC3\xA9llo");
    assert_ended(&w, TASK_SUCCEEDED, 0);
    const struct faulty_output *out = faulty_output(&w);
    assert_int_equal(out->number, 42);
    assert_string_equal(out->text.data, "h\xC3\xA9llo");
    assert_int_not_equal(out->pid, getpid());
    assert_int_equal(w.info.pid, out->pid);
    assert_int_equal(w.info.tid, out->pid);
    assert_int_equal(w.info.executor, EXECUTOR_PROCESSES);
    assert_true(str_eq(w.info.pool, "processes"));
    assert_non_null(w.info.usage);
    assert_true(w.info.usage->worker_peak_rss_bytes > 100000);
    assert_int_equal(w.info.exit_signal, 0);
    assert_int_equal(w.info.exit_code, -1);
    assert_true(w.info.queued_ns < HOUR && w.info.duration_ns < HOUR);
    task_release(w.task);
    check_works(f);
    stop_workers(f);
}

static void worker_function_errors(void **state)
{
    (void)state;
    struct fixture *f = start_workers(1);
    struct waiter w;
    for (int rc = -1; rc >= -ERROR_COUNT; rc--) {
        run_worker_action(f, &w, ACTION_FAIL, rc, "it is a pity");
        if (rc == ERR_OUT_OF_MEMORY) {
            assert_ended(&w, TASK_FAILED, ERR_WORKER_OUT_OF_MEMORY);
        } else {
            assert_ended(&w, TASK_FAILED, rc);
            assert_string_equal(w.info.detail, "it is a pity");
        }
        assert_int_equal(w.info.exit_signal, 0);
        assert_int_equal(w.info.exit_code, -1);
        assert_null(w.info.output);
        task_release(w.task);
    }
    assert_int_equal(restarts(f), 0);
    check_works(f);
    stop_workers(f);
}

static bool all_busy(const void *of)
{
    return worker_pool(of)->busy == (size_t)worker_pool(of)->executor.size;
}

static void concurrency_equals_worker_count(void **state)
{
    (void)state;
    struct fixture *f = start_workers(3);
    struct waiter w[5];
    for (size_t i = 0; i < COUNT_OF(w); i++)
        submit_worker_action(f, &w[i], i < 3 ? ACTION_SPIN : ACTION_ECHO, (int64_t)i, NULL);
    assert_true(run_until(f, all_busy, f));
    assert_int_equal(worker_pool(f)->queued, 2);
    assert_int_equal(task_info_of(w[3].task).state, TASK_QUEUED);
    assert_int_equal(task_info_of(w[3].task).pid, 0);
    struct arena *arena = arena_new();
    struct pool_stats info = get_stats(f, arena);
    assert_int_equal(info.workers.count, 3);
    for (size_t i = 0; i < 3; i++) {
        struct task_info running = task_info_of(w[i].task);
        assert_int_equal(running.state, TASK_RUNNING);
        const struct worker_stats *worker = (const struct worker_stats *)info.workers.items + i;
        assert_true(worker->busy);
        for (size_t j = 0; j < i; j++)
            assert_int_not_equal(running.pid, task_info_of(w[j].task).pid);
    }
    arena_unref(arena);
    cancel(f, w[1].task, CANCEL_CLIENT);
    task_drain(f->runtime);
    for (size_t i = 3; i < COUNT_OF(w); i++) {
        wait_until_done(f, &w[i]);
        assert_ended(&w[i], TASK_SUCCEEDED, 0);
    }
    cancel(f, w[0].task, CANCEL_CLIENT);
    cancel(f, w[2].task, CANCEL_CLIENT);
    assert_true(run_until_idle(f));
    for (size_t i = 0; i < COUNT_OF(w); i++)
        task_release(w[i].task);
    check_works(f);
    stop_workers(f);
}

static void input_sizes_round_trip(void **state)
{
    (void)state;
    struct fixture *f = start_workers(1);
    static const size_t sizes[] = {0, 1, 100, 65535 - 300, 65536 - 300, 65536, 212992, 5000000};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        char *text = malloc(sizes[i] + 1);
        assert_non_null(text);
        memset(text, 'y', sizes[i]);
        text[sizes[i]] = '\0';
        struct waiter w;
        run_worker_action(f, &w, ACTION_ECHO, 1, text);
        assert_ended(&w, TASK_SUCCEEDED, 0);
        assert_int_equal(faulty_output(&w)->text.len, sizes[i]);
        assert_memory_equal(faulty_output(&w)->text.data, text, sizes[i] + 1);
        task_release(w.task);
        free(text);
    }
    assert_int_equal(restarts(f), 0);
    stop_workers(f);
}

/* Some of the responses end exactly at the end of a read; each is followed by the next queued task. */
static void response_sizes_back_to_back(void **state)
{
    (void)state;
    struct fixture *f = start_workers(1);
    enum { TASKS = 600 };
    struct waiter *w = calloc(TASKS, sizeof *w);
    assert_non_null(w);
    int64_t size = 65536 - 400;
    for (size_t i = 0; i < TASKS; i++)
        submit_worker_action(f, &w[i], ACTION_LARGE_OUTPUT, size + (int64_t)i, NULL);
    for (size_t i = 0; i < TASKS; i++) {
        wait_until_done(f, &w[i]);
        assert_ended(&w[i], TASK_SUCCEEDED, 0);
        assert_int_equal(faulty_output(&w[i])->text.len, (size_t)size + i);
        task_release(w[i].task);
    }
    assert_int_equal(restarts(f), 0);
    free(w);
    stop_workers(f);
}

static void oversized_frames_are_rejected(void **state)
{
    (void)state;
    struct fixture *f = start_workers(1);
    struct waiter w;
    run_worker_action(f, &w, ACTION_LARGE_OUTPUT, FRAME_MAX_LEN, NULL);
    assert_ended(&w, TASK_FAILED, ERR_WORKER_OUT_OF_MEMORY);
    task_release(w.task);
    char *text = malloc(FRAME_MAX_LEN + 1);
    assert_non_null(text);
    memset(text, 'y', FRAME_MAX_LEN);
    text[FRAME_MAX_LEN] = '\0';
    run_worker_action(f, &w, ACTION_ECHO, 0, text);
    assert_ended(&w, TASK_FAILED, ERR_INVALID_ARGUMENT);
    assert_null(w.info.usage);
    task_release(w.task);
    free(text);
    check_works(f);
    assert_int_equal(restarts(f), 0);
    stop_workers(f);
}

/* -- cancel and limits --------------------------------------------------------------------------------------------- */

static bool has_exited(const void *pid)
{
    const int *number = pid;
    return kill(*number, 0) != 0;
}

static void canceled_running_task_is_killed(void **state)
{
    (void)state;
    struct fixture *f = start_workers(2);
    struct waiter w, other;
    submit_worker_action(f, &other, ACTION_SPIN, 0, NULL);
    submit_worker_action(f, &w, ACTION_SPIN, 0, NULL);
    assert_true(run_until(f, is_running, &w) && run_until(f, is_running, &other));
    int pid = task_info_of(w.task).pid, other_pid = task_info_of(other.task).pid;
    cancel(f, w.task, CANCEL_CLIENT);
    assert_int_equal(task_info_of(w.task).state, TASK_CANCELING);
    wait_until_done(f, &w);
    assert_ended(&w, TASK_CANCELED, ERR_CANCELED);
    assert_int_equal(w.info.cancel_effect, EFFECT_KILLED);
    assert_int_equal(w.info.pid, pid);
    assert_int_equal(w.info.exit_signal, 0); /* not reported: the service killed the worker */
    assert_null(w.info.usage);
    assert_null(w.info.output);
    assert_true(run_until(f, has_exited, &pid));
    assert_int_equal(task_info_of(other.task).state, TASK_RUNNING);
    assert_int_equal(kill(other_pid, 0), 0);
    task_release(w.task);
    cancel(f, other.task, CANCEL_CLIENT);
    wait_until_done(f, &other);
    task_release(other.task);
    check_works(f);
    assert_int_equal(restarts(f), 2);
    stop_workers(f);
}

static void canceled_queued_task_never_runs(void **state)
{
    (void)state;
    char path[] = "/tmp/gatherd-note-XXXXXX";
    int records = mkstemp(path);
    assert_true(records >= 0);
    struct fixture *f = start_workers(1);
    struct waiter busy, w[6];
    submit_worker_action(f, &busy, ACTION_SPIN, 0, NULL);
    assert_true(run_until(f, is_running, &busy));
    for (size_t i = 0; i < COUNT_OF(w); i++)
        submit_worker_action(f, &w[i], ACTION_APPEND, (int64_t)i, path);
    for (size_t i = 0; i < COUNT_OF(w); i += 2) {
        cancel(f, w[i].task, CANCEL_CLIENT);
        assert_int_equal(worker_pool(f)->queued, COUNT_OF(w) - i / 2 - 1);
    }
    task_drain(f->runtime);
    for (size_t i = 0; i < COUNT_OF(w); i += 2) {
        assert_ended(&w[i], TASK_CANCELED, ERR_CANCELED);
        assert_int_equal(w[i].info.cancel_effect, EFFECT_PREVENTED);
        assert_int_equal(w[i].info.pid, 0);
        task_release(w[i].task);
    }
    cancel(f, busy.task, CANCEL_CLIENT);
    for (size_t i = 1; i < COUNT_OF(w); i += 2) {
        wait_until_done(f, &w[i]);
        assert_ended(&w[i], TASK_SUCCEEDED, 0);
        task_release(w[i].task);
    }
    task_release(busy.task);
    int64_t recorded[COUNT_OF(w)];
    assert_int_equal(pread(records, recorded, sizeof recorded, 0), 3 * sizeof recorded[0]);
    assert_true(recorded[0] == 1 && recorded[1] == 3 && recorded[2] == 5);
    stop_workers(f);
    close(records);
    unlink(path);
}

static void timeout_and_deadline_kill_worker(void **state)
{
    (void)state;
    struct fixture *f = start_workers(1);
    for (int deadline = 0; deadline <= 1; deadline++) {
        struct task_spec spec = faulty_spec(f, ACTION_SPIN, 0, NULL);
        *(deadline ? &spec.options.deadline_ns : &spec.options.timeout_ns) = MS(200); /* long enough to start */
        struct waiter w = {0};
        assert_true(run_until(f, all_free, f));
        submit_and_wait(f, &spec, &w);
        assert_ended(&w, TASK_FAILED, deadline ? ERR_DEADLINE_EXCEEDED : ERR_TIMEOUT);
        assert_int_equal(w.info.cancel_effect, EFFECT_KILLED);
        assert_true(w.info.duration_ns + w.info.queued_ns >= MS(200));
        assert_null(w.info.detail);
        task_release(w.task);
    }
    assert_true(run_until(f, has_restarts, &(struct restart_count){f, 2}));
    check_works(f);
    stop_workers(f);
}

static void deadline_expires_in_queue(void **state)
{
    (void)state;
    struct fixture *f = start_workers(1);
    struct waiter busy, w = {0};
    submit_worker_action(f, &busy, ACTION_SPIN, 0, NULL);
    struct task_spec spec = faulty_spec(f, ACTION_ECHO, 0, NULL);
    spec.options.deadline_ns = MS(5);
    submit_and_wait(f, &spec, &w);
    assert_ended(&w, TASK_FAILED, ERR_DEADLINE_EXCEEDED);
    assert_int_equal(w.info.cancel_effect, EFFECT_PREVENTED);
    task_release(w.task);
    cancel(f, busy.task, CANCEL_CLIENT);
    wait_until_done(f, &busy);
    task_release(busy.task);
    check_works(f);
    stop_workers(f);
}

/* The task is canceled when part of its response has arrived. */
static void cancel_during_response(void **state)
{
    (void)state;
    struct fixture *f = start_workers(1);
    for (int iterations = 0; iterations < 24; iterations++) {
        struct waiter w;
        assert_true(run_until(f, all_free, f));
        submit_worker_action(f, &w, ACTION_LARGE_OUTPUT, 4000000, NULL);
        assert_true(run_until(f, is_running, &w));
        for (int i = 0; w.done == 0 && i < iterations / 2; i++) /* each turn reads a part */
            uv_run(&f->loop, UV_RUN_ONCE);
        struct pollfd more = {.fd = uv_backend_fd(&f->loop), .events = POLLIN};
        if (w.done == 0 && iterations % 2 == 1)
            poll(&more, 1, -1); /* waits until the socket has unread data */
        if (w.done == 0)
            cancel(f, w.task, CANCEL_CLIENT);
        wait_until_done(f, &w);
        assert_int_equal(w.done, 1);
        assert_true(w.info.state == TASK_CANCELED || w.info.state == TASK_SUCCEEDED);
        if (w.info.state == TASK_SUCCEEDED)
            assert_int_equal(faulty_output(&w)->text.len, 4000000);
        task_release(w.task);
    }
    check_works(f);
    stop_workers(f);
}

static void cancel_at_random_moments(void **state)
{
    (void)state;
    struct fixture *f = start_workers(2);
    for (int iterations = 0; iterations < 40; iterations++) {
        struct waiter w[3];
        for (size_t i = 0; i < COUNT_OF(w); i++)
            submit_worker_action(f, &w[i], ACTION_ECHO, 0, NULL);
        for (int i = 0; i < iterations % 8; i++)
            uv_run(&f->loop, UV_RUN_NOWAIT);
        for (size_t i = 0; i < COUNT_OF(w); i++)
            cancel(f, w[i].task, CANCEL_CLIENT);
        assert_true(run_until_idle(f));
        for (size_t i = 0; i < COUNT_OF(w); i++) {
            assert_int_equal(w[i].done, 1);
            assert_true(w[i].info.state == TASK_CANCELED || !w[i].info.cancel_requested);
            task_release(w[i].task);
        }
    }
    check_works(f);
    stop_workers(f);
}

/* -- workers that crash -------------------------------------------------------------------------------------------- */

static void worker_crash_is_described(void **state)
{
    (void)state;
    struct fixture *f = start_workers(1);
    static const struct {
        enum action action;
        int number;
        const char *stderr_output, *last_line;
    } rows[] = {
        {ACTION_SIGNAL, SIGKILL, NULL, NULL},
        {ACTION_SIGNAL, SIGUSR1, "", NULL},
        {ACTION_SIGNAL, SIGABRT, "one\ntwo: not enough beans\n", "two: not enough beans"},
        {ACTION_EXIT, 0, "x", "x"},
        {ACTION_EXIT, 3, "first\n\nlast\n\n\n", "last"},
        {ACTION_EXIT, 255, "caf\xC3\xA9 \x1B[31m\t.", "caf?? ?[31m?."},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct waiter w;
        assert_true(run_until(f, all_free, f));
        run_worker_action(f, &w, rows[i].action, rows[i].number, rows[i].stderr_output);
        assert_ended(&w, TASK_FAILED, ERR_WORKER_CRASHED);
        bool signaled = rows[i].action == ACTION_SIGNAL;
        assert_int_equal(w.info.exit_signal, signaled ? rows[i].number : 0);
        assert_int_equal(w.info.exit_code, signaled ? -1 : rows[i].number);
        assert_non_null(w.info.detail);
        char pid[16];
        snprintf(pid, sizeof pid, "%d", w.info.pid);
        assert_non_null(strstr(w.info.detail, pid));
        const char *tail = strstr(w.info.detail, "last line on stderr: ");
        assert_int_equal(tail != NULL, rows[i].last_line != NULL);
        if (tail != NULL)
            assert_string_equal(tail + strlen("last line on stderr: "), rows[i].last_line);
        assert_int_equal(has_exited(&w.info.pid), true);
        task_release(w.task);
    }
    assert_true(run_until(f, has_restarts, &(struct restart_count){f, COUNT_OF(rows)}));
    check_works(f);
    stop_workers(f);
}

/* A line on stderr that exceeds the buffers is truncated. */
static void long_stderr_is_truncated(void **state)
{
    (void)state;
    struct fixture *f = start_workers(1);
    char stderr_output[3000];
    memset(stderr_output, 'w', sizeof stderr_output - 1);
    stderr_output[sizeof stderr_output - 1] = '\0';
    struct waiter w;
    run_worker_action(f, &w, ACTION_SIGNAL, SIGKILL, stderr_output);
    assert_ended(&w, TASK_FAILED, ERR_WORKER_CRASHED);
    assert_non_null(strstr(w.info.detail, "wwwwwwwww"));
    task_release(w.task);
    check_works(f);
    stop_workers(f);
}

static void crash_does_not_affect_other_workers(void **state)
{
    (void)state;
    struct fixture *f = start_workers(2);
    struct waiter other, w;
    submit_worker_action(f, &other, ACTION_SPIN, 0, NULL);
    assert_true(run_until(f, is_running, &other));
    int pid = task_info_of(other.task).pid;
    for (int i = 0; i < 10; i++) {
        run_worker_action(f, &w, ACTION_SIGNAL, SIGKILL, NULL);
        assert_ended(&w, TASK_FAILED, ERR_WORKER_CRASHED);
        task_release(w.task);
    }
    assert_int_equal(task_info_of(other.task).state, TASK_RUNNING);
    assert_int_equal(kill(pid, 0), 0);
    cancel(f, other.task, CANCEL_CLIENT);
    wait_until_done(f, &other);
    task_release(other.task);
    check_works(f);
    stop_workers(f);
}

static void killed_worker_is_respawned(void **state)
{
    (void)state;
    struct fixture *f = start_workers(2);
    assert_true(run_until(f, all_free, f));
    for (int64_t i = 0; i < 6; i++) { /* kills an idle worker, the one that would get the next job */
        int64_t pid = worker_pid(f, 0);
        assert_true(pid > 0);
        assert_int_equal(kill((pid_t)pid, SIGKILL), 0);
        assert_true(run_until(f, has_restarts, &(struct restart_count){f, i + 1}) && run_until(f, all_free, f));
        assert_int_not_equal(worker_pid(f, 0), pid);
        check_works(f);
    }
    struct waiter w;
    submit_worker_action(f, &w, ACTION_SPIN, 0, NULL);
    assert_true(run_until(f, is_running, &w));
    assert_int_equal(kill(task_info_of(w.task).pid, SIGKILL), 0);
    wait_until_done(f, &w);
    assert_ended(&w, TASK_FAILED, ERR_WORKER_CRASHED);
    assert_int_equal(w.info.exit_signal, SIGKILL);
    task_release(w.task);
    check_works(f);
    stop_workers(f);
}

/* The response and the exit of a worker are read in one turn of the loop. That worker must not get the next task. */
static void no_dispatch_to_exited_worker(void **state)
{
    (void)state;
    struct fixture *f = start_workers(1);
    for (int i = 0; i < 10; i++) {
        struct waiter w[2];
        assert_true(run_until(f, all_free, f));
        int64_t pid = worker_pid(f, 0);
        submit_worker_action(f, &w[0], ACTION_ECHO, 0, NULL);
        submit_worker_action(f, &w[1], ACTION_ECHO, 1, NULL);
        assert_int_equal(task_info_of(w[0].task).state, TASK_RUNNING);
        struct pollfd readable = {.fd = uv_backend_fd(&f->loop), .events = POLLIN};
        assert_int_equal(poll(&readable, 1, 60000), 1);
        kill((pid_t)pid, SIGKILL);
        siginfo_t info;
        assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
        wait_until_done(f, &w[0]);
        wait_until_done(f, &w[1]);
        if (w[0].info.state == TASK_SUCCEEDED) { /* the response arrived before the exit */
            assert_ended(&w[1], TASK_SUCCEEDED, 0);
            assert_int_not_equal(faulty_output(&w[1])->pid, pid);
        }
        task_release(w[0].task);
        task_release(w[1].task);
    }
    check_works(f);
    stop_workers(f);
}

/* Terminals and supervisors send signals to the whole process group; workers ignore them. */
static void workers_ignore_group_signals(void **state)
{
    (void)state;
    struct fixture *f = start_workers(1);
    check_works(f);
    int64_t pid = worker_pid(f, 0);
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < COUNT_OF(signals); i++) {
        assert_int_equal(kill((pid_t)pid, signals[i]), 0);
        check_works(f);
    }
    assert_int_equal(worker_pid(f, 0), pid);
    assert_int_equal(restarts(f), 0);
    stop_workers(f);
}

static void orphaned_grandchild_does_not_block(void **state)
{
    (void)state;
    struct fixture *f = start_workers(1);
    struct waiter w;
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    run_worker_action(f, &w, ACTION_ORPHAN_CHILD, 4, NULL);
    assert_ended(&w, TASK_FAILED, ERR_WORKER_CRASHED);
    assert_int_equal(w.info.exit_code, 4);
    task_release(w.task);
    check_works(f);
    assert_true(fixture_free(f));
    assert_true(waitpid(-1, NULL, 0) > 0); /* the orphan exits when the service's end of the socket is closed */
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 0), 0);
    check_no_children();
}

/* -- worker events ------------------------------------------------------------------------------------------------- */

struct log_count {
    const struct event_log *event_log;
    size_t count;
};

static bool has_events(const void *of)
{
    const struct log_count *c = of;
    return c->event_log->count >= c->count;
}

static void check_event(const struct record *record, bool was_ready, enum worker_fault fault, int exit_signal,
                        int exit_code)
{
    assert_string_equal(worker_fault_names[record->event.fault], worker_fault_names[fault]);
    assert_int_equal(record->event.was_ready, was_ready);
    assert_int_equal(record->event.exit_signal, exit_signal);
    assert_int_equal(record->event.exit_code, exit_code);
}

/* Each failure of a busy or idle worker is reported by one event. */
static void worker_exit_emits_event(void **state)
{
    (void)state;
    static struct event_log event_log;
    struct fixture *f = start_with_log(faulty_worker_command, 0, INTEGER_ABSENT, &event_log);
    static const struct {
        enum action action;
        int64_t number;
        const char *stderr_output, *last_line;
        enum worker_fault fault;
        int exit_signal, exit_code;
    } rows[] = {
        {ACTION_SIGNAL, SIGKILL, "", "", WORKER_EXITED, SIGKILL, -1},
        {ACTION_SIGNAL, SIGABRT, "one\ntwo\n", "two", WORKER_EXITED, SIGABRT, -1},
        {ACTION_EXIT, 3, "bye", "bye", WORKER_EXITED, 0, 3},
        {ACTION_EXIT, 0, "", "", WORKER_EXITED, 0, 0},
        {ACTION_UNSOLICITED_OUTPUT, 100000, "A", "", WORKER_PROTOCOL_ERROR, 0, -1},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct waiter w;
        assert_true(run_until(f, all_free, f));
        run_worker_action(f, &w, rows[i].action, rows[i].number, rows[i].stderr_output);
        assert_ended(&w, TASK_FAILED, ERR_WORKER_CRASHED);
        assert_int_equal(event_log.count, i + 1); /* the event comes before the end of the task */
        check_event(&event_log.records[i], true, rows[i].fault, rows[i].exit_signal, rows[i].exit_code);
        assert_int_equal(event_log.records[i].event.pid, w.info.pid);
        assert_string_equal(event_log.records[i].function, "action");
        assert_string_equal(event_log.records[i].stderr_output, rows[i].last_line);
        assert_string_equal(event_log.records[i].spawn_message, "");
        task_release(w.task);
    }
    assert_true(run_until(f, all_free, f));
    int64_t pid = worker_pid(f, 0);
    assert_int_equal(kill((pid_t)pid, SIGKILL), 0);
    assert_true(run_until(f, has_events, &(struct log_count){&event_log, COUNT_OF(rows) + 1}));
    check_event(&event_log.records[COUNT_OF(rows)], true, WORKER_EXITED, SIGKILL, -1);
    assert_int_equal(event_log.records[COUNT_OF(rows)].event.pid, pid);
    assert_string_equal(event_log.records[COUNT_OF(rows)].function, "");
    check_works(f);
    stop_workers(f);
    assert_int_equal(event_log.count, COUNT_OF(rows) + 1);
}

static void intended_kill_emits_no_event(void **state)
{
    (void)state;
    static struct event_log event_log;
    struct fixture *f = start_with_log(faulty_worker_command, 0, 3, &event_log);
    for (int i = 0; i < 3; i++) {
        struct task_spec spec = faulty_spec(f, ACTION_SPIN, 0, NULL);
        struct waiter w = {0};
        assert_true(run_until(f, all_free, f));
        if (i == 0)
            spec.options.timeout_ns = MS(5);
        if (i == 1)
            spec.options.deadline_ns = MS(200); /* long enough to start */
        submit_and_drain(f, &spec, &w);
        if (i == 2) {
            assert_true(run_until(f, is_running, &w));
            cancel(f, w.task, CANCEL_CLIENT);
        }
        wait_until_done(f, &w);
        assert_int_equal(w.info.cancel_effect, EFFECT_KILLED);
        task_release(w.task);
    }
    check_works(f); /* two workers reach max_tasks and are replaced */
    assert_true(run_until(f, has_restarts, &(struct restart_count){f, 5}));
    stop_workers(f);
    stop_workers(start_with_log(faulty_worker_command, 0, 3, &event_log)); /* stops the worker during its start */
    assert_int_equal(event_log.count, 0);
}

/* A worker that hangs during its start is killed. This and all other failures to start are reported by an event. */
static void failed_start_emits_event(void **state)
{
    (void)state;
    const struct {
        char *const command[4];
        enum worker_fault fault;
        int exit_code;
        const char *stderr_output, *spawn_message;
    } rows[] = {
        {{(char[]){"/bin/sleep"}, (char[]){"1000"}}, WORKER_START_TIMEOUT, -1, "", ""},
        {{(char[]){"/bin/sh"}, (char[]){"-c"}, (char[]){"echo no libzeal >&2; exit 7"}},
         WORKER_EXITED,
         7,
         "no libzeal",
         ""},
        {{(char[]){"/nowhere/gatherd"}}, WORKER_SPAWN_FAILED, -1, "", "no such file or directory"},
        {{(char[]){"/bin/sh"}, (char[]){"-c"}, (char[]){"yes | head -c 1000 >&3; exec sleep 1000"}},
         WORKER_PROTOCOL_ERROR,
         -1,
         "",
         ""},
    };
    static const uint64_t backoffs_ms[] = {0, 0, 100, 200};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        static struct event_log event_log;
        int before = open_descriptors();
        uint64_t from = uv_hrtime(), start_timeout_ns = rows[i].fault == WORKER_START_TIMEOUT ? MS(20) : 0;
        struct fixture *f = start_with_log(rows[i].command, start_timeout_ns, INTEGER_ABSENT, &event_log);
        assert_true(run_until(f, has_events, &(struct log_count){&event_log, COUNT_OF(backoffs_ms)}));
        assert_true(uv_hrtime() - from >= COUNT_OF(backoffs_ms) * start_timeout_ns + MS(100));
        for (size_t j = 0; j < COUNT_OF(backoffs_ms); j++) {
            const struct record *record = &event_log.records[j];
            check_event(record, false, rows[i].fault, 0, rows[i].exit_code);
            assert_int_equal(record->event.pid == 0, rows[i].fault == WORKER_SPAWN_FAILED);
            assert_int_equal(record->event.retry_ns, MS(backoffs_ms[j]));
            assert_string_equal(record->function, "");
            assert_string_equal(record->stderr_output, rows[i].stderr_output);
            assert_string_equal(record->spawn_message, rows[i].spawn_message);
        }
        stop_workers(f);
        assert_int_equal(open_descriptors(), before);
    }
}

/* If the loop was blocked beyond the start timeout, workers that have become ready meanwhile are not killed. */
static void slow_loop_does_not_time_out_worker(void **state)
{
    (void)state;
    static struct event_log event_log;
    uint64_t start_timeout_ns = NS_PER_SECOND, from = uv_hrtime();
    struct fixture *f = start_with_log(faulty_worker_command, start_timeout_ns, INTEGER_ABSENT, &event_log);
    uv_run(&f->loop, UV_RUN_NOWAIT); /* adds the handles to the loop's epoll descriptor */
    struct pollfd tail = {.fd = uv_backend_fd(&f->loop), .events = POLLIN};
    if (!all_free(f))
        assert_int_equal(poll(&tail, 1, 60000), 1);
    while (uv_hrtime() <= from + 2 * start_timeout_ns)
        poll(NULL, 0, 10);
    assert_true(run_until(f, all_free, f));
    assert_int_equal(event_log.count, 0);
    assert_int_equal(restarts(f), 0);
    check_works(f);
    stop_workers(f);
}

/* The start timeout does not apply once the worker is ready. */
static void start_timeout_ends_when_ready(void **state)
{
    (void)state;
    static struct event_log event_log;
    uint64_t start_timeout_ns = 5 * NS_PER_SECOND;
    struct fixture *f = start_with_log(faulty_worker_command, start_timeout_ns, INTEGER_ABSENT, &event_log);
    struct waiter w;
    assert_true(run_until(f, all_free, f));
    uint64_t from = uv_hrtime();
    struct task_spec spec = sleep_of(f, start_timeout_ns + MS(100));
    w = (struct waiter){0};
    submit_and_wait(f, &spec, &w);
    task_release(w.task);
    assert_true(uv_hrtime() - from > start_timeout_ns);
    assert_int_equal(event_log.count, 0);
    assert_int_equal(restarts(f), 0);
    check_works(f);
    stop_workers(f);
}

/* -- protocol violations ------------------------------------------------------------------------------------------- */

static void unsolicited_output_fails_one_task(void **state)
{
    (void)state;
    struct fixture *f = start_workers(1);
    static const int64_t sizes[] = {1, 4, 100, 295, 296, 297, 300, 1000, 65536, 70000, 1000000};
    static const char *const bytes[] = {NULL, "\xFF", "A", "\x01"};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        for (size_t j = 0; j < COUNT_OF(bytes); j++) {
            struct waiter w, next;
            assert_true(run_until(f, all_free, f));
            /* 0xFF is not UTF-8; the decoder would reject it, but task_submit() does not check */
            struct task_spec spec = faulty_spec(f, ACTION_UNSOLICITED_OUTPUT, sizes[i], bytes[j]);
            w = (struct waiter){0};
            submit_and_drain(f, &spec, &w);
            submit_worker_action(f, &next, ACTION_ECHO, 7, "next");
            wait_until_done(f, &w);
            wait_until_done(f, &next);
            assert_ended(&w, TASK_FAILED, ERR_WORKER_CRASHED);
            assert_ended(&next, TASK_SUCCEEDED, 0);
            assert_int_equal(faulty_output(&next)->number, 7);
            task_release(w.task);
            task_release(next.task);
        }
    }
    check_works(f);
    stop_workers(f);
}

/* Well-formed responses with another number than that of the request are rejected. */
static void mismatched_sequence_is_rejected(void **state)
{
    (void)state;
    struct fixture *f = start_workers(1);
    for (int64_t frames = 1; frames <= 3; frames++) {
        struct waiter w, next[3];
        assert_true(run_until(f, all_free, f));
        submit_worker_action(f, &w, ACTION_BAD_SEQUENCE, frames, NULL);
        for (size_t i = 0; i < COUNT_OF(next); i++)
            submit_worker_action(f, &next[i], ACTION_ECHO, (int64_t)i, "next");
        wait_until_done(f, &w);
        assert_ended(&w, TASK_FAILED, ERR_WORKER_CRASHED);
        task_release(w.task);
        for (size_t i = 0; i < COUNT_OF(next); i++) {
            wait_until_done(f, &next[i]);
            assert_ended(&next[i], TASK_SUCCEEDED, 0);
            assert_int_equal(faulty_output(&next[i])->number, i);
            task_release(next[i].task);
        }
    }
    check_works(f);
    stop_workers(f);
}

/* Responses that have the right number, but are otherwise invalid. */
static void malformed_responses_are_rejected(void **state)
{
    (void)state;
    struct fixture *f = start_workers_with(1, faulty_worker_command, 1, 100);
    assert_non_null(f); /* max_tasks is 1, so that the number of each request is 1, as in bad_frame() */
    for (int64_t kind = 0; kind < BAD_FRAME_COUNT; kind++) {
        struct waiter w, next;
        assert_true(run_until(f, all_free, f));
        submit_worker_action(f, &w, ACTION_BAD_FRAME, kind, NULL);
        submit_worker_action(f, &next, ACTION_ECHO, 3, "next");
        wait_until_done(f, &w);
        wait_until_done(f, &next);
        assert_ended(&next, TASK_SUCCEEDED, 0);
        /* A valid response is accepted, unless the second response, which echo() adds, was read together with it. */
        bool accepted = kind >= BAD_FRAME_UNTERMINATED_MESSAGE && w.info.rc != ERR_WORKER_CRASHED;
        assert_ended(&w, TASK_FAILED, accepted ? ERR_INTERNAL : ERR_WORKER_CRASHED);
        if (accepted && kind == BAD_FRAME_UNTERMINATED_MESSAGE)
            assert_int_equal(strlen(w.info.detail), 255);
        if (accepted && kind == BAD_FRAME_INVALID_UTF8)
            assert_null(w.info.detail);
        task_release(w.task);
        task_release(next.task);
    }
    check_works(f);
    stop_workers(f);
}

static void closed_descriptors_do_not_block(void **state)
{
    (void)state;
    struct fixture *f = start_workers(1);
    static const enum action actions[] = {ACTION_STOP_READING, ACTION_CLOSE_SOCKET, ACTION_CLOSE_STDERR};
    for (size_t i = 0; i < COUNT_OF(actions); i++) {
        struct waiter w, next[2];
        assert_true(run_until(f, all_free, f));
        submit_worker_action(f, &w, actions[i], 0, NULL);
        submit_worker_action(f, &next[0], ACTION_ECHO, 0, NULL);
        submit_worker_action(f, &next[1], ACTION_ECHO, 1, NULL);
        wait_until_done(f, &w);
        wait_until_done(f, &next[0]);
        wait_until_done(f, &next[1]);
        if (actions[i] == ACTION_CLOSE_SOCKET)
            assert_ended(&w, TASK_FAILED, ERR_WORKER_CRASHED);
        else
            assert_ended(&w, TASK_SUCCEEDED, 0);
        /* With ACTION_STOP_READING, the next task may be sent to the same worker and fail. */
        if (actions[i] != ACTION_STOP_READING || next[0].info.rc != ERR_WORKER_CRASHED)
            assert_ended(&next[0], TASK_SUCCEEDED, 0);
        assert_ended(&next[1], TASK_SUCCEEDED, 0);
        task_release(w.task);
        task_release(next[0].task);
        task_release(next[1].task);
    }
    check_works(f);
    stop_workers(f);
}

/* -- memory -------------------------------------------------------------------------------------------------------- */

static bool is_sanitized(void)
{
    const char *build = getenv("GATHERD_BUILD");
    return build != NULL && strcmp(build, "release") != 0;
}

static void worker_memory_is_limited(void **state)
{
    (void)state;
    if (is_sanitized())
        skip(); /* sanitizers reserve terabytes of address space */
    char memory[] = "67108864";
    char *const command[] = {faulty_worker_command[0], faulty_worker_command[1], memory, NULL};
    struct fixture *f = start_workers_with(1, command, INTEGER_ABSENT, 1000);
    assert_non_null(f);
    static const struct {
        int64_t number;
        enum action action;
        int rc;
    } rows[] = {
        {0, ACTION_EXHAUST_MEMORY, ERR_WORKER_OUT_OF_MEMORY},       {10000000, ACTION_LARGE_OUTPUT, 0},
        {50000000, ACTION_LARGE_OUTPUT, ERR_WORKER_OUT_OF_MEMORY}, /* fits into memory, but not twice */
        {100000000, ACTION_LARGE_OUTPUT, ERR_WORKER_OUT_OF_MEMORY}, {0, ACTION_ECHO, 0},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct waiter w;
        run_worker_action(f, &w, rows[i].action, rows[i].number, NULL);
        assert_ended(&w, rows[i].rc == 0 ? TASK_SUCCEEDED : TASK_FAILED, rows[i].rc);
        task_release(w.task);
    }
    char *text = malloc(60000001);
    assert_non_null(text);
    memset(text, 'y', 60000000);
    text[60000000] = '\0';
    struct waiter w;
    run_worker_action(f, &w, ACTION_ECHO, 0, text); /* the input exceeds the worker's memory */
    assert_ended(&w, TASK_FAILED, ERR_WORKER_OUT_OF_MEMORY);
    task_release(w.task);
    free(text);
    check_works(f);
    assert_int_equal(restarts(f), 0);
    stop_workers(f);
}

enum { REQUEST_BUFFER_FAILED = 1, RESULT_FAILED = 2 };

/* Runs a task while the n-th allocation fails, and adds the kind of failure to *seen. False: the task needs fewer than
 * n allocations. */
static bool run_with_failure(struct fixture *f, unsigned long n, unsigned *seen)
{
    struct task_spec spec = faulty_spec(f, ACTION_LARGE_OUTPUT, 300000, NULL);
    struct task_spec *copy = arena_alloc(f->arena, sizeof *copy);
    assert_non_null(copy);
    *copy = spec;
    struct waiter w = {.fixture = f};
    struct err e;
    alloc_fail_at(n);
    int rc = task_submit(f->runtime, copy, f->arena, uv_hrtime(), waiter_done, &w, &w.task, &e);
    if (rc == 0) {
        task_drain(f->runtime);
        wait_until_done(f, &w);
    }
    bool failed = alloc_count() >= n;
    alloc_fail_at(0);
    assert_true(rc == 0 || (failed && rc == ERR_OUT_OF_MEMORY));
    assert_int_equal(w.done, rc == 0);
    if (rc == 0 && w.info.rc != 0) { /* otherwise the allocation was for a read, which is retried */
        assert_ended(&w, TASK_FAILED, ERR_OUT_OF_MEMORY);
        *seen |= w.info.pid == 0 ? REQUEST_BUFFER_FAILED : RESULT_FAILED;
    }
    if (rc == 0)
        task_release(w.task);
    arena_unref(f->arena);
    f->arena = arena_new();
    return failed;
}

/* Each allocation of the service fails in turn, from the submission of a task to its end. The number of reads of a
 * response varies, so this is repeated until both kinds of failure have been seen. */
static void worker_task_out_of_memory(void **state)
{
    (void)state;
    struct fixture *f = start_workers(1);
    unsigned seen = 0;
    for (int rounds = 0; rounds < 50 && seen != (REQUEST_BUFFER_FAILED | RESULT_FAILED); rounds++) {
        bool failed = true;
        for (unsigned long n = 1; failed; n++) {
            assert_true(run_until(f, all_free, f));
            failed = run_with_failure(f, n, &seen);
            check_works(f);
        }
    }
    assert_int_equal(seen, REQUEST_BUFFER_FAILED | RESULT_FAILED);
    stop_workers(f);
}

static void worker_pool_startup_out_of_memory(void **state)
{
    (void)state;
    int before = open_descriptors();
    unsigned long n = 0;
    struct fixture *f;
    do {
        alloc_fail_at(++n);
        f = start_workers_with(2, faulty_worker_command, INTEGER_ABSENT, 100);
        alloc_fail_at(0);
    } while (f == NULL);
    assert_true(n >= 4); /* fixture, runtime, pool, arena */
    check_works(f);
    stop_workers(f);
    assert_int_equal(open_descriptors(), before);
}

/* -- replacement --------------------------------------------------------------------------------------------------- */

static void workers_are_recycled_after_max_tasks(void **state)
{
    (void)state;
    struct fixture *f = start_workers_with(1, faulty_worker_command, 3, 100);
    assert_non_null(f);
    struct waiter w[10];
    for (size_t i = 0; i < COUNT_OF(w); i++)
        submit_worker_action(f, &w[i], ACTION_ECHO, (int64_t)i, NULL);
    for (size_t i = 0; i < COUNT_OF(w); i++) {
        wait_until_done(f, &w[i]);
        assert_ended(&w[i], TASK_SUCCEEDED, 0);
        if (i > 0)
            assert_int_equal(faulty_output(&w[i])->pid == faulty_output(&w[i - 1])->pid, i % 3 != 0);
    }
    for (size_t i = 0; i < COUNT_OF(w); i++)
        task_release(w[i].task);
    assert_int_equal(restarts(f), 3);
    assert_int_equal(worker_pool(f)->tasks_done, 10);
    stop_workers(f);
}

/* If workers fail to start, they are spawned again after growing delays; tasks wait in the queue. */
static void failed_starts_back_off(void **state)
{
    (void)state;
    char *const commands[][4] = {
        {(char[]){"/bin/false"}, NULL},
        {(char[]){"/nowhere/gatherd"}, NULL},
        {(char[]){"/bin/sh"}, (char[]){"-c"}, (char[]){"yes | head -c 1000 >&3; exec sleep 100"}, NULL},
        {(char[]){"/bin/sh"}, (char[]){"-c"}, (char[]){"head -c 100000 /dev/zero >&3; exec sleep 100"}, NULL},
    };
    for (size_t i = 0; i < COUNT_OF(commands); i++) {
        int before = open_descriptors();
        uint64_t from = uv_hrtime();
        struct fixture *f = start_workers_with(1, commands[i], INTEGER_ABSENT, 100);
        assert_non_null(f);
        struct waiter w, late = {0};
        submit_worker_action(f, &w, ACTION_ECHO, 0, NULL);
        struct task_spec spec = faulty_spec(f, ACTION_ECHO, 0, NULL);
        spec.options.deadline_ns = MS(5);
        submit_and_drain(f, &spec, &late);
        assert_true(run_until(f, has_restarts, &(struct restart_count){f, 5}));
        assert_true(uv_hrtime() - from >= MS(100 + 200)); /* delays after the third and the fourth failure */
        assert_int_equal(task_info_of(w.task).state, TASK_QUEUED);
        wait_until_done(f, &late);
        assert_ended(&late, TASK_FAILED, ERR_DEADLINE_EXCEEDED);
        assert_int_equal(late.info.cancel_effect, EFFECT_PREVENTED);
        cancel(f, w.task, CANCEL_CLIENT);
        task_drain(f->runtime);
        assert_ended(&w, TASK_CANCELED, ERR_CANCELED);
        task_release(w.task);
        task_release(late.task);
        stop_workers(f); /* in most cases during a delay */
        assert_int_equal(open_descriptors(), before);
    }
}

/* Opens descriptors until the limit is reached, or 64. Returns their number. */
static size_t exhaust_descriptors(int fds[64])
{
    size_t count = 0;
    while (count < 64 && (fds[count] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
        count++;
    return count;
}

/* While descriptors are exhausted, killed workers cannot be replaced; afterwards they are. */
static void descriptor_exhaustion_recovers(void **state)
{
    (void)state;
    int descriptors_before = open_descriptors();
    struct fixture *f = start_workers(2);
    assert_true(run_until(f, all_free, f));
    struct rlimit before, some;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    some = before;
    some.rlim_cur = 40;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &some), 0);
    int fds[64];
    size_t count = exhaust_descriptors(fds);
    assert_true(count > 0 && count < 64);
    for (size_t i = 0; i < 2; i++)
        kill((pid_t)worker_pid(f, i), SIGKILL);
    /* A worker's end closes two descriptors, but a spawn needs six. */
    assert_true(run_until(f, has_restarts, &(struct restart_count){f, 8}));
    struct waiter w;
    submit_worker_action(f, &w, ACTION_ECHO, 5, NULL);
    assert_int_equal(task_info_of(w.task).state, TASK_QUEUED);
    assert_int_equal(worker_pid(f, 0), 0);
    for (size_t i = 0; i < count; i++)
        close(fds[i]);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    wait_until_done(f, &w);
    assert_ended(&w, TASK_SUCCEEDED, 0);
    task_release(w.task);
    check_works(f);
    stop_workers(f);
    assert_int_equal(open_descriptors(), descriptors_before);
}

static void task_waits_for_worker_start(void **state)
{
    (void)state;
    char path[] = "/tmp/gatherd-ready-XXXXXX";
    int ready = mkstemp(path);
    assert_true(ready >= 0);
    unlink(path);
    char script[200], self[100];
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    assert_true(len > 0);
    self[len] = '\0';
    snprintf(script, sizeof script, "[ -e %s ] && exec %s " FAULTY_WORKER_FLAG "; exit 9", path, self);
    char *const command[] = {(char[]){"/bin/sh"}, (char[]){"-c"}, script, NULL};
    struct fixture *f = start_workers_with(2, command, INTEGER_ABSENT, 100);
    assert_non_null(f);
    struct waiter w[4];
    for (size_t i = 0; i < COUNT_OF(w); i++)
        submit_worker_action(f, &w[i], ACTION_ECHO, (int64_t)i, NULL);
    assert_true(run_until(f, has_restarts, &(struct restart_count){f, 7}));
    for (size_t i = 0; i < COUNT_OF(w); i++)
        assert_int_equal(task_info_of(w[i].task).state, TASK_QUEUED);
    close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    for (size_t i = 0; i < COUNT_OF(w); i++) {
        wait_until_done(f, &w[i]);
        assert_ended(&w[i], TASK_SUCCEEDED, 0);
        task_release(w[i].task);
    }
    check_works(f);
    stop_workers(f);
    close(ready);
    unlink(path);
}

/* -- shutdown ------------------------------------------------------------------------------------------------------ */

static void close_in_any_worker_state(void **state)
{
    (void)state;
    int before = open_descriptors();
    stop_workers(start_workers(3)); /* stops workers that were just spawned */
    for (int iterations = 1; iterations < 20; iterations++) {
        struct fixture *f = start_workers(2);
        for (int i = 0; i < iterations && !all_free(f); i++)
            uv_run(&f->loop, i % 2 == 0 ? UV_RUN_ONCE : UV_RUN_NOWAIT);
        stop_workers(f);
    }
    for (int iterations = 0; iterations < 12; iterations++) { /* turns of the loop between the kill and the stop */
        struct fixture *f = start_workers(2);
        assert_true(run_until(f, all_free, f));
        struct waiter w;
        submit_worker_action(f, &w, ACTION_SPIN, 0, NULL);
        kill((pid_t)worker_pid(f, 1), SIGKILL);
        cancel(f, w.task, CANCEL_SHUTDOWN);
        wait_until_done(f, &w);
        assert_ended(&w, TASK_CANCELED, ERR_SHUTTING_DOWN);
        task_release(w.task);
        for (int i = 0; i < iterations; i++)
            uv_run(&f->loop, UV_RUN_NOWAIT);
        stop_workers(f);
    }
    assert_int_equal(open_descriptors(), before);
}

/* The last `done` may close the runtime. */
static void close_from_worker_done_callback(void **state)
{
    (void)state;
    static const enum action actions[] = {ACTION_ECHO, ACTION_FAIL, ACTION_EXIT, ACTION_UNSOLICITED_OUTPUT};
    for (size_t i = 0; i < COUNT_OF(actions); i++) {
        struct fixture *f = start_workers(2);
        struct waiter w = {.on_done = waiter_close_runtime};
        struct task_spec spec = faulty_spec(f, actions[i], ERR_INTERNAL, "A");
        if (actions[i] == ACTION_UNSOLICITED_OUTPUT || actions[i] == ACTION_EXIT)
            spec = faulty_spec(f, actions[i], 100, "A");
        submit_and_drain(f, &spec, &w);
        assert_true(run_until(f, loop_is_finished, f));
        assert_int_equal(w.done, 1);
        uv_close((uv_handle_t *)&f->timeout_timer, NULL);
        uv_run(&f->loop, UV_RUN_NOWAIT);
        assert_int_equal(uv_loop_close(&f->loop), 0);
        arena_unref(f->arena);
        free(f);
        check_no_children();
    }
}

/* Workers are killed when the service is killed, even during a task. */
static void workers_die_with_service(void **state)
{
    (void)state;
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    pid_t service = fork();
    assert_true(service >= 0);
    if (service == 0) {
        struct fixture *f = start_workers_with(3, faulty_worker_command, INTEGER_ABSENT, 100);
        struct waiter w = {0};
        struct task_spec spec = faulty_spec(f, ACTION_SPIN, 0, NULL);
        submit(f, &spec, &w);
        task_drain(f->runtime);
        run_until(f, all_free, f); /* runs until the parent kills this process: one worker stays busy */
        _exit(1);
    }
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", service, service);
    for (int children = 0; children < 3;) { /* until all workers are spawned */
        FILE *list = fopen(path, "re");
        assert_non_null(list);
        char line[200] = ""; /* pids, each followed by a space */
        children = 0;
        if (fgets(line, sizeof line, list) != NULL)
            for (const char *at = line; (at = strchr(at, ' ')) != NULL; at++)
                children++;
        fclose(list);
    }
    assert_int_equal(kill(service, SIGKILL), 0);
    assert_int_equal(waitpid(service, NULL, 0), service);
    int ended = 0; /* counts the workers, and processes of a leak checker if any */
    while (waitpid(-1, NULL, 0) > 0)
        ended++;
    assert_true(ended >= 3);
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 0), 0);
    check_no_children();
}

/* -- random actions ------------------------------------------------------------------------------------------------ */

enum { LOAD = 600, KILLS = 200 };

static void random_kills_under_load(void **state)
{
    (void)state;
    int before = open_descriptors();
    char path[] = "/tmp/gatherd-note-XXXXXX";
    int records = mkstemp(path);
    assert_true(records >= 0);
    struct fixture *f = start_workers(4);
    struct waiter *w = calloc(LOAD, sizeof *w);
    assert_non_null(w);
    for (size_t i = 0; i < LOAD; i++)
        submit_worker_action(f, &w[i], ACTION_APPEND, (int64_t)i, path);
    struct prng prng = {77};
    for (int kills = 0; kills < KILLS;) {
        for (uint64_t iterations = prng_below(&prng, 6); iterations > 0; iterations--)
            uv_run(&f->loop, UV_RUN_NOWAIT);
        int64_t pid = worker_pid(f, prng_below(&prng, 4));
        if (pid != 0)
            kills += kill((pid_t)pid, SIGKILL) == 0;
        else
            uv_run(&f->loop, UV_RUN_ONCE);
    }
    assert_true(run_until_idle(f));
    int recorded[LOAD] = {0};
    int64_t number;
    for (off_t at = 0; pread(records, &number, sizeof number, at) == sizeof number; at += (off_t)sizeof number)
        recorded[number]++;
    size_t succeeded = 0;
    for (size_t i = 0; i < LOAD; i++) {
        assert_int_equal(w[i].done, 1);
        assert_true(recorded[i] <= 1);
        if (w[i].info.rc == 0) {
            assert_int_equal(recorded[i], 1);
            assert_int_equal(faulty_output(&w[i])->number, i);
            succeeded++;
        } else {
            assert_ended(&w[i], TASK_FAILED, ERR_WORKER_CRASHED);
            assert_int_equal(w[i].info.exit_signal, SIGKILL);
        }
        task_release(w[i].task);
    }
    assert_true(succeeded >= LOAD - KILLS);
    check_works(f);
    free(w);
    stop_workers(f);
    close(records);
    unlink(path);
    assert_int_equal(open_descriptors(), before);
}

static void random_worker_tasks(void **state)
{
    (void)state;
    int before = open_descriptors();
    struct fixture *f = start_workers_with(3, faulty_worker_command, 20, 10000);
    assert_non_null(f);
    enum { TASKS = 400 };
    struct waiter *w = calloc(TASKS, sizeof *w);
    assert_non_null(w);
    struct prng prng = {4711};
    for (size_t i = 0; i < TASKS; i++) {
        static const struct {
            enum action action;
            int64_t number;
            const char *text;
        } rows[] = {
            {ACTION_ECHO, 1, "a"},
            {ACTION_ECHO, 2, "b"},
            {ACTION_LARGE_OUTPUT, 100000, NULL},
            {ACTION_FAIL, ERR_OVERFLOW, "o"},
            {ACTION_SIGNAL, SIGKILL, "x"},
            {ACTION_EXIT, 1, "y"},
            {ACTION_UNSOLICITED_OUTPUT, 500, "A"},
            {ACTION_BAD_SEQUENCE, 2, NULL},
            {ACTION_SPIN, 0, NULL},
            {ACTION_UNSOLICITED_OUTPUT, 300000, "\n"},
            {ACTION_CLOSE_SOCKET, 0, NULL},
            {ACTION_ECHO, 3, NULL},
        };
        size_t row = prng_below(&prng, COUNT_OF(rows));
        struct task_spec spec = faulty_spec(f, rows[row].action, rows[row].number, rows[row].text);
        if (rows[row].action == ACTION_SPIN || prng_below(&prng, 8) == 0)
            spec.options.timeout_ns = 1 + prng_below(&prng, MS(20));
        submit_and_drain(f, &spec, &w[i]);
        if (prng_below(&prng, 3) == 0)
            uv_run(&f->loop, UV_RUN_NOWAIT);
        if (prng_below(&prng, 10) == 0) {
            cancel(f, w[prng_below(&prng, i + 1)].task, CANCEL_CLIENT);
            task_drain(f->runtime);
        }
        if (prng_below(&prng, 20) == 0 && worker_pid(f, 0) != 0)
            kill((pid_t)worker_pid(f, 0), SIGKILL);
    }
    assert_true(run_until_idle(f));
    for (size_t i = 0; i < TASKS; i++) {
        assert_int_equal(w[i].done, 1);
        task_release(w[i].task);
    }
    check_works(f);
    free(w);
    stop_workers(f);
    assert_int_equal(open_descriptors(), before);
}

int main(int argc, char **argv)
{
    if (faulty_is_worker(argc, argv))
        return faulty_worker_main(argc, argv);
    signal(SIGPIPE, SIG_IGN); /* as in the service */
    uv_loop_t loop;           /* the first loop of a process opens descriptors that are never closed */
    if (uv_loop_init(&loop) != 0 || uv_loop_close(&loop) != 0)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(task_runs_in_worker),
        cmocka_unit_test(worker_function_errors),
        cmocka_unit_test(concurrency_equals_worker_count),
        cmocka_unit_test(input_sizes_round_trip),
        cmocka_unit_test(response_sizes_back_to_back),
        cmocka_unit_test(canceled_running_task_is_killed),
        cmocka_unit_test(canceled_queued_task_never_runs),
        cmocka_unit_test(timeout_and_deadline_kill_worker),
        cmocka_unit_test(deadline_expires_in_queue),
        cmocka_unit_test(cancel_during_response),
        cmocka_unit_test(cancel_at_random_moments),
        cmocka_unit_test(worker_crash_is_described),
        cmocka_unit_test(long_stderr_is_truncated),
        cmocka_unit_test(crash_does_not_affect_other_workers),
        cmocka_unit_test(killed_worker_is_respawned),
        cmocka_unit_test(no_dispatch_to_exited_worker),
        cmocka_unit_test(workers_ignore_group_signals),
        cmocka_unit_test(orphaned_grandchild_does_not_block),
        cmocka_unit_test(worker_exit_emits_event),
        cmocka_unit_test(intended_kill_emits_no_event),
        cmocka_unit_test(failed_start_emits_event),
        cmocka_unit_test(slow_loop_does_not_time_out_worker),
        cmocka_unit_test(start_timeout_ends_when_ready),
        cmocka_unit_test(unsolicited_output_fails_one_task),
        cmocka_unit_test(mismatched_sequence_is_rejected),
        cmocka_unit_test(malformed_responses_are_rejected),
        cmocka_unit_test(closed_descriptors_do_not_block),
        cmocka_unit_test(worker_memory_is_limited),
        cmocka_unit_test(worker_task_out_of_memory),
        cmocka_unit_test(worker_pool_startup_out_of_memory),
        cmocka_unit_test(workers_are_recycled_after_max_tasks),
        cmocka_unit_test(failed_starts_back_off),
        cmocka_unit_test(descriptor_exhaustion_recovers),
        cmocka_unit_test(task_waits_for_worker_start),
        cmocka_unit_test(close_in_any_worker_state),
        cmocka_unit_test(close_from_worker_done_callback),
        cmocka_unit_test(workers_die_with_service),
        cmocka_unit_test(random_kills_under_load),
        cmocka_unit_test(random_worker_tasks),
        cmocka_unit_test(oversized_frames_are_rejected), /* the last, because it makes later forks slow */
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Worker processes: what becomes of tasks and workers when one of them does not do as it should. */
#include "runtime/types/type_parse.h"
#include "tests/unit/support/faulty_function.h"

#include "runtime/executors/pool.h"
#include "runtime/executors/worker_main.h"
#include "runtime/task/task_submit.h"
#include "tests/unit/support/alloc_fault.h"

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

/* -- the fixture ----------------------------------------------------------------------------------------------------- */

static struct fixture *start_with(int64_t processes, char *const *command, int64_t max_tasks, int64_t queue_limit)
{
    struct limits limits;
    record_set_defaults(&limits_type, &limits);
    limits.queue_limit = queue_limit;
    return fixture_start(&(struct runtime_config){.limits = &limits,
                                                  .processes.size = processes,
                                                  .processes.size_source = "configured",
                                                  .processes.command = command,
                                                  .processes.max_tasks = max_tasks});
}

/* What the runtime told of workers that were lost. */
struct told {
    struct note {
        struct worker_event event; /* but for its texts */
        char function[32], words[200], system[128];
    } notes[64];
    size_t count;
};

static void copy_text(char *to, size_t size, const char *text)
{
    snprintf(to, size, "%s", text == NULL ? "" : text);
}

static void on_worker(void *user, const struct worker_event *event)
{
    struct told *told = user;
    struct note *note = &told->notes[told->count++ % COUNT_OF(told->notes)];
    note->event = *event;
    copy_text(note->function, sizeof note->function, event->function);
    copy_text(note->words, sizeof note->words, event->last_words.at);
    copy_text(note->system, sizeof note->system, event->system);
}

/* One worker, which has start_ns to be up, and *told of those that are lost. */
static struct fixture *start_telling(char *const *command, uint64_t start_ns, int64_t max_tasks, struct told *told)
{
    struct limits limits;
    record_set_defaults(&limits_type, &limits);
    struct fixture *f = fixture_start(&(struct runtime_config){.limits = &limits,
                                                               .processes.size = 1,
                                                               .processes.size_source = "configured",
                                                               .processes.command = command,
                                                               .processes.start_ns = start_ns,
                                                               .processes.max_tasks = max_tasks,
                                                               .processes.on_worker = on_worker,
                                                               .processes.user = told});
    assert_non_null(f);
    *told = (struct told){0};
    return f;
}

static struct fixture *start(int64_t processes)
{
    struct fixture *f = start_with(processes, deed_command, INTEGER_ABSENT, 10000);
    assert_non_null(f);
    return f;
}

static struct pool *pool_of(const struct fixture *f)
{
    return f->runtime->processes;
}

static bool all_free(const void *of)
{
    const struct pool *pool = pool_of(of);
    return pool->free == (size_t)pool->size;
}

static bool is_running(const void *watch)
{
    const struct watch *w = watch;
    return view_of(w->task).state == TASK_RUNNING;
}

static struct pool_stats look(const struct fixture *f, struct arena *arena)
{
    struct array views;
    assert_true(runtime_get_pool_stats(f->runtime, arena, &views));
    assert_int_equal(views.count, 1);
    return *(const struct pool_stats *)views.items;
}

static int64_t restarts(const struct fixture *f)
{
    struct arena *arena = arena_new();
    int64_t count = look(f, arena).restarts;
    arena_unref(arena);
    return count;
}

/* The pid of the worker with this index among those there are; 0 when there is none. */
static int64_t worker_pid(const struct fixture *f, size_t index)
{
    struct arena *arena = arena_new();
    struct pool_stats view = look(f, arena);
    int64_t pid = index < view.workers.count ? ((const struct worker_stats *)view.workers.items)[index].pid : 0;
    arena_unref(arena);
    return pid;
}

struct count_of {
    const struct fixture *f;
    int64_t restarts;
};

static bool has_restarts(const void *of)
{
    const struct count_of *c = of;
    return restarts(c->f) >= c->restarts;
}

/* Nothing is left of any child process, and of descriptors there are as many as before. */
static void check_no_children(void)
{
    siginfo_t info = {0};
    assert_int_equal(waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT), -1);
}

static int descriptors(void)
{
    int count = 0;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count;
}

static void finish(struct fixture *f)
{
    assert_true(fixture_free(f));
    check_no_children();
}

static void submit_now(struct fixture *f, const struct task_spec *spec, struct watch *w)
{
    assert_int_equal(submit(f, spec, w), 0);
    task_drain(f->runtime);
}

static void submit_deed(struct fixture *f, struct watch *w, enum deed deed, int64_t number, const char *text)
{
    *w = (struct watch){0};
    struct task_spec spec = deed_of(f, deed, number, text);
    submit_now(f, &spec, w);
}

static void check_ended(const struct watch *w, enum task_state state, int rc)
{
    assert_int_equal(w->done, 1);
    assert_false(w->inside_call);
    if (rc != w->view.rc && w->view.detail != NULL)
        print_message("it says: %s\n", w->view.detail);
    assert_int_equal(w->view.rc, rc);
    assert_int_equal(w->view.state, state);
}

static void await(struct fixture *f, const struct watch *w)
{
    assert_true(run_until(f, watch_is_done, w));
}

/* Has the deed done; the task is looked at in *w and released. What w->view points to is gone then. */
static void run_deed(struct fixture *f, struct watch *w, enum deed deed, int64_t number, const char *text)
{
    submit_deed(f, w, deed, number, text);
    await(f, w);
}

/* The pool does its work as if nothing had happened. */
static void check_works(struct fixture *f)
{
    struct watch w[8];
    for (size_t i = 0; i < COUNT_OF(w); i++)
        submit_deed(f, &w[i], DEED_ECHO, (int64_t)i, "as ever");
    for (size_t i = 0; i < COUNT_OF(w); i++) {
        await(f, &w[i]);
        check_ended(&w[i], TASK_SUCCEEDED, 0);
        assert_int_equal(deed_output(&w[i])->number, i);
        assert_string_equal(deed_output(&w[i])->text.at, "as ever");
        task_release(w[i].task);
    }
    assert_int_equal(pool_of(f)->busy, 0);
    assert_int_equal(pool_of(f)->queued, 0);
    assert_int_equal(pool_of(f)->admitted, 0);
    assert_true(run_until(f, all_free, f));
}

/* -- what is right ------------------------------------------------------------------------------------------------- */

static void a_task_runs_in_a_worker(void **state)
{
    (void)state;
    struct fixture *f = start(2);
    struct watch w;
    run_deed(f, &w, DEED_ECHO, 42, "h\xC3\xA9llo");
    check_ended(&w, TASK_SUCCEEDED, 0);
    const struct deed_output *out = deed_output(&w);
    assert_int_equal(out->number, 42);
    assert_string_equal(out->text.at, "h\xC3\xA9llo");
    assert_int_not_equal(out->pid, getpid());
    assert_int_equal(w.view.pid, out->pid);
    assert_int_equal(w.view.tid, out->pid);
    assert_int_equal(w.view.executor, EXECUTOR_PROCESSES);
    assert_true(str_eq(w.view.pool, "processes"));
    assert_non_null(w.view.usage);
    assert_true(w.view.usage->worker_peak_rss_bytes > 100000);
    assert_int_equal(w.view.exit_signal, 0);
    assert_int_equal(w.view.exit_code, -1);
    assert_true(w.view.queued_ns < HOUR && w.view.duration_ns < HOUR);
    task_release(w.task);
    check_works(f);
    finish(f);
}

static void functions_fail_as_they_like(void **state)
{
    (void)state;
    struct fixture *f = start(1);
    struct watch w;
    for (int rc = -1; rc >= -ERROR_COUNT; rc--) {
        run_deed(f, &w, DEED_FAIL, rc, "it is a pity");
        if (rc == ERR_OUT_OF_MEMORY) {
            check_ended(&w, TASK_FAILED, ERR_WORKER_OUT_OF_MEMORY);
        } else {
            check_ended(&w, TASK_FAILED, rc);
            assert_string_equal(w.view.detail, "it is a pity");
        }
        assert_int_equal(w.view.exit_signal, 0);
        assert_int_equal(w.view.exit_code, -1);
        assert_null(w.view.output);
        task_release(w.task);
    }
    assert_int_equal(restarts(f), 0);
    check_works(f);
    finish(f);
}

static bool has_no_room(const void *of)
{
    return pool_of(of)->busy == (size_t)pool_of(of)->size;
}

static void as_many_at_once_as_there_are_workers(void **state)
{
    (void)state;
    struct fixture *f = start(3);
    struct watch w[5];
    for (size_t i = 0; i < COUNT_OF(w); i++)
        submit_deed(f, &w[i], i < 3 ? DEED_SPIN : DEED_ECHO, (int64_t)i, NULL);
    assert_true(run_until(f, has_no_room, f));
    assert_int_equal(pool_of(f)->queued, 2);
    assert_int_equal(view_of(w[3].task).state, TASK_QUEUED);
    assert_int_equal(view_of(w[3].task).pid, 0);
    struct arena *arena = arena_new();
    struct pool_stats view = look(f, arena);
    assert_int_equal(view.workers.count, 3);
    for (size_t i = 0; i < 3; i++) {
        struct task_info running = view_of(w[i].task);
        assert_int_equal(running.state, TASK_RUNNING);
        const struct worker_stats *worker = (const struct worker_stats *)view.workers.items + i;
        assert_true(worker->busy);
        for (size_t j = 0; j < i; j++)
            assert_int_not_equal(running.pid, view_of(w[j].task).pid);
    }
    arena_unref(arena);
    cancel(f, w[1].task, CANCEL_CLIENT);
    task_drain(f->runtime);
    for (size_t i = 3; i < COUNT_OF(w); i++) {
        await(f, &w[i]);
        check_ended(&w[i], TASK_SUCCEEDED, 0);
    }
    cancel(f, w[0].task, CANCEL_CLIENT);
    cancel(f, w[2].task, CANCEL_CLIENT);
    assert_true(run_until_idle(f));
    for (size_t i = 0; i < COUNT_OF(w); i++)
        task_release(w[i].task);
    check_works(f);
    finish(f);
}

static void sizes_of_texts(void **state)
{
    (void)state;
    struct fixture *f = start(1);
    static const size_t sizes[] = {0, 1, 100, 65535 - 300, 65536 - 300, 65536, 212992, 5000000};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        char *text = malloc(sizes[i] + 1);
        assert_non_null(text);
        memset(text, 'y', sizes[i]);
        text[sizes[i]] = '\0';
        struct watch w;
        run_deed(f, &w, DEED_ECHO, 1, text);
        check_ended(&w, TASK_SUCCEEDED, 0);
        assert_int_equal(deed_output(&w)->text.len, sizes[i]);
        assert_memory_equal(deed_output(&w)->text.at, text, sizes[i] + 1);
        task_release(w.task);
        free(text);
    }
    assert_int_equal(restarts(f), 0);
    finish(f);
}

/* Answers that end exactly where a read does, each followed by the next task of the queue. */
static void answers_of_all_sizes_one_after_the_other(void **state)
{
    (void)state;
    struct fixture *f = start(1);
    enum { TASKS = 600 };
    struct watch *w = calloc(TASKS, sizeof *w);
    assert_non_null(w);
    int64_t size = 65536 - 400;
    for (size_t i = 0; i < TASKS; i++)
        submit_deed(f, &w[i], DEED_LARGE, size + (int64_t)i, NULL);
    for (size_t i = 0; i < TASKS; i++) {
        await(f, &w[i]);
        check_ended(&w[i], TASK_SUCCEEDED, 0);
        assert_int_equal(deed_output(&w[i])->text.len, (size_t)size + i);
        task_release(w[i].task);
    }
    assert_int_equal(restarts(f), 0);
    free(w);
    finish(f);
}

static void what_is_too_large_is_refused(void **state)
{
    (void)state;
    struct fixture *f = start(1);
    struct watch w;
    run_deed(f, &w, DEED_LARGE, FRAME_MOST, NULL);
    check_ended(&w, TASK_FAILED, ERR_WORKER_OUT_OF_MEMORY);
    task_release(w.task);
    char *text = malloc(FRAME_MOST + 1);
    assert_non_null(text);
    memset(text, 'y', FRAME_MOST);
    text[FRAME_MOST] = '\0';
    run_deed(f, &w, DEED_ECHO, 0, text);
    check_ended(&w, TASK_FAILED, ERR_INVALID);
    assert_null(w.view.usage);
    task_release(w.task);
    free(text);
    check_works(f);
    assert_int_equal(restarts(f), 0);
    finish(f);
}

/* -- cancel and limits --------------------------------------------------------------------------------------------- */

static bool is_gone(const void *pid)
{
    const int *number = pid;
    return kill(*number, 0) != 0;
}

static void a_running_task_that_is_canceled_is_killed(void **state)
{
    (void)state;
    struct fixture *f = start(2);
    struct watch w, neighbour;
    submit_deed(f, &neighbour, DEED_SPIN, 0, NULL);
    submit_deed(f, &w, DEED_SPIN, 0, NULL);
    assert_true(run_until(f, is_running, &w) && run_until(f, is_running, &neighbour));
    int pid = view_of(w.task).pid, neighbours_pid = view_of(neighbour.task).pid;
    cancel(f, w.task, CANCEL_CLIENT);
    assert_int_equal(view_of(w.task).state, TASK_CANCELING);
    await(f, &w);
    check_ended(&w, TASK_CANCELED, ERR_CANCELED);
    assert_int_equal(w.view.cancel_effect, EFFECT_KILLED);
    assert_int_equal(w.view.pid, pid);
    assert_int_equal(w.view.exit_signal, 0); /* that was us */
    assert_null(w.view.usage);
    assert_null(w.view.output);
    assert_true(run_until(f, is_gone, &pid));
    assert_int_equal(view_of(neighbour.task).state, TASK_RUNNING);
    assert_int_equal(kill(neighbours_pid, 0), 0);
    task_release(w.task);
    cancel(f, neighbour.task, CANCEL_CLIENT);
    await(f, &neighbour);
    task_release(neighbour.task);
    check_works(f);
    assert_int_equal(restarts(f), 2);
    finish(f);
}

static void a_queued_task_that_is_canceled_never_runs(void **state)
{
    (void)state;
    char path[] = "/tmp/gatherd-note-XXXXXX";
    int notes = mkstemp(path);
    assert_true(notes >= 0);
    struct fixture *f = start(1);
    struct watch busy, w[6];
    submit_deed(f, &busy, DEED_SPIN, 0, NULL);
    assert_true(run_until(f, is_running, &busy));
    for (size_t i = 0; i < COUNT_OF(w); i++)
        submit_deed(f, &w[i], DEED_NOTE, (int64_t)i, path);
    for (size_t i = 0; i < COUNT_OF(w); i += 2) {
        cancel(f, w[i].task, CANCEL_CLIENT);
        assert_int_equal(pool_of(f)->queued, COUNT_OF(w) - i / 2 - 1);
    }
    task_drain(f->runtime);
    for (size_t i = 0; i < COUNT_OF(w); i += 2) {
        check_ended(&w[i], TASK_CANCELED, ERR_CANCELED);
        assert_int_equal(w[i].view.cancel_effect, EFFECT_PREVENTED);
        assert_int_equal(w[i].view.pid, 0);
        task_release(w[i].task);
    }
    cancel(f, busy.task, CANCEL_CLIENT);
    for (size_t i = 1; i < COUNT_OF(w); i += 2) {
        await(f, &w[i]);
        check_ended(&w[i], TASK_SUCCEEDED, 0);
        task_release(w[i].task);
    }
    task_release(busy.task);
    int64_t noted[COUNT_OF(w)];
    assert_int_equal(pread(notes, noted, sizeof noted, 0), 3 * sizeof noted[0]);
    assert_true(noted[0] == 1 && noted[1] == 3 && noted[2] == 5);
    finish(f);
    close(notes);
    unlink(path);
}

static void timeout_and_deadline_kill(void **state)
{
    (void)state;
    struct fixture *f = start(1);
    for (int deadline = 0; deadline <= 1; deadline++) {
        struct task_spec spec = deed_of(f, DEED_SPIN, 0, NULL);
        *(deadline ? &spec.options.deadline_ns : &spec.options.timeout_ns) = MS(20);
        struct watch w = {0};
        assert_true(run_until(f, all_free, f));
        submit_now(f, &spec, &w);
        await(f, &w);
        check_ended(&w, TASK_FAILED, deadline ? ERR_DEADLINE_EXCEEDED : ERR_TIMEOUT);
        assert_int_equal(w.view.cancel_effect, EFFECT_KILLED);
        assert_true(w.view.duration_ns + w.view.queued_ns >= MS(20));
        assert_null(w.view.detail);
        task_release(w.task);
    }
    assert_true(run_until(f, has_restarts, &(struct count_of){f, 2}));
    check_works(f);
    finish(f);
}

static void a_deadline_passes_in_the_queue(void **state)
{
    (void)state;
    struct fixture *f = start(1);
    struct watch busy, w = {0};
    submit_deed(f, &busy, DEED_SPIN, 0, NULL);
    struct task_spec spec = deed_of(f, DEED_ECHO, 0, NULL);
    spec.options.deadline_ns = MS(5);
    submit_now(f, &spec, &w);
    await(f, &w);
    check_ended(&w, TASK_FAILED, ERR_DEADLINE_EXCEEDED);
    assert_int_equal(w.view.cancel_effect, EFFECT_PREVENTED);
    task_release(w.task);
    cancel(f, busy.task, CANCEL_CLIENT);
    await(f, &busy);
    task_release(busy.task);
    check_works(f);
    finish(f);
}

/* An answer of which a part has arrived when its task is canceled. */
static void canceled_while_the_answer_comes_in(void **state)
{
    (void)state;
    struct fixture *f = start(1);
    for (int turns = 0; turns < 24; turns++) {
        struct watch w;
        assert_true(run_until(f, all_free, f));
        submit_deed(f, &w, DEED_LARGE, 4000000, NULL);
        assert_true(run_until(f, is_running, &w));
        for (int i = 0; w.done == 0 && i < turns / 2; i++) /* of the loop, each of which reads some */
            uv_run(&f->loop, UV_RUN_ONCE);
        struct pollfd more = {.fd = uv_backend_fd(&f->loop), .events = POLLIN};
        if (w.done == 0 && turns % 2 == 1)
            poll(&more, 1, -1); /* there is more to be read, and has not been */
        if (w.done == 0)
            cancel(f, w.task, CANCEL_CLIENT);
        assert_true(run_until(f, watch_is_done, &w));
        assert_int_equal(w.done, 1);
        assert_true(w.view.state == TASK_CANCELED || w.view.state == TASK_SUCCEEDED);
        if (w.view.state == TASK_SUCCEEDED)
            assert_int_equal(deed_output(&w)->text.len, 4000000);
        task_release(w.task);
    }
    check_works(f);
    finish(f);
}

static void cancel_at_any_moment(void **state)
{
    (void)state;
    struct fixture *f = start(2);
    for (int turns = 0; turns < 40; turns++) {
        struct watch w[3];
        for (size_t i = 0; i < COUNT_OF(w); i++)
            submit_deed(f, &w[i], DEED_ECHO, 0, NULL);
        for (int i = 0; i < turns % 8; i++)
            uv_run(&f->loop, UV_RUN_NOWAIT);
        for (size_t i = 0; i < COUNT_OF(w); i++)
            cancel(f, w[i].task, CANCEL_CLIENT);
        assert_true(run_until_idle(f));
        for (size_t i = 0; i < COUNT_OF(w); i++) {
            assert_int_equal(w[i].done, 1);
            assert_true(w[i].view.state == TASK_CANCELED || !w[i].view.cancel_requested);
            task_release(w[i].task);
        }
    }
    check_works(f);
    finish(f);
}

/* -- workers that die ---------------------------------------------------------------------------------------------- */

static void how_it_died_is_told(void **state)
{
    (void)state;
    struct fixture *f = start(1);
    static const struct {
        enum deed deed;
        int number;
        const char *words, *last;
    } rows[] = {
        {DEED_DIE, SIGKILL, NULL, NULL},
        {DEED_DIE, SIGUSR1, "", NULL},
        {DEED_DIE, SIGABRT, "one\ntwo: not enough beans\n", "two: not enough beans"},
        {DEED_EXIT, 0, "x", "x"},
        {DEED_EXIT, 3, "first\n\nlast\n\n\n", "last"},
        {DEED_EXIT, 255, "caf\xC3\xA9 \x1B[31m\t.", "caf?? ?[31m?."},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct watch w;
        assert_true(run_until(f, all_free, f));
        run_deed(f, &w, rows[i].deed, rows[i].number, rows[i].words);
        check_ended(&w, TASK_FAILED, ERR_WORKER_CRASHED);
        bool died = rows[i].deed == DEED_DIE;
        assert_int_equal(w.view.exit_signal, died ? rows[i].number : 0);
        assert_int_equal(w.view.exit_code, died ? -1 : rows[i].number);
        assert_non_null(w.view.detail);
        char pid[16];
        snprintf(pid, sizeof pid, "%d", w.view.pid);
        assert_non_null(strstr(w.view.detail, pid));
        const char *said = strstr(w.view.detail, "the last it said: ");
        assert_int_equal(said != NULL, rows[i].last != NULL);
        if (said != NULL)
            assert_string_equal(said + strlen("the last it said: "), rows[i].last);
        assert_int_equal(is_gone(&w.view.pid), true);
        task_release(w.task);
    }
    assert_true(run_until(f, has_restarts, &(struct count_of){f, COUNT_OF(rows)}));
    check_works(f);
    finish(f);
}

/* Its last words are long, and come in pieces and all at once. */
static void long_last_words(void **state)
{
    (void)state;
    struct fixture *f = start(1);
    char words[3000];
    memset(words, 'w', sizeof words - 1);
    words[sizeof words - 1] = '\0';
    struct watch w;
    run_deed(f, &w, DEED_DIE, SIGKILL, words);
    check_ended(&w, TASK_FAILED, ERR_WORKER_CRASHED);
    assert_non_null(strstr(w.view.detail, "wwwwwwwww"));
    task_release(w.task);
    check_works(f);
    finish(f);
}

static void neighbours_notice_nothing(void **state)
{
    (void)state;
    struct fixture *f = start(2);
    struct watch neighbour, w;
    submit_deed(f, &neighbour, DEED_SPIN, 0, NULL);
    assert_true(run_until(f, is_running, &neighbour));
    int pid = view_of(neighbour.task).pid;
    for (int i = 0; i < 10; i++) {
        run_deed(f, &w, DEED_DIE, SIGKILL, NULL);
        check_ended(&w, TASK_FAILED, ERR_WORKER_CRASHED);
        task_release(w.task);
    }
    assert_int_equal(view_of(neighbour.task).state, TASK_RUNNING);
    assert_int_equal(kill(pid, 0), 0);
    cancel(f, neighbour.task, CANCEL_CLIENT);
    await(f, &neighbour);
    task_release(neighbour.task);
    check_works(f);
    finish(f);
}

static void a_killed_worker_is_replaced(void **state)
{
    (void)state;
    struct fixture *f = start(2);
    assert_true(run_until(f, all_free, f));
    for (int64_t i = 0; i < 6; i++) { /* idle, and the first to be given work */
        int64_t pid = worker_pid(f, 0);
        assert_true(pid > 0);
        assert_int_equal(kill((pid_t)pid, SIGKILL), 0);
        assert_true(run_until(f, has_restarts, &(struct count_of){f, i + 1}) && run_until(f, all_free, f));
        assert_int_not_equal(worker_pid(f, 0), pid);
        check_works(f);
    }
    struct watch w;
    submit_deed(f, &w, DEED_SPIN, 0, NULL);
    assert_true(run_until(f, is_running, &w));
    assert_int_equal(kill(view_of(w.task).pid, SIGKILL), 0);
    await(f, &w);
    check_ended(&w, TASK_FAILED, ERR_WORKER_CRASHED);
    assert_int_equal(w.view.exit_signal, SIGKILL);
    task_release(w.task);
    check_works(f);
    finish(f);
}

/* What the loop finds in one turn: the answer, and that its sender is no more. The next task is not for the dead. */
static void the_dead_get_no_work(void **state)
{
    (void)state;
    struct fixture *f = start(1);
    for (int i = 0; i < 10; i++) {
        struct watch w[2];
        assert_true(run_until(f, all_free, f));
        int64_t pid = worker_pid(f, 0);
        submit_deed(f, &w[0], DEED_ECHO, 0, NULL);
        submit_deed(f, &w[1], DEED_ECHO, 1, NULL);
        assert_int_equal(view_of(w[0].task).state, TASK_RUNNING);
        struct pollfd answer = {.fd = uv_backend_fd(&f->loop), .events = POLLIN};
        assert_int_equal(poll(&answer, 1, 60000), 1);
        kill((pid_t)pid, SIGKILL);
        siginfo_t info;
        assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
        await(f, &w[0]);
        await(f, &w[1]);
        if (w[0].view.state == TASK_SUCCEEDED) { /* it was the answer that was there */
            check_ended(&w[1], TASK_SUCCEEDED, 0);
            assert_int_not_equal(deed_output(&w[1])->pid, pid);
        }
        task_release(w[0].task);
        task_release(w[1].task);
    }
    check_works(f);
    finish(f);
}

/* A terminal or a supervisor may signal all of the service's processes: the service alone decides. */
static void workers_leave_signals_to_the_service(void **state)
{
    (void)state;
    struct fixture *f = start(1);
    check_works(f);
    int64_t pid = worker_pid(f, 0);
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < COUNT_OF(signals); i++) {
        assert_int_equal(kill((pid_t)pid, signals[i]), 0);
        check_works(f);
    }
    assert_int_equal(worker_pid(f, 0), pid);
    assert_int_equal(restarts(f), 0);
    finish(f);
}

static void what_a_worker_left_behind_holds_nobody_up(void **state)
{
    (void)state;
    struct fixture *f = start(1);
    struct watch w;
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    run_deed(f, &w, DEED_LEGACY, 4, NULL);
    check_ended(&w, TASK_FAILED, ERR_WORKER_CRASHED);
    assert_int_equal(w.view.exit_code, 4);
    task_release(w.task);
    check_works(f);
    assert_true(fixture_free(f));
    assert_true(waitpid(-1, NULL, 0) > 0); /* it ended when our side of its socket was closed */
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 0), 0);
    check_no_children();
}

/* -- what is told of workers that are lost ------------------------------------------------------------------------- */

struct count_told {
    const struct told *told;
    size_t count;
};

static bool has_told(const void *of)
{
    const struct count_told *c = of;
    return c->told->count >= c->count;
}

static void check_told(const struct note *note, bool was_up, enum worker_fault fault, int exit_signal, int exit_code)
{
    assert_string_equal(worker_fault_names[note->event.fault], worker_fault_names[fault]);
    assert_int_equal(note->event.was_up, was_up);
    assert_int_equal(note->event.exit_signal, exit_signal);
    assert_int_equal(note->event.exit_code, exit_code);
}

/* Once, however, whether it was at work or not. */
static void a_worker_that_dies_is_told_of(void **state)
{
    (void)state;
    static struct told told;
    struct fixture *f = start_telling(deed_command, 0, INTEGER_ABSENT, &told);
    static const struct {
        enum deed deed;
        int64_t number;
        const char *words, *last;
        enum worker_fault fault;
        int exit_signal, exit_code;
    } rows[] = {
        {DEED_DIE, SIGKILL, "", "", WORKER_EXITED, SIGKILL, -1},
        {DEED_DIE, SIGABRT, "one\ntwo\n", "two", WORKER_EXITED, SIGABRT, -1},
        {DEED_EXIT, 3, "bye", "bye", WORKER_EXITED, 0, 3},
        {DEED_EXIT, 0, "", "", WORKER_EXITED, 0, 0},
        {DEED_BABBLE, 100000, "A", "", WORKER_PROTOCOL_ERROR, 0, -1},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct watch w;
        assert_true(run_until(f, all_free, f));
        run_deed(f, &w, rows[i].deed, rows[i].number, rows[i].words);
        check_ended(&w, TASK_FAILED, ERR_WORKER_CRASHED);
        assert_int_equal(told.count, i + 1); /* before its task ended */
        check_told(&told.notes[i], true, rows[i].fault, rows[i].exit_signal, rows[i].exit_code);
        assert_int_equal(told.notes[i].event.pid, w.view.pid);
        assert_string_equal(told.notes[i].function, "deed");
        assert_string_equal(told.notes[i].words, rows[i].last);
        assert_string_equal(told.notes[i].system, "");
        task_release(w.task);
    }
    assert_true(run_until(f, all_free, f));
    int64_t pid = worker_pid(f, 0);
    assert_int_equal(kill((pid_t)pid, SIGKILL), 0);
    assert_true(run_until(f, has_told, &(struct count_told){&told, COUNT_OF(rows) + 1}));
    check_told(&told.notes[COUNT_OF(rows)], true, WORKER_EXITED, SIGKILL, -1);
    assert_int_equal(told.notes[COUNT_OF(rows)].event.pid, pid);
    assert_string_equal(told.notes[COUNT_OF(rows)].function, "");
    check_works(f);
    finish(f);
    assert_int_equal(told.count, COUNT_OF(rows) + 1);
}

static void what_we_killed_ourselves_is_not_told(void **state)
{
    (void)state;
    static struct told told;
    struct fixture *f = start_telling(deed_command, 0, 3, &told);
    for (int i = 0; i < 3; i++) {
        struct task_spec spec = deed_of(f, DEED_SPIN, 0, NULL);
        struct watch w = {0};
        assert_true(run_until(f, all_free, f));
        if (i == 0)
            spec.options.timeout_ns = MS(5);
        if (i == 1)
            spec.options.deadline_ns = MS(100);
        submit_now(f, &spec, &w);
        if (i == 2) {
            assert_true(run_until(f, is_running, &w));
            cancel(f, w.task, CANCEL_CLIENT);
        }
        await(f, &w);
        assert_int_equal(w.view.cancel_effect, EFFECT_KILLED);
        task_release(w.task);
    }
    check_works(f); /* with two that are recycled */
    assert_true(run_until(f, has_restarts, &(struct count_of){f, 5}));
    finish(f);
    finish(start_telling(deed_command, 0, 3, &told)); /* in the middle of its start */
    assert_int_equal(told.count, 0);
}

/* A worker that hangs before it is up is killed for that, and one that fails in another way is told of too, each time. */
static void starts_that_fail_are_told_of(void **state)
{
    (void)state;
    const struct {
        char *const command[4];
        enum worker_fault fault;
        int exit_code;
        const char *words, *system;
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
    static const uint64_t pauses_ms[] = {0, 0, 100, 200};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        static struct told told;
        int before = descriptors();
        uint64_t from = uv_hrtime(), start_ns = rows[i].fault == WORKER_START_TIMEOUT ? MS(20) : 0;
        struct fixture *f = start_telling(rows[i].command, start_ns, INTEGER_ABSENT, &told);
        assert_true(run_until(f, has_told, &(struct count_told){&told, COUNT_OF(pauses_ms)}));
        assert_true(uv_hrtime() - from >= COUNT_OF(pauses_ms) * start_ns + MS(100));
        for (size_t j = 0; j < COUNT_OF(pauses_ms); j++) {
            const struct note *note = &told.notes[j];
            check_told(note, false, rows[i].fault, 0, rows[i].exit_code);
            assert_int_equal(note->event.pid == 0, rows[i].fault == WORKER_SPAWN_FAILED);
            assert_int_equal(note->event.retry_ns, MS(pauses_ms[j]));
            assert_string_equal(note->function, "");
            assert_string_equal(note->words, rows[i].words);
            assert_string_equal(note->system, rows[i].system);
        }
        finish(f);
        assert_int_equal(descriptors(), before);
    }
}

/* A service that stood still, as one that was stopped, holds that against no worker. */
static void a_worker_is_not_late_because_the_loop_is(void **state)
{
    (void)state;
    static struct told told;
    uint64_t start_ns = MS(300), from = uv_hrtime();
    struct fixture *f = start_telling(deed_command, start_ns, INTEGER_ABSENT, &told);
    uv_run(&f->loop, UV_RUN_NOWAIT); /* from here on the loop would see what the worker says */
    struct pollfd said = {.fd = uv_backend_fd(&f->loop), .events = POLLIN};
    if (!all_free(f))
        assert_int_equal(poll(&said, 1, 60000), 1);
    while (uv_hrtime() <= from + 2 * start_ns)
        poll(NULL, 0, 10);
    assert_true(run_until(f, all_free, f));
    assert_int_equal(told.count, 0);
    assert_int_equal(restarts(f), 0);
    check_works(f);
    finish(f);
}

/* The time for its start counts for its start alone: a worker that made it is left in peace. */
static void a_worker_that_is_up_has_time(void **state)
{
    (void)state;
    static struct told told;
    uint64_t start_ns = 2 * NS_PER_SECOND;
    struct fixture *f = start_telling(deed_command, start_ns, INTEGER_ABSENT, &told);
    struct watch w;
    assert_true(run_until(f, all_free, f));
    uint64_t from = uv_hrtime();
    struct task_spec spec = sleep_of(f, start_ns + MS(100));
    w = (struct watch){0};
    submit_now(f, &spec, &w);
    await(f, &w);
    task_release(w.task);
    assert_true(uv_hrtime() - from > start_ns);
    assert_int_equal(told.count, 0);
    assert_int_equal(restarts(f), 0);
    check_works(f);
    finish(f);
}

/* -- workers that talk nonsense ------------------------------------------------------------------------------------ */

static void babble_costs_one_task(void **state)
{
    (void)state;
    struct fixture *f = start(1);
    static const int64_t sizes[] = {1, 4, 100, 295, 296, 297, 300, 1000, 65536, 70000, 1000000};
    static const char *const bytes[] = {NULL, "\xFF", "A", "\x01"};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        for (size_t j = 0; j < COUNT_OF(bytes); j++) {
            struct watch w, next;
            assert_true(run_until(f, all_free, f));
            /* 0xFF is no UTF-8, and no matter: texts of specs are checked where they come in */
            struct task_spec spec = deed_of(f, DEED_BABBLE, sizes[i], bytes[j]);
            w = (struct watch){0};
            submit_now(f, &spec, &w);
            submit_deed(f, &next, DEED_ECHO, 7, "next");
            await(f, &w);
            await(f, &next);
            check_ended(&w, TASK_FAILED, ERR_WORKER_CRASHED);
            check_ended(&next, TASK_SUCCEEDED, 0);
            assert_int_equal(deed_output(&next)->number, 7);
            task_release(w.task);
            task_release(next.task);
        }
    }
    check_works(f);
    finish(f);
}

/* Answers that look right but are none: nobody may take them for his own. */
static void forged_answers_are_found_out(void **state)
{
    (void)state;
    struct fixture *f = start(1);
    for (int64_t frames = 1; frames <= 3; frames++) {
        struct watch w, next[3];
        assert_true(run_until(f, all_free, f));
        submit_deed(f, &w, DEED_FORGE, frames, NULL);
        for (size_t i = 0; i < COUNT_OF(next); i++)
            submit_deed(f, &next[i], DEED_ECHO, (int64_t)i, "next");
        await(f, &w);
        check_ended(&w, TASK_FAILED, ERR_WORKER_CRASHED);
        task_release(w.task);
        for (size_t i = 0; i < COUNT_OF(next); i++) {
            await(f, &next[i]);
            check_ended(&next[i], TASK_SUCCEEDED, 0);
            assert_int_equal(deed_output(&next[i])->number, i);
            task_release(next[i].task);
        }
    }
    check_works(f);
    finish(f);
}

/* The right number is on them, and something else is wrong. */
static void answers_that_can_not_be(void **state)
{
    (void)state;
    struct fixture *f = start_with(1, deed_command, 1, 100); /* each request is a worker's first */
    assert_non_null(f);
    for (int64_t kind = 0; kind < CRAFTS; kind++) {
        struct watch w, next;
        assert_true(run_until(f, all_free, f));
        submit_deed(f, &w, DEED_CRAFT, kind, NULL);
        submit_deed(f, &next, DEED_ECHO, 3, "next");
        await(f, &w);
        await(f, &next);
        check_ended(&next, TASK_SUCCEEDED, 0);
        /* What may be an answer is one, unless what follows was there with it. */
        bool taken = kind >= CRAFT_ENDLESS_MESSAGE && w.view.rc != ERR_WORKER_CRASHED;
        check_ended(&w, TASK_FAILED, taken ? ERR_INTERNAL : ERR_WORKER_CRASHED);
        if (taken && kind == CRAFT_ENDLESS_MESSAGE)
            assert_int_equal(strlen(w.view.detail), 255);
        if (taken && kind == CRAFT_MESSAGE_NO_UTF8)
            assert_null(w.view.detail);
        task_release(w.task);
        task_release(next.task);
    }
    check_works(f);
    finish(f);
}

static void closed_descriptors_hold_nobody_up(void **state)
{
    (void)state;
    struct fixture *f = start(1);
    static const enum deed deeds[] = {DEED_DEAF, DEED_MUTE, DEED_HUSH};
    for (size_t i = 0; i < COUNT_OF(deeds); i++) {
        struct watch w, next[2];
        assert_true(run_until(f, all_free, f));
        submit_deed(f, &w, deeds[i], 0, NULL);
        submit_deed(f, &next[0], DEED_ECHO, 0, NULL);
        submit_deed(f, &next[1], DEED_ECHO, 1, NULL);
        await(f, &w);
        await(f, &next[0]);
        await(f, &next[1]);
        if (deeds[i] == DEED_MUTE)
            check_ended(&w, TASK_FAILED, ERR_WORKER_CRASHED);
        else
            check_ended(&w, TASK_SUCCEEDED, 0);
        if (deeds[i] != DEED_DEAF || next[0].view.rc != ERR_WORKER_CRASHED) /* the next may be the first to find out */
            check_ended(&next[0], TASK_SUCCEEDED, 0);
        check_ended(&next[1], TASK_SUCCEEDED, 0);
        task_release(w.task);
        task_release(next[0].task);
        task_release(next[1].task);
    }
    check_works(f);
    finish(f);
}

/* -- memory -------------------------------------------------------------------------------------------------------- */

static bool is_sanitized(void)
{
    const char *build = getenv("GATHERD_BUILD");
    return build != NULL && strcmp(build, "release") != 0;
}

static void a_worker_has_so_much_memory(void **state)
{
    (void)state;
    if (is_sanitized())
        skip(); /* sanitizers take terabytes of addresses */
    char memory[] = "67108864";
    char *const command[] = {deed_command[0], deed_command[1], memory, NULL};
    struct fixture *f = start_with(1, command, INTEGER_ABSENT, 1000);
    assert_non_null(f);
    static const struct {
        int64_t number;
        enum deed deed;
        int rc;
    } rows[] = {
        {0, DEED_HOG, ERR_WORKER_OUT_OF_MEMORY},           {10000000, DEED_LARGE, 0},
        {50000000, DEED_LARGE, ERR_WORKER_OUT_OF_MEMORY}, /* fits, but not twice */
        {100000000, DEED_LARGE, ERR_WORKER_OUT_OF_MEMORY}, {0, DEED_ECHO, 0},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct watch w;
        run_deed(f, &w, rows[i].deed, rows[i].number, NULL);
        check_ended(&w, rows[i].rc == 0 ? TASK_SUCCEEDED : TASK_FAILED, rows[i].rc);
        task_release(w.task);
    }
    char *text = malloc(60000001);
    assert_non_null(text);
    memset(text, 'y', 60000000);
    text[60000000] = '\0';
    struct watch w;
    run_deed(f, &w, DEED_ECHO, 0, text); /* the worker has no room for the input */
    check_ended(&w, TASK_FAILED, ERR_WORKER_OUT_OF_MEMORY);
    task_release(w.task);
    free(text);
    check_works(f);
    assert_int_equal(restarts(f), 0);
    finish(f);
}

enum { PARCEL_FAILED = 1, RESULT_FAILED = 2 };

/* Runs a task whose n-th allocation fails. How it failed is added to *seen. False when there were less allocations. */
static bool run_with_failure(struct fixture *f, unsigned long n, unsigned *seen)
{
    struct task_spec spec = deed_of(f, DEED_LARGE, 300000, NULL);
    struct task_spec *copy = arena_alloc(f->arena, sizeof *copy);
    assert_non_null(copy);
    *copy = spec;
    struct watch w = {.fixture = f};
    struct err e;
    alloc_fail_at(n);
    int rc = task_submit(f->runtime, copy, f->arena, uv_hrtime(), watch_done, &w, &w.task, &e);
    if (rc == 0) {
        task_drain(f->runtime);
        assert_true(run_until(f, watch_is_done, &w));
    }
    bool failed = alloc_count() >= n;
    alloc_fail_at(0);
    assert_true(rc == 0 || (failed && rc == ERR_OUT_OF_MEMORY));
    assert_int_equal(w.done, rc == 0);
    if (rc == 0 && w.view.rc != 0) { /* else it failed where it does not matter: in reading, which is tried again */
        check_ended(&w, TASK_FAILED, ERR_OUT_OF_MEMORY);
        *seen |= strstr(w.view.detail, "hand the task") != NULL ? PARCEL_FAILED : RESULT_FAILED;
    }
    if (rc == 0)
        task_release(w.task);
    arena_unref(f->arena);
    f->arena = arena_new();
    return failed;
}

/* Each allocation of our own side fails in turn, from submit to the end. In how many pieces an answer comes is chance, so
 * this is done until all has been seen. */
static void without_memory_a_task_fails(void **state)
{
    (void)state;
    struct fixture *f = start(1);
    unsigned seen = 0;
    for (int rounds = 0; rounds < 50 && seen != (PARCEL_FAILED | RESULT_FAILED); rounds++) {
        bool failed = true;
        for (unsigned long n = 1; failed; n++) {
            assert_true(run_until(f, all_free, f));
            failed = run_with_failure(f, n, &seen);
            check_works(f);
        }
    }
    assert_int_equal(seen, PARCEL_FAILED | RESULT_FAILED);
    finish(f);
}

static void a_runtime_needs_memory(void **state)
{
    (void)state;
    int before = descriptors();
    unsigned long n = 0;
    struct fixture *f;
    do {
        alloc_fail_at(++n);
        f = start_with(2, deed_command, INTEGER_ABSENT, 100);
        alloc_fail_at(0);
    } while (f == NULL);
    assert_true(n >= 4); /* fixture, runtime, pool, arena */
    check_works(f);
    finish(f);
    assert_int_equal(descriptors(), before);
}

/* -- replacing ----------------------------------------------------------------------------------------------------- */

static void workers_are_recycled(void **state)
{
    (void)state;
    struct fixture *f = start_with(1, deed_command, 3, 100);
    assert_non_null(f);
    struct watch w[10];
    for (size_t i = 0; i < COUNT_OF(w); i++)
        submit_deed(f, &w[i], DEED_ECHO, (int64_t)i, NULL);
    for (size_t i = 0; i < COUNT_OF(w); i++) {
        await(f, &w[i]);
        check_ended(&w[i], TASK_SUCCEEDED, 0);
        if (i > 0)
            assert_int_equal(deed_output(&w[i])->pid == deed_output(&w[i - 1])->pid, i % 3 != 0);
    }
    for (size_t i = 0; i < COUNT_OF(w); i++)
        task_release(w[i].task);
    assert_int_equal(restarts(f), 3);
    assert_int_equal(pool_of(f)->tasks_done, 10);
    finish(f);
}

/* A worker that doesn't come up is tried again and again, but not without pause; tasks wait for one that does. */
static void workers_that_do_not_start(void **state)
{
    (void)state;
    char *const commands[][4] = {
        {(char[]){"/bin/false"}, NULL},
        {(char[]){"/nowhere/gatherd"}, NULL},
        {(char[]){"/bin/sh"}, (char[]){"-c"}, (char[]){"yes | head -c 1000 >&3; exec sleep 100"}, NULL},
        {(char[]){"/bin/sh"}, (char[]){"-c"}, (char[]){"head -c 100000 /dev/zero >&3; exec sleep 100"}, NULL},
    };
    for (size_t i = 0; i < COUNT_OF(commands); i++) {
        int before = descriptors();
        uint64_t from = uv_hrtime();
        struct fixture *f = start_with(1, commands[i], INTEGER_ABSENT, 100);
        assert_non_null(f);
        struct watch w, late = {0};
        submit_deed(f, &w, DEED_ECHO, 0, NULL);
        struct task_spec spec = deed_of(f, DEED_ECHO, 0, NULL);
        spec.options.deadline_ns = MS(5);
        submit_now(f, &spec, &late);
        assert_true(run_until(f, has_restarts, &(struct count_of){f, 5}));
        assert_true(uv_hrtime() - from >= MS(100 + 200)); /* after the third death, and after the fourth */
        assert_int_equal(view_of(w.task).state, TASK_QUEUED);
        await(f, &late);
        check_ended(&late, TASK_FAILED, ERR_DEADLINE_EXCEEDED);
        assert_int_equal(late.view.cancel_effect, EFFECT_PREVENTED);
        cancel(f, w.task, CANCEL_CLIENT);
        task_drain(f->runtime);
        check_ended(&w, TASK_CANCELED, ERR_CANCELED);
        task_release(w.task);
        task_release(late.task);
        finish(f); /* in a pause, most of them */
        assert_int_equal(descriptors(), before);
    }
}

/* Takes all descriptors that are not in use, after the limit was lowered to some. They are returned in *taken. */
static size_t take_descriptors(int taken[64])
{
    size_t count = 0;
    while (count < 64 && (taken[count] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
        count++;
    return count;
}

/* Not even for the workers that are to take the place of those that died. */
static void the_system_has_no_more_descriptors(void **state)
{
    (void)state;
    int descriptors_before = descriptors();
    struct fixture *f = start(2);
    assert_true(run_until(f, all_free, f));
    struct rlimit before, some;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    some = before;
    some.rlim_cur = 40;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &some), 0);
    int taken[64];
    size_t count = take_descriptors(taken);
    assert_true(count > 0 && count < 64);
    for (size_t i = 0; i < 2; i++)
        kill((pid_t)worker_pid(f, i), SIGKILL);
    assert_true(run_until(f, has_restarts, &(struct count_of){f, 8})); /* each gives back two, and needs six */
    struct watch w;
    submit_deed(f, &w, DEED_ECHO, 5, NULL);
    assert_int_equal(view_of(w.task).state, TASK_QUEUED);
    assert_int_equal(worker_pid(f, 0), 0);
    for (size_t i = 0; i < count; i++)
        close(taken[i]);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    await(f, &w);
    check_ended(&w, TASK_SUCCEEDED, 0);
    task_release(w.task);
    check_works(f);
    finish(f);
    assert_int_equal(descriptors(), descriptors_before);
}

static void a_task_waits_for_a_worker_to_come_up(void **state)
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
    snprintf(script, sizeof script, "[ -e %s ] && exec %s " DEED_WORKER "; exit 9", path, self);
    char *const command[] = {(char[]){"/bin/sh"}, (char[]){"-c"}, script, NULL};
    struct fixture *f = start_with(2, command, INTEGER_ABSENT, 100);
    assert_non_null(f);
    struct watch w[4];
    for (size_t i = 0; i < COUNT_OF(w); i++)
        submit_deed(f, &w[i], DEED_ECHO, (int64_t)i, NULL);
    assert_true(run_until(f, has_restarts, &(struct count_of){f, 7}));
    for (size_t i = 0; i < COUNT_OF(w); i++)
        assert_int_equal(view_of(w[i].task).state, TASK_QUEUED);
    close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    for (size_t i = 0; i < COUNT_OF(w); i++) {
        await(f, &w[i]);
        check_ended(&w[i], TASK_SUCCEEDED, 0);
        task_release(w[i].task);
    }
    check_works(f);
    finish(f);
    close(ready);
    unlink(path);
}

/* -- the end ------------------------------------------------------------------------------------------------------- */

static void closed_in_any_state(void **state)
{
    (void)state;
    int before = descriptors();
    finish(start(3)); /* just spawned */
    for (int turns = 1; turns < 20; turns++) {
        struct fixture *f = start(2);
        for (int i = 0; i < turns && !all_free(f); i++)
            uv_run(&f->loop, i % 2 == 0 ? UV_RUN_ONCE : UV_RUN_NOWAIT);
        finish(f);
    }
    for (int turns = 0; turns < 12; turns++) { /* after one was killed, and so many turns of the loop */
        struct fixture *f = start(2);
        assert_true(run_until(f, all_free, f));
        struct watch w;
        submit_deed(f, &w, DEED_SPIN, 0, NULL);
        kill((pid_t)worker_pid(f, 1), SIGKILL);
        cancel(f, w.task, CANCEL_SHUTDOWN);
        await(f, &w);
        check_ended(&w, TASK_CANCELED, ERR_SHUTTING_DOWN);
        task_release(w.task);
        for (int i = 0; i < turns; i++)
            uv_run(&f->loop, UV_RUN_NOWAIT);
        finish(f);
    }
    assert_int_equal(descriptors(), before);
}

/* What is delivered last may close the runtime. */
static void closed_from_inside_done(void **state)
{
    (void)state;
    static const enum deed deeds[] = {DEED_ECHO, DEED_FAIL, DEED_EXIT, DEED_BABBLE};
    for (size_t i = 0; i < COUNT_OF(deeds); i++) {
        struct fixture *f = start(2);
        struct watch w = {.then = close_runtime};
        struct task_spec spec = deed_of(f, deeds[i], ERR_INTERNAL, "A");
        if (deeds[i] == DEED_BABBLE || deeds[i] == DEED_EXIT)
            spec = deed_of(f, deeds[i], 100, "A");
        submit_now(f, &spec, &w);
        assert_true(run_until(f, loop_is_dead, f));
        assert_int_equal(w.done, 1);
        uv_close((uv_handle_t *)&f->guard, NULL);
        uv_run(&f->loop, UV_RUN_NOWAIT);
        assert_int_equal(uv_loop_close(&f->loop), 0);
        arena_unref(f->arena);
        free(f);
        check_no_children();
    }
}

/* Workers end with the service, however that ended, also in the middle of a task. */
static void workers_go_with_the_service(void **state)
{
    (void)state;
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    pid_t service = fork();
    assert_true(service >= 0);
    if (service == 0) {
        struct fixture *f = start_with(3, deed_command, INTEGER_ABSENT, 100);
        struct watch w = {0};
        struct task_spec spec = deed_of(f, DEED_SPIN, 0, NULL);
        submit(f, &spec, &w);
        task_drain(f->runtime);
        run_until(f, all_free, f); /* never, since one is busy: until the parent kills us */
        _exit(1);
    }
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", service, service);
    for (int children = 0; children < 3;) { /* until it has them */
        FILE *list = fopen(path, "re");
        assert_non_null(list);
        char line[200] = ""; /* pids, with a space behind each */
        children = 0;
        if (fgets(line, sizeof line, list) != NULL)
            for (const char *at = line; (at = strchr(at, ' ')) != NULL; at++)
                children++;
        fclose(list);
    }
    assert_int_equal(kill(service, SIGKILL), 0);
    assert_int_equal(waitpid(service, NULL, 0), service);
    int ended = 0; /* the workers, and what a leak checker starts at their end */
    while (waitpid(-1, NULL, 0) > 0)
        ended++;
    assert_true(ended >= 3);
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 0), 0);
    check_no_children();
}

/* -- all at once --------------------------------------------------------------------------------------------------- */

enum { LOAD = 600, KILLS = 200 };

static void two_hundred_kills_under_load(void **state)
{
    (void)state;
    int before = descriptors();
    char path[] = "/tmp/gatherd-note-XXXXXX";
    int notes = mkstemp(path);
    assert_true(notes >= 0);
    struct fixture *f = start(4);
    struct watch *w = calloc(LOAD, sizeof *w);
    assert_non_null(w);
    for (size_t i = 0; i < LOAD; i++)
        submit_deed(f, &w[i], DEED_NOTE, (int64_t)i, path);
    struct dice dice = {77};
    for (int kills = 0; kills < KILLS;) {
        for (uint64_t turns = dice_roll(&dice, 6); turns > 0; turns--)
            uv_run(&f->loop, UV_RUN_NOWAIT);
        int64_t pid = worker_pid(f, dice_roll(&dice, 4));
        if (pid != 0)
            kills += kill((pid_t)pid, SIGKILL) == 0;
        else
            uv_run(&f->loop, UV_RUN_ONCE);
    }
    assert_true(run_until_idle(f));
    int noted[LOAD] = {0};
    int64_t number;
    for (off_t at = 0; pread(notes, &number, sizeof number, at) == sizeof number; at += (off_t)sizeof number)
        noted[number]++;
    size_t succeeded = 0;
    for (size_t i = 0; i < LOAD; i++) {
        assert_int_equal(w[i].done, 1);
        assert_true(noted[i] <= 1);
        if (w[i].view.rc == 0) {
            assert_int_equal(noted[i], 1);
            assert_int_equal(deed_output(&w[i])->number, i);
            succeeded++;
        } else {
            check_ended(&w[i], TASK_FAILED, ERR_WORKER_CRASHED);
            assert_int_equal(w[i].view.exit_signal, SIGKILL);
        }
        task_release(w[i].task);
    }
    assert_true(succeeded >= LOAD - KILLS);
    check_works(f);
    free(w);
    finish(f);
    close(notes);
    unlink(path);
    assert_int_equal(descriptors(), before);
}

static void chaos(void **state)
{
    (void)state;
    int before = descriptors();
    struct fixture *f = start_with(3, deed_command, 20, 10000);
    assert_non_null(f);
    enum { TASKS = 400 };
    struct watch *w = calloc(TASKS, sizeof *w);
    assert_non_null(w);
    struct dice dice = {4711};
    for (size_t i = 0; i < TASKS; i++) {
        static const struct {
            enum deed deed;
            int64_t number;
            const char *text;
        } rows[] = {
            {DEED_ECHO, 1, "a"},        {DEED_ECHO, 2, "b"},
            {DEED_LARGE, 100000, NULL}, {DEED_FAIL, ERR_OVERFLOW, "o"},
            {DEED_DIE, SIGKILL, "x"},   {DEED_EXIT, 1, "y"},
            {DEED_BABBLE, 500, "A"},    {DEED_FORGE, 2, NULL},
            {DEED_SPIN, 0, NULL},       {DEED_BABBLE, 300000, "\n"},
            {DEED_MUTE, 0, NULL},       {DEED_ECHO, 3, NULL},
        };
        size_t row = dice_roll(&dice, COUNT_OF(rows));
        struct task_spec spec = deed_of(f, rows[row].deed, rows[row].number, rows[row].text);
        if (rows[row].deed == DEED_SPIN || dice_roll(&dice, 8) == 0)
            spec.options.timeout_ns = 1 + dice_roll(&dice, MS(20));
        submit_now(f, &spec, &w[i]);
        if (dice_roll(&dice, 3) == 0)
            uv_run(&f->loop, UV_RUN_NOWAIT);
        if (dice_roll(&dice, 10) == 0) {
            cancel(f, w[dice_roll(&dice, i + 1)].task, CANCEL_CLIENT);
            task_drain(f->runtime);
        }
        if (dice_roll(&dice, 20) == 0 && worker_pid(f, 0) != 0)
            kill((pid_t)worker_pid(f, 0), SIGKILL);
    }
    assert_true(run_until_idle(f));
    for (size_t i = 0; i < TASKS; i++) {
        assert_int_equal(w[i].done, 1);
        task_release(w[i].task);
    }
    check_works(f);
    free(w);
    finish(f);
    assert_int_equal(descriptors(), before);
}

int main(int argc, char **argv)
{
    if (deed_is_worker(argc, argv))
        return deed_worker(argc, argv);
    signal(SIGPIPE, SIG_IGN); /* as the service does */
    uv_loop_t loop;           /* the first one opens descriptors that stay open */
    if (uv_loop_init(&loop) != 0 || uv_loop_close(&loop) != 0)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_task_runs_in_a_worker),
        cmocka_unit_test(functions_fail_as_they_like),
        cmocka_unit_test(as_many_at_once_as_there_are_workers),
        cmocka_unit_test(sizes_of_texts),
        cmocka_unit_test(answers_of_all_sizes_one_after_the_other),
        cmocka_unit_test(a_running_task_that_is_canceled_is_killed),
        cmocka_unit_test(a_queued_task_that_is_canceled_never_runs),
        cmocka_unit_test(timeout_and_deadline_kill),
        cmocka_unit_test(a_deadline_passes_in_the_queue),
        cmocka_unit_test(canceled_while_the_answer_comes_in),
        cmocka_unit_test(cancel_at_any_moment),
        cmocka_unit_test(how_it_died_is_told),
        cmocka_unit_test(long_last_words),
        cmocka_unit_test(neighbours_notice_nothing),
        cmocka_unit_test(a_killed_worker_is_replaced),
        cmocka_unit_test(the_dead_get_no_work),
        cmocka_unit_test(workers_leave_signals_to_the_service),
        cmocka_unit_test(what_a_worker_left_behind_holds_nobody_up),
        cmocka_unit_test(a_worker_that_dies_is_told_of),
        cmocka_unit_test(what_we_killed_ourselves_is_not_told),
        cmocka_unit_test(starts_that_fail_are_told_of),
        cmocka_unit_test(a_worker_is_not_late_because_the_loop_is),
        cmocka_unit_test(a_worker_that_is_up_has_time),
        cmocka_unit_test(babble_costs_one_task),
        cmocka_unit_test(forged_answers_are_found_out),
        cmocka_unit_test(answers_that_can_not_be),
        cmocka_unit_test(closed_descriptors_hold_nobody_up),
        cmocka_unit_test(a_worker_has_so_much_memory),
        cmocka_unit_test(without_memory_a_task_fails),
        cmocka_unit_test(a_runtime_needs_memory),
        cmocka_unit_test(workers_are_recycled),
        cmocka_unit_test(workers_that_do_not_start),
        cmocka_unit_test(the_system_has_no_more_descriptors),
        cmocka_unit_test(a_task_waits_for_a_worker_to_come_up),
        cmocka_unit_test(closed_in_any_state),
        cmocka_unit_test(closed_from_inside_done),
        cmocka_unit_test(workers_go_with_the_service),
        cmocka_unit_test(two_hundred_kills_under_load),
        cmocka_unit_test(chaos),
        cmocka_unit_test(what_is_too_large_is_refused), /* last: to fork after that takes longer */
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

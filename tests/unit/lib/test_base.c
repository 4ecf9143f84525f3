/* test_base - the table of errors, texts, rings, and assertions that end the process. */
#include "runtime/lib/base.h"
#include "runtime/task/task_internal.h"
#include "tests/unit/support/runtime_fixture.h"

#include <ctype.h>
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

/* -- errors ---------------------------------------------------------------------------------------------------------- */

struct error_row {
    const char *name;
    const char *code;
    int rc;
    int status;
};
static const struct error_row rows[] = {
#define X(name, code, status, title) {#name, code, ERR_##name, status},
    ERROR_TABLE(X)
#undef X
};

static void each_error_has_a_code_a_title_and_a_status(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        int rc = rows[i].rc;
        assert_true(rc < 0 && rc >= -ERROR_COUNT);
        assert_string_equal(error_code(rc), rows[i].code);
        assert_int_equal(error_status(rc), rows[i].status);
        assert_in_range(error_status(rc), 400, 599);
        assert_true(strlen(error_title(rc)) > 0);
        assert_true(isupper((unsigned char)error_title(rc)[0]));
        assert_int_not_equal(error_title(rc)[strlen(error_title(rc)) - 1], '.');
    }
}

/* A code is the name in lower case, so that logs, JSON and source can be searched for the same word. */
static void codes_are_the_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        assert_int_equal(strlen(rows[i].code), strlen(rows[i].name));
        for (size_t c = 0; rows[i].name[c] != '\0'; c++)
            assert_int_equal(rows[i].code[c], tolower((unsigned char)rows[i].name[c]));
        for (size_t j = 0; j < i; j++) {
            assert_int_not_equal(rows[i].rc, rows[j].rc);
            assert_string_not_equal(rows[i].code, rows[j].code);
        }
    }
}

static void err_set_fills_and_returns(void **state)
{
    (void)state;
    struct err e = {0};
    assert_int_equal(err_set(&e, ERR_INVALID, "%s is %d", "n", 3), ERR_INVALID);
    assert_int_equal(e.rc, ERR_INVALID);
    assert_string_equal(e.msg, "n is 3");
    assert_int_equal(err_set(NULL, ERR_INTERNAL, "%s", "nobody wants to know"), ERR_INTERNAL);

    char longer[1000];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    assert_int_equal(err_set(&e, ERR_INTERNAL, "%s", longer), ERR_INTERNAL);
    assert_int_equal(strlen(e.msg), sizeof e.msg - 1);
}

/* -- texts and rings ------------------------------------------------------------------------------------------------- */

static void texts(void **state)
{
    (void)state;
    assert_int_equal(text_of("abc").len, 3);
    assert_null(text_of(NULL).at);
    assert_int_equal(text_of(NULL).len, 0);
    assert_int_equal(TEXT("abc").len, 3);
    assert_true(text_is(TEXT("abc"), "abc"));
    assert_true(text_is(TEXT(""), ""));
    assert_false(text_is(TEXT("abc"), "ab"));
    assert_false(text_is(TEXT("ab"), "abc"));
    assert_false(text_is(TEXT("abc"), "abd"));
    assert_false(text_is(TEXT("ab\0c"), "ab"));
    assert_false(text_is(text_of(NULL), "")); /* no text is not an empty text */
}

struct item {
    int number;
    struct ring link;
};

static int ring_numbers(const struct ring *head) /* the items' numbers, as digits */
{
    int numbers = 0;
    for (const struct ring *r = head->next; r != head; r = r->next) {
        assert_ptr_equal(r->next->prev, r);
        assert_ptr_equal(r->prev->next, r);
        numbers = numbers * 10 + container_of(r, struct item, link)->number;
    }
    return numbers;
}

static void lists_of_names_end_where_the_room_does(void **state)
{
    (void)state;
    struct name_list list = {0};
    assert_string_equal(list.text, "");
    name_list_add(&list, "a");
    name_list_add(&list, "bc");
    assert_string_equal(list.text, "a, bc");
    char name[sizeof list.text];
    for (size_t len = 1; len < sizeof name; len++) { /* of the second one, up to what never fits */
        list = (struct name_list){0};
        memset(name, 'n', len);
        name[len] = '\0';
        name_list_add(&list, "a");
        name_list_add(&list, name);
        name_list_add(&list, "z");
        name_list_add(&list, "y");
        size_t used = strlen(list.text);
        assert_true(used < sizeof list.text && memcmp(list.text, "a, ", 3) == 0);
        bool whole = used == 3 + len + 6 && strcmp(list.text + used - 6, ", z, y") == 0;
        assert_true(whole || strcmp(list.text + used - 5, ", ...") == 0);
        assert_true(whole == (3 + len + 6 + sizeof ", ..." <= sizeof list.text));
    }
}

static void rings_keep_the_order_of_arrival(void **state)
{
    (void)state;
    struct ring head;
    struct item items[] = {{.number = 1}, {.number = 2}, {.number = 3}};
    ring_init(&head);
    assert_true(ring_empty(&head));
    for (size_t i = 0; i < COUNT_OF(items); i++)
        ring_append(&head, &items[i].link);
    assert_false(ring_empty(&head));
    assert_int_equal(ring_numbers(&head), 123);
    ring_remove(&items[1].link);
    assert_int_equal(ring_numbers(&head), 13);
    assert_true(ring_empty(&items[1].link));
    ring_remove(&items[1].link); /* in no ring: nothing happens */
    assert_int_equal(ring_numbers(&head), 13);
    ring_append(&head, &items[1].link);
    assert_int_equal(ring_numbers(&head), 132);
    for (size_t i = 0; i < COUNT_OF(items); i++)
        ring_remove(&items[i].link);
    assert_true(ring_empty(&head));
}

/* -- assertions ------------------------------------------------------------------------------------------------------ */

/* Whether what() ends its process by abort(), with the word `kind` on stderr before. */
static bool aborts(void (*what)(void), const char *kind)
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
           strstr(said, kind) != NULL;
}

static void hold(void)
{
    PRE(1 + 1 == 2);
    POST(true);
}

static void break_pre(void)
{
    PRE(1 + 1 == 3);
}

static void break_post(void)
{
    POST(false);
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
    assert_true(aborts(break_pre, "PRE(1 + 1 == 3)"));
    assert_true(aborts(break_post, "POST(false)"));
    assert_true(aborts(ask_for_the_code_of_success, "PRE"));
    assert_true(aborts(ask_for_the_code_beyond_the_table, "PRE"));
    assert_true(aborts(close_with_a_task_left, "PRE"));
    assert_true(aborts(release_an_unfinished_task, "PRE"));
    assert_true(aborts(release_before_done, "PRE"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_error_has_a_code_a_title_and_a_status),
        cmocka_unit_test(codes_are_the_names),
        cmocka_unit_test(err_set_fills_and_returns),
        cmocka_unit_test(texts),
        cmocka_unit_test(lists_of_names_end_where_the_room_does),
        cmocka_unit_test(rings_keep_the_order_of_arrival),
        cmocka_unit_test(broken_assertions_end_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

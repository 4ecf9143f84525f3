/* test_json_parse - json_parse(): memory, concurrent threads, and calls of jansson outside of it. */
#include "handlers/json/json_parse.h"
#include "runtime/lib/util.h"
#include "tests/unit/support/alloc_fault.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void tree_is_allocated_in_arena(void **state)
{
    (void)state;
    struct arena *arena = arena_new();
    assert_non_null(arena);
    json_t *tree = NULL;
    json_error_t error;
    alloc_fail_at(0);
    assert_true(json_parse(STR("{\"a\":[1,2.5,\"x\\ny\",null]}"), arena, &tree, &error));
    assert_int_equal(alloc_count(), 0); /* the tree is in the arena's first block */
    json_t *list = json_object_get(tree, "a");
    assert_int_equal(json_array_size(list), 4);
    assert_int_equal(json_integer_value(json_array_get(list, 0)), 1);
    assert_true(json_real_value(json_array_get(list, 1)) == 2.5);
    assert_string_equal(json_string_value(json_array_get(list, 2)), "x\ny");
    arena_unref(arena); /* frees the whole tree; a sanitizer detects leaks */
}

static void invalid_json_returns_error(void **state)
{
    (void)state;
    struct arena *arena = arena_new();
    assert_non_null(arena);
    json_t *tree;
    json_error_t error;
    assert_true(json_parse(STR("{\"a\":1,\"a\":2}"), arena, &tree, &error));
    assert_null(tree);
    assert_int_equal(json_error_code(&error), json_error_duplicate_key);
    assert_true(json_parse(STR("[1,\"a-long-string-without-an-end"), arena, &tree, &error));
    assert_null(tree);
    assert_int_equal(json_error_code(&error), json_error_premature_end_of_input);
    arena_unref(arena);
}

/* Expects a syntax error at this place. */
static void expect_nul_at(struct str text, int line, int column)
{
    struct arena *arena = arena_new();
    assert_non_null(arena);
    json_t *tree;
    json_error_t error;
    assert_true(json_parse(text, arena, &tree, &error));
    assert_null(tree);
    assert_int_equal(json_error_code(&error), json_error_invalid_syntax);
    assert_int_equal(error.line, line);
    assert_int_equal(error.column, column);
    arena_unref(arena);
}

static void nul_is_rejected(void **state)
{
    (void)state;
    expect_nul_at(STR("[1\0]"), 1, 3);
    expect_nul_at(STR("[1.5\0]"), 1, 5);
    expect_nul_at(STR("[true\0]"), 1, 6);
    expect_nul_at(STR("5\0"), 1, 2);
    expect_nul_at(STR("{\"a\":\n[null,\"\u00e9\",\n  7\0]}"), 3, 4);
    expect_nul_at(STR("[\"\u00e9\",7\0]"), 1, 7);
    const struct str others[] = {STR("\0[1]"), STR("[1]\0"), STR("[\"a\"\0]"), STR("[\"a\0\"]"), STR("[1\0\0]")};
    struct arena *arena = arena_new();
    assert_non_null(arena);
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        json_t *tree;
        json_error_t error;
        assert_true(json_parse(others[i], arena, &tree, &error));
        assert_null(tree);
    }
    arena_unref(arena);
}

/* -- threads ------------------------------------------------------------------------------------------------------- */

enum { THREADS = 4, ROUNDS = 300 };

struct parse_thread {
    long number;
    bool failed;
};

/* Parses numbers and a string that are different in each thread. */
static void *parse_repeatedly(void *data)
{
    struct parse_thread *parse_thread = data;
    char text[4096];
    size_t len = (size_t)snprintf(text, sizeof text, "[\"some-string-of-thread-%ld\"", parse_thread->number);
    for (long i = 0; i < 100; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, ",{\"number\":%ld}", parse_thread->number * 1000 + i);
    text[len++] = ']';
    for (int round = 0; round < ROUNDS && !parse_thread->failed; round++) {
        struct arena *arena = arena_new();
        json_t *tree = NULL;
        json_error_t error;
        parse_thread->failed =
            arena == NULL || !json_parse((struct str){text, len}, arena, &tree, &error) || json_array_size(tree) != 101;
        for (size_t i = 0; i < 100 && !parse_thread->failed; i++)
            parse_thread->failed = json_integer_value(json_object_get(json_array_get(tree, i + 1), "number")) !=
                                   parse_thread->number * 1000 + (long)i;
        arena_unref(arena);
    }
    return NULL;
}

static void threads_parse_concurrently(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    struct parse_thread parse_threads[THREADS];
    for (long i = 0; i < THREADS; i++) {
        parse_threads[i] = (struct parse_thread){.number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, parse_repeatedly, &parse_threads[i]), 0);
    }
    for (long i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (long i = 0; i < THREADS; i++)
        assert_false(parse_threads[i].failed);
}

/* -- outside of json_parse() --------------------------------------------------------------------------------------- */

static void build_tree(void)
{
    json_decref(json_array());
}

static void load_directly(void)
{
    json_decref(json_loadb("[]", 2, 0, NULL));
}

/* Uses jansson after a json_parse() that ran out of memory. */
static void build_after_failed_parse(void)
{
    struct arena *arena = arena_new();
    json_t *tree;
    json_error_t error;
    char text[8192];
    memset(text, '[', 1000);
    memset(text + 1000, ']', 1000);
    alloc_fail_at(1);
    if (arena == NULL || json_parse((struct str){text, 2000}, arena, &tree, &error))
        _exit(1);
    build_tree();
}

/* Outside of json_parse(), jansson has no arena to allocate from. */
static void allocation_outside_parse_aborts(void **state)
{
    (void)state;
    static void (*const actions[])(void) = {build_tree, load_directly, build_after_failed_parse};
    for (size_t i = 0; i < COUNT_OF(actions); i++) {
        pid_t child = fork();
        if (child == 0) {
            setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
            signal(SIGABRT, SIG_DFL);
            close(STDERR_FILENO);
            actions[i]();
            _exit(0);
        }
        int status = 0;
        assert_true(child > 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGABRT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tree_is_allocated_in_arena),
        cmocka_unit_test(invalid_json_returns_error),
        cmocka_unit_test(nul_is_rejected),
        cmocka_unit_test(threads_parse_concurrently),
        cmocka_unit_test(allocation_outside_parse_aborts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

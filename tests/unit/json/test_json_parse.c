/* test_json_tree - whose memory a tree lies in, on which thread, and what becomes of jansson without a reading. */
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

static void a_tree_lies_in_its_arena(void **state)
{
    (void)state;
    struct arena *arena = arena_new();
    assert_non_null(arena);
    json_t *tree = NULL;
    json_error_t error;
    alloc_fail_at(0);
    assert_true(json_tree_read(STR("{\"a\":[1,2.5,\"x\\ny\",null]}"), arena, &tree, &error));
    assert_int_equal(alloc_count(), 0); /* there was room in the arena's first block: nobody else was asked */
    json_t *list = json_object_get(tree, "a");
    assert_int_equal(json_array_size(list), 4);
    assert_int_equal(json_integer_value(json_array_get(list, 0)), 1);
    assert_true(json_real_value(json_array_get(list, 1)) == 2.5);
    assert_string_equal(json_string_value(json_array_get(list, 2)), "x\ny");
    arena_unref(arena); /* nothing is left: a sanitizer sees it */
}

static void what_is_no_json_says_why(void **state)
{
    (void)state;
    struct arena *arena = arena_new();
    assert_non_null(arena);
    json_t *tree;
    json_error_t error;
    assert_true(json_tree_read(STR("{\"a\":1,\"a\":2}"), arena, &tree, &error));
    assert_null(tree);
    assert_int_equal(json_error_code(&error), json_error_duplicate_key);
    assert_true(json_tree_read(STR("[1,\"a-long-string-without-an-end"), arena, &tree, &error));
    assert_null(tree);
    assert_int_equal(json_error_code(&error), json_error_premature_end_of_input);
    arena_unref(arena);
}

/* -- threads --------------------------------------------------------------------------------------------------------- */

enum { THREADS = 4, ROUNDS = 300 };

struct reader {
    long number;
    bool wrong;
};

/* Its own numbers come back, whatever the others read meanwhile. */
static void *read_again_and_again(void *data)
{
    struct reader *reader = data;
    char text[4096];
    size_t len = (size_t)snprintf(text, sizeof text, "[\"some-string-of-thread-%ld\"", reader->number);
    for (long i = 0; i < 100; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, ",{\"number\":%ld}", reader->number * 1000 + i);
    text[len++] = ']';
    for (int round = 0; round < ROUNDS && !reader->wrong; round++) {
        struct arena *arena = arena_new();
        json_t *tree = NULL;
        json_error_t error;
        reader->wrong = arena == NULL || !json_tree_read((struct str){text, len}, arena, &tree, &error) ||
                        json_array_size(tree) != 101;
        for (size_t i = 0; i < 100 && !reader->wrong; i++)
            reader->wrong = json_integer_value(json_object_get(json_array_get(tree, i + 1), "number")) !=
                            reader->number * 1000 + (long)i;
        arena_unref(arena);
    }
    return NULL;
}

static void threads_read_side_by_side(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    struct reader readers[THREADS];
    for (long i = 0; i < THREADS; i++) {
        readers[i] = (struct reader){.number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, read_again_and_again, &readers[i]), 0);
    }
    for (long i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (long i = 0; i < THREADS; i++)
        assert_false(readers[i].wrong);
}

/* -- outside of a reading -------------------------------------------------------------------------------------------- */

static void build_a_tree(void)
{
    json_decref(json_array());
}

static void read_without_us(void)
{
    json_decref(json_loadb("[]", 2, 0, NULL));
}

/* A reading that ran out of memory is over, too. */
static void build_after_a_failed_reading(void)
{
    struct arena *arena = arena_new();
    json_t *tree;
    json_error_t error;
    char text[8192];
    memset(text, '[', 1000);
    memset(text + 1000, ']', 1000);
    alloc_fail_at(1);
    if (arena == NULL || json_tree_read((struct str){text, 2000}, arena, &tree, &error))
        _exit(1);
    build_a_tree();
}

/* jansson would get memory of an arena that has gone, or none at all. */
static void jansson_takes_memory_for_a_reading_only(void **state)
{
    (void)state;
    static void (*const deeds[])(void) = {build_a_tree, read_without_us, build_after_a_failed_reading};
    for (size_t i = 0; i < COUNT_OF(deeds); i++) {
        pid_t child = fork();
        if (child == 0) {
            setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
            signal(SIGABRT, SIG_DFL);
            close(STDERR_FILENO);
            deeds[i]();
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
        cmocka_unit_test(a_tree_lies_in_its_arena),
        cmocka_unit_test(what_is_no_json_says_why),
        cmocka_unit_test(threads_read_side_by_side),
        cmocka_unit_test(jansson_takes_memory_for_a_reading_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

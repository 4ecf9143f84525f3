/* test_registry - names, order and lookup of functions in a registry. */
#include "runtime/task/registry.h"
#include "tests/unit/support/alloc_fault.h"
#include "tests/unit/support/builtins.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct function a = {.name = "a"}, ab = {.name = "ab"}, a_b = {.name = "a_b"}, b2 = {.name = "b2"},
                             c = {.name = "c"};

static void each_function_is_found(void **state)
{
    (void)state;
    static const struct function *const functions[] = {&c, &ab, &b2, &a, &a_b};
    static const char *const others[] = {"", "A", "a\n", "aa", "ab_", "abc", "b", "b20", "d", "0"};
    for (size_t count = 0; count <= COUNT_OF(functions); count++) {
        struct registry *registry;
        struct err e;
        assert_int_equal(registry_new(functions, count, &registry, &e), 0);
        for (size_t i = 0; i < COUNT_OF(functions); i++)
            assert_ptr_equal(registry_find(registry, str_from(functions[i]->name)), i < count ? functions[i] : NULL);
        for (size_t i = 0; i < COUNT_OF(others); i++)
            assert_null(registry_find(registry, str_from(others[i])));
        assert_null(registry_find(registry, (struct str){NULL, 0}));
        assert_null(registry_find(registry, (struct str){"a\0", 2}));
        const struct function *slice = registry_find(registry, (struct str){"abc", 2}); /* without a NUL */
        assert_ptr_equal(slice, count >= 2 ? &ab : NULL);
        registry_unref(registry);
    }
}

static void functions_are_sorted_by_name(void **state)
{
    (void)state;
    static const struct function *const functions[] = {&c, &ab, &b2, &a, &a_b};
    struct registry *registry;
    assert_int_equal(registry_new(functions, COUNT_OF(functions), &registry, NULL), 0);
    static const struct function *const sorted[] = {&a, &a_b, &ab, &b2, &c, NULL};
    assert_memory_equal(registry_functions(registry), sorted, sizeof sorted);
    registry_unref(registry);
}

static void duplicate_name_is_rejected(void **state)
{
    (void)state;
    const struct function same = {.name = "ab"};
    const struct function *const functions[] = {&ab, &a, &same};
    struct registry *registry = NULL;
    struct err e;
    assert_int_equal(registry_new(functions, 3, &registry, &e), ERR_INVALID);
    assert_string_equal(e.msg, "Two functions are named \"ab\"");
    assert_null(registry);
}

static void invalid_name_is_rejected(void **state)
{
    (void)state;
    static const char *const names[] = {"",    "A",   "_a",       "1a",   "a-b",
                                        "a b", "a/b", "\xc3\xbc", "a\"b", "a2345678901234567890123456789012"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        const struct function bad = {.name = names[i]};
        const struct function *const functions[] = {&a, &bad};
        struct registry *registry = NULL;
        struct err e;
        assert_int_equal(registry_new(functions, 2, &registry, &e), ERR_INVALID);
        assert_non_null(strstr(e.msg, "is not a valid function name"));
        assert_null(registry);
    }
}

static void longest_name_is_accepted(void **state)
{
    (void)state;
    const struct function longest = {.name = "a234567890123456789012345678901"};
    const struct function *functions = &longest;
    assert_int_equal(strlen(longest.name), FUNCTION_NAME_SIZE - 1);
    struct registry *registry;
    assert_int_equal(registry_new(&functions, 1, &registry, NULL), 0);
    registry_unref(registry);
}

static void last_reference_frees_registry(void **state)
{
    (void)state;
    struct registry *registry = builtins_new();
    assert_ptr_equal(registry_ref(registry), registry);
    registry_unref(registry);
    assert_non_null(registry_find(registry, STR("gather")));
    registry_unref(registry);
    registry_unref(NULL);
}

static void registry_fails_when_out_of_memory(void **state)
{
    (void)state;
    struct registry *registry = NULL;
    struct err e;
    alloc_fail_at(1);
    int rc = builtin_registry(&registry, &e);
    alloc_fail_at(0);
    assert_int_equal(rc, ERR_OUT_OF_MEMORY);
    assert_int_equal(e.rc, ERR_OUT_OF_MEMORY);
    assert_null(registry);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_function_is_found),
        cmocka_unit_test(functions_are_sorted_by_name),
        cmocka_unit_test(duplicate_name_is_rejected),
        cmocka_unit_test(invalid_name_is_rejected),
        cmocka_unit_test(longest_name_is_accepted),
        cmocka_unit_test(last_reference_frees_registry),
        cmocka_unit_test(registry_fails_when_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_arena - arenas: allocation, out of memory, references and cleanup. */
#include "runtime/lib/arena.h"
#include "tests/unit/support/alloc_fault.h"
#include "tests/unit/support/runtime_fixture.h"

#include <setjmp.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static bool is_filled(const unsigned char *bytes, size_t size, unsigned char byte)
{
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != byte)
            return false;
    return true;
}

static void allocations_are_zeroed_aligned_and_disjoint(void **state)
{
    (void)state;
    enum { ALLOCATION_COUNT = 2000 };
    struct allocation {
        unsigned char *at;
        size_t size;
    } *allocations = calloc(ALLOCATION_COUNT, sizeof *allocations);
    assert_non_null(allocations);
    struct prng prng = {1};
    struct arena *arena = arena_new();
    assert_non_null(arena);

    for (size_t i = 0; i < ALLOCATION_COUNT; i++) {
        static const size_t max_sizes[] = {1, 40, 500, 3000, 70000};
        allocations[i].size = prng_below(&prng, max_sizes[prng_below(&prng, COUNT_OF(max_sizes))]);
        allocations[i].at = arena_alloc(arena, allocations[i].size);
        assert_non_null(allocations[i].at);
        assert_int_equal((uintptr_t)allocations[i].at % alignof(max_align_t), 0);
        assert_true(is_filled(allocations[i].at, allocations[i].size, 0));
        memset(allocations[i].at, (int)(i % 255) + 1, allocations[i].size);
    }
    for (size_t i = 0; i < ALLOCATION_COUNT; i++) /* if allocations overlapped, one would be overwritten */
        assert_true(is_filled(allocations[i].at, allocations[i].size, (unsigned char)(i % 255 + 1)));
    arena_unref(arena);
    free(allocations);
}

static void every_size_around_a_block_allocates(void **state)
{
    (void)state;
    for (size_t size = 0; size < 2100; size++) {
        struct arena *arena = arena_new();
        for (int i = 0; i < 3; i++) {
            unsigned char *memory = arena_alloc(arena, size);
            assert_non_null(memory);
            assert_true(is_filled(memory, size, 0));
            memset(memory, 0xff, size);
        }
        arena_unref(arena);
    }
}

static void zero_size_succeeds_and_overflow_fails(void **state)
{
    (void)state;
    struct arena *arena = arena_new();
    assert_non_null(arena_alloc(arena, 0));
    assert_non_null(arena_calloc(arena, 0, 8));
    assert_non_null(arena_calloc(arena, 8, 0));
    assert_non_null(arena_calloc(arena, SIZE_MAX, 0));

    assert_null(arena_alloc(arena, SIZE_MAX));
    assert_null(arena_alloc(arena, SIZE_MAX - 1));
    assert_null(arena_alloc(arena, SIZE_MAX / 2 + 1));
    assert_null(arena_calloc(arena, SIZE_MAX, 2));
    assert_null(arena_calloc(arena, SIZE_MAX / 2, 3)); /* the product wraps around */
    assert_null(arena_calloc(arena, SIZE_MAX / 16 + 2, 16));
    struct str text = STR("as it was");
    assert_false(arena_str(arena, "", SIZE_MAX, &text));
    assert_string_equal(text.data, "as it was");

    assert_non_null(arena_alloc(arena, 100)); /* the arena is still usable */
    arena_unref(arena);
}

static void calloc_allocates_count_times_size(void **state)
{
    (void)state;
    struct arena *arena = arena_new();
    unsigned char *first = arena_calloc(arena, 7, 24);
    unsigned char *second = arena_calloc(arena, 1, 1);
    memset(first, 0xff, (size_t)7 * 24);
    assert_int_equal(second[0], 0);
    arena_unref(arena);
}

static void last_unref_frees_arena(void **state)
{
    (void)state;
    arena_unref(NULL);
    struct arena *arena = arena_new();
    char *memory = arena_alloc(arena, 100000);
    assert_ptr_equal(arena_ref(arena), arena);
    assert_ptr_equal(arena_ref(arena), arena);
    arena_unref(arena);
    memory[99999] = 'x';
    arena_unref(arena);
    memory[0] = 'x'; /* a sanitizer detects if the memory was freed */
    arena_unref(arena);
}

static void strings_are_copied_and_nul_terminated(void **state)
{
    (void)state;
    struct arena *arena = arena_new();
    char source[] = "all\0of it";
    struct str text = {NULL, 0}, empty = {NULL, 0};
    assert_true(arena_str(arena, source, sizeof source - 1, &text));
    assert_true(arena_str(arena, NULL, 0, &empty));
    memset(source, 'x', sizeof source);
    assert_int_equal(text.len, 9);
    assert_memory_equal(text.data, "all\0of it", 10);
    assert_non_null(empty.data); /* present, but empty */
    assert_int_equal(empty.len, 0);
    assert_int_equal(empty.data[0], '\0');

    for (size_t len = 0; len < 1200; len++) { /* with some lengths, only the NUL does not fit the block */
        char bytes[1200];
        memset(bytes, 'a', sizeof bytes);
        assert_true(arena_str(arena, bytes, len, &text));
        assert_int_equal(strlen(text.data), len);
    }
    arena_unref(arena);
}

static void small_allocations_share_blocks(void **state)
{
    (void)state;
    alloc_fail_at(0);
    struct arena *arena = arena_new();
    for (int i = 0; i < 10; i++)
        assert_non_null(arena_alloc(arena, 64));
    assert_int_equal(alloc_count(), 1); /* a small request needs one block */
    for (int i = 0; i < 100000; i++)
        assert_non_null(arena_alloc(arena, 64));
    assert_in_range(alloc_count(), 2, 150); /* blocks of up to 64 KiB for 6.4 MB */
    arena_unref(arena);
}

/* A large allocation gets a block of its own; the current block continues to serve small ones. */
static void large_allocation_keeps_current_block(void **state)
{
    (void)state;
    alloc_fail_at(0);
    struct arena *arena = arena_new();
    for (int i = 0; i < 10; i++) {
        assert_non_null(arena_alloc(arena, 100000));
        assert_non_null(arena_alloc(arena, 16));
    }
    assert_int_equal(alloc_count(), 11);
    arena_unref(arena);
}

/* Makes small and large allocations, as a request does. False: an allocation failed. */
static bool allocate_request(struct arena *arena, struct str *text)
{
    char bytes[2000];
    memset(bytes, 'b', sizeof bytes);
    for (int i = 0; i < 20; i++)
        if (arena_alloc(arena, 100) == NULL || arena_calloc(arena, 10, 200) == NULL)
            return false;
    return arena_str(arena, bytes, sizeof bytes, text);
}

static void failed_allocation_changes_nothing(void **state)
{
    (void)state;
    unsigned long n = 0;
    bool failed;
    do {
        alloc_fail_at(++n);
        struct arena *arena = arena_new();
        struct str retained = {NULL, 0}, text = STR("as it was");
        failed = arena == NULL;
        if (arena != NULL && !arena_str(arena, "kept", 4, &retained))
            failed = true;
        if (arena != NULL && !allocate_request(arena, &text)) {
            failed = true;
            assert_string_equal(text.data, "as it was");
            assert_string_equal(retained.data, "kept");
            assert_true(allocate_request(arena, &text)); /* the arena can still be used after the failure */
            assert_string_equal(retained.data, "kept");
            assert_int_equal(strlen(text.data), 2000);
        }
        assert_int_equal(failed, alloc_count() >= n);
        arena_unref(arena);
    } while (failed);
    alloc_fail_at(0);
    assert_true(n > 10);
}

static void set_flag(void *freed)
{
    *(bool *)freed = true;
}

static void retained_arena_is_freed_with_its_holder(void **state)
{
    (void)state;
    bool freed = false;
    struct arena *holder = arena_new(), *retained = arena_new();
    assert_true(holder != NULL && retained != NULL && arena_add_cleanup(retained, set_flag, &freed) &&
                arena_retain(holder, retained));
    arena_unref(retained);
    assert_false(freed);
    arena_unref(holder);
    assert_true(freed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allocations_are_zeroed_aligned_and_disjoint),
        cmocka_unit_test(every_size_around_a_block_allocates),
        cmocka_unit_test(zero_size_succeeds_and_overflow_fails),
        cmocka_unit_test(calloc_allocates_count_times_size),
        cmocka_unit_test(last_unref_frees_arena),
        cmocka_unit_test(strings_are_copied_and_nul_terminated),
        cmocka_unit_test(small_allocations_share_blocks),
        cmocka_unit_test(large_allocation_keeps_current_block),
        cmocka_unit_test(failed_allocation_changes_nothing),
        cmocka_unit_test(retained_arena_is_freed_with_its_holder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

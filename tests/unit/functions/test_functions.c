/* The functions that run off the loop, each called directly: what they compute, and what they say when they can't. */
#include "runtime/types/type_parse.h"
#include "tests/unit/support/runtime_fixture.h"

#include "runtime/executors/run_context.h"
#include "tests/unit/support/alloc_fault.h"
#include "tests/unit/support/file_root_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MOST (INT64_C(1000000000000000)) /* 10^15 */

struct call {
    struct fixture *f;
    struct task_spec spec;
    struct arena *arena; /* of the run */
    char *output;
    atomic_bool canceled;
    struct err e;
    int rc;
};

static void call_begin(struct call *c, struct fixture *f, const char *function)
{
    *c = (struct call){.f = f, .spec = spec_of(f, function_find(str_from(function))), .arena = arena_new()};
    assert_non_null(c->arena);
    c->output = arena_alloc(c->arena, c->spec.function->output->size);
    assert_non_null(c->output);
}

static void call_run(struct call *c)
{
    struct run_context run = {.arena = c->arena, .canceled = &c->canceled, .e = &c->e};
    memset(c->output, 0, c->spec.function->output->size);
    c->rc = c->spec.function->run(c->spec.input, c->output, &run);
    assert_true(c->rc == 0 || (c->e.rc == c->rc && c->e.msg[0] != '\0'));
    assert_true(str_is_utf8(str_from(c->e.msg)));
}

/* The fixture's arena goes too: a test may make many calls. */
static void call_end(struct call *c)
{
    arena_unref(c->arena);
    arena_unref(c->f->arena);
    c->f->arena = arena_new();
    assert_non_null(c->f->arena);
}

static const struct field *field_of(const struct type *record, const char *name)
{
    const struct field *field = record->fields;
    while (strcmp(field->name, name) != 0)
        field++;
    return field;
}

static void *input_field(struct call *c, const char *name)
{
    return (char *)c->spec.input + field_of(c->spec.function->input, name)->offset;
}

static int64_t output_number(const struct function *function, const char *output, const char *name)
{
    int64_t number;
    memcpy(&number, output + field_of(function->output, name)->offset, sizeof number);
    return number;
}

/* -- sum ----------------------------------------------------------------------------------------------------------- */

static int sum(struct fixture *f, int64_t from, int64_t n, int64_t *result)
{
    struct call c;
    call_begin(&c, f, "sum");
    set_integer(&c.spec, "from", from);
    set_integer(&c.spec, "n", n);
    call_run(&c);
    *result = output_number(c.spec.function, c.output, "sum");
    int rc = c.rc;
    if (rc == 0)
        assert_true(
            type_is_absent(&function_parts_type, c.output + field_of(c.spec.function->output, "parts")->offset));
    call_end(&c);
    return rc;
}

static void sums_are_what_gauss_says(void **state)
{
    struct fixture *f = *state;
    struct dice dice = {1};
    for (int i = 0; i < 2000; i++) {
        int64_t n = i < 1000 ? i : (int64_t)dice_roll(&dice, 20000), got;
        assert_int_equal(sum(f, 0, n, &got), 0);
        assert_int_equal(got, n * (n - 1) / 2);
        int64_t from = (int64_t)dice_roll(&dice, 20000);
        assert_int_equal(sum(f, from, n, &got), 0);
        assert_int_equal(got, from >= n ? 0 : n * (n - 1) / 2 - from * (from - 1) / 2);
    }
    int64_t got, n = 3000000; /* more than one look at whether it was canceled */
    assert_int_equal(sum(f, 0, n, &got), 0);
    assert_int_equal(got, n * (n - 1) / 2);
}

static void sums_may_overflow(void **state)
{
    struct fixture *f = *state;
    int64_t top = INT64_C(1) << 53, got;
    assert_int_equal(sum(f, top - 1000, top, &got), 0);
    assert_int_equal(got, 1000 * (top - 1) - INT64_C(999) * 500);
    assert_int_equal(sum(f, top - 2000, top, &got), ERR_OVERFLOW);
    assert_int_equal(sum(f, top, top, &got), 0);
    assert_int_equal(got, 0);
    assert_int_equal(sum(f, top, 0, &got), 0);
    assert_int_equal(got, 0);
}

/* -- primes -------------------------------------------------------------------------------------------------------- */

static int64_t primes(struct fixture *f, int64_t from, int64_t to)
{
    struct call c;
    call_begin(&c, f, "primes");
    set_integer(&c.spec, "from", from);
    set_integer(&c.spec, "to", to);
    call_run(&c);
    assert_int_equal(c.rc, 0);
    assert_true(type_is_absent(&function_parts_type, c.output + field_of(c.spec.function->output, "parts")->offset));
    int64_t count = output_number(c.spec.function, c.output, "count");
    call_end(&c);
    return count;
}

enum { SIEVED = 1 << 20 };

/* below[n] primes are less than n. */
static int32_t *count_naively(void)
{
    char *composite = calloc(SIEVED, 1);
    int32_t *below = calloc(SIEVED + 1, sizeof *below);
    assert_true(composite != NULL && below != NULL);
    composite[0] = composite[1] = 1;
    for (size_t i = 2; i < SIEVED; i++)
        for (size_t j = 2 * i; j < SIEVED; j += i)
            composite[j] = 1;
    for (size_t i = 0; i < SIEVED; i++)
        below[i + 1] = below[i] + !composite[i];
    free(composite);
    return below;
}

static void primes_of_small_ranges(void **state)
{
    struct fixture *f = *state;
    int32_t *below = count_naively();
    for (int64_t from = 0; from <= 40; from++)
        for (int64_t to = 0; to <= 140; to++)
            assert_int_equal(primes(f, from, to), to <= from ? 0 : below[to] - below[from]);
    struct dice dice = {2};
    for (int i = 0; i < 400; i++) {
        int64_t from = (int64_t)dice_roll(&dice, SIEVED), to = (int64_t)dice_roll(&dice, SIEVED);
        assert_int_equal(primes(f, from, to), to <= from ? 0 : below[to] - below[from]);
    }
    static const int64_t roots[] = {2, 3, 5, 7, 11, 13, 251, 257, 997, 1009, 1021};
    for (size_t i = 0; i < COUNT_OF(roots); i++)
        for (int64_t from = roots[i] * roots[i] - 3; from <= roots[i] * roots[i] + 3; from++)
            for (int64_t to = roots[i] * roots[i] - 3; to <= roots[i] * roots[i] + 4; to++)
                assert_int_equal(primes(f, from, to), to <= from ? 0 : below[to] - below[from]);
    /* Segments are 65536 numbers long, from where the range begins. */
    static const int64_t begins[] = {0, 1, 2, 3, 4, 5, 65535, 65536, 65537, 100003};
    for (size_t i = 0; i < COUNT_OF(begins); i++)
        for (int64_t k = 1; k <= 3; k++)
            for (int64_t off = -4; off <= 4; off++) {
                int64_t to = begins[i] + k * 65536 + off;
                assert_int_equal(primes(f, begins[i], to), below[to] - below[begins[i]]);
            }
    free(below);
}

static uint64_t multiply(uint64_t a, uint64_t b, uint64_t modulus)
{
    return (uint64_t)((unsigned __int128)a * b % modulus);
}

static bool is_witness(uint64_t a, uint64_t n)
{
    uint64_t d = n - 1, x = 1, base = a % n;
    int twos = 0;
    if (base == 0)
        return false;
    for (; d % 2 == 0; d /= 2)
        twos++;
    for (; d > 0; d /= 2, base = multiply(base, base, n))
        if (d % 2 == 1)
            x = multiply(x, base, n);
    if (x == 1 || x == n - 1)
        return false;
    for (; twos > 1; twos--)
        if ((x = multiply(x, x, n)) == n - 1)
            return false;
    return true;
}

/* Miller and Rabin's test; with these bases it is right for all 64-bit numbers. */
static bool is_prime(uint64_t n)
{
    static const uint64_t bases[] = {2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37};
    if (n < 2 || (n > 2 && n % 2 == 0))
        return false;
    for (size_t i = 0; i < COUNT_OF(bases); i++)
        if (n != bases[i] && is_witness(bases[i], n))
            return false;
    return true;
}

static void primes_of_large_numbers(void **state)
{
    struct fixture *f = *state;
    static const struct {
        int64_t from, to;
    } rows[] = {
        {MOST - 70000, MOST},
        {MOST - 1, MOST},
        {MOST, MOST},
        {MOST - 11, MOST}, /* 10^15 - 11 is a prime: the bound is exact */
        {MOST - 11, MOST - 10},
        {INT64_C(31622743) * 31622743, INT64_C(31622743) * 31622743 + 1}, /* the largest prime's square */
        {INT64_C(999983) * 999983 - 2, INT64_C(999983) * 999983 + 3000},
        {INT64_C(4294967296) - 500, INT64_C(4294967296) + 70000},
    };
    assert_true(is_prime(31622743) && is_prime(999983) && is_prime(MOST - 11));
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        int64_t count = 0;
        for (int64_t n = rows[i].from; n < rows[i].to; n++)
            count += is_prime((uint64_t)n);
        assert_int_equal(primes(f, rows[i].from, rows[i].to), count);
    }
}

static void known_counts_of_primes(void **state)
{
    struct fixture *f = *state;
    static const int64_t counts[] = {0, 4, 25, 168, 1229, 9592, 78498, 664579};
    for (int64_t i = 0, to = 1; i < (int64_t)COUNT_OF(counts); i++, to *= 10)
        assert_int_equal(primes(f, 0, to), counts[i]);
}

/* -- both: canceled, without memory, divided ------------------------------------------------------------------------ */

static void nobody_waits_any_more(void **state)
{
    static const char *const names[] = {"sum", "primes"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct call c;
        call_begin(&c, *state, names[i]);
        set_integer(&c.spec, i == 0 ? "n" : "to", MOST); /* for hours, else */
        set_integer(&c.spec, "from", i == 0 ? 1 : MOST - 10000000);
        atomic_store(&c.canceled, true);
        call_run(&c);
        assert_int_equal(c.rc, ERR_CANCELED);
        call_end(&c);
    }
}

static void primes_need_memory(void **state)
{
    unsigned long n = 0;
    bool failed;
    do {
        struct call c;
        call_begin(&c, *state, "primes");
        set_integer(&c.spec, "to", 100000000);
        set_integer(&c.spec, "from", 99999000);
        alloc_fail_at(++n);
        call_run(&c);
        failed = alloc_count() >= n;
        alloc_fail_at(0);
        assert_int_equal(c.rc, failed ? ERR_OUT_OF_MEMORY : 0);
        call_end(&c);
    } while (failed);
    assert_true(n > 3);
}

static void parts_make_the_whole(void **state)
{
    struct fixture *f = *state;
    static const char *const names[] = {"sum", "primes"};
    static const int64_t bounds[][2] = {{0, 0},  {5, 3},  {0, 1},   {0, 2},     {2, 3},         {0, 63},
                                        {0, 64}, {0, 65}, {7, 200}, {0, 30011}, {99999, 300007}};
    for (size_t f_index = 0; f_index < COUNT_OF(names); f_index++) {
        const char *end = f_index == 0 ? "n" : "to", *result = f_index == 0 ? "sum" : "count";
        for (size_t b = 0; b < COUNT_OF(bounds); b++) {
            for (int64_t most = 1; most <= 64; most++) {
                struct call c;
                call_begin(&c, f, names[f_index]);
                const struct function *function = c.spec.function;
                set_integer(&c.spec, "from", bounds[b][0]);
                set_integer(&c.spec, end, bounds[b][1]);
                call_run(&c);
                int64_t whole = output_number(function, c.output, result);
                char *merged = arena_alloc(c.arena, function->output->size);
                const void *input = c.spec.input;
                void *part = arena_alloc(c.arena, function->input->size);
                int64_t count = 1;
                for (int64_t i = 0; i < count; i++) {
                    memcpy(part, input, function->input->size);
                    count = function->split(input, most, i, part);
                    assert_true(count >= 1 && count <= most);
                    c.spec.input = part;
                    call_run(&c);
                    assert_int_equal(c.rc, 0);
                    assert_int_equal(function->merge(merged, c.output, &c.e), 0);
                }
                assert_int_equal(output_number(function, merged, result), whole);
                call_end(&c);
            }
        }
    }
}

static void a_merge_may_overflow(void **state)
{
    struct call c;
    call_begin(&c, *state, "sum");
    const struct function *function = c.spec.function;
    char *part = arena_alloc(c.arena, function->output->size);
    int64_t half = INT64_MAX / 2 + 1;
    memcpy(part + field_of(function->output, "sum")->offset, &half, sizeof half);
    assert_int_equal(function->merge(c.output, part, &c.e), 0);
    assert_int_equal(function->merge(c.output, part, &c.e), ERR_OVERFLOW);
    assert_int_equal(c.e.rc, ERR_OVERFLOW);
    assert_non_null(strstr(c.e.msg, "9223372036854775807"));
    call_end(&c);
}

/* -- block --------------------------------------------------------------------------------------------------------- */

static void block_blocks_long_enough(void **state)
{
    static const uint64_t durations[] = {0, 1, 1000, MS(3)};
    for (size_t i = 0; i < COUNT_OF(durations); i++) {
        struct call c;
        call_begin(&c, *state, "block");
        *(uint64_t *)input_field(&c, "seconds") = durations[i];
        uint64_t from = uv_hrtime();
        call_run(&c);
        uint64_t took = uv_hrtime() - from;
        assert_int_equal(c.rc, 0);
        uint64_t says = (uint64_t)output_number(c.spec.function, c.output, "blocked_seconds");
        assert_true(says >= durations[i] && took >= says);
        call_end(&c);
    }
}

/* -- resolve ------------------------------------------------------------------------------------------------------- */

static void resolve(struct call *c, struct fixture *f, const char *host, const char *family)
{
    call_begin(c, f, "resolve");
    *(struct str *)input_field(c, "host") = str_from(host);
    const struct field *field = field_of(c->spec.function->input, "family");
    assert_int_equal(type_parse(field->type, str_from(family), NULL, NULL, input_field(c, "family"), NULL), 0);
    call_run(c);
}

static const struct array *addresses_of(const struct call *c)
{
    return (const struct array *)(const void *)(c->output + field_of(c->spec.function->output, "addresses")->offset);
}

static void addresses_resolve_to_themselves(void **state)
{
    static const char *const rows[][3] = {
        {"127.0.0.1", "any", "127.0.0.1"},
        {"127.0.0.1", "ipv4", "127.0.0.1"},
        {"127.0.0.1", "ipv6", NULL},
        {"::1", "any", "::1"},
        {"::1", "ipv6", "::1"},
        {"::1", "ipv4", NULL},
        {"1", "any", "0.0.0.1"},
        {"2001:db8:0::1", "any", "2001:db8::1"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct call c;
        resolve(&c, *state, rows[i][0], rows[i][1]);
        if (rows[i][2] == NULL) {
            assert_int_equal(c.rc, ERR_HOST_NOT_FOUND);
        } else {
            assert_int_equal(c.rc, 0);
            assert_int_equal(addresses_of(&c)->count, 1);
            assert_string_equal(((const struct str *)addresses_of(&c)->items)->at, rows[i][2]);
        }
        call_end(&c);
    }
}

static void localhost_is_known(void **state)
{
    struct call c;
    resolve(&c, *state, "localhost", "ipv4");
    assert_int_equal(c.rc, 0);
    assert_true(addresses_of(&c)->count >= 1);
    assert_string_equal(((const struct str *)addresses_of(&c)->items)->at, "127.0.0.1");
    call_end(&c);
}

static void nobody_to_ask_is_no_unknown_host(void **state)
{
    if (!tree_may_mount())
        skip();
    struct call c;
    resolve(&c, *state, "a.example", "any");
    assert_int_equal(c.rc, ERR_RESOLVE_FAILED);
    assert_string_equal(c.e.msg, "a.example: Temporary failure in name resolution");
    call_end(&c);
}

/* Whatever the name: an error with words that are UTF-8, however they had to be cut. */
static void names_that_can_not_be(void **state)
{
    static const char *const patterns[] = {"a", ".", "-", " ", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80", "%n"};
    /* All of them longer than a label of DNS may be, so that nobody is asked. */
    for (size_t p = 0; p < COUNT_OF(patterns); p++) {
        for (size_t shift = 0; shift < 4; shift++) {
            char host[254] = "";
            memset(host, 'b', shift);
            while (strlen(host) + strlen(patterns[p]) <= 253)
                memcpy(host + strlen(host), patterns[p], strlen(patterns[p]) + 1);
            struct call c;
            resolve(&c, *state, host, "ipv6");
            assert_true(c.rc == ERR_HOST_NOT_FOUND || c.rc == ERR_RESOLVE_FAILED);
            assert_non_null(strstr(c.e.msg, ": ")); /* the reason has room */
            call_end(&c);
        }
    }
}

static void resolve_needs_memory(void **state)
{
    unsigned long n = 0;
    bool failed;
    do {
        struct call c;
        call_begin(&c, *state, "resolve");
        *(struct str *)input_field(&c, "host") = STR("127.0.0.1");
        *(int *)input_field(&c, "family") = 0;
        alloc_fail_at(++n);
        call_run(&c);
        failed = alloc_count() >= n;
        alloc_fail_at(0);
        assert_int_equal(c.rc, failed ? ERR_OUT_OF_MEMORY : 0);
        call_end(&c);
    } while (failed);
    assert_true(n > 1);
}

/* -- what all of them say ------------------------------------------------------------------------------------------ */

static void errors_are_cut_between_characters(void **state)
{
    (void)state;
    static const char *const characters[] = {"a", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"};
    for (size_t c = 0; c < COUNT_OF(characters); c++) {
        for (size_t len = 240; len < 270; len++) {
            char text[300] = "";
            memset(text, 'b', len % 7);
            while (strlen(text) < len)
                memcpy(text + strlen(text), characters[c], strlen(characters[c]) + 1);
            struct err e;
            assert_int_equal(err_set(&e, ERR_INVALID, "%s", text), ERR_INVALID);
            struct str said = str_from(e.msg), all = str_from(text);
            assert_true(str_is_utf8(said));
            assert_memory_equal(said.at, text, said.len);
            assert_int_equal(said.len, str_truncate(all, sizeof e.msg - 1));
            for (size_t most = 0; most < 10; most++) {
                size_t cut = str_truncate(all, most);
                assert_true(cut <= most && most - cut < strlen(characters[c]));
                assert_true(str_is_utf8((struct str){text, cut}));
            }
        }
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_are_what_gauss_says),
        cmocka_unit_test(sums_may_overflow),
        cmocka_unit_test(primes_of_small_ranges),
        cmocka_unit_test(primes_of_large_numbers),
        cmocka_unit_test(known_counts_of_primes),
        cmocka_unit_test(nobody_waits_any_more),
        cmocka_unit_test(primes_need_memory),
        cmocka_unit_test(parts_make_the_whole),
        cmocka_unit_test(a_merge_may_overflow),
        cmocka_unit_test(block_blocks_long_enough),
        cmocka_unit_test(addresses_resolve_to_themselves),
        cmocka_unit_test(localhost_is_known),
        cmocka_unit_test(nobody_to_ask_is_no_unknown_host),
        cmocka_unit_test(names_that_can_not_be),
        cmocka_unit_test(resolve_needs_memory),
        cmocka_unit_test(errors_are_cut_between_characters),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}

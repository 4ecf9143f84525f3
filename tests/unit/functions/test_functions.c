/* test_functions - the pool functions other than file functions, called directly: results and errors. */
#include "runtime/types/type_parse.h"
#include "tests/unit/support/builtins.h"
#include "tests/unit/support/runtime_fixture.h"

#include "runtime/executors/run_context.h"
#include "tests/unit/support/alloc_fault.h"
#include "tests/unit/support/file_root_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MAX_BOUND (INT64_C(1000000000000000)) /* the maximum for primes, 10^15 */

struct call {
    struct fixture *f;
    struct task_spec spec;
    struct arena *arena; /* of the output */
    char *output;
    atomic_bool canceled;
    struct err e;
    int rc;
};

static void call_init(struct call *c, struct fixture *f, const char *function)
{
    *c = (struct call){.f = f, .spec = spec_of(f, builtins_find(function)), .arena = arena_new()};
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

/* Frees the call, and the fixture's arena, which would otherwise grow in tests with many calls. */
static void call_end(struct call *c)
{
    arena_unref(c->arena);
    arena_unref(c->f->arena);
    c->f->arena = arena_new();
    assert_non_null(c->f->arena);
}

static const struct field *record_field(const struct type *record, const char *name)
{
    const struct field *field = record->fields;
    while (strcmp(field->name, name) != 0)
        field++;
    return field;
}

static void *input_field(struct call *c, const char *name)
{
    return (char *)c->spec.input + record_field(c->spec.function->input, name)->offset;
}

static int64_t output_number(const struct function *function, const char *output, const char *name)
{
    int64_t number;
    memcpy(&number, output + record_field(function->output, name)->offset, sizeof number);
    return number;
}

/* -- sum ----------------------------------------------------------------------------------------------------------- */

static int run_sum(struct fixture *f, int64_t from, int64_t n, int64_t *result)
{
    struct call c;
    call_init(&c, f, "sum");
    set_integer(&c.spec, "from", from);
    set_integer(&c.spec, "n", n);
    call_run(&c);
    *result = output_number(c.spec.function, c.output, "sum");
    int rc = c.rc;
    if (rc == 0)
        assert_true(
            type_is_absent(&function_parts_type, c.output + record_field(c.spec.function->output, "parts")->offset));
    call_end(&c);
    return rc;
}

static void sum_matches_formula(void **state)
{
    struct fixture *f = *state;
    struct prng prng = {1};
    for (int i = 0; i < 2000; i++) {
        int64_t n = i < 1000 ? i : (int64_t)prng_below(&prng, 20000), result;
        assert_int_equal(run_sum(f, 0, n, &result), 0);
        assert_int_equal(result, n * (n - 1) / 2);
        int64_t from = (int64_t)prng_below(&prng, 20000);
        assert_int_equal(run_sum(f, from, n, &result), 0);
        assert_int_equal(result, from >= n ? 0 : n * (n - 1) / 2 - from * (from - 1) / 2);
    }
    int64_t result, n = 3000000; /* more than one CANCEL_CHECK_INTERVAL */
    assert_int_equal(run_sum(f, 0, n, &result), 0);
    assert_int_equal(result, n * (n - 1) / 2);
}

static void sum_reports_overflow(void **state)
{
    struct fixture *f = *state;
    int64_t top = INT64_C(1) << 53, result;
    assert_int_equal(run_sum(f, top - 1000, top, &result), 0);
    assert_int_equal(result, 1000 * (top - 1) - INT64_C(999) * 500);
    assert_int_equal(run_sum(f, top - 2000, top, &result), ERR_OVERFLOW);
    assert_int_equal(run_sum(f, top, top, &result), 0);
    assert_int_equal(result, 0);
    assert_int_equal(run_sum(f, top, 0, &result), 0);
    assert_int_equal(result, 0);
}

/* -- primes -------------------------------------------------------------------------------------------------------- */

static int64_t run_primes(struct fixture *f, int64_t from, int64_t to)
{
    struct call c;
    call_init(&c, f, "primes");
    set_integer(&c.spec, "from", from);
    set_integer(&c.spec, "to", to);
    call_run(&c);
    assert_int_equal(c.rc, 0);
    assert_true(
        type_is_absent(&function_parts_type, c.output + record_field(c.spec.function->output, "parts")->offset));
    int64_t count = output_number(c.spec.function, c.output, "count");
    call_end(&c);
    return count;
}

enum { SIEVE_LIMIT = 1 << 20 };

/* The number of primes less than n, for each n up to SIEVE_LIMIT; the caller frees the array. */
static int32_t *count_primes_naively(void)
{
    char *composite = calloc(SIEVE_LIMIT, 1);
    int32_t *primes_below = calloc(SIEVE_LIMIT + 1, sizeof *primes_below);
    assert_true(composite != NULL && primes_below != NULL);
    composite[0] = composite[1] = 1;
    for (size_t i = 2; i < SIEVE_LIMIT; i++)
        for (size_t j = 2 * i; j < SIEVE_LIMIT; j += i)
            composite[j] = 1;
    for (size_t i = 0; i < SIEVE_LIMIT; i++)
        primes_below[i + 1] = primes_below[i] + !composite[i];
    free(composite);
    return primes_below;
}

static void primes_in_small_ranges(void **state)
{
    struct fixture *f = *state;
    int32_t *primes_below = count_primes_naively();
    for (int64_t from = 0; from <= 40; from++)
        for (int64_t to = 0; to <= 140; to++)
            assert_int_equal(run_primes(f, from, to), to <= from ? 0 : primes_below[to] - primes_below[from]);
    struct prng prng = {2};
    for (int i = 0; i < 400; i++) {
        int64_t from = (int64_t)prng_below(&prng, SIEVE_LIMIT), to = (int64_t)prng_below(&prng, SIEVE_LIMIT);
        assert_int_equal(run_primes(f, from, to), to <= from ? 0 : primes_below[to] - primes_below[from]);
    }
    static const int64_t roots[] = {2, 3, 5, 7, 11, 13, 251, 257, 997, 1009, 1021};
    for (size_t i = 0; i < COUNT_OF(roots); i++)
        for (int64_t from = roots[i] * roots[i] - 3; from <= roots[i] * roots[i] + 3; from++)
            for (int64_t to = roots[i] * roots[i] - 3; to <= roots[i] * roots[i] + 4; to++)
                assert_int_equal(run_primes(f, from, to), to <= from ? 0 : primes_below[to] - primes_below[from]);
    /* Ranges that end near the end of a segment: segments have 65536 numbers, counted from the start of the range. */
    static const int64_t begins[] = {0, 1, 2, 3, 4, 5, 65535, 65536, 65537, 100003};
    for (size_t i = 0; i < COUNT_OF(begins); i++)
        for (int64_t k = 1; k <= 3; k++)
            for (int64_t off = -4; off <= 4; off++) {
                int64_t to = begins[i] + k * 65536 + off;
                assert_int_equal(run_primes(f, begins[i], to), primes_below[to] - primes_below[begins[i]]);
            }
    free(primes_below);
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

/* Miller-Rabin test, deterministic for 64-bit numbers with these bases. */
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

static void primes_near_upper_bound(void **state)
{
    struct fixture *f = *state;
    static const struct {
        int64_t from, to;
    } rows[] = {
        {MAX_BOUND - 70000, MAX_BOUND},
        {MAX_BOUND - 1, MAX_BOUND},
        {MAX_BOUND, MAX_BOUND},
        {MAX_BOUND - 11, MAX_BOUND}, /* starts with a prime */
        {MAX_BOUND - 11, MAX_BOUND - 10},
        {INT64_C(31622743) * 31622743, INT64_C(31622743) * 31622743 + 1}, /* square of the largest base prime */
        {INT64_C(999983) * 999983 - 2, INT64_C(999983) * 999983 + 3000},
        {INT64_C(4294967296) - 500, INT64_C(4294967296) + 70000},
    };
    assert_true(is_prime(31622743) && is_prime(999983) && is_prime(MAX_BOUND - 11));
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        int64_t count = 0;
        for (int64_t n = rows[i].from; n < rows[i].to; n++)
            count += is_prime((uint64_t)n);
        assert_int_equal(run_primes(f, rows[i].from, rows[i].to), count);
    }
}

static void prime_counts_match_known_values(void **state)
{
    struct fixture *f = *state;
    static const int64_t counts[] = {0, 4, 25, 168, 1229, 9592, 78498, 664579};
    for (int64_t i = 0, to = 1; i < (int64_t)COUNT_OF(counts); i++, to *= 10)
        assert_int_equal(run_primes(f, 0, to), counts[i]);
}

/* -- sum and primes: canceled, out of memory, split ---------------------------------------------------------------- */

static void canceled_computation_stops(void **state)
{
    static const char *const names[] = {"sum", "primes"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct call c;
        call_init(&c, *state, names[i]);
        set_integer(&c.spec, i == 0 ? "n" : "to", MAX_BOUND); /* without the cancellation, sum would run for hours */
        set_integer(&c.spec, "from", i == 0 ? 1 : MAX_BOUND - 10000000);
        atomic_store(&c.canceled, true);
        call_run(&c);
        assert_int_equal(c.rc, ERR_CANCELED);
        call_end(&c);
    }
}

static void primes_out_of_memory(void **state)
{
    unsigned long n = 0;
    bool failed;
    do {
        struct call c;
        call_init(&c, *state, "primes");
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

static void merged_parts_equal_whole(void **state)
{
    struct fixture *f = *state;
    static const char *const names[] = {"sum", "primes"};
    static const int64_t bounds[][2] = {{0, 0},  {5, 3},  {0, 1},   {0, 2},     {2, 3},         {0, 63},
                                        {0, 64}, {0, 65}, {7, 200}, {0, 30011}, {99999, 300007}};
    for (size_t function_index = 0; function_index < COUNT_OF(names); function_index++) {
        const char *end = function_index == 0 ? "n" : "to", *result = function_index == 0 ? "sum" : "count";
        for (size_t b = 0; b < COUNT_OF(bounds); b++) {
            for (int64_t max = 1; max <= 64; max++) {
                struct call c;
                call_init(&c, f, names[function_index]);
                const struct function *function = c.spec.function;
                set_integer(&c.spec, "from", bounds[b][0]);
                set_integer(&c.spec, end, bounds[b][1]);
                call_run(&c);
                int64_t expected = output_number(function, c.output, result);
                char *merged = arena_alloc(c.arena, function->output->size);
                const void *input = c.spec.input;
                void *part = arena_alloc(c.arena, function->input->size);
                int64_t count = 1;
                for (int64_t i = 0; i < count; i++) {
                    memcpy(part, input, function->input->size);
                    count = function->split(input, max, i, part);
                    assert_true(count >= 1 && count <= max);
                    c.spec.input = part;
                    call_run(&c);
                    assert_int_equal(c.rc, 0);
                    assert_int_equal(function->merge(merged, c.output, &c.e), 0);
                }
                assert_int_equal(output_number(function, merged, result), expected);
                call_end(&c);
            }
        }
    }
}

static void merge_reports_overflow(void **state)
{
    struct call c;
    call_init(&c, *state, "sum");
    const struct function *function = c.spec.function;
    char *part = arena_alloc(c.arena, function->output->size);
    int64_t half = INT64_MAX / 2 + 1;
    memcpy(part + record_field(function->output, "sum")->offset, &half, sizeof half);
    assert_int_equal(function->merge(c.output, part, &c.e), 0);
    assert_int_equal(function->merge(c.output, part, &c.e), ERR_OVERFLOW);
    assert_int_equal(c.e.rc, ERR_OVERFLOW);
    assert_non_null(strstr(c.e.msg, "9223372036854775807"));
    call_end(&c);
}

/* -- block --------------------------------------------------------------------------------------------------------- */

static void block_lasts_full_duration(void **state)
{
    static const uint64_t durations[] = {0, 1, 1000, MS(3)};
    for (size_t i = 0; i < COUNT_OF(durations); i++) {
        struct call c;
        call_init(&c, *state, "block");
        *(uint64_t *)input_field(&c, "seconds") = durations[i];
        uint64_t from = uv_hrtime();
        call_run(&c);
        uint64_t took = uv_hrtime() - from;
        assert_int_equal(c.rc, 0);
        uint64_t reported = (uint64_t)output_number(c.spec.function, c.output, "blocked_seconds");
        assert_true(reported >= durations[i] && took >= reported);
        call_end(&c);
    }
}

/* -- resolve ------------------------------------------------------------------------------------------------------- */

static void run_resolve(struct call *c, struct fixture *f, const char *host, const char *family)
{
    call_init(c, f, "resolve");
    *(struct str *)input_field(c, "host") = str_from(host);
    const struct field *field = record_field(c->spec.function->input, "family");
    assert_int_equal(type_parse(field->type, str_from(family), NULL, NULL, input_field(c, "family"), NULL), 0);
    call_run(c);
}

static const struct array *addresses_of(const struct call *c)
{
    return (const struct array *)(const void *)(c->output +
                                                record_field(c->spec.function->output, "addresses")->offset);
}

static void literal_addresses_resolve(void **state)
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
        run_resolve(&c, *state, rows[i][0], rows[i][1]);
        if (rows[i][2] == NULL) {
            assert_int_equal(c.rc, ERR_HOST_NOT_FOUND);
        } else {
            assert_int_equal(c.rc, 0);
            assert_int_equal(addresses_of(&c)->count, 1);
            assert_string_equal(((const struct str *)addresses_of(&c)->items)->data, rows[i][2]);
        }
        call_end(&c);
    }
}

static void localhost_resolves(void **state)
{
    struct call c;
    run_resolve(&c, *state, "localhost", "ipv4");
    assert_int_equal(c.rc, 0);
    assert_true(addresses_of(&c)->count >= 1);
    assert_string_equal(((const struct str *)addresses_of(&c)->items)->data, "127.0.0.1");
    call_end(&c);
}

static void unreachable_dns_is_resolve_failed(void **state)
{
    if (!tree_can_mount())
        skip();
    struct call c;
    run_resolve(&c, *state, "a.example", "any");
    assert_int_equal(c.rc, ERR_RESOLVE_FAILED);
    assert_string_equal(c.e.msg, "a.example: Temporary failure in name resolution");
    call_end(&c);
}

/* The error message is valid UTF-8 for every name, even if it is truncated. */
static void invalid_host_names_fail(void **state)
{
    static const char *const patterns[] = {"a", ".", "-", " ", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80", "%n"};
    /* All names exceed the length of a DNS label, so that no server is queried. */
    for (size_t p = 0; p < COUNT_OF(patterns); p++) {
        for (size_t shift = 0; shift < 4; shift++) {
            char host[254] = "";
            memset(host, 'b', shift);
            while (strlen(host) + strlen(patterns[p]) <= 253)
                memcpy(host + strlen(host), patterns[p], strlen(patterns[p]) + 1);
            struct call c;
            run_resolve(&c, *state, host, "ipv6");
            assert_true(c.rc == ERR_HOST_NOT_FOUND || c.rc == ERR_RESOLVE_FAILED);
            assert_non_null(strstr(c.e.msg, ": ")); /* followed by the reason */
            call_end(&c);
        }
    }
}

static void resolve_out_of_memory(void **state)
{
    unsigned long n = 0;
    bool failed;
    do {
        struct call c;
        call_init(&c, *state, "resolve");
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

/* -- all functions ------------------------------------------------------------------------------------------------- */

static void error_messages_truncate_at_utf8_boundary(void **state)
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
            struct str message = str_from(e.msg), all = str_from(text);
            assert_true(str_is_utf8(message));
            size_t kept = all.len < sizeof e.msg ? all.len : str_truncate(all, sizeof e.msg - sizeof "...");
            assert_memory_equal(message.data, text, kept);
            assert_string_equal(message.data + kept, all.len < sizeof e.msg ? "" : "...");
            for (size_t max = 0; max < 10; max++) {
                size_t cut = str_truncate(all, max);
                assert_true(cut <= max && max - cut < strlen(characters[c]));
                assert_true(str_is_utf8((struct str){text, cut}));
            }
        }
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sum_matches_formula),
        cmocka_unit_test(sum_reports_overflow),
        cmocka_unit_test(primes_in_small_ranges),
        cmocka_unit_test(primes_near_upper_bound),
        cmocka_unit_test(prime_counts_match_known_values),
        cmocka_unit_test(canceled_computation_stops),
        cmocka_unit_test(primes_out_of_memory),
        cmocka_unit_test(merged_parts_equal_whole),
        cmocka_unit_test(merge_reports_overflow),
        cmocka_unit_test(block_lasts_full_duration),
        cmocka_unit_test(literal_addresses_resolve),
        cmocka_unit_test(localhost_resolves),
        cmocka_unit_test(unreachable_dns_is_resolve_failed),
        cmocka_unit_test(invalid_host_names_fail),
        cmocka_unit_test(resolve_out_of_memory),
        cmocka_unit_test(error_messages_truncate_at_utf8_boundary),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}

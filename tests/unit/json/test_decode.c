/* test_decode - decoding of JSON bodies and queries, and the locations and messages of errors. */
#include "handlers/json/decode.h"
#include "handlers/json/json_pointer.h"
#include "runtime/lib/decimal.h"
#include "runtime/task/task.h"
#include "runtime/types/type_parse.h"
#include "tests/unit/support/alloc_fault.h"
#include "tests/unit/support/builtins.h"
#include "tests/unit/support/runtime_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* -- a record with a field of each kind ---------------------------------------------------------------------------- */

struct inner {
    int64_t depth;
    struct str label;
};

struct sample {
    bool flag;
    int64_t count, wide;
    uint64_t pause;
    int mode;
    struct str word;
    struct array numbers, inners;
    struct inner inner;
};

static const char *const mode_names[] = {"slow", "fast", NULL};
static const struct type flag_type = {.kind = TYPE_BOOLEAN};
static const struct type count_type = {.kind = TYPE_INTEGER, .min = -5, .max = 100};
static const struct type wide_type = {.kind = TYPE_INTEGER, .min = -INT64_MAX, .max = INT64_MAX};
static const struct type pause_type = {.kind = TYPE_SECONDS, .min = 0, .max = INT64_MAX};
static const struct type timeout_type = {.kind = TYPE_SECONDS, .min = 1, .limit = &limits_fields[LIMIT_TIMEOUT]};
static const struct type mode_type = {.kind = TYPE_ENUM, .names = mode_names};
static const struct type word_type = {.kind = TYPE_STRING, .min = 1, .max = 8};
static const struct type label_type = {.kind = TYPE_STRING, .max = 1000};
static const struct type numbers_type = {.kind = TYPE_ARRAY, .max = 4, .item = &count_type};

static const struct field inner_fields[] = {
    {"depth", &count_type, offsetof(struct inner, depth), FIELD_REQUIRED, NULL, NULL, NULL},
    {"label", &label_type, offsetof(struct inner, label), FIELD_OPTIONAL, NULL, NULL, NULL},
    {0},
};
static const struct type inner_type = {.kind = TYPE_RECORD, .fields = inner_fields, .size = sizeof(struct inner)};
static const struct type inners_type = {
    .kind = TYPE_ARRAY, .item = &inner_type, .limit = &limits_fields[LIMIT_GATHER_CHILDREN]};

#define FIELD(name, type, presence, default_text) \
    { \
#name, type, offsetof(struct sample, name), presence, default_text, NULL, NULL \
    }
static const struct field sample_fields[] = {
    FIELD(flag, &flag_type, FIELD_DEFAULTED, "true"),      FIELD(count, &count_type, FIELD_OPTIONAL, NULL),
    FIELD(wide, &wide_type, FIELD_OPTIONAL, NULL),         FIELD(pause, &pause_type, FIELD_DEFAULTED, "0.25"),
    FIELD(mode, &mode_type, FIELD_DEFAULTED, "fast"),      FIELD(word, &word_type, FIELD_OPTIONAL, NULL),
    FIELD(numbers, &numbers_type, FIELD_DEFAULTED, "1,2"), FIELD(inners, &inners_type, FIELD_OPTIONAL, NULL),
    FIELD(inner, &inner_type, FIELD_REQUIRED, NULL),       {0},
};
static const struct type sample_type = {.kind = TYPE_RECORD, .fields = sample_fields, .size = sizeof(struct sample)};

/* -- fixture ------------------------------------------------------------------------------------------------------- */

struct decode_fixture {
    struct arena *arena;
    struct limits limits;
    struct decode_context context;
    struct registry *registry;
    struct validation_errors errors;
    struct sample sample;
    struct task_spec spec;
};

static int decode_setup(void **state)
{
    struct decode_fixture *t = calloc(1, sizeof *t);
    *state = t;
    if (t == NULL)
        return -1;
    record_set_defaults(&limits_type, &t->limits);
    t->registry = builtins_new();
    t->context = (struct decode_context){&t->limits, t->registry};
    t->arena = arena_new();
    return t->arena == NULL ? -1 : 0;
}

static int decode_teardown(void **state)
{
    struct decode_fixture *t = *state;
    arena_unref(t->arena);
    registry_unref(t->registry);
    free(t);
    return 0;
}

/* Checks the invariants of a result. */
static void check_errors(const struct validation_errors *errors, int rc)
{
    assert_int_equal(errors->rc, rc);
    assert_int_equal(errors->count == 0, rc == 0);
    assert_true(errors->count <= VALIDATION_ERRORS_MAX &&
                (errors->more == 0 || errors->count == VALIDATION_ERRORS_MAX));
    assert_int_equal(errors->limit != NULL, rc == ERR_LIMIT_EXCEEDED);
    for (size_t i = 0; i < errors->count; i++) {
        assert_non_null(memchr(errors->items[i].location, '\0', sizeof errors->items[i].location));
        assert_non_null(memchr(errors->items[i].detail, '\0', sizeof errors->items[i].detail));
        assert_true(str_is_utf8(str_from(errors->items[i].location)));
        assert_true(str_is_utf8(str_from(errors->items[i].detail)));
        assert_string_not_equal(errors->items[i].detail, "");
    }
}

/* Decodes a body from a buffer of the exact size, so that a sanitizer detects reads beyond its end. */
static int decode_bytes(struct decode_fixture *t, const char *body, size_t len, const struct record_ref *record)
{
    char *bytes = malloc(len == 0 ? 1 : len);
    assert_non_null(bytes);
    memcpy(bytes, body, len);
    memset(record->value, 0xA5, record->type->size);
    int rc = decode_body((struct str){bytes, len}, record, 1, t->arena, &t->context, &t->errors);
    free(bytes); /* decoded values must not point into the body */
    check_errors(&t->errors, rc);
    return rc;
}

static int decode_sample(struct decode_fixture *t, const char *body)
{
    return decode_bytes(t, body, strlen(body), &(struct record_ref){&sample_type, &t->sample, NULL});
}

static int decode_spec(struct decode_fixture *t, const char *body)
{
    return decode_bytes(t, body, strlen(body), &(struct record_ref){&task_spec_type, &t->spec, NULL});
}

static int decode_function_input(struct decode_fixture *t, const char *function_name, const char *body)
{
    const struct function *function = registry_find(t->registry, str_from(function_name));
    void *input = arena_alloc(t->arena, function->input->size);
    assert_non_null(input);
    return decode_bytes(t, body, strlen(body), &(struct record_ref){function->input, input, function});
}

static void expect_first_error(const struct decode_fixture *t, const char *location, const char *detail)
{
    assert_true(t->errors.count > 0);
    size_t len = strlen(detail);
    bool is_prefix = len > 2 && strcmp(detail + len - 2, ", ") == 0; /* the start of a list of all functions */
    assert_string_equal(t->errors.items[0].location, location);
    if (is_prefix)
        assert_memory_equal(t->errors.items[0].detail, detail, len);
    else
        assert_string_equal(t->errors.items[0].detail, detail);
}

struct error_case {
    const char *body;
    int rc;
    const char *location, *detail; /* of the first error */
};

static void expect_errors(struct decode_fixture *t, const struct error_case *rows, size_t count,
                          int (*decode)(struct decode_fixture *, const char *))
{
    for (size_t i = 0; i < count; i++) {
        if (decode(t, rows[i].body) != rows[i].rc)
            print_message("%s: %d, %s\n", rows[i].body, t->errors.rc, t->errors.items[0].detail);
        assert_int_equal(t->errors.rc, rows[i].rc);
        expect_first_error(t, rows[i].location, rows[i].detail);
    }
}

/* -- valid bodies -------------------------------------------------------------------------------------------------- */

static void each_type_is_decoded(void **state)
{
    struct decode_fixture *t = *state;
    const struct sample *s = &t->sample;
    assert_int_equal(decode_sample(t, " {\"flag\":false, \"count\":-5, \"wide\":9007199254740993, \"pause\":1.5,"
                                      "\"mode\":\"slow\", \"word\":\"Gr\\u00fc\\u00dfe\", \"numbers\":[100,3],"
                                      "\"inners\":[{\"depth\":1},{\"label\":\"\",\"depth\":2}],"
                                      "\"inner\":{\"depth\":7,\"label\":\"x\"}}\r\n"),
                     0);
    assert_false(s->flag);
    assert_int_equal(s->count, -5);
    assert_int_equal(s->wide, INT64_C(9007199254740993));
    assert_int_equal(s->pause, 1500 * NS_PER_MS);
    assert_int_equal(s->mode, 0);
    assert_string_equal(s->word.data, "Grüße");
    assert_int_equal(s->word.len, strlen("Grüße"));
    assert_int_equal(s->numbers.count, 2);
    assert_int_equal(((const int64_t *)s->numbers.items)[0], 100);
    assert_int_equal(((const int64_t *)s->numbers.items)[1], 3);
    assert_int_equal(s->inners.count, 2);
    const struct inner *inners = s->inners.items;
    assert_int_equal(inners[0].depth, 1);
    assert_null(inners[0].label.data);
    assert_int_equal(inners[1].depth, 2);
    assert_string_equal(inners[1].label.data, ""); /* present, but empty */
    assert_int_equal(s->inner.depth, 7);
    assert_string_equal(s->inner.label.data, "x");
}

static void absent_members_get_defaults_or_absent_value(void **state)
{
    struct decode_fixture *t = *state;
    const struct sample *s = &t->sample;
    assert_int_equal(decode_sample(t, "{\"inner\":{\"depth\":0}}"), 0);
    assert_true(s->flag);
    assert_true(type_is_absent(&count_type, &s->count));
    assert_true(type_is_absent(&wide_type, &s->wide));
    assert_int_equal(s->pause, 250 * NS_PER_MS);
    assert_int_equal(s->mode, 1);
    assert_true(type_is_absent(&word_type, &s->word));
    assert_int_equal(s->numbers.count, 2);
    assert_int_equal(((const int64_t *)s->numbers.items)[1], 2);
    assert_true(type_is_absent(&inners_type, &s->inners));
    assert_null(s->inner.label.data);
}

static void empty_array_is_not_absent(void **state)
{
    struct decode_fixture *t = *state;
    assert_int_equal(decode_sample(t, "{\"numbers\":[],\"inners\":[],\"inner\":{\"depth\":0}}"), 0);
    assert_int_equal(t->sample.numbers.count, 0);
    assert_false(type_is_absent(&numbers_type, &t->sample.numbers));
    assert_false(type_is_absent(&inners_type, &t->sample.inners));
}

static void integral_reals_decode_as_integers(void **state)
{
    struct decode_fixture *t = *state;
    static const struct {
        const char *json;
        int64_t value;
    } rows[] = {
        {"1.0", 1},
        {"1e1", 10},
        {"-0.0", 0},
        {"9007199254740992.0", INT64_C(1) << 53},
        {"-9007199254740992.0", -(INT64_C(1) << 53)},
        {"9223372036854775807", INT64_MAX},
        {"\"9223372036854775807\"", INT64_MAX}, /* a string, as large integers are rendered */
        {"\"-9007199254740993\"", -(INT64_C(1) << 53) - 1},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char body[128];
        snprintf(body, sizeof body, "{\"wide\":%s,\"inner\":{\"depth\":1e0}}", rows[i].json);
        assert_int_equal(decode_sample(t, body), 0);
        assert_int_equal(t->sample.wide, rows[i].value);
    }
}

static void expect_pause(struct decode_fixture *t, const char *json, uint64_t ns)
{
    char body[128];
    snprintf(body, sizeof body, "{\"pause\":%s,\"inner\":{\"depth\":1}}", json);
    assert_int_equal(decode_sample(t, body), 0);
    if (t->sample.pause != ns)
        print_message("%s\n", json);
    assert_int_equal(t->sample.pause, ns);
}

static void seconds_round_up_to_nanoseconds(void **state)
{
    struct decode_fixture *t = *state;
    expect_pause(t, "0", 0);
    expect_pause(t, "-0", 0);
    expect_pause(t, "-0.0", 0);
    expect_pause(t, "0.1", 100000000);
    expect_pause(t, "0.3", 300000000);
    expect_pause(t, "1.1", 1100000000);
    expect_pause(t, "1e-9", 1);
    expect_pause(t, "1e-10", 1);
    expect_pause(t, "5e-324", 1);
    expect_pause(t, "0.0000000011", 2);
    expect_pause(t, "0.1000000001", 100000001);
    expect_pause(t, "86399.999999999", 86399 * NS_PER_SECOND + 999999999);
    expect_pause(t, "1E3", 1000 * NS_PER_SECOND);
    expect_pause(t, "9223372036", UINT64_C(9223372036) * NS_PER_SECOND);
    expect_pause(t, "9223372036.0", UINT64_C(9223372036) * NS_PER_SECOND);
    expect_pause(t, "1000000.000001", UINT64_C(1000000) * NS_PER_SECOND + 1000);

    struct prng prng = {20261122};
    for (int i = 0; i < 20000; i++) { /* a double represents 15 digits exactly, wherever the point is */
        uint64_t ns = prng_below(&prng, 1000000000) * 1000000 + prng_below(&prng, 1000000);
        for (uint64_t shorter = prng_below(&prng, 15); shorter > 0; shorter--)
            ns /= 10;
        ns *= prng_below(&prng, 2) == 0 ? 1 : 1000;
        char text[SECONDS_TEXT_SIZE];
        seconds_format(ns, text);
        expect_pause(t, text, ns);
    }
}

static void one_object_fills_several_records(void **state)
{
    struct decode_fixture *t = *state;
    struct task_options options;
    struct inner inner;
    const struct record_ref records[] = {{&inner_type, &inner, NULL}, {&task_options_type, &options, NULL}};
    struct str body = STR("{\"name\":\"n\",\"depth\":3,\"timeout_seconds\":2,\"label\":\"l\"}");
    assert_int_equal(decode_body(body, records, 2, t->arena, &t->context, &t->errors), 0);
    assert_string_equal(options.name.data, "n");
    assert_int_equal(options.timeout_ns, 2 * NS_PER_SECOND);
    assert_int_equal(options.deadline_ns, SECONDS_ABSENT);
    assert_int_equal(inner.depth, 3);
    assert_string_equal(inner.label.data, "l");

    body = STR("{\"x\":1,\"name\":2}");
    assert_int_equal(decode_body(body, records, 2, t->arena, &t->context, &t->errors), ERR_INVALID);
    assert_int_equal(t->errors.count, 3);
    expect_first_error(
        t, "/x",
        "is not a known member; known members: depth, label, name, timeout_seconds, deadline_seconds, executor, pool, "
        "parallel");
    assert_string_equal(t->errors.items[1].location, "/depth");
    assert_string_equal(t->errors.items[2].location, "/name");
}

/* -- invalid bodies ------------------------------------------------------------------------------------------------ */

static void malformed_json_is_rejected(void **state)
{
    static const struct error_case rows[] = {
        {"", ERR_MALFORMED_JSON, "", "the JSON document is empty; it must be an object"},
        {" \r\n\t", ERR_MALFORMED_JSON, "", "the JSON document is empty; it must be an object"},
        {"{", ERR_MALFORMED_JSON, "", "line 1, column 1: string or '}' expected near end of file"},
        {"{\"a\":1}}", ERR_MALFORMED_JSON, "", "line 1, column 8: unexpected data after the JSON document"},
        {"{\"a\":1} {}", ERR_MALFORMED_JSON, "", "line 1, column 9: unexpected data after the JSON document"},
        {"{\n \"a\":\n  nul}", ERR_MALFORMED_JSON, "", "line 3, column 5: invalid token near 'nul'"},
        {"{'a':1}", ERR_MALFORMED_JSON, "", "line 1, column 2: string or '}' expected near '''"},
        {"{\"a\":1,}", ERR_MALFORMED_JSON, "",
         "line 1, column 8: expected a member name in double quotes (no comma is allowed before '}')"},
        {"{\"a\":01}", ERR_MALFORMED_JSON, "", "line 1, column 6: invalid token near '0'"},
        {"{\"pause\":1234567890123456789012}", ERR_MALFORMED_JSON, "",
         "line 1, column 31: number out of range: integers have 64 bits, other numbers are doubles"},
        {"{\"a\":\"\xff\"}", ERR_MALFORMED_JSON, "", "line 1, column 6: invalid UTF-8"},
        {"{\"a\":\"\xc0\xaf\"}", ERR_MALFORMED_JSON, "", "line 1, column 6: invalid UTF-8"},
        {"{\"a\":\"\xed\xa0\x80\"}", ERR_MALFORMED_JSON, "", "line 1, column 6: invalid UTF-8"},
        {"\xef\xbb\xbf{}", ERR_MALFORMED_JSON, "", "line 1, column 1: invalid token near '\xef\xbb\xbf'"},
        {"// no\n{}", ERR_MALFORMED_JSON, "", "line 1, column 1: invalid token near '/'"},
    };
    expect_errors(*state, rows, COUNT_OF(rows), decode_sample);

    struct decode_fixture *t = *state;
    assert_int_equal(decode_sample(t, "{\"pause\":1e999}"), ERR_MALFORMED_JSON);
    assert_int_equal(decode_sample(t, "{\"word\":\"\\ud800\"}"), ERR_MALFORMED_JSON);
    assert_int_equal(decode_sample(t, "{\"word\":\"a\nb\"}"), ERR_MALFORMED_JSON);
    assert_int_equal(decode_bytes(t, "{\"a\0\":1}", 8, &(struct record_ref){&sample_type, &t->sample, NULL}),
                     ERR_MALFORMED_JSON);
    assert_int_equal(decode_bytes(t, "{}\0", 3, &(struct record_ref){&sample_type, &t->sample, NULL}),
                     ERR_MALFORMED_JSON);
    assert_int_equal(decode_body((struct str){NULL, 0}, NULL, 0, t->arena, &t->context, &t->errors),
                     ERR_MALFORMED_JSON);
}

static void json_beyond_bounds_is_rejected(void **state)
{
    static const struct error_case rows[] = {
        {"{\"a\\u0000\":1}", ERR_INVALID, "", "line 1, column 10: a member name must not contain a NUL"},
    };
    expect_errors(*state, rows, COUNT_OF(rows), decode_sample);

    enum { DEPTH = 5000 };
    struct decode_fixture *t = *state;
    char *nested = malloc(2 * DEPTH + 1);
    assert_non_null(nested);
    memset(nested, '[', DEPTH);
    memset(nested + DEPTH, ']', DEPTH);
    nested[2 * DEPTH] = '\0';
    int rc = decode_sample(t, nested);
    free(nested);
    assert_int_equal(rc, ERR_INVALID_ARGUMENT);
    expect_first_error(t, "", "line 1, column 2049: nested too deeply");
}

static void type_and_range_errors_are_located(void **state)
{
    static const struct error_case rows[] = {
        {"[]", ERR_INVALID, "", "the JSON document must be an object, not an array"},
        {"3", ERR_INVALID, "", "the JSON document must be an object, not a number"},
        {"null", ERR_INVALID, "", "the JSON document must be an object, not null"},
        {"{}", ERR_INVALID, "/inner", "is required"},
        {"{\"inner\":{}}", ERR_INVALID, "/inner/depth", "is required"},
        {"{\"inner\":null}", ERR_INVALID, "/inner", "must be an object, not null"},
        {"{\"flag\":1}", ERR_INVALID, "/flag", "must be a boolean, not a number"},
        {"{\"flag\":null}", ERR_INVALID, "/flag", "must be a boolean, not null"},
        {"{\"count\":\"1\"}", ERR_INVALID, "/count", "must be an integer, not a string"},
        {"{\"count\":1.5}", ERR_INVALID, "/count", "must be an integer, without a fraction"},
        {"{\"count\":101}", ERR_INVALID, "/count", "must be at most 100"},
        {"{\"count\":-6}", ERR_INVALID, "/count", "must be at least -5"},
        {"{\"wide\":9007199254740994.0}", ERR_INVALID_ARGUMENT, "/wide",
         "must be an integer; one this large must have no fraction or exponent"},
        {"{\"wide\":1e19}", ERR_INVALID, "/wide",
         "must be an integer; one this large must have no fraction or exponent"},
        {"{\"wide\":\"9223372036854775808\"}", ERR_INVALID_ARGUMENT, "/wide", "must fit in 64 bits"},
        {"{\"wide\":\"-9223372036854775808\"}", ERR_INVALID_ARGUMENT, "/wide", "must be at least -9223372036854775807"},
        {"{\"wide\":\"-\"}", ERR_INVALID, "/wide", "must be an integer"},
        {"{\"wide\":\"1.5\"}", ERR_INVALID, "/wide", "must be an integer"},
        {"{\"pause\":\"1\"}", ERR_INVALID, "/pause", "must be a number, not a string"},
        {"{\"pause\":-1}", ERR_INVALID, "/pause", "must be at least 0"},
        {"{\"pause\":-1e-300}", ERR_INVALID, "/pause", "must be at least 0"},
        {"{\"pause\":9223372037}", ERR_INVALID, "/pause", "must fit in 63 bits of nanoseconds"},
        {"{\"pause\":1e300}", ERR_INVALID, "/pause", "must fit in 63 bits of nanoseconds"},
        {"{\"mode\":\"medium\"}", ERR_INVALID, "/mode", "must be one of: slow, fast"},
        {"{\"mode\":true}", ERR_INVALID, "/mode", "must be a string, not a boolean"},
        {"{\"word\":\"\"}", ERR_INVALID, "/word", "must have at least 1 character"},
        {"{\"word\":\"123456789\"}", ERR_INVALID, "/word", "must have at most 8 characters"},
        {"{\"word\":\"a\\u0000b\"}", ERR_INVALID, "/word", "must not contain a NUL"},
        {"{\"numbers\":{}}", ERR_INVALID, "/numbers", "must be an array, not an object"},
        {"{\"numbers\":[1,2,3,4,5]}", ERR_INVALID, "/numbers", "must have at most 4 items"},
        {"{\"numbers\":[1,null]}", ERR_INVALID, "/numbers/1", "must be an integer, not null"},
        {"{\"inners\":[{\"depth\":1},3]}", ERR_INVALID, "/inners/1", "must be an object, not a number"},
        {"{\"Flag\":true}", ERR_INVALID, "/Flag",
         "is not a known member; known members: flag, count, wide, pause, mode, word, numbers, inners, inner"},
        {"{\"inner\":{\"a/b~c\":1}}", ERR_INVALID, "/inner/a~1b~0c",
         "is not a known member; known members: depth, label"},
        {"{\"\":1}", ERR_INVALID, "/",
         "is not a known member; known members: flag, count, wide, pause, mode, word, numbers, inners, inner"},
    };
    expect_errors(*state, rows, COUNT_OF(rows), decode_sample);
}

static void duplicate_members_are_located(void **state)
{
    static const struct error_case rows[] = {
        {"{\"flag\":1,\"flag\":2}", ERR_INVALID_ARGUMENT, "", "line 1, column 16: duplicate member name"},
        {"{\"a\":{},\"b\":[1,{\"x\":[[],\"},{\"]},{\"k\":1,\"k\"", ERR_INVALID_ARGUMENT, "",
         "line 1, column 42: duplicate member name"},
        {"[[[]],[{\"\":[],\"\":1}]]", ERR_INVALID_ARGUMENT, "", "line 1, column 16: duplicate member name"},
        {"{\"\\u0061\":1,\"a\":2}", ERR_INVALID_ARGUMENT, "", "line 1, column 15: duplicate member name"},
        {"{\"a\":1,\"\\u0061\":2}", ERR_INVALID_ARGUMENT, "", "line 1, column 15: duplicate member name"},
        {"{\"q\\\"/~\\\\\":{\"z\":1,\"z\":2}}", ERR_INVALID_ARGUMENT, "", "line 1, column 21: duplicate member name"},
        {"{\"\\ud83d\\uDE00\\u00fc\\n\":{\"z\":1,\"z\":2}}", ERR_INVALID_ARGUMENT, "",
         "line 1, column 34: duplicate member name"},
        {"{\"ü\":1,\"😀\":2,\"ü\":3}", ERR_INVALID_ARGUMENT, "", "line 1, column 16: duplicate member name"},
        {"{\n  \"a\": 1,\n  \"a\": 2\n}", ERR_INVALID_ARGUMENT, "", "line 3, column 5: duplicate member name"},
        {"{\"a\":{\"\\u0000b\":1}}", ERR_INVALID, "", "line 1, column 15: a member name must not contain a NUL"},
    };
    expect_errors(*state, rows, COUNT_OF(rows), decode_sample);
}

static void deep_pointer_is_truncated(void **state)
{
    (void)state;
    enum { LEVELS = 300 };
    char location[160];
    struct json_pointer p;
    json_pointer_init(&p, location, sizeof location);
    for (size_t i = 0; i < LEVELS; i++) {
        if (i % 2 == 0)
            json_pointer_add_key(&p, STR(""));
        else
            json_pointer_add_index(&p, 0);
    }
    assert_int_equal(strlen(location), sizeof location - 1);
    assert_memory_equal(location, "//0//0//0", 9);
    assert_string_equal(location + strlen(location) - 3, "...");
}

static void long_names_are_truncated_at_character_boundary(void **state)
{
    struct decode_fixture *t = *state;
    for (int shift = 0; shift < 8; shift++) {
        char name[512] = "", body[1200];
        memset(name, 'x', (size_t)shift);
        for (size_t i = 0; i < 60; i++)
            memcpy(name + shift + 4 * i, "\U0001F600", 5);
        snprintf(body, sizeof body, "{\"%s\":1}", name);
        assert_int_equal(decode_sample(t, body), ERR_INVALID);
        const char *location = t->errors.items[0].location;
        assert_string_equal(location + strlen(location) - 3, "...");
        assert_true(strlen(location) > 150);

        snprintf(body, sizeof body, "{\"function\":\"%s\"}", name);
        assert_int_equal(decode_spec(t, body), ERR_FUNCTION_NOT_FOUND);
        assert_non_null(strstr(t->errors.items[0].detail, "...\"; known functions: block, "));
    }
}

/* The message lists all functions, and twice as many would fit. */
static void unknown_function_error_lists_all_functions(void **state)
{
    struct decode_fixture *t = *state;
    struct name_list names = {0};
    assert_int_equal(decode_spec(t, "{\"function\":\"nope\"}"), ERR_FUNCTION_NOT_FOUND);
    for (const struct function *const *f = registry_functions(t->registry); *f != NULL; f++) {
        name_list_add(&names, (*f)->name);
        assert_non_null(strstr(t->errors.items[0].detail, (*f)->name));
    }
    assert_false(names.full);
    assert_true(2 * names.len < sizeof names.text);
    assert_true(SANITIZED_SIZE + sizeof names.text + 64 <= sizeof t->errors.items[0].detail);
}

static void long_errors_are_truncated_at_character_boundary(void **state)
{
    (void)state;
    for (size_t shift = 0; shift < 6; shift++) {
        char text[1000] = "xxxxxx";
        for (size_t i = 0; i < 300; i++)
            memcpy(text + shift + 3 * i, "€", 4);
        struct validation_errors errors = {0};
        validation_errors_add(&errors, ERR_INVALID, NULL, text, "%s", text);
        check_errors(&errors, ERR_INVALID);
        const struct validation_error *error = &errors.items[0];
        size_t location_len = strlen(error->location), detail_len = strlen(error->detail);
        assert_true(location_len > sizeof error->location - 4);
        assert_true(detail_len > sizeof error->detail - 4);
        assert_string_equal(error->location + location_len - 3, "...");
        assert_string_equal(error->detail + detail_len - 3, "...");
    }
}

/* -- variants ------------------------------------------------------------------------------------------------------ */

enum { STEP_STOP, STEP_TURN, STEP_SAY };
static const char *const step_names[] = {"stop", "turn", "say", NULL};

struct step {
    int op;
    int64_t count;
    struct str word;
};

struct walk {
    struct array steps;
};

static const struct field stop_fields[] = {{0}};
static const struct field turn_fields[] = {
    {"count", &count_type, offsetof(struct step, count), FIELD_REQUIRED, NULL, NULL, NULL},
    {0},
};
static const struct field say_fields[] = {
    {"word", &word_type, offsetof(struct step, word), FIELD_OPTIONAL, NULL, NULL, NULL},
    {"count", &count_type, offsetof(struct step, count), FIELD_DEFAULTED, "1", NULL, NULL},
    {0},
};

static bool say_check(const void *value, struct check_error *check_error)
{
    return ((const struct step *)value)->count != 0 || check_error_set(check_error, "/count", "must not be 0");
}

static const struct type stop_type = {.kind = TYPE_RECORD, .fields = stop_fields, .size = sizeof(struct step)};
static const struct type turn_type = {.kind = TYPE_RECORD, .fields = turn_fields, .size = sizeof(struct step)};
static const struct type say_type = {
    .kind = TYPE_RECORD, .fields = say_fields, .size = sizeof(struct step), .check = say_check};
static const struct type *const step_variants[] = {&stop_type, &turn_type, &say_type};
static const struct type step_op_type = {.kind = TYPE_ENUM, .names = step_names};
static const struct field step_fields[] = {
    {"op", &step_op_type, offsetof(struct step, op), FIELD_REQUIRED, NULL, NULL, NULL},
    {0},
};
static const struct type step_type = {
    .kind = TYPE_RECORD, .fields = step_fields, .size = sizeof(struct step), .variants = step_variants};
static const struct type steps_type = {.kind = TYPE_ARRAY, .item = &step_type, .max = 8};
static const struct field walk_fields[] = {
    {"steps", &steps_type, offsetof(struct walk, steps), FIELD_REQUIRED, NULL, NULL, NULL},
    {0},
};
static const struct type walk_type = {.kind = TYPE_RECORD, .fields = walk_fields, .size = sizeof(struct walk)};

static int decode_walk(struct decode_fixture *t, const char *body)
{
    struct walk walk;
    return decode_bytes(t, body, strlen(body), &(struct record_ref){&walk_type, &walk, NULL});
}

static void variant_is_selected_by_a_member(void **state)
{
    struct decode_fixture *t = *state;
    struct walk walk;
    static const char body[] = "{\"steps\":[{\"op\":\"stop\"},{\"count\":7,\"op\":\"turn\"},"
                               "{\"op\":\"say\",\"word\":\"hello\"},{\"op\":\"say\",\"count\":2}]}";
    assert_int_equal(decode_bytes(t, body, strlen(body), &(struct record_ref){&walk_type, &walk, NULL}), 0);
    assert_int_equal(walk.steps.count, 4);
    const struct step *steps = walk.steps.items;
    assert_int_equal(steps[0].op, STEP_STOP);
    assert_int_equal(steps[1].op, STEP_TURN);
    assert_int_equal(steps[1].count, 7);
    assert_null(steps[1].word.data); /* not a field of this variant */
    assert_int_equal(steps[2].op, STEP_SAY);
    assert_string_equal(steps[2].word.data, "hello");
    assert_int_equal(steps[2].count, 1);
    assert_null(steps[3].word.data);
    assert_int_equal(steps[3].count, 2);
}

static void invalid_variants_are_located(void **state)
{
    static const struct error_case rows[] = {
        {"{\"steps\":[{}]}", ERR_INVALID, "/steps/0/op", "is required"},
        {"{\"steps\":[{\"count\":1,\"x\":2}]}", ERR_INVALID, "/steps/0/op", "is required"},
        {"{\"steps\":[{\"op\":\"run\",\"count\":1}]}", ERR_INVALID, "/steps/0/op", "must be one of: stop, turn, say"},
        {"{\"steps\":[{\"op\":1}]}", ERR_INVALID, "/steps/0/op", "must be a string, not a number"},
        {"{\"steps\":[{\"op\":null}]}", ERR_INVALID, "/steps/0/op", "must be a string, not null"},
        {"{\"steps\":[3]}", ERR_INVALID, "/steps/0", "must be an object, not a number"},
        {"{\"steps\":[{\"op\":\"stop\"},{\"op\":\"turn\"}]}", ERR_INVALID, "/steps/1/count", "is required"},
        {"{\"steps\":[{\"op\":\"turn\",\"count\":101}]}", ERR_INVALID, "/steps/0/count", "must be at most 100"},
        {"{\"steps\":[{\"op\":\"stop\",\"count\":1}]}", ERR_INVALID, "/steps/0/count",
         "is not a known member; known members: op"},
        {"{\"steps\":[{\"op\":\"say\",\"x\":1}]}", ERR_INVALID, "/steps/0/x",
         "is not a known member; known members: op, word, count"},
        {"{\"steps\":[{\"op\":\"say\",\"count\":0}]}", ERR_INVALID_ARGUMENT, "/steps/0/count", "must not be 0"},
    };
    expect_errors(*state, rows, COUNT_OF(rows), decode_walk);
    struct decode_fixture *t = *state;
    assert_int_equal(decode_walk(t, "{\"steps\":[{\"op\":\"run\",\"x\":1}]}"), ERR_INVALID);
    assert_int_equal(t->errors.count, 1);
}

/* -- limits of errors ---------------------------------------------------------------------------------------------- */

static void oom_error_replaces_validation_errors(void **state)
{
    (void)state;
    struct validation_errors errors = {0};
    validation_errors_add(&errors, ERR_LIMIT_EXCEEDED, &limits_fields[LIMIT_TASKS], "/a", "too many");
    validation_errors_add(&errors, ERR_OUT_OF_MEMORY, NULL, "", "out of memory");
    validation_errors_add(&errors, ERR_INVALID, NULL, "/b", "wrong");
    check_errors(&errors, ERR_OUT_OF_MEMORY);
    assert_int_equal(errors.count, 1);
    assert_string_equal(errors.items[0].detail, "out of memory");
}

static void excess_errors_are_counted(void **state)
{
    struct decode_fixture *t = *state;
    enum { ITEMS = 10000 };
    char *body = malloc(ITEMS * 3 + 64);
    assert_non_null(body);
    size_t len = (size_t)snprintf(body, 64, "{\"inner\":{\"depth\":0},\"inners\":[");
    for (int i = 0; i < ITEMS; i++)
        len += (size_t)snprintf(body + len, 4, "%s{}", i == 0 ? "" : ",");
    snprintf(body + len, 4, "]}");
    assert_int_equal(decode_sample(t, body), ERR_INVALID);
    assert_int_equal(t->errors.count, VALIDATION_ERRORS_MAX);
    assert_int_equal(t->errors.more, ITEMS - VALIDATION_ERRORS_MAX);
    assert_string_equal(t->errors.items[7].location, "/inners/7/depth");
    free(body);
}

static void sanitized_text_is_printable_utf8(void **state)
{
    (void)state;
    char out[SANITIZED_SIZE];
    assert_string_equal(decode_sanitize(STR("plain"), out), "plain");
    assert_string_equal(decode_sanitize(STR(""), out), "");
    assert_string_equal(decode_sanitize(STR("a\0b\nc\x7f"), out), "a?b?c?");
    assert_string_equal(decode_sanitize(STR("\xff\xc3\xbc\xc3"), out), "?ü?");
    for (size_t len = 0; len < 200; len++) {
        char text[801] = "";
        for (size_t i = 0; i < len; i++)
            memcpy(text + 3 * i, "€", 4);
        decode_sanitize((struct str){text, 3 * len}, out);
        assert_true(strlen(out) < SANITIZED_SIZE);
        assert_true(str_is_utf8(str_from(out)));
        if (3 * len + 3 < SANITIZED_SIZE)
            assert_string_equal(out, text);
        else
            assert_string_equal(out + strlen(out) - 3, "...");
    }
}

/* -- tasks --------------------------------------------------------------------------------------------------------- */

static void task_spec_is_decoded(void **state)
{
    struct decode_fixture *t = *state;
    assert_int_equal(decode_spec(t, "{\"input\":{\"seconds\":0.5},\"name\":\"n\",\"function\":\"sleep\"}"), 0);
    assert_string_equal(t->spec.function->name, "sleep");
    assert_int_equal(*(const uint64_t *)t->spec.input, 500 * NS_PER_MS);
    assert_string_equal(t->spec.options.name.data, "n");
    assert_int_equal(t->spec.options.timeout_ns, SECONDS_ABSENT);
}

static void invalid_task_specs_are_rejected(void **state)
{
    static const struct error_case rows[] = {
        {"{}", ERR_INVALID, "/function", "is required"},
        {"{\"input\":3}", ERR_INVALID, "/function", "is required"},
        {"{\"function\":null}", ERR_INVALID, "/function", "must be a string, not null"},
        {"{\"function\":\"slep\",\"input\":{\"x\":1}}", ERR_FUNCTION_NOT_FOUND, "/function",
         "must be a known function, not \"slep\"; known functions: block, "},
        {"{\"function\":\"sl\\u0000\"}", ERR_FUNCTION_NOT_FOUND, "/function",
         "must be a known function, not \"sl?\"; known functions: block, "},
        {"{\"function\":\"sleep\"}", ERR_INVALID, "/input/seconds", "is required"},
        {"{\"function\":\"sleep\",\"input\":{}}", ERR_INVALID, "/input/seconds", "is required"},
        {"{\"function\":\"sleep\",\"input\":null}", ERR_INVALID, "/input", "must be an object, not null"},
        {"{\"function\":\"sleep\",\"input\":{\"seconds\":86401}}", ERR_INVALID, "/input/seconds",
         "must be at most 86400"},
        {"{\"function\":\"sleep\",\"input\":{\"seconds\":0},\"timeout_seconds\":0}", ERR_INVALID, "/timeout_seconds",
         "must be more than 0"},
        {"{\"function\":\"sleep\",\"input\":{\"seconds\":0},\"timeout_seconds\":-1}", ERR_INVALID, "/timeout_seconds",
         "must be more than 0"},
        {"{\"function\":\"sleep\",\"input\":{\"seconds\":0},\"timeout_seconds\":1e6}", ERR_LIMIT_EXCEEDED,
         "/timeout_seconds", "must be at most 86400 (max_timeout_seconds)"},
        {"{\"function\":\"gather\",\"input\":{\"tasks\":[{\"function\":\"sleep\"}]}}", ERR_INVALID,
         "/input/tasks/0/input/seconds", "is required"},
        {"{\"function\":\"gather\",\"input\":{\"tasks\":[],\"mode\":\"any\"}}", ERR_INVALID, "/input/tasks",
         "must have at least 1 item with mode any"}, /* from gather_check() */
        {"{\"function\":\"gather\",\"input\":{\"tasks\":[{\"function\":\"gather\",\"input\":{\"tasks\":[],"
         "\"mode\":\"race\"}}]}}",
         ERR_INVALID, "/input/tasks/0/input/tasks", "must have at least 1 item with mode race"},
    };
    expect_errors(*state, rows, COUNT_OF(rows), decode_spec);
    assert_ptr_equal(limits_fields[LIMIT_TIMEOUT].type, limits_fields[LIMIT_DEADLINE].type);
}

static void input_record_check_runs(void **state)
{
    struct decode_fixture *t = *state;
    assert_int_equal(decode_function_input(t, "gather", "{\"tasks\":[]}"), 0);
    assert_int_equal(decode_function_input(t, "gather", "{\"tasks\":[],\"mode\":\"quorum\",\"quorum\":1}"),
                     ERR_INVALID);
    expect_first_error(t, "/tasks", "must have at least 1 item with mode quorum");
    assert_int_equal(decode_function_input(t, "gather", "{\"tasks\":[3],\"mode\":\"quorum\"}"), ERR_INVALID);
    assert_int_equal(t->errors.count, 1); /* type->check() is called only if all fields are valid */
}

static void gather_depth_is_limited(void **state)
{
    struct decode_fixture *t = *state;
    for (int64_t limit = 1; limit <= 64; limit += 9) {
        t->limits.max_gather_depth = limit;
        for (int64_t depth = limit; depth <= limit + 1; depth++) {
            char body[8192];
            size_t len = 0;
            for (int64_t i = 0; i < depth; i++)
                len +=
                    (size_t)snprintf(body + len, sizeof body - len, "{\"function\":\"gather\",\"input\":{\"tasks\":[");
            len +=
                (size_t)snprintf(body + len, sizeof body - len, "{\"function\":\"sleep\",\"input\":{\"seconds\":0}}");
            for (int64_t i = 0; i < depth; i++)
                len += (size_t)snprintf(body + len, sizeof body - len, "]}}");
            int rc = depth > limit ? ERR_LIMIT_EXCEEDED : 0;
            assert_int_equal(decode_spec(t, body), rc);
            if (rc != 0)
                assert_ptr_equal(t->errors.limit, &limits_fields[LIMIT_GATHER_DEPTH]);

            static const char start[] = "{\"function\":\"gather\",\"input\":";
            body[strlen(body) - 1] = '\0'; /* now decodes only the input of the gather */
            assert_int_equal(decode_function_input(t, "gather", body + sizeof start - 1), rc);
            if (rc != 0 && limit == 1)
                expect_first_error(t, "/tasks/0/input", "must not nest gathers more than 1 deep (max_gather_depth)");
        }
    }
}

static void array_over_limit_is_not_decoded(void **state)
{
    struct decode_fixture *t = *state;
    t->limits.max_gather_children = 3;
    assert_int_equal(decode_function_input(t, "gather", "{\"tasks\":[1,2,3,4]}"), ERR_LIMIT_EXCEEDED);
    assert_int_equal(t->errors.count, 1);
    assert_ptr_equal(t->errors.limit, &limits_fields[LIMIT_GATHER_CHILDREN]);
    expect_first_error(t, "/tasks", "must have at most 3 items (max_gather_children)");
}

/* -- queries ------------------------------------------------------------------------------------------------------- */

struct query_sample {
    struct str name;
    uint64_t timeout;
    bool flag;
    int64_t count;
    struct array numbers;
};

static const struct field query_fields[] = {
    {"name", &label_type, offsetof(struct query_sample, name), FIELD_OPTIONAL, NULL, NULL, NULL},
    {"timeout_seconds", &timeout_type, offsetof(struct query_sample, timeout), FIELD_OPTIONAL, NULL, NULL, NULL},
    {"flag", &flag_type, offsetof(struct query_sample, flag), FIELD_DEFAULTED, "false", NULL, NULL},
    {"count", &count_type, offsetof(struct query_sample, count), FIELD_REQUIRED, NULL, NULL, NULL},
    {"numbers", &numbers_type, offsetof(struct query_sample, numbers), FIELD_DEFAULTED, "", NULL, NULL},
    {0},
};
static const struct type query_type = {
    .kind = TYPE_RECORD, .fields = query_fields, .size = sizeof(struct query_sample)};

static int decode_query_bytes(struct decode_fixture *t, const char *query, struct query_sample *out)
{
    size_t len = strlen(query);
    char *bytes = malloc(len == 0 ? 1 : len);
    assert_non_null(bytes);
    memcpy(bytes, query,
           len); /* NOLINT(bugprone-not-null-terminated-result): no NUL, so that reading one is detected */
    memset(out, 0xA5, sizeof *out);
    struct record_ref record = {&query_type, out, NULL};
    int rc = decode_query((struct str){bytes, len}, &record, t->arena, &t->context, &t->errors);
    free(bytes);
    check_errors(&t->errors, rc);
    for (size_t i = 0; i < t->errors.count; i++)
        assert_true(t->errors.items[i].in_query);
    return rc;
}

static void query_is_decoded(void **state)
{
    struct decode_fixture *t = *state;
    struct query_sample s;
    assert_int_equal(
        decode_query_bytes(t, "&name=a+b%2Bc%c3%BC&&timeout_seconds=0.1&flag=true&count=-1&numbers=1,2&", &s), 0);
    assert_string_equal(s.name.data, "a b+cü");
    assert_int_equal(s.timeout, 100 * NS_PER_MS);
    assert_true(s.flag);
    assert_int_equal(s.count, -1);
    assert_int_equal(s.numbers.count, 2);

    assert_int_equal(decode_query_bytes(t, "c%6funt=7&name=", &s), 0);
    assert_string_equal(s.name.data, "");
    assert_int_equal(s.timeout, SECONDS_ABSENT);
    assert_false(s.flag);
    assert_int_equal(s.count, 7);
    assert_int_equal(s.numbers.count, 0);

    static const struct field no_fields[] = {{0}};
    static const struct type none_type = {.kind = TYPE_RECORD, .fields = no_fields};
    struct record_ref none = {&none_type, NULL, NULL};
    assert_int_equal(decode_query((struct str){NULL, 0}, &none, t->arena, &t->context, &t->errors), 0);
}

static void invalid_query_parameters_are_located(void **state)
{
    static const struct error_case rows[] = {
        {"", ERR_INVALID, "count", "is required"},
        {"count", ERR_INVALID, "count", "must be an integer"},
        {"count=1&count=1", ERR_INVALID_ARGUMENT, "count", "is given more than once"},
        {"count=1&Flag=true", ERR_INVALID, "Flag",
         "is not a known parameter; known parameters: name, timeout_seconds, flag, count, numbers"},
        {"count=1&=2", ERR_INVALID, "",
         "is not a known parameter; known parameters: name, timeout_seconds, flag, count, numbers"},
        {"count=1&flag=yes", ERR_INVALID, "flag", "must be true or false"},
        {"count=1&timeout_seconds=86400.1", ERR_LIMIT_EXCEEDED, "timeout_seconds",
         "must be at most 86400 (max_timeout_seconds)"},
        {"count=1&name=%4", ERR_INVALID_ARGUMENT, "name", "must be percent-encoded UTF-8 without a NUL"},
        {"count=1&name=%", ERR_INVALID_ARGUMENT, "name", "must be percent-encoded UTF-8 without a NUL"},
        {"count=1&name=%zz", ERR_INVALID_ARGUMENT, "name", "must be percent-encoded UTF-8 without a NUL"},
        {"count=1&name=%00", ERR_INVALID_ARGUMENT, "name", "must be percent-encoded UTF-8 without a NUL"},
        {"count=1&name=%ff", ERR_INVALID_ARGUMENT, "name", "must be percent-encoded UTF-8 without a NUL"},
        {"count=1&%f=%ff", ERR_INVALID_ARGUMENT, "%f", "must be percent-encoded UTF-8 without a NUL"},
        {"count=1&\xff=1", ERR_INVALID_ARGUMENT, "?", "must be percent-encoded UTF-8 without a NUL"},
    };
    struct decode_fixture *t = *state;
    struct query_sample s;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        assert_int_equal(decode_query_bytes(t, rows[i].body, &s), rows[i].rc);
        assert_int_equal(t->errors.count, 1);
        expect_first_error(t, rows[i].location, rows[i].detail);
    }
}

static void percent_encoding_is_strict(void **state)
{
    struct decode_fixture *t = *state;
    struct str out;
    bool out_of_memory;
    assert_true(decode_percent(STR("a+%2f%25%e2%82%ac"), false, t->arena, &out, &out_of_memory));
    assert_string_equal(out.data, "a+/%€");
    static const char *const invalid[] = {"%", "%2", "%2g", "%g2", "%%41", "%00", "%c3", "%ed%a0%80", "%-1", "% 1"};
    for (size_t i = 0; i < COUNT_OF(invalid); i++) {
        assert_false(decode_percent(str_from(invalid[i]), true, t->arena, &out, &out_of_memory));
        assert_false(out_of_memory);
    }
}

/* -- mutated bodies and failing allocations ------------------------------------------------------------------------ */

static const char *const seeds[] = {
    "{\"function\":\"gather\",\"input\":{\"tasks\":[{\"function\":\"sleep\",\"input\":{\"seconds\":0.1},"
    "\"name\":\"a\\u00e9\"},"
    "{\"function\":\"gather\",\"input\":{\"tasks\":[],\"mode\":\"all_settled\"}}],\"mode\":\"quorum\",\"quorum\":1},"
    "\"timeout_seconds\":1e1}",
    "{\"a\\n\\ud83d\\ude00/~\":[{\"\":[null,true,false,-1.5e-3,\"\\\\\\\"\"]}],\"a\":1,\"a\":2}",
};

/* Decodes bodies in which bytes are replaced, removed or duplicated, and checks each result with check_errors(). */
static void mutated_bodies_never_crash(void **state)
{
    struct decode_fixture *t = *state;
    static const char bytes[] = "{}[]:,\"\\u0019e-.tfn ~/\xc3\xbc\xff\x00\n";
    struct prng prng = {4711};
    for (int i = 0; i < 20000; i++) {
        char body[512];
        const char *seed = seeds[prng_below(&prng, COUNT_OF(seeds))];
        size_t len = strlen(seed);
        memcpy(body, seed, len);
        for (uint64_t changes = 1 + prng_below(&prng, 4); changes > 0 && len > 1; changes--) {
            size_t at = prng_below(&prng, len);
            switch (prng_below(&prng, 4)) {
            case 0:
                body[at] = bytes[prng_below(&prng, sizeof bytes)];
                break;
            case 1:
                memmove(body + at, body + at + 1, --len - at);
                break;
            case 2:
                memmove(body + at + 1, body + at, len++ - at);
                break;
            default:
                len = at + 1;
            }
        }
        decode_bytes(t, body, len, &(struct record_ref){&task_spec_type, &t->spec, NULL});

        char location[40];
        struct json_pointer p;
        json_pointer_init(&p, location, sizeof location);
        json_pointer_add_key(&p, (struct str){body, len});
        assert_true(p.len < sizeof location && location[p.len] == '\0');
        arena_unref(t->arena);
        t->arena = arena_new();
        assert_non_null(t->arena);
    }
}

/* Decodes the body while each allocation fails in turn, including those of jansson. Returns the number of failures. */
static unsigned long fail_each_allocation(struct decode_fixture *t, const char *body, const struct record_ref *record)
{
    int expected = decode_bytes(t, body, strlen(body), record);
    unsigned long n = 0, failed;
    do {
        struct arena *arena = arena_new();
        assert_non_null(arena);
        alloc_fail_at(++n);
        int rc = decode_body(str_from(body), record, 1, arena, &t->context, &t->errors);
        failed = alloc_count() >= n;
        alloc_fail_at(0);
        check_errors(&t->errors, rc);
        assert_int_equal(rc, failed ? ERR_OUT_OF_MEMORY : expected);
        arena_unref(arena);
    } while (failed);
    return n - 1;
}

static void oom_in_body_at_each_allocation(void **state)
{
    struct decode_fixture *t = *state;
    char body[8192];
    size_t len = (size_t)snprintf(body, sizeof body, "{\"function\":\"gather\",\"input\":{\"tasks\":[");
    for (int i = 0; i < 20; i++)
        len += (size_t)snprintf(body + len, sizeof body - len,
                                "%s{\"function\":\"sleep\",\"name\":\"one of %d\",\"input\":{\"seconds\":0.1}}",
                                i == 0 ? "" : ",", i);
    snprintf(body + len, sizeof body - len, "],\"mode\":\"all\"}}");
    assert_int_equal(decode_spec(t, body), 0);
    assert_true(fail_each_allocation(t, body, &(struct record_ref){&task_spec_type, &t->spec, NULL}) > 5);
}

/* Writes a token of this kind with about `len` bytes of content; returns its length, 0: no such kind. jansson 2.14
 * grows the buffer of a token at 16 bytes, 32 and so on, but ignores a failure to do so: it drops the bytes that do not
 * fit, such as the closing quote, and reads and writes beyond the buffer. Therefore the kinds cover all tokens, and
 * arrays and objects, which need large allocations too. */
static size_t format_token(char *out, size_t size, size_t kind, size_t len)
{
    static const struct {
        const char *before, *unit, *after;
    } kinds[] = {
        {"\"", "x", "\""},        {"\"", "\\n", "\""},
        {"\"x", "\\n", "\""},     {"\"", "\\u00e9", "\""},
        {"\"", "\xc3\xbc", "\""}, {"\"x", "\xc3\xbc", "\""},
        {"\"", "x", ""},                                         /* unterminated */
        {"{\"", "x", "\":0}"},    {"{\"x\":1,\"", "x", "\":0}"}, /* at length 1, the second key is a duplicate */
        {"0.", "7", ""},          {"0.", "7", "e-3"},
        {"-", "1", ""}, /* at large lengths, out of range */
        {"-1", "1", "."},         {"true", "e", ""},
        {"[", "0,", "0]"},        {"{\"y\":[", "{},", "[]]}"},
    };
    if (kind >= COUNT_OF(kinds))
        return 0;
    size_t unit = strlen(kinds[kind].unit);
    size_t end = (size_t)snprintf(out, size, "%s", kinds[kind].before);
    for (size_t filled = 0; filled + unit <= len; filled += unit)
        end += (size_t)snprintf(out + end, size - end, "%s", kinds[kind].unit);
    return end + (size_t)snprintf(out + end, size - end, "%s", kinds[kind].after);
}

/* Most of jansson's allocations are served from an existing block of the arena and cannot fail. The paddings before the
 * token shift the end of the block by 16 bytes each, so that with one of them each allocation needs a new block. */
static void oom_in_tokens_of_any_length(void **state)
{
    struct decode_fixture *t = *state;
    static const size_t lengths[] = {0,  1,  12, 13, 14, 15, 16, 17, 18, 28,  29,  30,  31,  32,
                                     33, 34, 60, 61, 62, 63, 64, 65, 66, 125, 126, 127, 128, 1000};
    char token[4096], body[8192];
    unsigned long failures = 0, bodies = 0;
    for (size_t kind = 0; format_token(token, sizeof token, kind, 0) > 0; kind++)
        for (size_t i = 0; i < COUNT_OF(lengths); i++) {
            format_token(token, sizeof token, kind, lengths[i]);
            for (size_t padding = 0; padding < 64; padding++, bodies++) {
                size_t len = (size_t)snprintf(body, sizeof body, "{\"p\":[%s", padding % 2 == 0 ? "0" : "\"\"");
                for (size_t j = 0; j < padding / 2; j++)
                    len += (size_t)snprintf(body + len, sizeof body - len, ",0");
                snprintf(body + len, sizeof body - len, "],\"v\":%s}", token);
                failures += fail_each_allocation(t, body, &(struct record_ref){&sample_type, &t->sample, NULL});
            }
        }
    assert_true(failures > bodies); /* not only the first block of each body has failed */
}

static void oom_in_deep_nesting(void **state)
{
    struct decode_fixture *t = *state;
    static const char open[] = "{\"a-name-of-16-b\":[";
    for (size_t depth = 1; depth <= 1100; depth += depth < 40 ? 1 : 530) { /* the last depths exceed jansson's limit */
        char body[32768];
        size_t len = 0;
        for (size_t i = 0; i < depth; i++)
            len += (size_t)snprintf(body + len, sizeof body - len, "%s", open);
        for (size_t i = 0; i < depth; i++)
            len += (size_t)snprintf(body + len, sizeof body - len, "]}");
        assert_true(fail_each_allocation(t, body, &(struct record_ref){&sample_type, &t->sample, NULL}) > 0);
    }
}

static void oom_in_query_at_each_allocation(void **state)
{
    struct decode_fixture *t = *state;
    char query[4096] = "count=1&numbers=1,2&name=";
    size_t len = strlen(query);
    memset(query + len, 'x', 900);
    unsigned long n = 0, failed;
    do {
        struct arena *arena = arena_new();
        assert_non_null(arena);
        struct query_sample sample;
        struct record_ref record = {&query_type, &sample, NULL};
        alloc_fail_at(++n);
        int rc = decode_query(str_from(query), &record, arena, &t->context, &t->errors);
        failed = alloc_count() >= n;
        alloc_fail_at(0);
        check_errors(&t->errors, rc);
        assert_int_equal(rc, failed ? ERR_OUT_OF_MEMORY : 0);
        arena_unref(arena);
    } while (failed);
    assert_true(n > 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_type_is_decoded, decode_setup, decode_teardown),
        cmocka_unit_test_setup_teardown(absent_members_get_defaults_or_absent_value, decode_setup, decode_teardown),
        cmocka_unit_test_setup_teardown(empty_array_is_not_absent, decode_setup, decode_teardown),
        cmocka_unit_test_setup_teardown(integral_reals_decode_as_integers, decode_setup, decode_teardown),
        cmocka_unit_test_setup_teardown(seconds_round_up_to_nanoseconds, decode_setup, decode_teardown),
        cmocka_unit_test_setup_teardown(one_object_fills_several_records, decode_setup, decode_teardown),
        cmocka_unit_test_setup_teardown(malformed_json_is_rejected, decode_setup, decode_teardown),
        cmocka_unit_test_setup_teardown(json_beyond_bounds_is_rejected, decode_setup, decode_teardown),
        cmocka_unit_test_setup_teardown(type_and_range_errors_are_located, decode_setup, decode_teardown),
        cmocka_unit_test_setup_teardown(duplicate_members_are_located, decode_setup, decode_teardown),
        cmocka_unit_test_setup_teardown(deep_pointer_is_truncated, decode_setup, decode_teardown),
        cmocka_unit_test_setup_teardown(long_names_are_truncated_at_character_boundary, decode_setup, decode_teardown),
        cmocka_unit_test(long_errors_are_truncated_at_character_boundary),
        cmocka_unit_test_setup_teardown(unknown_function_error_lists_all_functions, decode_setup, decode_teardown),
        cmocka_unit_test_setup_teardown(variant_is_selected_by_a_member, decode_setup, decode_teardown),
        cmocka_unit_test_setup_teardown(invalid_variants_are_located, decode_setup, decode_teardown),
        cmocka_unit_test(oom_error_replaces_validation_errors),
        cmocka_unit_test_setup_teardown(excess_errors_are_counted, decode_setup, decode_teardown),
        cmocka_unit_test(sanitized_text_is_printable_utf8),
        cmocka_unit_test_setup_teardown(task_spec_is_decoded, decode_setup, decode_teardown),
        cmocka_unit_test_setup_teardown(invalid_task_specs_are_rejected, decode_setup, decode_teardown),
        cmocka_unit_test_setup_teardown(input_record_check_runs, decode_setup, decode_teardown),
        cmocka_unit_test_setup_teardown(gather_depth_is_limited, decode_setup, decode_teardown),
        cmocka_unit_test_setup_teardown(array_over_limit_is_not_decoded, decode_setup, decode_teardown),
        cmocka_unit_test_setup_teardown(query_is_decoded, decode_setup, decode_teardown),
        cmocka_unit_test_setup_teardown(invalid_query_parameters_are_located, decode_setup, decode_teardown),
        cmocka_unit_test_setup_teardown(percent_encoding_is_strict, decode_setup, decode_teardown),
        cmocka_unit_test_setup_teardown(mutated_bodies_never_crash, decode_setup, decode_teardown),
        cmocka_unit_test_setup_teardown(oom_in_body_at_each_allocation, decode_setup, decode_teardown),
        cmocka_unit_test_setup_teardown(oom_in_tokens_of_any_length, decode_setup, decode_teardown),
        cmocka_unit_test_setup_teardown(oom_in_deep_nesting, decode_setup, decode_teardown),
        cmocka_unit_test_setup_teardown(oom_in_query_at_each_allocation, decode_setup, decode_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

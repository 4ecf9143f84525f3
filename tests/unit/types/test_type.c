/* test_type - parsing of values, ranges and their messages, durations, absent values, and limits. */
#include "runtime/lib/decimal.h"
#include "runtime/types/limits.h"
#include "runtime/types/type_parse.h"
#include "runtime/types/type_rules.h"
#include "tests/unit/support/alloc_fault.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SECOND ((int64_t)NS_PER_SECOND)

static const char *const modes[] = {"all", "any", "race", NULL};

static const struct type boolean = {.kind = TYPE_BOOLEAN};
static const struct type count = {.kind = TYPE_INTEGER, .min = 1, .max = 100};
static const struct type any_integer = {.kind = TYPE_INTEGER, .min = -INT64_MAX, .max = INT64_MAX};
static const struct type pause_time = {.kind = TYPE_SECONDS, .min = 0, .max = 86400 * SECOND};
static const struct type timeout = {.kind = TYPE_SECONDS, .min = 1, .max = 86400 * SECOND};
static const struct type around_one_second = {.kind = TYPE_SECONDS, .min = SECOND / 2, .max = 3 * SECOND / 2};
static const struct type any_seconds = {.kind = TYPE_SECONDS, .min = 0, .max = INT64_MAX};
static const struct type limited = {.kind = TYPE_SECONDS, .min = 1, .limit = &limits_fields[LIMIT_TIMEOUT]};
static const struct type limited_count = {.kind = TYPE_INTEGER, .min = 1, .limit = &limits_fields[LIMIT_TASKS]};
static const struct type mode = {.kind = TYPE_ENUM, .names = modes};
static const struct type short_string = {.kind = TYPE_STRING, .min = 1, .max = 8};
static const struct type long_string = {.kind = TYPE_STRING, .min = 2, .max = 1000000};
static const struct type count_array = {.kind = TYPE_ARRAY, .min = 0, .max = 10000, .item = &count};
static const struct type word_array = {.kind = TYPE_ARRAY, .min = 1, .max = 2, .item = &short_string};
static const struct type text_array = {.kind = TYPE_ARRAY, .min = 1, .max = 100, .item = &long_string};

static int setup(void **state)
{
    *state = arena_new();
    return *state == NULL;
}

static int teardown(void **state)
{
    arena_unref(*state);
    return 0;
}

/* Asserts that parsing fails with this code and message, and that the value is unchanged. */
static void assert_rejected(void **state, const struct type *type, struct str text, int rc, const char *message)
{
    unsigned char value[64], before[64];
    struct limits limits;
    struct err e = {0};
    record_set_defaults(&limits_type, &limits);
    memset(value, 0xA5, sizeof value);
    memcpy(before, value, sizeof value);
    assert_true(type_size(type) <= sizeof value);
    assert_int_equal(type_parse(type, text, *state, &limits, value, &e), rc);
    assert_string_equal(e.msg, message);
    assert_int_equal(e.rc, rc);
    assert_memory_equal(value, before, sizeof value);
    assert_int_equal(type_parse(type, text, *state, &limits, value, NULL), rc); /* e may be NULL */
}

static void assert_parsed(void **state, const struct type *type, const char *text, void *value)
{
    struct limits limits;
    struct err e = {0};
    record_set_defaults(&limits_type, &limits);
    if (type_parse(type, str_from(text), *state, &limits, value, &e) != 0)
        fail_msg("%s: %s", text, e.msg);
}

static void parse_boolean(void **state)
{
    bool value = false;
    assert_parsed(state, &boolean, "true", &value);
    assert_true(value);
    assert_parsed(state, &boolean, "false", &value);
    assert_false(value);
    static const char *const invalid[] = {"", "True", "1", "yes", "true ", "truex", "tru"};
    for (size_t i = 0; i < COUNT_OF(invalid); i++)
        assert_rejected(state, &boolean, str_from(invalid[i]), ERR_INVALID, "must be true or false");
}

static void parse_integer(void **state)
{
    static const struct {
        const char *text;
        int64_t value;
    } valid[] = {{"0", 0},
                 {"-0", 0},
                 {"007", 7},
                 {"-12", -12},
                 {"9223372036854775807", INT64_MAX},
                 {"-9223372036854775807", -INT64_MAX},
                 {"000000000000000000000000000001", 1}};
    for (size_t i = 0; i < COUNT_OF(valid); i++) {
        int64_t value = 99;
        assert_parsed(state, &any_integer, valid[i].text, &value);
        assert_int_equal(value, valid[i].value);
    }

    static const char *const invalid[] = {"",     "-",   "+1",  " 1",  "1 ",  "1.0",     "1e3",
                                          "0x10", "--1", "-+1", "ten", "1,2", "\xD9\xA1"};
    for (size_t i = 0; i < COUNT_OF(invalid); i++)
        assert_rejected(state, &count, str_from(invalid[i]), ERR_INVALID, "must be an integer");
    assert_rejected(state, &count, (struct str){"1\0", 2}, ERR_INVALID, "must be an integer");

    assert_rejected(state, &count, STR("0"), ERR_INVALID, "must be at least 1");
    assert_rejected(state, &count, STR("-99999999999999999999999"), ERR_INVALID, "must be at least 1");
    assert_rejected(state, &count, STR("101"), ERR_INVALID, "must be at most 100");
    assert_rejected(state, &count, STR("9223372036854775808"), ERR_INVALID, "must be at most 100");
    assert_rejected(state, &count, STR("18446744073709551617"), ERR_INVALID, "must be at most 100");
    assert_rejected(state, &any_integer, STR("9223372036854775808"), ERR_INVALID, "must fit in 64 bits");
    assert_rejected(state, &any_integer, STR("-9223372036854775808"), ERR_INVALID,
                    "must be at least -9223372036854775807");
    assert_rejected(state, &limited_count, STR("1000001"), ERR_LIMIT_EXCEEDED, "must be at most 1000000");
    assert_rejected(state, &limited_count, STR("99999999999999999999"), ERR_LIMIT_EXCEEDED, "must be at most 1000000");
    assert_rejected(state, &limited_count, STR("0"), ERR_INVALID, "must be at least 1");
}

static void seconds_parse_is_exact(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t ns;
    } valid[] = {
        {"0", 0},
        {"0.0", 0},
        {"00", 0},
        {"0e99999999999999999999999", 0},
        {"1", 1000000000},
        {"0.25", 250000000},
        {"1.5", 1500000000},
        {"0.1", 100000000}, /* with a double, the result would be 100000001 */
        {"0.3", 300000000},
        {"1e-3", 1000000},
        {"1E-3", 1000000},
        {"1.5e+2", 150000000000},
        {"150e-2", 1500000000},
        {"0.000000001", 1},
        {"1e-9", 1},
        {"1e-10", 1}, /* rounded up */
        {"0.00000000000000000000000000001", 1},
        {"1e-99999999999999999999999999", 1},
        {"1e-9223372036854775807", 1},
        {"0e9223372036854775807", 0},
        {"1.0000000001", 1000000001},
        {"1.0000000010", 1000000001},
        {"0.9999999999", 1000000000},
        {"0.123456789", 123456789},
        {"0.1234567890000", 123456789},
        {"0.1234567890001", 123456790},
        {"0.0000000000000000000000000000015e30", 1500000000},
        {"1500000000000000000000000000000e-30", 1500000000},
        {"9223372036.854775807", INT64_MAX},
        {"9223372036.8547758069999", INT64_MAX},
        {"9223372036854775807e-9", INT64_MAX},
        {"9007199254.740993", 9007199254740993000},
    };
    for (size_t i = 0; i < COUNT_OF(valid); i++) {
        uint64_t ns = 99;
        if (!seconds_parse(valid[i].text, &ns) || ns != valid[i].ns)
            fail_msg("%s gave %" PRIu64, valid[i].text, ns);
    }

    static const char *const invalid[] = {
        "",
        " ",
        " 1",
        "1 ",
        "-1",
        "+1",
        "-0",
        ".5",
        "5.",
        ".",
        "1..2",
        "1.2.3",
        "e",
        "1e",
        "1e+",
        "e5",
        "1e5.0",
        "1e--5",
        "1e5e5",
        "0x10",
        "0x1p3",
        "nan",
        "NaN",
        "inf",
        "infinity",
        "1,5",
        "1s",
        "1_0",
        "1.e5",
        "9223372036.854775808",
        "9223372036.8547758070001",
        "1e10",
        "1e9223372036854775807",
        "1e99999999999999999999",
        "99999999999999999999999999",
    };
    for (size_t i = 0; i < COUNT_OF(invalid); i++) {
        uint64_t ns = 99;
        if (seconds_parse(invalid[i], &ns))
            fail_msg("\"%s\" gave %" PRIu64, invalid[i], ns);
        assert_int_equal(ns, 99);
    }
}

static void parse_seconds(void **state)
{
    uint64_t ns;
    assert_parsed(state, &pause_time, "0", &ns);
    assert_int_equal(ns, 0);
    assert_parsed(state, &pause_time, "86400", &ns);
    assert_int_equal(ns, 86400 * SECOND);
    assert_parsed(state, &timeout, "1e-30", &ns);
    assert_int_equal(ns, 1);
    assert_parsed(state, &limited, "86400", &ns);
    assert_int_equal(ns, 86400 * SECOND);

    static const char *const invalid[] = {"", "-", "+1", "nan", "-inf", "0x1", "1 s", "--1", "."};
    for (size_t i = 0; i < COUNT_OF(invalid); i++)
        assert_rejected(state, &timeout, str_from(invalid[i]), ERR_INVALID, "must be a number of seconds, such as 1.5");
    assert_rejected(state, &timeout, (struct str){"1\0", 2}, ERR_INVALID, "must be a number of seconds, such as 1.5");

    assert_rejected(state, &pause_time, STR("-1"), ERR_INVALID, "must be at least 0, without a sign");
    assert_rejected(state, &pause_time, STR("-1e99"), ERR_INVALID, "must be at least 0, without a sign");
    assert_rejected(state, &timeout, STR("-1"), ERR_INVALID, "must be more than 0");
    assert_rejected(state, &timeout, STR("0"), ERR_INVALID, "must be more than 0");
    assert_rejected(state, &around_one_second, STR("-1"), ERR_INVALID, "must be at least 0.5");
    assert_rejected(state, &around_one_second, STR("0.499"), ERR_INVALID, "must be at least 0.5");
    /* The value is rounded up before it is compared. */
    assert_rejected(state, &around_one_second, STR("1.5000000001"), ERR_INVALID, "must be at most 1.5");
    assert_parsed(state, &around_one_second, "0.4999999999", &ns);
    assert_int_equal(ns, SECOND / 2);
    assert_rejected(state, &pause_time, STR("86400.000000001"), ERR_INVALID, "must be at most 86400");
    assert_rejected(state, &pause_time, STR("1e400"), ERR_INVALID, "must be at most 86400");
    assert_rejected(state, &limited, STR("86401"), ERR_LIMIT_EXCEEDED, "must be at most 86400");
    assert_rejected(state, &limited, STR("1e400"), ERR_LIMIT_EXCEEDED, "must be at most 86400");
    assert_rejected(state, &any_seconds, STR("1e10"), ERR_INVALID, "must fit in 63 bits of nanoseconds");
}

static void seconds_format_round_trips(void **state)
{
    (void)state;
    static const struct {
        uint64_t ns;
        const char *text;
    } rows[] = {
        {0, "0"},
        {1, "0.000000001"},
        {10, "0.00000001"},
        {999999999, "0.999999999"},
        {1000000000, "1"},
        {1500000000, "1.5"},
        {86400000000000, "86400"},
        {10000000001, "10.000000001"},
        {INT64_MAX, "9223372036.854775807"},
        {UINT64_MAX, "18446744073.709551615"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char text[SECONDS_TEXT_SIZE];
        assert_int_equal(seconds_format(rows[i].ns, text), strlen(rows[i].text));
        assert_string_equal(text, rows[i].text);
    }
    uint64_t ns = 1, parsed_ns;
    for (int i = 0; i < 20000; i++) { /* formatting and parsing returns each number unchanged */
        char text[SECONDS_TEXT_SIZE];
        ns = (ns * UINT64_C(6364136223846793005) + 1442695040888963407);
        uint64_t shifted = ns >> (1 + i % 60);
        seconds_format(shifted, text);
        assert_true(seconds_parse(text, &parsed_ns));
        assert_true(parsed_ns == shifted);
    }
}

static void parse_enum(void **state)
{
    static const char *const long_names[] = {
        "a_name_of_some_length_0",
        "a_name_of_some_length_1",
        "a_name_of_some_length_2",
        "a_name_of_some_length_3",
        "a_name_of_some_length_4",
        "a_name_of_some_length_5",
        "a_name_of_some_length_6",
        "a_name_of_some_length_7",
        "a_name_of_some_length_8",
        "a_name_of_some_length_9",
        "a_name_of_some_length_10",
        "a_name_of_some_length_11",
        NULL,
    };
    static const struct type long_enum = {.kind = TYPE_ENUM, .names = long_names};
    int value = 99;
    assert_parsed(state, &mode, "all", &value);
    assert_int_equal(value, 0);
    assert_parsed(state, &mode, "race", &value);
    assert_int_equal(value, 2);
    static const char *const invalid[] = {"", "All", "al", "alll", "all,any", "0"};
    for (size_t i = 0; i < COUNT_OF(invalid); i++)
        assert_rejected(state, &mode, str_from(invalid[i]), ERR_INVALID, "must be one of: all, any, race");

    struct err e;
    assert_int_equal(type_parse(&long_enum, STR("x"), NULL, NULL, &value, &e), ERR_INVALID);
    assert_memory_equal(e.msg, "must be one of: a_name_of_some_length_0, ", 40);
    assert_string_equal(e.msg + strlen(e.msg) - 3, "...");
}

static void parse_string(void **state)
{
    struct str value = {NULL, 0};
    assert_parsed(state, &short_string, "häuser", &value);
    assert_int_equal(value.len, 7);
    assert_string_equal(value.data, "häuser");
    assert_parsed(state, &short_string, "\u00e9\u20ac\U0001F600\u00e9\u20ac\U0001F600\u00e9\u20ac", &value);
    assert_int_equal(value.len, 23); /* 8 characters */
    const char *input = "copied";
    assert_parsed(state, &short_string, input, &value);
    assert_ptr_not_equal(value.data, input);

    assert_rejected(state, &short_string, STR(""), ERR_INVALID, "must have at least 1 character");
    assert_rejected(state, &long_string, STR("x"), ERR_INVALID, "must have at least 2 characters");
    assert_rejected(state, &short_string, STR("ninebytes"), ERR_INVALID, "must have at most 8 characters");
    assert_rejected(state, &short_string, (struct str){"a\0b", 3}, ERR_INVALID, "must not contain a NUL");
    assert_rejected(state, &short_string, STR("\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9x"),
                    ERR_INVALID, "must have at most 8 characters");
    assert_rejected(state, &long_string, STR("\xF0\x9F\x98\x80"), ERR_INVALID, "must have at least 2 characters");
    assert_rejected(state, &short_string, STR("a\xFF"), ERR_INVALID, "must be UTF-8");
}

static void parse_array(void **state)
{
    struct array list = {NULL, 0};
    assert_parsed(state, &count_array, "1,22,100", &list);
    assert_int_equal(list.count, 3);
    assert_int_equal(((int64_t *)list.items)[0], 1);
    assert_int_equal(((int64_t *)list.items)[1], 22);
    assert_int_equal(((int64_t *)list.items)[2], 100);
    assert_parsed(state, &count_array, "", &list);
    assert_int_equal(list.count, 0);
    assert_false(type_is_absent(&count_array, &list)); /* present, but empty */
    assert_parsed(state, &word_array, "a,b c", &list);
    assert_string_equal(((struct str *)list.items)[0].data, "a");
    assert_string_equal(((struct str *)list.items)[1].data, "b c");

    assert_rejected(state, &word_array, STR(""), ERR_INVALID, "must have at least 1 item");
    assert_rejected(state, &word_array, STR("a,b,c"), ERR_INVALID, "must have at most 2 items");
    assert_rejected(state, &word_array, STR("a,"), ERR_INVALID,
                    "must be a comma-separated list: item 2 must have at least 1 character");
    assert_rejected(state, &word_array, STR(","), ERR_INVALID,
                    "must be a comma-separated list: item 1 must have at least 1 character");
    assert_rejected(state, &count_array, STR("1,2,0"), ERR_INVALID,
                    "must be a comma-separated list: item 3 must be at least 1");
    assert_rejected(state, &count_array, STR("1 ,2"), ERR_INVALID,
                    "must be a comma-separated list: item 1 must be an integer");

    char commas[10001];
    memset(commas, ',', sizeof commas);
    assert_rejected(state, &count_array, (struct str){commas, 10000}, ERR_INVALID, "must have at most 10000 items");
}

static void type_check_rejects_out_of_range(void **state)
{
    (void)state;
    struct err e;
    uint64_t ns = UINT64_MAX; /* values above INT64_MAX must not be taken for negative numbers */
    assert_int_equal(type_check(&pause_time, &ns, NULL, &e), ERR_INVALID);
    assert_string_equal(e.msg, "must be at most 86400");

    struct array list = {.count = SIZE_MAX};
    assert_int_equal(type_check(&count_array, &list, NULL, &e), ERR_INVALID);
    assert_string_equal(e.msg, "must have at most 10000 items");

    int64_t n = 7;
    assert_int_equal(type_check(&count, &n, NULL, NULL), 0);
    n = INT64_MIN;
    assert_int_equal(type_check(&count, &n, NULL, &e), ERR_INVALID);
    assert_string_equal(e.msg, "must be at least 1");

    bool flag = true;
    assert_int_equal(type_check(&boolean, &flag, NULL, &e), 0);

    struct limits limits;
    record_set_defaults(&limits_type, &limits);
    limits.max_timeout_seconds = SECOND / 4;
    assert_int_equal(type_max(&limited, &limits), SECOND / 4);
    assert_int_equal(type_max(&count, NULL), 100);
    ns = SECOND;
    assert_int_equal(type_check(&limited, &ns, &limits, &e), ERR_LIMIT_EXCEEDED);
    assert_string_equal(e.msg, "must be at most 0.25");
    ns = 0;
    assert_int_equal(type_check(&limited, &ns, &limits, &e), ERR_INVALID);
    assert_string_equal(e.msg, "must be more than 0");
}

static void absent_values_are_recognized(void **state)
{
    (void)state;
    static const enum type_kind kinds[] = {TYPE_INTEGER, TYPE_SECONDS, TYPE_ENUM,     TYPE_STRING,
                                           TYPE_TIME,    TYPE_ARRAY,   TYPE_FUNCTION, TYPE_INPUT,
                                           TYPE_OUTPUT,  TYPE_CHILD,   TYPE_REFERENCE};
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        struct type type = {.kind = kinds[i]};
        max_align_t value[2];
        unsigned char *after_value = (unsigned char *)value + type_size(&type);
        memset(value, 0x11, sizeof value);
        assert_false(type_is_absent(&type, value));
        type_set_absent(&type, value);
        assert_true(type_is_absent(&type, value));
        assert_int_equal(*after_value, 0x11);
    }
    struct type record = {.kind = TYPE_RECORD, .size = 48};
    assert_int_equal(type_size(&record), 48);
    assert_int_equal(type_size(&boolean), sizeof(bool));
    assert_false(type_is_absent(&boolean, &(bool){false}));
    assert_false(type_is_absent(&record, NULL));
}

/* Each allocation of type_parse() fails in turn, with ERR_OUT_OF_MEMORY. */
static void parse_fails_when_out_of_memory(void **state)
{
    (void)state;
    static char text[3 * 100000];
    memset(text, 'x', sizeof text);
    for (size_t i = 4000; i < sizeof text; i += 4000)
        text[i] = ',';
    unsigned long n = 0;
    do {
        alloc_fail_at(0);
        struct arena *arena = arena_new();
        assert_non_null(arena);
        struct array list = {NULL, 0};
        struct err e = {0};
        alloc_fail_at(++n);
        int rc = type_parse(&text_array, (struct str){text, sizeof text}, arena, NULL, &list, &e);
        if (alloc_count() >= n) {
            assert_int_equal(rc, ERR_OUT_OF_MEMORY);
            assert_int_equal(e.rc, ERR_OUT_OF_MEMORY);
            assert_non_null(strstr(e.msg, "Out of memory"));
            assert_null(list.items);
        } else {
            assert_int_equal(rc, 0);
            assert_int_equal(list.count, 75);
        }
        arena_unref(arena);
    } while (alloc_count() >= n);
    alloc_fail_at(0);
    assert_true(n > 3);
}

static void limits_have_valid_defaults(void **state)
{
    struct limits limits;
    memset(&limits, 0xA5, sizeof limits);
    record_set_defaults(&limits_type, &limits);
    assert_int_equal(limits.max_tasks, 1000000);
    assert_int_equal(limits.max_timeout_seconds, 86400 * SECOND);
    assert_int_equal(limits_get(&limits, &limits_fields[LIMIT_GATHER_DEPTH]), limits.max_gather_depth);
    assert_int_equal(limits_get(&limits, &limits_fields[LIMIT_DEADLINE]), limits.max_deadline_seconds);
    assert_true(limits.default_timeout_seconds <= limits.max_timeout_seconds);
    assert_true(limits.default_deadline_seconds <= limits.max_deadline_seconds);

    size_t row_count = 0, end_offset = 0;
    for (const struct field *field = limits_fields; field->name != NULL; field++, row_count++) {
        char value[8];
        assert_rejected(state, field->type, STR("-1"), ERR_INVALID,
                        field->type->kind == TYPE_SECONDS      ? "must be more than 0"
                        : field == &limits_fields[LIMIT_QUEUE] ? "must be at least 0"
                                                               : "must be at least 1");
        assert_parsed(state, field->type, field->default_text, value);
        assert_int_equal(field->presence, FIELD_DEFAULTED);
        assert_non_null(field->doc);
        assert_true(field->offset >= end_offset); /* fields do not overlap */
        end_offset = field->offset + type_size(field->type);
    }
    assert_int_equal(row_count, LIMIT_COUNT);
    assert_true(end_offset <= limits_type.size);
}

/* -- rules --------------------------------------------------------------------------------------------------------- */

enum ruled_mode { RULED_SLOW, RULED_FAST, RULED_AUTO };
static const char *const ruled_mode_names[] = {"slow", "fast", "auto", NULL};

struct ruled {
    int mode;
    int64_t count;   /* optional; only with fast or auto */
    int64_t retries; /* default 3; only with slow */
    bool safe;       /* default true; only with slow */
    struct str name; /* optional; required with auto */
    struct array items;
};

static const struct type ruled_mode_type = {.kind = TYPE_ENUM, .names = ruled_mode_names};
static const struct field ruled_fields[] = {
    {"mode", &ruled_mode_type, offsetof(struct ruled, mode), FIELD_OPTIONAL, NULL, NULL, NULL},
    {"count", &count, offsetof(struct ruled, count), FIELD_OPTIONAL, NULL, NULL, NULL},
    {"retries", &count, offsetof(struct ruled, retries), FIELD_DEFAULTED, "3", NULL, NULL},
    {"safe", &boolean, offsetof(struct ruled, safe), FIELD_DEFAULTED, "true", NULL, NULL},
    {"name", &short_string, offsetof(struct ruled, name), FIELD_OPTIONAL, NULL, NULL, NULL},
    {"items", &count_array, offsetof(struct ruled, items), FIELD_OPTIONAL, NULL, NULL, NULL},
    {0},
};
static const struct rule ruled_rules[] = {
    {RULE_ONLY_WITH, "count", "mode", {"fast", "auto"}}, {RULE_ONLY_WITH, "retries", "mode", {"slow"}},
    {RULE_ONLY_WITH, "safe", "mode", {"slow"}},          {RULE_REQUIRED_WITH, "name", "mode", {"auto"}},
    {RULE_ITEMS_WITH, "items", "mode", {"fast"}},        {0},
};

static bool ruled_check(const void *value, struct check_error *check_error)
{
    const struct ruled *ruled = value;
    return ruled->count != 100 || check_error_set(check_error, "/count", "must not be %d", 100);
}

static const struct type ruled_type = {.kind = TYPE_RECORD,
                                       .fields = ruled_fields,
                                       .size = sizeof(struct ruled),
                                       .rules = ruled_rules,
                                       .check = ruled_check};

static void rules_restrict_fields_by_an_enum(void **state)
{
    (void)state;
    static int64_t numbers[] = {1};
    static const struct {
        struct ruled value;
        const char *pointer, *detail; /* NULL: valid */
        int rc;
    } rows[] = {
        {{RULED_SLOW, INTEGER_ABSENT, 3, true, {0}, {0}}, NULL, NULL, 0},
        {{RULED_SLOW, INTEGER_ABSENT, 4, false, {0}, {0}}, NULL, NULL, 0},
        {{RULED_FAST, 1, 3, true, {0}, {numbers, 1}}, NULL, NULL, 0},
        {{RULED_AUTO, 1, 3, true, {"x", 1}, {0}}, NULL, NULL, 0},
        {{ENUM_ABSENT, INTEGER_ABSENT, 3, true, {0}, {0}}, NULL, NULL, 0},
        {{RULED_SLOW, 1, 3, true, {0}, {0}},
         "/count",
         "is valid only with mode fast or auto, not with slow",
         ERR_INVALID},
        {{ENUM_ABSENT, 1, 3, true, {0}, {0}}, "/count", "is valid only with mode fast or auto", ERR_INVALID},
        {{RULED_FAST, 1, 4, true, {0}, {numbers, 1}},
         "/retries",
         "is valid only with mode slow, not with fast",
         ERR_INVALID},
        {{RULED_FAST, 1, 3, false, {0}, {numbers, 1}},
         "/safe",
         "is valid only with mode slow, not with fast",
         ERR_INVALID},
        {{RULED_AUTO, 1, 3, true, {0}, {0}}, "/name", "is required with mode auto", ERR_INVALID},
        {{RULED_FAST, 1, 3, true, {0}, {0}}, "/items", "must have at least 1 item with mode fast", ERR_INVALID},
        {{RULED_FAST, 1, 3, true, {0}, {numbers, 0}},
         "/items",
         "must have at least 1 item with mode fast",
         ERR_INVALID},
        {{RULED_AUTO, 100, 3, true, {"x", 1}, {0}}, "/count", "must not be 100", ERR_INVALID_ARGUMENT},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct check_error check_error = {0};
        assert_int_equal(type_check_rules(&ruled_type, &rows[i].value, &check_error), rows[i].pointer == NULL);
        assert_int_equal(check_error.rc, rows[i].rc);
        assert_string_equal(check_error.pointer, rows[i].pointer == NULL ? "" : rows[i].pointer);
        assert_string_equal(check_error.detail, rows[i].detail == NULL ? "" : rows[i].detail);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(parse_boolean, setup, teardown),
        cmocka_unit_test_setup_teardown(parse_integer, setup, teardown),
        cmocka_unit_test_setup_teardown(parse_enum, setup, teardown),
        cmocka_unit_test_setup_teardown(parse_string, setup, teardown),
        cmocka_unit_test_setup_teardown(parse_array, setup, teardown),
        cmocka_unit_test_setup_teardown(parse_seconds, setup, teardown),
        cmocka_unit_test(seconds_parse_is_exact),
        cmocka_unit_test(seconds_format_round_trips),
        cmocka_unit_test(type_check_rejects_out_of_range),
        cmocka_unit_test(absent_values_are_recognized),
        cmocka_unit_test(parse_fails_when_out_of_memory),
        cmocka_unit_test_setup_teardown(limits_have_valid_defaults, setup, teardown),
        cmocka_unit_test(rules_restrict_fields_by_an_enum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

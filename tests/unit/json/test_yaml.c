/* test_yaml - YAML of small JSON documents, compared literally. */
#include "handlers/json/yaml.h"
#include "runtime/lib/util.h"
#include "tests/unit/support/alloc_fault.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void expect_yaml_len(const char *json, size_t len, const char *yaml)
{
    struct json_writer w = {0};
    yaml_write_json(&w, (struct str){json, len}, 0);
    json_writer_bytes(&w, "", 1);
    size_t text_len;
    char *text = json_writer_take(&w, &text_len);
    assert_non_null(text);
    assert_string_equal(text, yaml);
    free(text);
}

static void expect_yaml(const char *json, const char *yaml)
{
    expect_yaml_len(json, strlen(json), yaml);
}

/* -- strings on one line ------------------------------------------------------------------------------------------- */

static void expect_strings(const char *const (*rows)[2], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct json_writer json = {0}, yaml = {0};
        json_writer_format(&json, "[%s]", rows[i][0]);
        json_writer_format(&yaml, "- %s\n", rows[i][1]);
        json_writer_bytes(&yaml, "", 1);
        expect_yaml_len(json.data, json.len, yaml.data);
        json_writer_free(&json);
        json_writer_free(&yaml);
    }
}

static void words_and_sentences_are_plain(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"\"word\"", "word"},
        {"\"_private\"", "_private"},
        {"\"/v1/tasks\"", "/v1/tasks"},
        {"\"$ref\"", "$ref"},
        {"\"X-Request-Id\"", "X-Request-Id"},
        {"\"A sentence, with commas; and more.\"", "A sentence, with commas; and more."},
        {"\"urn:gatherd:error:invalid\"", "urn:gatherd:error:invalid"},
        {"\"it's a \\\"quote\\\" \\\\ [x] {y} a#b\"", "it's a \"quote\" \\ [x] {y} a#b"},
        {"\"caf\\u00e9 \\ud83d\\ude00\"", "café 😀"},
        {"\"nothing\"", "nothing"},
        {"\"yesterday\"", "yesterday"},
        {"\"x1e3\"", "x1e3"},
    };
    expect_strings(rows, COUNT_OF(rows));
}

static void text_that_parsers_take_for_another_type_is_quoted(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"\"\"", "''"},
        {"\"true\"", "'true'"},
        {"\"False\"", "'False'"},
        {"\"null\"", "'null'"},
        {"\"no\"", "'no'"},
        {"\"YES\"", "'YES'"},
        {"\"on\"", "'on'"},
        {"\"Off\"", "'Off'"},
        {"\"n\"", "'n'"},
        {"\"Y\"", "'Y'"},
        {"\"~\"", "'~'"},
        {"\"1\"", "'1'"},
        {"\"-1.5\"", "'-1.5'"},
        {"\"1e3\"", "'1e3'"},
        {"\"0x1F\"", "'0x1F'"},
        {"\".inf\"", "'.inf'"},
        {"\"12:30:45\"", "'12:30:45'"},
        {"\"2026-11-22\"", "'2026-11-22'"},
        {"\"2026-11-22T09:30:00Z\"", "'2026-11-22T09:30:00Z'"},
        {"\"=\"", "'='"},
        {"\"<<\"", "'<<'"},
    };
    expect_strings(rows, COUNT_OF(rows));
}

static void syntax_of_yaml_is_quoted(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"\"-\"", "'-'"},
        {"\"- item\"", "'- item'"},
        {"\"---\"", "'---'"},
        {"\"...\"", "'...'"},
        {"\"? key\"", "'? key'"},
        {"\": \"", "': '"},
        {"\"a: b\"", "'a: b'"},
        {"\"a:\"", "'a:'"},
        {"\"a #b\"", "'a #b'"},
        {"\"# comment\"", "'# comment'"},
        {"\"&anchor\"", "'&anchor'"},
        {"\"*\"", "'*'"},
        {"\"!tag\"", "'!tag'"},
        {"\"|\"", "'|'"},
        {"\">\"", "'>'"},
        {"\"%\"", "'%'"},
        {"\"@\"", "'@'"},
        {"\"`code`\"", "'`code`'"},
        {"\"[]\"", "'[]'"},
        {"\"{}\"", "'{}'"},
        {"\"'\"", "''''"},
        {"\"'a'\"", "'''a'''"},
        {"\"\\\"a\\\"\"", "'\"a\"'"},
        {"\"\\\\\"", "'\\'"},
        {"\" leading\"", "' leading'"},
        {"\"trailing \"", "'trailing '"},
        {"\"it's a #tag\"", "'it''s a #tag'"},
        {"\"\\u00e9t\\u00e9\"", "'été'"},
    };
    expect_strings(rows, COUNT_OF(rows));
}

static void special_characters_are_escaped(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"\"\\u0000\"", "\"\\u0000\""},
        {"\"a\\tb\"", "\"a\\tb\""},
        {"\"a\\rb\"", "\"a\\u000db\""},
        {"\"\\u001b[1m\"", "\"\\u001b[1m\""},
        {"\"\\u007f\"", "\"\\u007f\""},                   /* DEL */
        {"\"\\u0080\\u009f\"", "\"\\u0080\\u009f\""},     /* C1 */
        {"\"a\\u0085b\"", "\"a\\u0085b\""},               /* a line break of YAML 1.1 */
        {"\"a\\u2028b\\u2029\"", "\"a\\u2028b\\u2029\""}, /* as above */
        {"\"\\ufeff\"", "\"\\ufeff\""},                   /* byte order mark */
        {"\"\\ufffe\\uffff\"", "\"\\ufffe\\uffff\""},     /* no characters */
        {"\"\\u00a0\"", "'\xc2\xa0'"},
        {"\"\\ufffd\"", "'\xef\xbf\xbd'"},
        {"\"\\\"\\\\\\t\\u00e9\\ud83d\\ude00\"", "\"\\\"\\\\\\té😀\""},
    };
    expect_strings(rows, COUNT_OF(rows));
}

/* -- text ---------------------------------------------------------------------------------------------------------- */

static void lines_become_literal_block(void **state)
{
    (void)state;
    expect_yaml("{\"a\":\"one\\ntwo\"}", "a: |-\n  one\n  two\n");
    expect_yaml("{\"a\":\"one\\ntwo\\n\"}", "a: |\n  one\n  two\n");
    expect_yaml("{\"a\":\"one\\n\"}", "a: |\n  one\n");
    expect_yaml("{\"a\":\"one\\n\\n    # two: x\\n- three\"}", "a: |-\n  one\n\n      # two: x\n  - three\n");
    expect_yaml("[{\"a\":[\"- one\\ntwo\"]}]", "- a:\n    - |-\n      - one\n      two\n");
}

/* A block would change these: its first line sets the indent, and editors remove trailing blanks. */
static void lines_that_no_block_keeps_are_escaped(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"\"\\n\"", "\"\\n\""},
        {"\"\\none\"", "\"\\none\""},
        {"\" one\\ntwo\"", "\" one\\ntwo\""},
        {"\"one \\ntwo\"", "\"one \\ntwo\""},
        {"\"one\\ntwo \"", "\"one\\ntwo \""},
        {"\"one\\n\\n\"", "\"one\\n\\n\""},
        {"\"one\\n \\ntwo\"", "\"one\\n \\ntwo\""},
        {"\"one\\ttwo\\nthree\"", "\"one\\ttwo\\nthree\""},
        {"\"one\\r\\ntwo\"", "\"one\\u000d\\ntwo\""},
        {"\"one\\u007f\\ntwo\"", "\"one\\u007f\\ntwo\""},
        {"\"one\\u2028\\ntwo\"", "\"one\\u2028\\ntwo\""},
    };
    expect_strings(rows, COUNT_OF(rows));
}

#define TEN "123456789 "
#define FIFTY TEN TEN TEN TEN TEN
#define WORD_100 "1234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890"

static void long_line_is_folded(void **state)
{
    (void)state;
    expect_yaml("{\"a\":\"x" FIFTY FIFTY "end\"}", "a: >-\n  x" FIFTY TEN TEN TEN "123456789\n  123456789 end\n");
    expect_yaml("[\"# " FIFTY "- " FIFTY "end: x\"]",
                "- >-\n  # " FIFTY "- " TEN TEN TEN "123456789\n  123456789 end: x\n");
    /* a word that is longer than a line, first, and last */
    expect_yaml("{\"a\":\"" WORD_100 "x end\"}", "a: >-\n  " WORD_100 "x\n  end\n");
    expect_yaml("{\"a\":\"start " WORD_100 "\"}", "a: >-\n  start\n  " WORD_100 "\n");
}

/* Folding would join or drop blanks, or needs one. */
static void long_line_with_other_blanks_is_quoted(void **state)
{
    (void)state;
    expect_yaml("[\"" WORD_100 "x\"]", "- '" WORD_100 "x'\n");
    expect_yaml("[\"" FIFTY FIFTY " end\"]", "- '" FIFTY FIFTY " end'\n");
    expect_yaml("[\" " FIFTY FIFTY "end\"]", "- ' " FIFTY FIFTY "end'\n");
    expect_yaml("[\"" FIFTY FIFTY "\"]", "- '" FIFTY FIFTY "'\n"); /* 100 bytes, and ends with a blank */
    expect_yaml("[\"x" FIFTY FIFTY "\"]", "- 'x" FIFTY FIFTY "'\n");
    expect_yaml("[\"" FIFTY FIFTY "\\t\"]", "- \"" FIFTY FIFTY "\\t\"\n");
}

/* -- other scalars ------------------------------------------------------------------------------------------------- */

static void numbers_and_literals(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"0", "0"},
        {"-7", "-7"},
        {"9223372036854775807", "9223372036854775807"},
        {"-9223372036854775808", "-9223372036854775808"},
        {"0.1", "0.1"},
        {"1.0", "1.0"},
        {"-0.0", "-0.0"},
        {"1e2", "100.0"},
        {"1e22", "1.0e+22"}, /* YAML 1.1 requires the fraction */
        {"3.1e-5", "0.000031"},
        {"1.5e-9", "1.5e-09"},
        {"0.30000000000000004", "0.30000000000000004"},
        {"true", "true"},
        {"false", "false"},
        {"null", "null"},
    };
    expect_strings(rows, COUNT_OF(rows));
}

/* -- collections --------------------------------------------------------------------------------------------------- */

static void members_keep_their_order(void **state)
{
    (void)state;
    expect_yaml("{\"b\":1,\"a\":{\"d\":[1,2],\"c\":\"x\"},\"e\":null}", "b: 1\n"
                                                                        "a:\n"
                                                                        "  d:\n"
                                                                        "    - 1\n"
                                                                        "    - 2\n"
                                                                        "  c: x\n"
                                                                        "e: null\n");
}

static void keys_are_quoted_as_strings(void **state)
{
    (void)state;
    expect_yaml("{\"200\":1,\"\":2,\"no\":3,\"a: b\":4,\"/v1/files/{handle}\":5,\"a\\nb\":6,\"$ref\":7}",
                "'200': 1\n"
                "'': 2\n"
                "'no': 3\n"
                "'a: b': 4\n"
                "/v1/files/{handle}: 5\n"
                "\"a\\nb\": 6\n"
                "$ref: 7\n");
}

static void empty_collections(void **state)
{
    (void)state;
    expect_yaml("{}", "{}\n");
    expect_yaml("[]", "[]\n");
    expect_yaml("{\"a\":{},\"b\":[],\"c\":[{},[]]}", "a: {}\nb: []\nc:\n  - {}\n  - []\n");
}

static void nested_arrays(void **state)
{
    (void)state;
    expect_yaml("[[1,[2,[3],[]]],[{\"a\":[[4]],\"b\":5}]]", "- - 1\n"
                                                            "  - - 2\n"
                                                            "    - - 3\n"
                                                            "    - []\n"
                                                            "- - a:\n"
                                                            "      - - 4\n"
                                                            "    b: 5\n");
}

static void short_collections_are_on_one_line(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"{\"a\":{\"b\":1}}", "a: {b: 1}\n"},
        {"[[1,2,3],[{\"a\":null,\"b\":[]}]]", "- [1, 2, 3]\n- [{a: null, b: []}]\n"},
        {"{\"a\":[\"x, y\",\"[z]\",\"true\"]}", "a: ['x, y', '[z]', 'true']\n"},
        {"{\"a\":[\"it's {}\",\"it's\"]}", "a: ['it''s {}', it's]\n"},
        {"{\"a\":[\"one\\ntwo\"]}", "a: [\"one\\ntwo\"]\n"},
        {"{\"a\":[123456789012,345678901234,5678]}",
         "a: [123456789012, 345678901234, 5678]\n"}, /* a line of 37 bytes */
        {"{\"a\":[123456789012,345678901234,56789]}", "a:\n  - 123456789012\n  - 345678901234\n  - 56789\n"},
        {"{\"a\":{\"b\":[1],\"c\":\"12345678901234567890123456\"}}",
         "a:\n  b: [1]\n  c: '12345678901234567890123456'\n"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct json_writer w = {0};
        yaml_write_json(&w, str_from(rows[i][0]), 37);
        json_writer_bytes(&w, "", 1);
        assert_string_equal(w.data, rows[i][1]);
        json_writer_free(&w);
    }
}

static void oom_at_each_allocation(void **state)
{
    (void)state;
    unsigned long n = 0;
    bool failed;
    do {
        struct json_writer w = {0};
        alloc_fail_at(++n);
        yaml_write_json(&w,
                        STR("{\"a\":[1,\"" FIFTY FIFTY "end\",\"" FIFTY "\\n" FIFTY FIFTY FIFTY FIFTY
                            "\\nend\"],\"b\":\"" FIFTY FIFTY FIFTY FIFTY FIFTY "end\"}"),
                        0);
        failed = alloc_count() >= n;
        alloc_fail_at(0);
        assert_int_equal(w.failed, failed);
        json_writer_free(&w);
    } while (failed);
    assert_true(n > 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_and_sentences_are_plain),
        cmocka_unit_test(text_that_parsers_take_for_another_type_is_quoted),
        cmocka_unit_test(syntax_of_yaml_is_quoted),
        cmocka_unit_test(special_characters_are_escaped),
        cmocka_unit_test(lines_become_literal_block),
        cmocka_unit_test(lines_that_no_block_keeps_are_escaped),
        cmocka_unit_test(long_line_is_folded),
        cmocka_unit_test(long_line_with_other_blanks_is_quoted),
        cmocka_unit_test(numbers_and_literals),
        cmocka_unit_test(members_keep_their_order),
        cmocka_unit_test(keys_are_quoted_as_strings),
        cmocka_unit_test(empty_collections),
        cmocka_unit_test(nested_arrays),
        cmocka_unit_test(short_collections_are_on_one_line),
        cmocka_unit_test(oom_at_each_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

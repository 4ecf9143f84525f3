/* text_code - base64 both ways, strictly, and cuts between characters. */
#include "runtime/lib/base64.h"
#include "runtime/types/type.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void encodes_the_vectors_of_the_rfc(void **state)
{
    static const char *const vectors[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
        {"\xFF\xEF\xBE\xFB", "/+++"
                             "+w=="},
    };
    char out[16];
    size_t len;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(vectors); i++) {
        struct text plain = text_of(vectors[i][0]), coded = text_of(vectors[i][1]);
        assert_int_equal(base64_encoded_len(plain.len), coded.len);
        base64_encode(plain.at, plain.len, out);
        assert_memory_equal(out, coded.at, coded.len);
        assert_true(base64_decode(coded, out, &len));
        assert_int_equal(len, plain.len);
        assert_memory_equal(out, plain.at, plain.len);
        assert_true(len <= base64_decoded_most(coded));
    }
}

/* Every length up to a few groups, with every value of a byte in it. Memory of the exact size: a sanitizer sees more. */
static void gives_back_what_it_took(void **state)
{
    (void)state;
    for (size_t len = 0; len < 20; len++)
        for (unsigned byte = 0; byte < 256; byte++) {
            char *plain = malloc(len + 1), *coded = malloc(base64_encoded_len(len) + 1);
            for (size_t i = 0; i < len; i++)
                plain[i] = (char)(unsigned char)(byte * (i + 1) + i);
            base64_encode(plain, len, coded);
            struct text text = {coded, base64_encoded_len(len)};
            char *back = malloc(base64_decoded_most(text) + 1);
            size_t back_len;
            assert_true(base64_decode(text, back, &back_len));
            assert_int_equal(back_len, len);
            assert_memory_equal(back, plain, len);
            free(plain);
            free(coded);
            free(back);
        }
}

static void takes_only_one_text_for_each_sequence_of_bytes(void **state)
{
    static const char *const bad[] = {
        "Z",      "Zg",   "Zg=",   "Zg===",    "Zm9",      "Zm9v=", "=",       "==",      "====",
        "Z===",   "=Zg=", "Zg=a",  "Zm=v",     "Zg==Zg==", "Zh==",  "Zm9=", /* bits behind the last byte */
        "Zm9v\n", "Zm 9", " Zm9v", "Zm9v    ", "Zm-_",     "Zm9.",  "Zm9\x80", "Zm9\xFF", "Zm\n9"};
    char out[16];
    size_t len;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        if (base64_decode(text_of(bad[i]), out, &len))
            fail_msg("%s was taken for base64", bad[i]);
    assert_false(base64_decode(TEXT("Zm\0v"), out, &len));
}

static void cuts_between_characters(void **state)
{
    static const struct {
        const char *text;
        size_t most, cut;
    } cuts[] = {
        {"", 0, 0},
        {"", 5, 0},
        {"abc", 0, 0},
        {"abc", 2, 2},
        {"abc", 3, 3},
        {"abc", 9, 3},
        {"\xC3\xA4"
         "b",
         1, 2}, /* a-umlaut: one character in any case */
        {"\xC3\xA4"
         "b",
         2, 2},
        {"a\xC3\xA4"
         "b",
         2, 1},
        {"a\xE2\x82\xAC"
         "b",
         2, 1}, /* the euro */
        {"a\xE2\x82\xAC"
         "b",
         3, 1},
        {"a\xE2\x82\xAC"
         "b",
         4, 4},
        {"\xE2\x82\xAC"
         "b",
         1, 3},
        {"\xE2\x82\xAC"
         "b",
         2, 3},
        {"\xF0\x9F\x98\x80"
         "b",
         1, 4}, /* a face */
        {"\xF0\x9F\x98\x80"
         "b",
         3, 4},
        {"a\xF0\x9F\x98\x80"
         "b",
         2, 1},
        {"a\xF0\x9F\x98\x80"
         "b",
         4, 1},
        {"a\xF0\x9F\x98\x80"
         "b",
         5, 5},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cuts); i++)
        assert_int_equal(utf8_cut(text_of(cuts[i].text), cuts[i].most), cuts[i].cut);
}

/* Whatever the bytes are, the cut lies within them; and what is left of UTF-8 is UTF-8. */
static void cuts_anything_within_bounds(void **state)
{
    static const char mixed[] = "a\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80z";
    static const char broken[] = "\x80\x80\x80\x80\x80\xFF\xC3\xC3\xF0\x80";
    (void)state;
    for (size_t most = 1; most < sizeof mixed; most++) {
        size_t cut = utf8_cut(TEXT(mixed), most);
        assert_true(cut > 0 && cut <= most + 3 && cut < sizeof mixed);
        assert_true(text_is_utf8((struct text){mixed, cut}));
    }
    for (size_t len = 0; len < sizeof broken; len++)
        for (size_t most = 0; most < sizeof broken; most++) {
            char *exact = malloc(len + 1);
            memcpy(exact, broken, len);
            size_t cut = utf8_cut((struct text){exact, len}, most);
            assert_true(cut <= len && (cut > 0 || len == 0 || most == 0));
            free(exact);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encodes_the_vectors_of_the_rfc),
        cmocka_unit_test(gives_back_what_it_took),
        cmocka_unit_test(takes_only_one_text_for_each_sequence_of_bytes),
        cmocka_unit_test(cuts_between_characters),
        cmocka_unit_test(cuts_anything_within_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_base64 - encoding and strict decoding. */
#include "runtime/lib/base64.h"
#include "runtime/lib/util.h"
#include "runtime/types/type.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void rfc4648_test_vectors(void **state)
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
        struct str plain = str_from(vectors[i][0]), encoded = str_from(vectors[i][1]);
        assert_int_equal(base64_encoded_len(plain.len), encoded.len);
        base64_encode(plain.data, plain.len, out);
        assert_memory_equal(out, encoded.data, encoded.len);
        assert_true(base64_decode(encoded, out, &len));
        assert_int_equal(len, plain.len);
        assert_memory_equal(out, plain.data, plain.len);
        assert_true(len <= base64_decoded_max_len(encoded));
    }
}

/* All lengths up to a few groups, with every byte value. Buffers have the exact size, so that a sanitizer detects
 * writes beyond them. */
static void decode_inverts_encode(void **state)
{
    (void)state;
    for (size_t len = 0; len < 20; len++)
        for (unsigned byte = 0; byte < 256; byte++) {
            char *plain = malloc(len + 1), *encoded = malloc(base64_encoded_len(len) + 1);
            for (size_t i = 0; i < len; i++)
                plain[i] = (char)(unsigned char)(byte * (i + 1) + i);
            base64_encode(plain, len, encoded);
            struct str text = {encoded, base64_encoded_len(len)};
            char *decoded = malloc(base64_decoded_max_len(text) + 1);
            size_t decoded_len;
            assert_true(base64_decode(text, decoded, &decoded_len));
            assert_int_equal(decoded_len, len);
            assert_memory_equal(decoded, plain, len);
            free(plain);
            free(encoded);
            free(decoded);
        }
}

static void non_canonical_input_is_rejected(void **state)
{
    static const char *const invalid[] = {
        "Z",       "Zg",    "Zg=",          "Zg===",     "Zm9",      "Zm9v=",    "=",
        "==",      "====",  "Z===",         "=Zg=",      "Zg=a",     "Zm=v",     "Zg==Zg==",
        "Zh==",    "Zm9=", /* unused bits that are not zero */
        "Zm9v\n",  "Zm 9",  " Zm9v",        "Zm9v    ",  "Zm-_",     "Zm9.",     "Zm9\x80",
        "Zm9\xFF", "Zm\n9", "Zm9v    Zm9v", "Zg= =    ", "Zg  =  =", "\t\n\v\f", "Zm9v\r\n\r\n"};
    char out[16];
    size_t len;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(invalid); i++)
        if (base64_decode(str_from(invalid[i]), out, &len))
            fail_msg("%s was taken for base64", invalid[i]);
    assert_false(base64_decode(STR("Zm\0v"), out, &len));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc4648_test_vectors),
        cmocka_unit_test(decode_inverts_encode),
        cmocka_unit_test(non_canonical_input_is_rejected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_error - the error table and struct err. */
#include "runtime/lib/error.h"
#include "runtime/lib/str.h"
#include "runtime/lib/util.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct error_row {
    const char *name;
    const char *code;
    int rc;
    int status;
};
static const struct error_row rows[] = {
#define X(name, code, status, title, doc) {#name, code, ERR_##name, status},
    ERROR_TABLE(X)
#undef X
};

static void assert_capitalized_without_full_stop(const char *text)
{
    assert_true(strlen(text) > 0);
    assert_true(isupper((unsigned char)text[0]));
    assert_int_not_equal(text[strlen(text) - 1], '.');
}

static void every_error_has_code_status_and_texts(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        int rc = rows[i].rc;
        assert_true(rc < 0 && rc >= -ERROR_COUNT);
        assert_string_equal(error_code(rc), rows[i].code);
        assert_int_equal(error_status(rc), rows[i].status);
        assert_in_range(error_status(rc), 400, 599);
        assert_capitalized_without_full_stop(error_title(rc));
        assert_capitalized_without_full_stop(error_doc(rc));
    }
}

/* A code is its name in lower case, so that a search finds it in logs, JSON and source. */
static void error_code_is_lowercase_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        assert_int_equal(strlen(rows[i].code), strlen(rows[i].name));
        for (size_t c = 0; rows[i].name[c] != '\0'; c++)
            assert_int_equal(rows[i].code[c], tolower((unsigned char)rows[i].name[c]));
        for (size_t j = 0; j < i; j++) {
            assert_int_not_equal(rows[i].rc, rows[j].rc);
            assert_string_not_equal(rows[i].code, rows[j].code);
        }
    }
}

static void err_set_fills_struct_and_returns_code(void **state)
{
    (void)state;
    struct err e = {0};
    assert_int_equal(err_set(&e, ERR_INVALID, "%s is %d", "n", 3), ERR_INVALID);
    assert_int_equal(e.rc, ERR_INVALID);
    assert_string_equal(e.msg, "n is 3");
    assert_int_equal(err_set(NULL, ERR_INTERNAL, "%s", "ignored"), ERR_INTERNAL);

    char long_message[1000];
    memset(long_message, 'x', sizeof long_message - 1);
    long_message[sizeof long_message - 1] = '\0';
    assert_int_equal(err_set(&e, ERR_INTERNAL, "%s", long_message), ERR_INTERNAL);
    assert_int_equal(strlen(e.msg), sizeof e.msg - 1);
    assert_string_equal(e.msg + strlen(e.msg) - 3, "...");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_error_has_code_status_and_texts),
        cmocka_unit_test(error_code_is_lowercase_name),
        cmocka_unit_test(err_set_fills_struct_and_returns_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

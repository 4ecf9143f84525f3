/* test_error - the table of errors, and struct err. */
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
#define X(name, code, status, title) {#name, code, ERR_##name, status},
    ERROR_TABLE(X)
#undef X
};

static void each_error_has_a_code_a_title_and_a_status(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        int rc = rows[i].rc;
        assert_true(rc < 0 && rc >= -ERROR_COUNT);
        assert_string_equal(error_code(rc), rows[i].code);
        assert_int_equal(error_status(rc), rows[i].status);
        assert_in_range(error_status(rc), 400, 599);
        assert_true(strlen(error_title(rc)) > 0);
        assert_true(isupper((unsigned char)error_title(rc)[0]));
        assert_int_not_equal(error_title(rc)[strlen(error_title(rc)) - 1], '.');
    }
}

/* A code is the name in lower case, so that logs, JSON and source can be searched for the same word. */
static void codes_are_the_names(void **state)
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

static void err_set_fills_and_returns(void **state)
{
    (void)state;
    struct err e = {0};
    assert_int_equal(err_set(&e, ERR_INVALID, "%s is %d", "n", 3), ERR_INVALID);
    assert_int_equal(e.rc, ERR_INVALID);
    assert_string_equal(e.msg, "n is 3");
    assert_int_equal(err_set(NULL, ERR_INTERNAL, "%s", "nobody wants to know"), ERR_INTERNAL);

    char longer[1000];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    assert_int_equal(err_set(&e, ERR_INTERNAL, "%s", longer), ERR_INTERNAL);
    assert_int_equal(strlen(e.msg), sizeof e.msg - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_error_has_a_code_a_title_and_a_status),
        cmocka_unit_test(codes_are_the_names),
        cmocka_unit_test(err_set_fills_and_returns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

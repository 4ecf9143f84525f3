/* The head of a request: what is ambiguous in HTTP is refused, and whose pages may send requests. */
#include "runtime/lib/util.h"
#include "service/http/origin_check.h"
#include "service/http/request_head.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct line {
    const char *name, *value;
};

static struct head read_head(const char *version, const struct line *lines)
{
    struct head head;
    head_begin(&head, STR("POST"), str_from(version));
    for (; lines->name != NULL; lines++)
        head_field(&head, str_from(lines->name), str_from(lines->value));
    head_end(&head);
    return head;
}

#define HEAD(version, ...) read_head(version, (const struct line[]){__VA_ARGS__, {NULL, NULL}})
#define HOST \
    { \
        "Host", "127.0.0.1" \
    }

static void test_sound_heads(void **state)
{
    (void)state;
    struct head head =
        HEAD("HTTP/1.1", HOST, {"content-LENGTH", "12"}, {"X-Request-Id", "a"}, {"Expect", "100-Continue"});
    assert_null(head.malformed);
    assert_int_equal(head.content_length, 12);
    assert_true(head.expects_continue);
    assert_true(str_eq(head.request_id, "a"));
    head = HEAD("HTTP/1.1", HOST, {"Transfer-Encoding", "Chunked"});
    assert_null(head.malformed);
    assert_true(head.chunked);
    assert_int_equal(head.content_length, -1);
    head = HEAD("HTTP/1.0", {"X", "a\tb"}); /* HTTP/1.0 needs no Host */
    assert_null(head.malformed);
}

static void test_ambiguous_heads(void **state)
{
    (void)state;
    assert_non_null(HEAD("HTTP/1.1", {"X", ""}).malformed); /* no Host */
    assert_non_null(HEAD("HTTP/1.1", HOST, HOST).malformed);
    assert_non_null(HEAD("HTTP/1.1", HOST, {"Content-Length", "1"}, {"Content-Length", "1"}).malformed);
    assert_non_null(HEAD("HTTP/1.1", HOST, {"Content-Length", "1"}, {"Transfer-Encoding", "chunked"}).malformed);
    assert_non_null(
        HEAD("HTTP/1.1", HOST, {"Transfer-Encoding", "chunked"}, {"Transfer-Encoding", "chunked"}).malformed);
    assert_non_null(HEAD("HTTP/1.0", {"Transfer-Encoding", "chunked"}).malformed);
    static const char *const codings[] = {"gzip", "chunked, gzip", "gzip, chunked", "chunked,", "identity", ""};
    for (size_t i = 0; i < COUNT_OF(codings); i++)
        assert_non_null(HEAD("HTTP/1.1", HOST, {"Transfer-Encoding", codings[i]}).malformed);
    static const char *const lengths[] = {"", "-1", "+1", "1,1", "0x1", "1 ", "1e3"};
    for (size_t i = 0; i < COUNT_OF(lengths); i++)
        assert_non_null(HEAD("HTTP/1.1", HOST, {"Content-Length", lengths[i]}).malformed);
    static const char *const names[] = {"", "a b", "a\x01", "a\x7f", "a\xc3", "a:", "a(", "\"a"};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        assert_non_null(HEAD("HTTP/1.1", HOST, {names[i], "x"}).malformed);
    static const char *const values[] = {"a\nb", "a\rb", "a\x01", "\x7f"};
    for (size_t i = 0; i < COUNT_OF(values); i++)
        assert_non_null(HEAD("HTTP/1.1", HOST, {"X", values[i]}).malformed);
}

static void test_a_length_beyond_all_is_the_largest(void **state)
{
    (void)state;
    struct head head = HEAD("HTTP/1.1", HOST, {"Content-Length", "99999999999999999999999"});
    assert_null(head.malformed);
    assert_true(head.content_length == INT64_MAX);
}

static void expect_joined(const struct head_lines *lines, const char *wanted)
{
    struct arena *arena = arena_new();
    struct str joined;
    assert_non_null(arena);
    assert_true(head_join(lines, arena, &joined));
    if (wanted == NULL)
        assert_null(joined.at);
    else
        assert_true(str_eq(joined, wanted) && joined.at[joined.len] == '\0');
    arena_unref(arena);
}

/* Several lines of a list are one list. */
static void test_lists_in_lines(void **state)
{
    (void)state;
    struct head head =
        HEAD("HTTP/1.1", HOST, {"If-Match", "\"a\""}, {"if-none-match", "*"}, {"IF-MATCH", "\"b\", \"c\""});
    assert_null(head.malformed);
    expect_joined(&head.if_match, "\"a\", \"b\", \"c\"");
    expect_joined(&head.if_none_match, "*");
    head = HEAD("HTTP/1.1", HOST, {"If-Match", ""});
    expect_joined(&head.if_match, "");
    expect_joined(&head.if_none_match, NULL);
    struct line lines[HEAD_LINES + 3] = {HOST};
    for (int i = 1; i <= HEAD_LINES; i++)
        lines[i] = (struct line){"If-None-Match", "x"};
    head = read_head("HTTP/1.1", lines);
    assert_null(head.malformed);
    expect_joined(&head.if_none_match, "x, x, x, x, x, x, x, x");
    lines[HEAD_LINES + 1] = (struct line){"If-None-Match", "x"};
    assert_non_null(read_head("HTTP/1.1", lines).malformed);
    assert_true(HEAD("HTTP/1.1", HOST, {"Content-range", "bytes 0-1/2"}).has_content_range);
    assert_false(head.has_content_range);
}

static int guard(const char *host, const char *authority, const char *origin, const char *site)
{
    struct head head = {.host = str_from(host), .origin = str_from(origin), .fetch_site = str_from(site)};
    struct err e = {0};
    int rc = guard_check(&head, str_from(authority), STR("/v1/limits"), &e);
    assert_int_equal(rc, e.rc);
    return rc;
}

static void test_hosts(void **state)
{
    (void)state;
    static const char *const own[] = {"localhost", "LocalHost:8080", "127.0.0.1", "127.0.0.1:80",
                                      "10.1.2.3",  "[::1]:8080",     "[fe80::1]", "localhost:"};
    for (size_t i = 0; i < COUNT_OF(own); i++)
        assert_int_equal(guard(own[i], NULL, NULL, NULL), 0);
    static const char *const foreign[] = {"",
                                          "example.com",
                                          "localhost.example.com",
                                          "127.0.0.1.example.com",
                                          "localhost:80.example.com",
                                          "[::1",
                                          "[::1]x",
                                          "[::1].example.com",
                                          "::1",
                                          "[localhost",
                                          "1.2.3.4.",
                                          "localhost:x",
                                          "0x7f000001"};
    for (size_t i = 0; i < COUNT_OF(foreign); i++)
        assert_int_equal(guard(foreign[i], NULL, NULL, NULL), ERR_MISDIRECTED_REQUEST);
    assert_int_equal(guard(NULL, NULL, NULL, NULL), ERR_MISDIRECTED_REQUEST);
    assert_int_equal(guard("localhost", "example.com", NULL, NULL), ERR_MISDIRECTED_REQUEST); /* the target's counts */
    assert_int_equal(guard("example.com", "localhost:80", NULL, NULL), 0);
}

static void test_origins(void **state)
{
    (void)state;
    assert_int_equal(guard("localhost:8080", NULL, "http://localhost:8080", NULL), 0);
    assert_int_equal(guard("localhost:8080", NULL, "http://localhost:8081", NULL), ERR_CROSS_ORIGIN_REQUEST);
    assert_int_equal(guard("localhost:8080", NULL, "null", NULL), ERR_CROSS_ORIGIN_REQUEST);
    assert_int_equal(guard("localhost", NULL, NULL, "cross-site"), ERR_CROSS_ORIGIN_REQUEST);
    assert_int_equal(guard("localhost", NULL, NULL, "same-site"), ERR_CROSS_ORIGIN_REQUEST);
    assert_int_equal(guard("localhost", NULL, NULL, "same-origin"), 0);
    assert_int_equal(guard("localhost", NULL, NULL, "none"), 0);
}

static void test_probes_and_unix_sockets_are_exempt(void **state)
{
    (void)state;
    struct head head = {.host = STR("example.com"), .fetch_site = STR("cross-site")};
    assert_int_equal(guard_check(&head, str_from(NULL), STR("/livez"), NULL), 0);
    assert_int_equal(guard_check(&head, str_from(NULL), STR("/readyz"), NULL), 0);
    head = (struct head){.host = STR("gatherd"), .any_host = true};
    assert_int_equal(guard_check(&head, str_from(NULL), STR("/v1/limits"), NULL), 0);
}

/* Where any host will do, a page from elsewhere still won't. */
static void test_any_host_is_not_any_origin(void **state)
{
    (void)state;
    static const struct {
        const char *host, *origin, *site;
        int rc;
    } rows[] = {
        {"example.com", NULL, NULL, 0},
        {"example.com", "http://example.com", "same-origin", 0},
        {"example.com", "http://example.org", NULL, ERR_CROSS_ORIGIN_REQUEST},
        {"example.com", "null", NULL, ERR_CROSS_ORIGIN_REQUEST},
        {"example.com", NULL, "cross-site", ERR_CROSS_ORIGIN_REQUEST},
        {"example.com", "http://example.com", "same-site", ERR_CROSS_ORIGIN_REQUEST},
        {NULL, "http://example.com", NULL, ERR_CROSS_ORIGIN_REQUEST},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct head head = {.any_host = true,
                            .host = str_from(rows[i].host),
                            .origin = str_from(rows[i].origin),
                            .fetch_site = str_from(rows[i].site)};
        assert_int_equal(guard_check(&head, str_from(NULL), STR("/v1/limits"), NULL), rows[i].rc);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sound_heads),
        cmocka_unit_test(test_ambiguous_heads),
        cmocka_unit_test(test_a_length_beyond_all_is_the_largest),
        cmocka_unit_test(test_lists_in_lines),
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_origins),
        cmocka_unit_test(test_probes_and_unix_sockets_are_exempt),
        cmocka_unit_test(test_any_host_is_not_any_origin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The head of a request: what is ambiguous in HTTP is refused, and whose pages may send requests. */
#include "runtime/lib/util.h"
#include "service/http/origin_check.h"
#include "service/http/request_head.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct field_line {
    const char *name, *value;
};

static struct request_head parse_head(const char *version, const struct field_line *lines)
{
    struct request_head head;
    request_head_init(&head, STR("POST"), str_from(version));
    for (; lines->name != NULL; lines++)
        request_head_add_field(&head, str_from(lines->name), str_from(lines->value));
    request_head_validate(&head);
    return head;
}

#define PARSE_HEAD(version, ...) parse_head(version, (const struct field_line[]){__VA_ARGS__, {NULL, NULL}})
#define HOST_FIELD \
    { \
        "Host", "127.0.0.1" \
    }

static void valid_heads_are_accepted(void **state)
{
    (void)state;
    struct request_head head =
        PARSE_HEAD("HTTP/1.1", HOST_FIELD, {"content-LENGTH", "12"}, {"X-Request-Id", "a"}, {"Expect", "100-Continue"});
    assert_null(head.malformed);
    assert_int_equal(head.content_length, 12);
    assert_true(head.expects_continue);
    assert_true(str_eq(head.request_id, "a"));
    head = PARSE_HEAD("HTTP/1.1", HOST_FIELD, {"Transfer-Encoding", "Chunked"});
    assert_null(head.malformed);
    assert_true(head.chunked);
    assert_int_equal(head.content_length, -1);
    head = PARSE_HEAD("HTTP/1.0", {"X", "a\tb"}); /* HTTP/1.0 needs no Host */
    assert_null(head.malformed);
}

static void malformed_heads_are_rejected(void **state)
{
    (void)state;
    assert_non_null(PARSE_HEAD("HTTP/1.1", {"X", ""}).malformed); /* no Host */
    assert_non_null(PARSE_HEAD("HTTP/1.1", HOST_FIELD, HOST_FIELD).malformed);
    assert_non_null(PARSE_HEAD("HTTP/1.1", HOST_FIELD, {"Content-Length", "1"}, {"Content-Length", "1"}).malformed);
    assert_non_null(
        PARSE_HEAD("HTTP/1.1", HOST_FIELD, {"Content-Length", "1"}, {"Transfer-Encoding", "chunked"}).malformed);
    assert_non_null(
        PARSE_HEAD("HTTP/1.1", HOST_FIELD, {"Transfer-Encoding", "chunked"}, {"Transfer-Encoding", "chunked"})
            .malformed);
    assert_non_null(PARSE_HEAD("HTTP/1.0", {"Transfer-Encoding", "chunked"}).malformed);
    static const char *const codings[] = {"gzip", "chunked, gzip", "gzip, chunked", "chunked,", "identity", ""};
    for (size_t i = 0; i < COUNT_OF(codings); i++)
        assert_non_null(PARSE_HEAD("HTTP/1.1", HOST_FIELD, {"Transfer-Encoding", codings[i]}).malformed);
    static const char *const lengths[] = {"", "-1", "+1", "1,1", "0x1", "1 ", "1e3"};
    for (size_t i = 0; i < COUNT_OF(lengths); i++)
        assert_non_null(PARSE_HEAD("HTTP/1.1", HOST_FIELD, {"Content-Length", lengths[i]}).malformed);
    static const char *const names[] = {"", "a b", "a\x01", "a\x7f", "a\xc3", "a:", "a(", "\"a"};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        assert_non_null(PARSE_HEAD("HTTP/1.1", HOST_FIELD, {names[i], "x"}).malformed);
    static const char *const values[] = {"a\nb", "a\rb", "a\x01", "\x7f"};
    for (size_t i = 0; i < COUNT_OF(values); i++)
        assert_non_null(PARSE_HEAD("HTTP/1.1", HOST_FIELD, {"X", values[i]}).malformed);
}

static void oversized_content_length_saturates(void **state)
{
    (void)state;
    struct request_head head = PARSE_HEAD("HTTP/1.1", HOST_FIELD, {"Content-Length", "99999999999999999999999"});
    assert_null(head.malformed);
    assert_true(head.content_length == INT64_MAX);
}

static void assert_joined(const struct field_lines *lines, const char *expected)
{
    struct arena *arena = arena_new();
    struct str joined;
    assert_non_null(arena);
    assert_true(field_lines_join(lines, arena, &joined));
    if (expected == NULL)
        assert_null(joined.data);
    else
        assert_true(str_eq(joined, expected) && joined.data[joined.len] == '\0');
    arena_unref(arena);
}

/* Several lines of a list are one list. */
static void repeated_field_lines_are_joined(void **state)
{
    (void)state;
    struct request_head head =
        PARSE_HEAD("HTTP/1.1", HOST_FIELD, {"If-Match", "\"a\""}, {"if-none-match", "*"}, {"IF-MATCH", "\"b\", \"c\""});
    assert_null(head.malformed);
    assert_joined(&head.if_match, "\"a\", \"b\", \"c\"");
    assert_joined(&head.if_none_match, "*");
    head = PARSE_HEAD("HTTP/1.1", HOST_FIELD, {"If-Match", ""});
    assert_joined(&head.if_match, "");
    assert_joined(&head.if_none_match, NULL);
    struct field_line lines[MAX_FIELD_LINES + 3] = {HOST_FIELD};
    for (int i = 1; i <= MAX_FIELD_LINES; i++)
        lines[i] = (struct field_line){"If-None-Match", "x"};
    head = parse_head("HTTP/1.1", lines);
    assert_null(head.malformed);
    assert_joined(&head.if_none_match, "x, x, x, x, x, x, x, x");
    lines[MAX_FIELD_LINES + 1] = (struct field_line){"If-None-Match", "x"};
    assert_non_null(parse_head("HTTP/1.1", lines).malformed);
    assert_true(PARSE_HEAD("HTTP/1.1", HOST_FIELD, {"Content-range", "bytes 0-1/2"}).has_content_range);
    assert_false(head.has_content_range);
}

static int check_origin(const char *host, const char *authority, const char *origin, const char *site)
{
    struct request_head head = {.host = str_from(host), .origin = str_from(origin), .fetch_site = str_from(site)};
    struct err e = {0};
    int rc = origin_check(&head, str_from(authority), STR("/v1/limits"), &e);
    assert_int_equal(rc, e.rc);
    return rc;
}

static void foreign_hosts_are_rejected(void **state)
{
    (void)state;
    static const char *const local_hosts[] = {"localhost", "LocalHost:8080", "127.0.0.1", "127.0.0.1:80",
                                              "10.1.2.3",  "[::1]:8080",     "[fe80::1]", "localhost:"};
    for (size_t i = 0; i < COUNT_OF(local_hosts); i++)
        assert_int_equal(check_origin(local_hosts[i], NULL, NULL, NULL), 0);
    static const char *const foreign_hosts[] = {"",
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
    for (size_t i = 0; i < COUNT_OF(foreign_hosts); i++)
        assert_int_equal(check_origin(foreign_hosts[i], NULL, NULL, NULL), ERR_MISDIRECTED_REQUEST);
    assert_int_equal(check_origin(NULL, NULL, NULL, NULL), ERR_MISDIRECTED_REQUEST);
    assert_int_equal(check_origin("localhost", "example.com", NULL, NULL),
                     ERR_MISDIRECTED_REQUEST); /* the target's counts */
    assert_int_equal(check_origin("example.com", "localhost:80", NULL, NULL), 0);
}

static void cross_site_origins_are_rejected(void **state)
{
    (void)state;
    assert_int_equal(check_origin("localhost:8080", NULL, "http://localhost:8080", NULL), 0);
    assert_int_equal(check_origin("localhost:8080", NULL, "http://localhost:8081", NULL), ERR_CROSS_ORIGIN_REQUEST);
    assert_int_equal(check_origin("localhost:8080", NULL, "null", NULL), ERR_CROSS_ORIGIN_REQUEST);
    assert_int_equal(check_origin("localhost", NULL, NULL, "cross-site"), ERR_CROSS_ORIGIN_REQUEST);
    assert_int_equal(check_origin("localhost", NULL, NULL, "same-site"), ERR_CROSS_ORIGIN_REQUEST);
    assert_int_equal(check_origin("localhost", NULL, NULL, "same-origin"), 0);
    assert_int_equal(check_origin("localhost", NULL, NULL, "none"), 0);
}

static void health_checks_and_unix_sockets_skip_host_check(void **state)
{
    (void)state;
    struct request_head head = {.host = STR("example.com"), .fetch_site = STR("cross-site")};
    assert_int_equal(origin_check(&head, str_from(NULL), STR("/livez"), NULL), 0);
    assert_int_equal(origin_check(&head, str_from(NULL), STR("/readyz"), NULL), 0);
    head = (struct request_head){.host = STR("gatherd"), .skip_host_check = true};
    assert_int_equal(origin_check(&head, str_from(NULL), STR("/v1/limits"), NULL), 0);
}

/* Where any host will do, a page from elsewhere still won't. */
static void skip_host_check_does_not_skip_origin_check(void **state)
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
        struct request_head head = {.skip_host_check = true,
                                    .host = str_from(rows[i].host),
                                    .origin = str_from(rows[i].origin),
                                    .fetch_site = str_from(rows[i].site)};
        assert_int_equal(origin_check(&head, str_from(NULL), STR("/v1/limits"), NULL), rows[i].rc);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(valid_heads_are_accepted),
        cmocka_unit_test(malformed_heads_are_rejected),
        cmocka_unit_test(oversized_content_length_saturates),
        cmocka_unit_test(repeated_field_lines_are_joined),
        cmocka_unit_test(foreign_hosts_are_rejected),
        cmocka_unit_test(cross_site_origins_are_rejected),
        cmocka_unit_test(health_checks_and_unix_sockets_skip_host_check),
        cmocka_unit_test(skip_host_check_does_not_skip_origin_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

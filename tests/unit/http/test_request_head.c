/* test_request_head - request heads: parsing, the rejection of ambiguous heads, and origin checks. */
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

/* Sets *state to an arena for the test. */
static int setup_arena(void **state)
{
    *state = arena_new();
    return *state == NULL;
}

static int free_arena(void **state)
{
    arena_unref(*state);
    return 0;
}

static struct request_head parse_head(struct arena *arena, const char *target, const char *version,
                                      const struct field_line *lines)
{
    struct request_head head = {.request.arena = arena};
    assert_true(request_head_init(&head, target));
    request_head_set_line(&head, "POST", version);
    for (; lines->name != NULL; lines++)
        request_head_add_field(&head, str_from(lines->name), str_from(lines->value));
    request_head_validate(&head);
    assert_false(head.out_of_memory);
    return head;
}

#define PARSE_HEAD(version, ...) \
    parse_head(*state, "/", version, (const struct field_line[]){__VA_ARGS__, {NULL, NULL}})
#define HOST_FIELD \
    { \
        "Host", "127.0.0.1" \
    }

static void valid_heads_are_accepted(void **state)
{
    struct request_head head =
        PARSE_HEAD("HTTP/1.1", HOST_FIELD, {"content-LENGTH", "12"}, {"X-Request-Id", "a"}, {"Expect", "100-Continue"});
    assert_null(head.malformed);
    assert_int_equal(head.content_length, 12);
    assert_true(head.expects_continue);
    assert_true(str_eq(head.request.id, "a"));
    head = PARSE_HEAD("HTTP/1.1", HOST_FIELD, {"Transfer-Encoding", "Chunked"});
    assert_null(head.malformed);
    assert_true(head.chunked);
    assert_int_equal(head.content_length, -1);
    head = PARSE_HEAD("HTTP/1.0", {"X", "a\tb"}); /* HTTP/1.0 does not require Host */
    assert_null(head.malformed);
}

static void malformed_heads_are_rejected(void **state)
{
    assert_non_null(PARSE_HEAD("HTTP/1.1", {"X", ""}).malformed); /* HTTP/1.1 requires Host */
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
    struct request_head head = PARSE_HEAD("HTTP/1.1", HOST_FIELD, {"Content-Length", "99999999999999999999999"});
    assert_null(head.malformed);
    assert_true(head.content_length == INT64_MAX);
}

static void repeated_list_headers_are_joined(void **state)
{
    struct request_head head =
        PARSE_HEAD("HTTP/1.1", HOST_FIELD, {"If-Match", "\"a\""}, {"if-none-match", "*"}, {"IF-MATCH", "\"b\", \"c\""});
    assert_null(head.malformed);
    assert_string_equal(head.request.headers[HEADER_IF_MATCH].data, "\"a\", \"b\", \"c\"");
    assert_true(str_eq(head.request.headers[HEADER_IF_NONE_MATCH], "*"));
    head = PARSE_HEAD("HTTP/1.1", HOST_FIELD, {"If-Match", ""});
    assert_string_equal(head.request.headers[HEADER_IF_MATCH].data, "");
    assert_null(head.request.headers[HEADER_IF_NONE_MATCH].data);
    struct field_line lines[HEADER_LINES_MAX + 3] = {HOST_FIELD};
    for (int i = 1; i <= HEADER_LINES_MAX; i++)
        lines[i] = (struct field_line){"If-None-Match", "x"};
    head = parse_head(*state, "/", "HTTP/1.1", lines);
    assert_null(head.malformed);
    assert_true(str_eq(head.request.headers[HEADER_IF_NONE_MATCH], "x, x, x, x, x, x, x, x"));
    lines[HEADER_LINES_MAX + 1] = (struct field_line){"If-None-Match", "x"};
    assert_non_null(parse_head(*state, "/", "HTTP/1.1", lines).malformed);
}

static void last_line_of_other_headers_counts(void **state)
{
    struct request_head head =
        PARSE_HEAD("HTTP/1.1", HOST_FIELD, {"Content-Type", "a/b"}, {"content-type", "c/d"}, {"Content-range", ""});
    assert_null(head.malformed);
    assert_true(str_eq(head.request.headers[HEADER_CONTENT_TYPE], "c/d"));
    assert_non_null(head.request.headers[HEADER_CONTENT_RANGE].data);
    assert_null(head.request.headers[HEADER_IF_UNMODIFIED_SINCE].data);
}

static void targets_are_split(void **state)
{
    static const struct {
        const char *target, *authority, *path, *query;
    } cases[] = {
        {"/a/b", NULL, "/a/b", NULL},  {"/a?", NULL, "/a", ""},
        {"/a?b?c", NULL, "/a", "b?c"}, {"http://h:1/a?b", "h:1", "/a", "b"},
        {"http://h", "h", "/", NULL},  {"http://h?b", "h", "/", "b"},
        {"*", NULL, "*", NULL},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct request_head head =
            parse_head(*state, cases[i].target, "HTTP/1.1", (const struct field_line[]){HOST_FIELD, {NULL, NULL}});
        const struct request *request = &head.request;
        assert_true(cases[i].authority == NULL ? head.authority.data == NULL
                                               : str_eq(head.authority, cases[i].authority));
        assert_true(str_eq(request->path, cases[i].path));
        assert_true(cases[i].query == NULL ? request->query.data == NULL : str_eq(request->query, cases[i].query));
    }
}

static void invalid_request_ids_are_ignored(void **state)
{
    char longest[130];
    memset(longest, 'a', 128);
    longest[128] = '\0';
    struct request_head head = PARSE_HEAD("HTTP/1.1", HOST_FIELD, {"X-Request-Id", longest});
    assert_true(str_eq(head.request.id, longest));
    memcpy(longest + 128, "a", 2);
    const char *const ids[] = {"", "a b", "a,b", "\xc3\xa9", "a/b", longest};
    for (size_t i = 0; i < COUNT_OF(ids); i++)
        assert_null(PARSE_HEAD("HTTP/1.1", HOST_FIELD, {"X-Request-Id", ids[i]}).request.id.data);
}

static struct request_head make_head(const char *path, const char *host, const char *origin, const char *site)
{
    return (struct request_head){
        .request = {.path = str_from(path),
                    .headers = {[HEADER_HOST] = str_from(host),
                                [HEADER_ORIGIN] = str_from(origin),
                                [HEADER_SEC_FETCH_SITE] = str_from(site)}},
    };
}

static int check_origin(const char *host, const char *authority, const char *origin, const char *site)
{
    struct request_head head = make_head("/v1/limits", host, origin, site);
    struct err e = {0};
    head.authority = str_from(authority);
    int rc = origin_check(&head, &e);
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
    /* The host in the request target takes precedence. */
    assert_int_equal(check_origin("localhost", "example.com", NULL, NULL), ERR_MISDIRECTED_REQUEST);
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
    struct request_head head = make_head("/livez", "example.com", NULL, "cross-site");
    assert_int_equal(origin_check(&head, NULL), 0);
    head = make_head("/readyz", "example.com", NULL, "cross-site");
    assert_int_equal(origin_check(&head, NULL), 0);
    head = make_head("/v1/limits", "gatherd", NULL, NULL);
    head.skip_host_check = true;
    assert_int_equal(origin_check(&head, NULL), 0);
}

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
        struct request_head head = make_head("/v1/limits", rows[i].host, rows[i].origin, rows[i].site);
        head.skip_host_check = true;
        assert_int_equal(origin_check(&head, NULL), rows[i].rc);
    }
}

#define HEAD_TEST(f) cmocka_unit_test_setup_teardown(f, setup_arena, free_arena)

int main(void)
{
    const struct CMUnitTest tests[] = {
        HEAD_TEST(valid_heads_are_accepted),
        HEAD_TEST(malformed_heads_are_rejected),
        HEAD_TEST(oversized_content_length_saturates),
        HEAD_TEST(repeated_list_headers_are_joined),
        HEAD_TEST(last_line_of_other_headers_counts),
        HEAD_TEST(targets_are_split),
        HEAD_TEST(invalid_request_ids_are_ignored),
        cmocka_unit_test(foreign_hosts_are_rejected),
        cmocka_unit_test(cross_site_origins_are_rejected),
        cmocka_unit_test(health_checks_and_unix_sockets_skip_host_check),
        cmocka_unit_test(skip_host_check_does_not_skip_origin_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

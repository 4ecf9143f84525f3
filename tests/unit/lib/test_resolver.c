/* test_resolver - lookups of addresses and invalid names, and of localhost without /etc/hosts. */
#include "runtime/lib/resolver.h"

#include "tests/unit/support/file_root_fixture.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* The first address as text, or the error message. */
static const char *lookup_first(const char *host, int family, char text[INET6_ADDRSTRLEN])
{
    struct addrinfo hints = {.ai_family = family, .ai_socktype = SOCK_STREAM}, *result;
    int rc = resolver_lookup(host, "80", &hints, &result);
    if (rc != 0)
        return gai_strerror(rc);
    rc = getnameinfo(result->ai_addr, result->ai_addrlen, text, INET6_ADDRSTRLEN, NULL, 0, NI_NUMERICHOST);
    freeaddrinfo(result);
    assert_int_equal(rc, 0);
    return text;
}

static void localhost_resolves_without_hosts_file(void **state)
{
    (void)state;
    if (!tree_mask_file("/etc/hosts"))
        skip();
    char text[INET6_ADDRSTRLEN];
    assert_string_equal(lookup_first("localhost", AF_UNSPEC, text), "127.0.0.1");
    assert_string_equal(lookup_first("LocalHost", AF_INET, text), "127.0.0.1");
    assert_string_equal(lookup_first("localhost", AF_INET6, text), "::1");
}

static void only_localhost_resolves_to_loopback(void **state)
{
    (void)state;
    if (!tree_mask_file("/etc/hosts"))
        skip();
    static const char *const names[] = {"localhost.invalid", "localhos", "localhostx", "xlocalhost", "localhost "};
    char text[INET6_ADDRSTRLEN];
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        const char *result = lookup_first(names[i], AF_INET, text);
        assert_string_not_equal(result, "127.0.0.1");
        assert_ptr_not_equal(result, text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(localhost_resolves_without_hosts_file),
        cmocka_unit_test(only_localhost_resolves_to_loopback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "service/http/origin_check.h"

#include "service/http/request_head.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

/* The host of "host", "host:port" or "[v6]:port", without brackets. False when it is longer than any that is allowed, or no
 * such thing. */
static bool parse_host(struct str authority, char out[INET6_ADDRSTRLEN + 1])
{
    const char *start = authority.data;
    size_t len;
    if (authority.len > 0 && start[0] == '[') {
        start++;
        len = strcspn(start, "]");
    } else {
        len = strcspn(start, ":");
    }
    const char *rest = start + len;
    if (start != authority.data && *rest++ != ']')
        return false;
    if (*rest == ':')
        rest += 1 + strspn(rest + 1, "0123456789");
    if (*rest != '\0' || len > INET6_ADDRSTRLEN)
        return false;
    memcpy(out, start, len);
    out[len] = '\0';
    return true;
}

static bool host_is_local(struct str host)
{
    char name[INET6_ADDRSTRLEN + 1];
    unsigned char address[sizeof(struct in6_addr)];
    if (host.data == NULL || !parse_host(host, name))
        return false;
    return strcasecmp(name, "localhost") == 0 || inet_pton(AF_INET, name, address) == 1 ||
           inet_pton(AF_INET6, name, address) == 1;
}

static bool origin_matches_host(struct str origin, struct str host)
{
    const char *authority = strstr(origin.data, "://");
    return authority != NULL && host.data != NULL && strcasecmp(authority + 3, host.data) == 0;
}

int origin_check(const struct request_head *head, struct str authority, struct str path, struct err *e)
{
    struct str host = authority.data != NULL ? authority : head->host;
    if (str_eq(path, "/livez") || str_eq(path, "/readyz"))
        return 0;
    if (!head->skip_host_check && !host_is_local(host))
        return err_set(e, ERR_MISDIRECTED_REQUEST,
                       "The Host header must name an IP address or localhost, for this is a loopback address");
    if (head->fetch_site.data != NULL &&
        (str_eq(head->fetch_site, "cross-site") || str_eq(head->fetch_site, "same-site")))
        return err_set(e, ERR_CROSS_ORIGIN_REQUEST, "A browser sent this for a page from elsewhere (Sec-Fetch-Site)");
    if (head->origin.data != NULL && !origin_matches_host(head->origin, host))
        return err_set(e, ERR_CROSS_ORIGIN_REQUEST,
                       "The Origin header must name the same host and port as Host, or be absent");
    return 0;
}

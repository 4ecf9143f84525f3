#include "service/http/origin_check.h"

#include "service/http/request_head.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

/* Extracts the host of "host", "host:port" or "[v6]:port", without brackets. Returns false if the text is malformed, or
 * the host is longer than any allowed one. */
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

int origin_check(const struct request_head *head, struct err *e)
{
    const struct str *headers = head->request.headers;
    struct str host = head->authority.data != NULL ? head->authority : headers[HEADER_HOST];
    struct str site = headers[HEADER_SEC_FETCH_SITE], origin = headers[HEADER_ORIGIN];
    if (str_eq(head->request.path, "/livez") || str_eq(head->request.path, "/readyz"))
        return 0;
    if (!head->skip_host_check && !host_is_local(host))
        return err_set(e, ERR_MISDIRECTED_REQUEST, "On a loopback address, Host must be an IP address or localhost");
    if (site.data != NULL && (str_eq(site, "cross-site") || str_eq(site, "same-site")))
        return err_set(e, ERR_CROSS_ORIGIN_REQUEST,
                       "Sec-Fetch-Site says that a web page of another origin sent the request");
    if (origin.data != NULL && !origin_matches_host(origin, host))
        return err_set(e, ERR_CROSS_ORIGIN_REQUEST, "Origin must have the same host and port as Host, or be absent");
    return 0;
}

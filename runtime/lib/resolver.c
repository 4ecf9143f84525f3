#include "runtime/lib/resolver.h"

#include <strings.h>

int resolver_lookup(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **result)
{
    int rc = getaddrinfo(host, service, hints, result);
    if (rc == 0 || rc == EAI_MEMORY || strcasecmp(host, "localhost") != 0)
        return rc;
    return getaddrinfo(hints->ai_family == AF_INET6 ? "::1" : "127.0.0.1", service, hints, result);
}

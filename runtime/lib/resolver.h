/* resolver - resolves host names to addresses.
 *
 * Owns:     nothing.
 * Threads:  any; blocks on the network.
 */
#ifndef GATHERD_RUNTIME_LIB_RESOLVER_H
#define GATHERD_RUNTIME_LIB_RESOLVER_H

#include <netdb.h>

/* getaddrinfo(3), but localhost always resolves to the loopback address (RFC 6761 section 6.3), even without
 * /etc/hosts, as in minimal containers. Free the result with freeaddrinfo(3). */
int resolver_lookup(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **result);

#endif

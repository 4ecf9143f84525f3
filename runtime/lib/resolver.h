/* resolver - resolves host names to addresses.
 *
 * Owns:     nothing.
 * Threads:  any; blocks on the network.
 */
#ifndef GATHERD_RUNTIME_LIB_RESOLVER_H
#define GATHERD_RUNTIME_LIB_RESOLVER_H

#include <netdb.h>

/* As getaddrinfo(3), but localhost also resolves, to a loopback address (RFC 6761 section 6.3), in minimal containers
 * without /etc/hosts. Returns 0 or an EAI_ code. The caller frees *result with freeaddrinfo(3). */
int resolver_lookup(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **result);

#endif

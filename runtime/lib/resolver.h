/* resolver - the addresses of a host's name.
 *
 * Owns:     nothing.
 * Threads:  any; waits for the network.
 */
#ifndef GATHERD_RUNTIME_LIB_RESOLVER_H
#define GATHERD_RUNTIME_LIB_RESOLVER_H

#include <netdb.h>

/* getaddrinfo(3), to be freed by freeaddrinfo(3); but localhost is the loopback address (RFC 6761, 6.3) also where the
 * system has no file that says so, as in the smallest containers. */
int resolver_lookup(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **result);

#endif

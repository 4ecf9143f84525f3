/* origin_check - keeps other people's web pages out: which hosts and origins a request may name.
 *
 * A page from elsewhere can make a browser send requests to a loopback address (cross-site request forgery), or have its
 * own name resolve to one (DNS rebinding). Both are told by headers that a page can't forge.
 *
 * What a page sends is refused wherever it comes in. The host it names is looked at only where that says something: on a
 * loopback address. By a Unix socket no page gets in, and an address that others reach has names that we can't know.
 *
 * Owns:     nothing.
 * Threads:  any.
 */
#ifndef GATHERD_SERVICE_HTTP_ORIGIN_CHECK_H
#define GATHERD_SERVICE_HTTP_ORIGIN_CHECK_H

#include "runtime/lib/error.h"
#include "runtime/lib/str.h"

struct request_head;

/* `authority` is that of the target, where it has one, and then counts in place of Host. 0, or with *e filled:
 * ERR_MISDIRECTED_REQUEST when Host is neither an IP address nor localhost, unless head->skip_host_check; ERR_CROSS_ORIGIN_REQUEST when Origin isn't the Host (RFC 6454) or Sec-Fetch-Site says cross-site or
 * same-site. The probes /livez and /readyz are exempt. */
int origin_check(const struct request_head *head, struct str authority, struct str path, struct err *e);

#endif

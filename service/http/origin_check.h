/* origin_check - rejects cross-site requests: those that a web page of another origin makes a browser send.
 *
 * Such a page can send requests to a loopback address (cross-site request forgery), or let its own name resolve to
 * one (DNS rebinding). A page cannot forge the headers that reveal both: Origin, Sec-Fetch-Site and Host.
 *
 * Origin and Sec-Fetch-Site are checked on every listener, Host only on loopback addresses: browsers cannot connect
 * to a Unix socket, and the names of other addresses are not known.
 *
 * Owns:     nothing.
 * Threads:  any.
 */
#ifndef GATHERD_SERVICE_HTTP_ORIGIN_CHECK_H
#define GATHERD_SERVICE_HTTP_ORIGIN_CHECK_H

#include "runtime/lib/error.h"

struct request_head;

/* Returns 0, or with *e filled: ERR_MISDIRECTED_REQUEST if Host (or the authority of the target) is neither an IP
 * address nor localhost, unless head->skip_host_check; ERR_CROSS_ORIGIN_REQUEST if Origin differs from Host (RFC 6454),
 * or if Sec-Fetch-Site is cross-site or same-site. The probes /livez and /readyz are exempt. */
int origin_check(const struct request_head *head, struct err *e);

#endif

/* http_limits - the configured limits of the HTTP server, one per table row.
 *
 * Owns:     nothing; a plain value, constant after the start. The runtime's limits are in runtime/types/limits.h.
 */
#ifndef GATHERD_SERVICE_CONFIG_HTTP_LIMITS_H
#define GATHERD_SERVICE_CONFIG_HTTP_LIMITS_H

#include "runtime/types/type.h"

/* X(C type, member and option name, value type, default, description): as in LIMITS_TABLE (runtime/types/limits.h). */
#define HTTP_LIMITS_TABLE(X) \
    X(int64_t, max_connections, max_connections_type, "8192", \
      "Maximum number of open connections; further ones are rejected with 503") \
    X(int64_t, max_body_bytes, max_body_type, "1048576", \
      "Maximum size of a JSON body; a larger one is rejected with 413") \
    X(uint64_t, header_timeout_seconds, timeout_type, "10", \
      "Maximum time to receive the headers, from the end of the request line; for the first request, from the start " \
      "of the connection") \
    X(uint64_t, body_timeout_seconds, timeout_type, "30", \
      "Maximum time to receive a JSON body; for an upload, maximum time without progress") \
    X(uint64_t, idle_timeout_seconds, timeout_type, "60", "Maximum time between two requests on one connection")

struct http_limits {
#define X(c_type, member, ...) c_type member;
    HTTP_LIMITS_TABLE(X)
#undef X
};

extern const struct type http_limits_type;

#endif

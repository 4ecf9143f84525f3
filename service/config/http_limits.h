/* http_limits - what the service takes from the network at most, each limit a row of one table.
 *
 * Owns:     nothing; a plain value, constant after the start. The runtime's own limits are in runtime/types/limits.h.
 */
#ifndef GATHERD_SERVICE_CONFIG_HTTP_LIMITS_H
#define GATHERD_SERVICE_CONFIG_HTTP_LIMITS_H

#include "runtime/types/type.h"

struct http_limits {
    int64_t max_connections;
    int64_t max_body_bytes;
    uint64_t header_timeout_seconds; /* nanoseconds, as every TYPE_SECONDS */
    uint64_t body_timeout_seconds;   /* nanoseconds */
    uint64_t idle_timeout_seconds;   /* nanoseconds */
};

/* Rows of http_limits_type.fields, for errors that name a limit. */
enum http_limit_row {
    HTTP_LIMIT_CONNECTIONS,
    HTTP_LIMIT_BODY,
    HTTP_LIMIT_HEADER_TIMEOUT,
    HTTP_LIMIT_BODY_TIMEOUT,
    HTTP_LIMIT_IDLE_TIMEOUT,
    HTTP_LIMIT_COUNT
};

extern const struct field http_limits_fields[HTTP_LIMIT_COUNT + 1];
extern const struct type http_limits_type;

#endif

#include "service/config/http_limits.h"

#include "runtime/lib/util.h"

static const struct type max_connections_type = {.kind = TYPE_INTEGER, .min = 1, .max = 1000000};
static const struct type max_body_type = {.kind = TYPE_INTEGER, .min = 1024, .max = 64 * INT64_C(1048576)};
static const struct type timeout_type = {.kind = TYPE_SECONDS, .min = 1, .max = 3600 * (int64_t)NS_PER_SECOND};

const struct field http_limits_fields[HTTP_LIMIT_COUNT + 1] = {
    [HTTP_LIMIT_CONNECTIONS] = {"max_connections", &max_connections_type, offsetof(struct http_limits, max_connections),
                                FIELD_DEFAULTED, "8192", "Open connections at most; more are answered 503 and closed",
                                NULL},
    [HTTP_LIMIT_BODY] = {"max_body_bytes", &max_body_type, offsetof(struct http_limits, max_body_bytes),
                         FIELD_DEFAULTED, "1048576", "The largest JSON body in bytes; a larger one is refused with 413",
                         NULL},
    [HTTP_LIMIT_HEADER_TIMEOUT] =
        {"header_timeout_seconds", &timeout_type, offsetof(struct http_limits, header_timeout_seconds), FIELD_DEFAULTED,
         "10", "From the start of a connection, later from the request line, to the end of the headers at most", NULL},
    [HTTP_LIMIT_BODY_TIMEOUT] = {"body_timeout_seconds", &timeout_type,
                                 offsetof(struct http_limits, body_timeout_seconds), FIELD_DEFAULTED, "30",
                                 "From the end of the headers to the end of the body at most", NULL},
    [HTTP_LIMIT_IDLE_TIMEOUT] = {"idle_timeout_seconds", &timeout_type,
                                 offsetof(struct http_limits, idle_timeout_seconds), FIELD_DEFAULTED, "60",
                                 "How long a connection is kept open between two requests", NULL},
    [HTTP_LIMIT_COUNT] = {0},
};

const struct type http_limits_type = {
    .kind = TYPE_RECORD,
    .fields = http_limits_fields,
    .size = sizeof(struct http_limits),
};

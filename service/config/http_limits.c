#include "service/config/http_limits.h"

#include "runtime/lib/util.h"

static const struct type max_connections_type = {.kind = TYPE_INTEGER, .min = 1, .max = 1000000};
static const struct type max_body_type = {.kind = TYPE_INTEGER, .min = 1024, .max = 64 * INT64_C(1048576)};
static const struct type timeout_type = {.kind = TYPE_SECONDS, .min = 1, .max = 3600 * (int64_t)NS_PER_SECOND};

static const struct field http_limits_fields[] = {
#define X(c_type, member, type, default_text, doc) \
    {#member, &(type), offsetof(struct http_limits, member), FIELD_DEFAULTED, default_text, doc, NULL},
    HTTP_LIMITS_TABLE(X)
#undef X
        {0},
};

const struct type http_limits_type = {
    .kind = TYPE_RECORD, .fields = http_limits_fields, .size = sizeof(struct http_limits)};

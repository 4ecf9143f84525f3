#include "runtime/types/limits.h"

#define NS_PER_DAY INT64_C(86400000000000)

static const struct type limits_count_type = {.kind = TYPE_INTEGER, .min = 1, .max = 100000000};
static const struct type limits_queue_type = {.kind = TYPE_INTEGER, .min = 0, .max = 100000000};
static const struct type limits_depth_type = {.kind = TYPE_INTEGER, .min = 1, .max = 64};
static const struct type limits_duration_type = {.kind = TYPE_SECONDS, .min = 1, .max = 366 * NS_PER_DAY};

const struct field limits_fields[LIMIT_COUNT + 1] = {
#define X(index, c_type, member, type, default_text, doc) \
    [LIMIT_##index] = {#member, &(type), offsetof(struct limits, member), FIELD_DEFAULTED, default_text, doc, NULL},
    LIMITS_TABLE(X)
#undef X
        [LIMIT_COUNT] = {0},
};

const struct type limits_type = {.kind = TYPE_RECORD, .fields = limits_fields, .size = sizeof(struct limits)};

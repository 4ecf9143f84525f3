#include "handlers/json/field_types.h"

const struct type string_type = {.kind = TYPE_STRING, .max = INT64_MAX, .allow_nul = true};
const struct type text_type = {.kind = TYPE_STRING, .min = 1, .max = INT64_MAX, .allow_nul = true};
const struct type id_type = {.kind = TYPE_STRING, .max = INT64_MAX, .pattern = "^[0-9A-HJKMNP-TV-Z]{28}$"};
const struct type boolean_type = {.kind = TYPE_BOOLEAN};
const struct type count_type = {.kind = TYPE_INTEGER, .min = 0, .max = SAFE_INTEGER_MAX};
const struct type pid_type = {.kind = TYPE_INTEGER, .min = 1, .max = INT32_MAX};
const struct type seconds_type = {.kind = TYPE_SECONDS, .min = 0, .max = INT64_MAX};

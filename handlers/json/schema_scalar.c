#include "handlers/json/schema_internal.h"
#include "runtime/lib/check.h"

#include <stdio.h>
#include <string.h>

static void write_integer(struct schema_set *set, const struct type *type, bool nullable)
{
    int64_t max = type_max(type, set->limits);
    if (type->min < -SAFE_INTEGER_MAX || max > SAFE_INTEGER_MAX) { /* a larger one is a string of digits */
        json_writer_member_raw(set->w, "type",
                               nullable ? "[\"integer\",\"string\",\"null\"]" : "[\"integer\",\"string\"]");
        json_writer_member_string(set->w, "pattern", "^-?[0-9]+$");
    } else {
        schema_type_keyword(set, "integer", nullable);
    }
    json_writer_member_integer(set->w, "minimum", type->min);
    json_writer_member_integer(set->w, "maximum", max);
}

static void write_seconds(struct schema_set *set, const struct type *type, bool nullable)
{
    int64_t max = type_max(type, set->limits);
    schema_type_keyword(set, "number", nullable);
    if (type->min == 1) { /* 1 ns: smaller positive values are rounded up to it */
        json_writer_member_integer(set->w, "exclusiveMinimum", 0);
    } else {
        json_writer_member(set->w, "minimum");
        json_writer_seconds(set->w, (uint64_t)type->min);
    }
    if (max < INT64_MAX) {
        json_writer_member(set->w, "maximum");
        json_writer_seconds(set->w, (uint64_t)max);
    }
}

static void write_string(struct schema_set *set, const struct type *type, bool nullable)
{
    int64_t max = type_max(type, set->limits);
    schema_type_keyword(set, "string", nullable);
    if (type->pattern != NULL)
        json_writer_member_string(set->w, "pattern", type->pattern);
    else if (!type->allow_nul)
        json_writer_member_raw(set->w, "pattern", "\"^[^\\\\u0000]*$\"");
    if (type->min > 0)
        json_writer_member_integer(set->w, "minLength", type->min);
    if (max < INT64_MAX)
        json_writer_member_integer(set->w, "maxLength", max);
}

static void write_enum(struct schema_set *set, const char *const *names, bool nullable)
{
    schema_type_keyword(set, "string", nullable);
    json_writer_open_array(set->w, "enum");
    for (size_t i = 0; names[i] != NULL; i++)
        json_writer_item_string(set->w, names[i]);
    json_writer_raw(set->w, nullable ? ",null]" : "]");
}

static void write_function_names(struct schema_set *set, const struct type *type, bool nullable)
{
    const struct function *const *functions = type->functions != NULL ? type->functions : set->functions;
    schema_type_keyword(set, "string", nullable);
    json_writer_open_array(set->w, "enum");
    for (size_t i = 0; functions[i] != NULL; i++)
        json_writer_item_string(set->w, functions[i]->name);
    json_writer_raw(set->w, nullable ? ",null]" : "]");
}

static void write_pool_names(struct schema_set *set, bool nullable)
{
    const struct pool_config *pools = set->limits->pools.items;
    schema_type_keyword(set, "string", nullable);
    if (set->limits->pools.count == 0)
        return;
    json_writer_open_array(set->w, "enum");
    for (size_t i = 0; i < set->limits->pools.count; i++)
        json_writer_item_string(set->w, pools[i].name.data);
    json_writer_raw(set->w, nullable ? ",null]" : "]");
}

void schema_executors_name(unsigned executors, const char *suffix, char out[SCHEMA_NAME_SIZE])
{
    size_t len = 0;
    for (unsigned i = 0; i < EXECUTOR_COUNT; i++) {
        char name[SCHEMA_NAME_SIZE];
        if ((executors & EXECUTOR_BIT(i)) == 0)
            continue;
        schema_name(executor_names[i], "", name);
        len += (size_t)snprintf(out + len, SCHEMA_NAME_SIZE - len, "%s", name);
    }
    CHECK(snprintf(out + len, SCHEMA_NAME_SIZE - len, "%s", suffix) < (int)(SCHEMA_NAME_SIZE - len));
}

void schema_executor_names(struct schema_set *set, const struct function *function)
{
    const char *names[EXECUTOR_COUNT + 1] = {NULL};
    size_t count = 0;
    for (unsigned i = 0; i < EXECUTOR_COUNT; i++)
        if ((function->executors & EXECUTOR_BIT(i)) != 0)
            names[count++] = executor_names[i];
    write_enum(set, names, false);
}

static void write_executors(struct schema_set *set, const struct schema_definition *definition)
{
    json_writer_member_string(set->w, "description",
                              "The executor of the task, one of those that its function allows. Default: the "
                              "function's own, in `GET /v1/functions`.");
    schema_executor_names(set, definition->function);
}

void schema_executors(struct schema_set *set, const struct function *function)
{
    struct schema_definition definition = {.write = write_executors, .function = function, .is_shared = true};
    schema_executors_name(function->executors, "Executor", definition.name);
    schema_reference(set, &definition);
}

void schema_const(struct schema_set *set, const char *text)
{
    json_writer_member_raw(set->w, "type", "\"string\"");
    json_writer_member_string(set->w, "const", text);
}

/* Writes a default or an example, which a table has as input of type_parse(). */
void schema_literal(struct schema_set *set, const struct type *type, const char *text)
{
    if (type->kind == TYPE_BOOLEAN || type->kind == TYPE_INTEGER || type->kind == TYPE_SECONDS) {
        json_writer_raw(set->w, text);
    } else if (type->kind == TYPE_ARRAY) {
        json_writer_raw(set->w, "[");
        while (*text != '\0') {
            char item[128];
            size_t len = strcspn(text, ",");
            CHECK(len < sizeof item);
            memcpy(item, text, len);
            item[len] = '\0';
            json_writer_item(set->w);
            schema_literal(set, type->item, item);
            text += len + (text[len] == ',');
        }
        json_writer_raw(set->w, "]");
    } else {
        json_writer_string(set->w, str_from(text));
    }
}

void schema_scalar(struct schema_set *set, const struct type *type, bool nullable)
{
    switch (type->kind) {
    case TYPE_BOOLEAN:
        schema_type_keyword(set, "boolean", nullable);
        return;
    case TYPE_INTEGER:
        write_integer(set, type, nullable);
        return;
    case TYPE_SECONDS:
        write_seconds(set, type, nullable);
        return;
    case TYPE_ENUM:
        write_enum(set, type->names, nullable);
        return;
    case TYPE_STRING:
        write_string(set, type, nullable);
        return;
    case TYPE_TIME:
        schema_type_keyword(set, "string", nullable);
        json_writer_member_string(set->w, "format", "date-time");
        json_writer_member_string(set->w, "pattern",
                                  "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{6}Z$");
        return;
    case TYPE_FUNCTION:
        write_function_names(set, type, nullable);
        return;
    case TYPE_POOL:
        write_pool_names(set, nullable);
        return;
    case TYPE_INPUT:
    case TYPE_OUTPUT: /* of any function */
        schema_type_keyword(set, "object", nullable);
        json_writer_member_raw(set->w, "additionalProperties", "true");
        return;
    case TYPE_ARRAY:
    case TYPE_RECORD:
    case TYPE_REFERENCE:
    case TYPE_CHILD:
        break;
    }
    UNREACHABLE();
}

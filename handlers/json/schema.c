/* A record whose fields depend on a function (its input or output), or on an ENUM (its variants), is a union: one
 * definition for each alternative, and a discriminator that names them. */
#include "handlers/json/schema.h"

#include "runtime/lib/check.h"
#include "runtime/task/task_spec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void write_definition(struct schema_set *set, const struct schema_definition *definition);

/* -- keywords ----------------------------------------------------------------------------------------------------- */

static void type_keyword(struct schema_set *set, const char *kind, bool nullable)
{
    json_writer_member(set->w, "type");
    json_writer_format(set->w, nullable ? "[\"%s\",\"null\"]" : "\"%s\"", kind);
}

/* A sentence without its full stop, followed by the default. */
static void field_description(struct schema_set *set, const struct field *f)
{
    if (f->doc == NULL)
        return;
    char text[1024];
    int len = f->presence == FIELD_DEFAULTED
                  ? snprintf(text, sizeof text, "%s. Default: `%s`.", f->doc, f->default_text)
                  : snprintf(text, sizeof text, "%s.", f->doc);
    CHECK(len < (int)sizeof text);
    json_writer_member_string(set->w, "description", text);
}

/* -- definitions --------------------------------------------------------------------------------------------------- */

static void reference(struct schema_set *set, const char *name)
{
    json_writer_member(set->w, "$ref");
    json_writer_format(set->w, "\"%s%s\"", set->prefix, name);
}

static void add_definition(struct schema_set *set, const struct schema_definition *definition)
{
    for (size_t i = 0; i < set->count; i++) {
        const struct schema_definition *known = &set->definitions[i];
        if (strcmp(known->name, definition->name) != 0)
            continue;
        CHECK(known->write == definition->write && known->type == definition->type &&
              known->function == definition->function && known->user == definition->user);
        return;
    }
    if (set->count == set->capacity) {
        size_t capacity = set->capacity == 0 ? 64 : 2 * set->capacity;
        struct schema_definition *grown = realloc(set->definitions, capacity * sizeof *grown);
        if (grown == NULL) {
            set->w->failed = true;
            return;
        }
        set->definitions = grown;
        set->capacity = capacity;
    }
    set->definitions[set->count++] = *definition;
}

void schema_reference(struct schema_set *set, const struct schema_definition *definition)
{
    reference(set, definition->name);
    add_definition(set, definition);
}

void schema_function_name(const struct function *function, const char *suffix, char out[SCHEMA_NAME_SIZE])
{
    const char *prefix = function->schema_prefix == NULL ? "" : function->schema_prefix;
    size_t len = strlen(prefix);
    CHECK(len + strlen(function->name) + strlen(suffix) < SCHEMA_NAME_SIZE);
    memcpy(out, prefix, len);
    bool upper = true;
    for (const char *c = function->name; *c != '\0'; c++) {
        if (*c != '_')
            out[len++] = upper && *c >= 'a' && *c <= 'z' ? (char)(*c - 'a' + 'A') : *c;
        upper = *c == '_';
    }
    memcpy(out + len, suffix, strlen(suffix) + 1);
}

static void named_reference(struct schema_set *set, const struct type *type, const struct function *function,
                            const char *suffix)
{
    struct schema_definition definition = {.write = write_definition, .type = type};
    if (type->name != NULL) {
        snprintf(definition.name, sizeof definition.name, "%s", type->name);
    } else {
        definition.function = function;
        schema_function_name(function, suffix, definition.name);
    }
    schema_reference(set, &definition);
}

void schema_input_reference(struct schema_set *set, const struct function *function)
{
    named_reference(set, function->input, function, "Input");
}

void schema_result_reference(struct schema_set *set, const struct function *function)
{
    named_reference(set, function->output, function, "Result");
}

void schema_definitions(struct schema_set *set)
{
    for (size_t i = 0; i < set->count; i++) { /* writing one can add more */
        struct schema_definition definition = set->definitions[i];
        json_writer_open_object(set->w, definition.name);
        definition.write(set, &definition);
        json_writer_raw(set->w, "}");
    }
}

void schema_set_free(struct schema_set *set)
{
    free(set->definitions);
    set->definitions = NULL;
    set->count = set->capacity = 0;
}

/* -- scalars ------------------------------------------------------------------------------------------------------- */

static void write_integer(struct schema_set *set, const struct type *type, bool nullable)
{
    int64_t max = type_max(type, set->limits);
    if (type->min < -SAFE_INTEGER_MAX || max > SAFE_INTEGER_MAX) { /* a larger one is a string of digits */
        json_writer_member_raw(set->w, "type",
                               nullable ? "[\"integer\",\"string\",\"null\"]" : "[\"integer\",\"string\"]");
        json_writer_member_string(set->w, "pattern", "^-?[0-9]+$");
    } else {
        type_keyword(set, "integer", nullable);
    }
    json_writer_member_integer(set->w, "minimum", type->min);
    json_writer_member_integer(set->w, "maximum", max);
}

static void write_seconds(struct schema_set *set, const struct type *type, bool nullable)
{
    int64_t max = type_max(type, set->limits);
    type_keyword(set, "number", nullable);
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
    type_keyword(set, "string", nullable);
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
    type_keyword(set, "string", nullable);
    json_writer_open_array(set->w, "enum");
    for (size_t i = 0; names[i] != NULL; i++)
        json_writer_item_string(set->w, names[i]);
    json_writer_raw(set->w, nullable ? ",null]" : "]");
}

static void write_function_names(struct schema_set *set, const struct type *type, bool nullable)
{
    const struct function *const *functions = type->functions != NULL ? type->functions : set->functions;
    type_keyword(set, "string", nullable);
    json_writer_open_array(set->w, "enum");
    for (size_t i = 0; functions[i] != NULL; i++)
        json_writer_item_string(set->w, functions[i]->name);
    json_writer_raw(set->w, nullable ? ",null]" : "]");
}

static void write_pool_names(struct schema_set *set, bool nullable)
{
    const struct pool_config *pools = set->limits->pools.items;
    type_keyword(set, "string", nullable);
    if (set->limits->pools.count == 0)
        return;
    json_writer_open_array(set->w, "enum");
    for (size_t i = 0; i < set->limits->pools.count; i++)
        json_writer_item_string(set->w, pools[i].name.data);
    json_writer_raw(set->w, nullable ? ",null]" : "]");
}

static void write_executors(struct schema_set *set, unsigned executors)
{
    const char *names[EXECUTOR_COUNT + 1] = {NULL};
    size_t count = 0;
    for (unsigned i = 0; i < EXECUTOR_COUNT; i++)
        if ((executors & EXECUTOR_BIT(i)) != 0)
            names[count++] = executor_names[i];
    write_enum(set, names, false);
}

static void write_const(struct schema_set *set, const char *text)
{
    json_writer_member_raw(set->w, "type", "\"string\"");
    json_writer_member_string(set->w, "const", text);
}

/* Writes a default or an example, which a table has as input of type_parse(). */
static void write_literal(struct schema_set *set, const struct type *type, const char *text)
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
            write_literal(set, type->item, item);
            text += len + (text[len] == ',');
        }
        json_writer_raw(set->w, "]");
    } else {
        json_writer_string(set->w, str_from(text));
    }
}

/* -- unions -------------------------------------------------------------------------------------------------------- */

static const struct field *find_field(const struct type *record, enum type_kind kind)
{
    for (const struct field *f = record->fields; f->name != NULL; f++)
        if (f->type->kind == kind)
            return f;
    return NULL;
}

static bool is_input_array(const struct type *type)
{
    return type->kind == TYPE_ARRAY && type->item->kind == TYPE_INPUT;
}

static bool has_input(const struct type *record)
{
    for (const struct field *f = record->fields; f->name != NULL; f++)
        if (f->type->kind == TYPE_INPUT || is_input_array(f->type))
            return true;
    return false;
}

static bool is_function_union(const struct schema_set *set, const struct type *record)
{
    return has_input(record) ||
           (set->typed_results && find_field(record, TYPE_FUNCTION) != NULL && find_field(record, TYPE_OUTPUT) != NULL);
}

static bool has_other_fields(const struct type *record)
{
    for (const struct field *f = record->fields; f->name != NULL; f++)
        if (f->type->kind != TYPE_FUNCTION && f->type->kind != TYPE_OUTPUT)
            return true;
    return false;
}

/* -- objects ------------------------------------------------------------------------------------------------------- */

/* Whether tasks of this function can have the field. */
static bool field_applies(const struct field *f, const struct function *function)
{
    return function == NULL || task_option_applies(f, function);
}

static bool has_required(const struct type *record)
{
    if (record->variants != NULL)
        return true;
    for (const struct field *f = record->fields; f->name != NULL; f++)
        if (f->presence == FIELD_REQUIRED)
            return true;
    return false;
}

static bool is_required(const struct type *record, const struct field *f, const struct function *function)
{
    if (function != NULL && f->type->kind == TYPE_INPUT) /* an absent input is an empty one */
        return has_required(function->input);
    return f->presence == FIELD_REQUIRED || record->render_nulls;
}

/* `item` writes the items, instead of type->item. */
static void write_array(struct schema_set *set, const struct type *type, const struct function *function, bool nullable)
{
    int64_t max = type_max(type, set->limits);
    type_keyword(set, "array", nullable);
    if (type->min > 0)
        json_writer_member_integer(set->w, "minItems", type->min);
    if (max < INT64_MAX)
        json_writer_member_integer(set->w, "maxItems", max);
    json_writer_open_object(set->w, "items");
    if (function != NULL)
        schema_input_reference(set, function);
    else
        schema_type(set, type->item, false);
    json_writer_raw(set->w, "}");
}

/* Writes a field of `record`, or of the record's alternative for `function`. */
static void write_field(struct schema_set *set, const struct type *record, const struct field *f,
                        const struct function *function)
{
    bool nullable = record->render_nulls && f->presence == FIELD_OPTIONAL;
    json_writer_open_object(set->w, f->name);
    field_description(set, f);
    if (function != NULL && f->type->kind == TYPE_FUNCTION)
        write_const(set, function->name);
    else if (function != NULL && f->type->kind == TYPE_INPUT)
        schema_input_reference(set, function);
    else if (function != NULL && f->type->kind == TYPE_OUTPUT)
        schema_result_reference(set, function);
    else if (function != NULL && is_input_array(f->type))
        write_array(set, f->type, function, false);
    else if (function != NULL && f->type == &task_executor_type)
        write_executors(set, function->executors);
    else
        schema_type(set, f->type, nullable);
    if (f->example != NULL && f->type->kind != TYPE_FUNCTION && f->type->name == NULL) {
        json_writer_open_array(set->w, "examples");
        write_literal(set, f->type, f->example);
        json_writer_raw(set->w, "]");
    }
    json_writer_raw(set->w, "}");
}

void schema_members(struct schema_set *set, const struct type *record)
{
    for (const struct field *f = record->fields; f->name != NULL; f++)
        if (f->type->kind != TYPE_FUNCTION && f->type->kind != TYPE_OUTPUT)
            write_field(set, record, f, NULL);
}

static bool is_value(const struct rule *rule, const char *text)
{
    for (size_t i = 0; i < COUNT_OF(rule->values) && rule->values[i] != NULL; i++)
        if (text != NULL && strcmp(rule->values[i], text) == 0)
            return true;
    return false;
}

static const struct field *find_name(const struct type *record, const char *name)
{
    for (const struct field *f = record->fields; f->name != NULL; f++)
        if (strcmp(f->name, name) == 0)
            return f;
    UNREACHABLE();
}

/* "properties":{"mode":{"enum":[...]}} */
static void write_other(struct schema_set *set, const struct rule *rule)
{
    json_writer_open_object(set->w, "properties");
    json_writer_open_object(set->w, rule->other);
    json_writer_open_array(set->w, "enum");
    for (size_t i = 0; i < COUNT_OF(rule->values) && rule->values[i] != NULL; i++)
        json_writer_item_string(set->w, rule->values[i]);
    json_writer_raw(set->w, "]}}");
}

/* A rule as the members of a schema that applies if its key (rule_key()) is present. */
static void write_rule(struct schema_set *set, const struct type *record, const struct rule *rule)
{
    const struct field *field = find_name(record, rule->field), *other = find_name(record, rule->other);
    if (rule->kind == RULE_ONLY_WITH) {
        if (field->presence == FIELD_DEFAULTED) { /* its default is always valid */
            json_writer_open_object(set->w, "if");
            json_writer_open_object(set->w, "properties");
            json_writer_open_object(set->w, field->name);
            json_writer_member(set->w, "const");
            write_literal(set, field->type, field->default_text);
            json_writer_raw(set->w, "}}}");
            json_writer_open_object(set->w, "else");
        }
        write_other(set, rule);
        if (!is_value(rule, other->default_text)) {
            json_writer_open_array(set->w, "required");
            json_writer_item_string(set->w, other->name);
            json_writer_raw(set->w, "]");
        }
        if (field->presence == FIELD_DEFAULTED)
            json_writer_raw(set->w, "}");
        return;
    }
    CHECK(!is_value(rule, other->default_text));
    json_writer_open_object(set->w, "if");
    write_other(set, rule);
    json_writer_raw(set->w, "}");
    json_writer_open_object(set->w, "then");
    if (rule->kind == RULE_REQUIRED_WITH) {
        json_writer_open_array(set->w, "required");
        json_writer_item_string(set->w, field->name);
        json_writer_raw(set->w, "]}");
    } else {
        json_writer_open_object(set->w, "properties");
        json_writer_open_object(set->w, field->name);
        json_writer_member_raw(set->w, "minItems", "1");
        json_writer_raw(set->w, "}}}");
    }
}

static const char *rule_key(const struct rule *rule)
{
    return rule->kind == RULE_ONLY_WITH ? rule->field : rule->other;
}

/* Writes the rules of `record` with the key of `first`, unless an earlier rule has it too. */
static void write_rules_of_key(struct schema_set *set, const struct type *record, const struct rule *first)
{
    size_t count = 0;
    for (const struct rule *rule = record->rules; rule->kind != RULE_END; rule++) {
        if (strcmp(rule_key(rule), rule_key(first)) != 0)
            continue;
        if (rule < first)
            return;
        count++;
    }
    json_writer_open_object(set->w, rule_key(first));
    if (count == 1) {
        write_rule(set, record, first);
    } else {
        json_writer_open_array(set->w, "allOf");
        for (const struct rule *rule = first; rule->kind != RULE_END; rule++) {
            if (strcmp(rule_key(rule), rule_key(first)) != 0)
                continue;
            json_writer_item(set->w);
            json_writer_raw(set->w, "{");
            write_rule(set, record, rule);
            json_writer_raw(set->w, "}");
        }
        json_writer_raw(set->w, "]");
    }
    json_writer_raw(set->w, "}");
}

/* The option pool is only for the executor threads. */
static void write_pool_rule(struct schema_set *set, const struct field *pool, const struct function *function)
{
    json_writer_open_object(set->w, pool->name);
    json_writer_open_object(set->w, "properties");
    json_writer_open_object(set->w, "executor");
    write_const(set, executor_names[EXECUTOR_THREADS]);
    json_writer_raw(set->w, "}}");
    if (function->executor != EXECUTOR_THREADS)
        json_writer_member_raw(set->w, "required", "[\"executor\"]");
    json_writer_raw(set->w, "}");
}

static const struct field *find_pool(const struct type *record, const struct function *function)
{
    for (const struct field *f = record->fields; f->name != NULL && function != NULL; f++)
        if (f->type == &task_pool_type && field_applies(f, function))
            return f;
    return NULL;
}

static void write_rules(struct schema_set *set, const struct type *const *records, size_t count,
                        const struct function *function)
{
    bool any = false;
    for (size_t i = 0; i < count; i++)
        any = any || records[i]->rules != NULL || find_pool(records[i], function) != NULL;
    if (!any)
        return;
    json_writer_open_object(set->w, "dependentSchemas");
    for (size_t i = 0; i < count; i++) {
        for (const struct rule *rule = records[i]->rules; rule != NULL && rule->kind != RULE_END; rule++)
            write_rules_of_key(set, records[i], rule);
        const struct field *pool = find_pool(records[i], function);
        if (pool != NULL)
            write_pool_rule(set, pool, function);
    }
    json_writer_raw(set->w, "}");
}

static void write_required(struct schema_set *set, const struct type *const *records, size_t count,
                           const struct function *function)
{
    bool any = false;
    for (size_t i = 0; i < count; i++) {
        for (const struct field *f = records[i]->fields; f->name != NULL; f++) {
            if (!field_applies(f, function) || !is_required(records[i], f, function))
                continue;
            if (!any)
                json_writer_open_array(set->w, "required");
            any = true;
            json_writer_item_string(set->w, f->name);
        }
    }
    if (any)
        json_writer_raw(set->w, "]");
}

void schema_object(struct schema_set *set, const struct type *const *records, size_t count,
                   const struct function *function)
{
    type_keyword(set, "object", false);
    write_required(set, records, count, function);
    json_writer_open_object(set->w, "properties");
    for (size_t i = 0; i < count; i++)
        for (const struct field *f = records[i]->fields; f->name != NULL; f++)
            if (field_applies(f, function))
                write_field(set, records[i], f, function);
    json_writer_raw(set->w, "}");
    json_writer_member_raw(set->w, "additionalProperties", "false");
    write_rules(set, records, count, function);
}

/* -- the alternatives of a union ----------------------------------------------------------------------------------- */

void schema_open_object(struct schema_set *set, const struct type *record)
{
    bool any = false;
    type_keyword(set, "object", false);
    for (const struct field *f = record->fields; f->name != NULL; f++) {
        if (f->type->kind == TYPE_FUNCTION || f->type->kind == TYPE_OUTPUT || !is_required(record, f, NULL))
            continue;
        if (!any)
            json_writer_open_array(set->w, "required");
        any = true;
        json_writer_item_string(set->w, f->name);
    }
    if (any)
        json_writer_raw(set->w, "]");
    json_writer_open_object(set->w, "properties");
    schema_members(set, record);
    json_writer_raw(set->w, "}");
}

static void write_common_members(struct schema_set *set, const struct schema_definition *definition)
{
    char text[SCHEMA_NAME_SIZE + 64];
    snprintf(text, sizeof text, "The members of every %s, whatever its function.", definition->type->name);
    json_writer_member_string(set->w, "description", text);
    schema_open_object(set, definition->type);
}

static void write_function_alternative(struct schema_set *set, const struct schema_definition *definition)
{
    const struct type *record = definition->type;
    const struct function *function = definition->function;
    char text[SCHEMA_NAME_SIZE + 640];
    snprintf(text, sizeof text, "%s.", function->doc);
    json_writer_member_string(set->w, "description", text);
    if (has_input(record) || !has_other_fields(record)) {
        schema_object(set, &record, 1, function);
        return;
    }
    const struct field *name = find_field(record, TYPE_FUNCTION), *output = find_field(record, TYPE_OUTPUT);
    struct schema_definition base = {.write = write_common_members, .type = record};
    snprintf(base.name, sizeof base.name, "%sMembers", record->name);
    type_keyword(set, "object", false);
    json_writer_member_raw(set->w, "allOf", "[{");
    schema_reference(set, &base);
    json_writer_raw(set->w, "}]");
    json_writer_open_array(set->w, "required");
    json_writer_item_string(set->w, name->name);
    if (is_required(record, output, NULL))
        json_writer_item_string(set->w, output->name);
    json_writer_raw(set->w, "]");
    json_writer_open_object(set->w, "properties");
    write_field(set, record, name, function);
    write_field(set, record, output, function);
    json_writer_raw(set->w, "}");
    json_writer_member_raw(set->w, "unevaluatedProperties", "false");
}

static void write_variant(struct schema_set *set, const struct schema_definition *definition)
{
    const struct type *record = definition->type;
    const struct field *tag = record->fields;
    size_t i = (size_t)((const struct type *const *)definition->user - record->variants);
    const struct type *variant = record->variants[i];
    type_keyword(set, "object", false);
    json_writer_open_array(set->w, "required");
    json_writer_item_string(set->w, tag->name);
    for (const struct field *f = variant->fields; f->name != NULL; f++)
        if (is_required(variant, f, NULL))
            json_writer_item_string(set->w, f->name);
    json_writer_raw(set->w, "]");
    json_writer_open_object(set->w, "properties");
    json_writer_open_object(set->w, tag->name);
    field_description(set, tag);
    write_const(set, tag->type->names[i]);
    json_writer_raw(set->w, "}");
    schema_members(set, variant);
    json_writer_raw(set->w, "}");
    json_writer_member_raw(set->w, "additionalProperties", "false");
    write_rules(set, &variant, 1, NULL);
}

struct alternative {
    const char *value; /* of the discriminator */
    struct schema_definition definition;
};

static void write_union(struct schema_set *set, const char *property, const struct alternative *alternatives,
                        size_t count)
{
    json_writer_open_array(set->w, "oneOf");
    for (size_t i = 0; i < count; i++) {
        json_writer_item(set->w);
        json_writer_raw(set->w, "{");
        schema_reference(set, &alternatives[i].definition);
        json_writer_raw(set->w, "}");
    }
    json_writer_raw(set->w, "]");
    json_writer_open_object(set->w, "discriminator");
    json_writer_member_string(set->w, "propertyName", property);
    json_writer_open_object(set->w, "mapping");
    for (size_t i = 0; i < count; i++) {
        json_writer_member(set->w, alternatives[i].value);
        json_writer_format(set->w, "\"%s%s\"", set->prefix, alternatives[i].definition.name);
    }
    json_writer_raw(set->w, "}}");
}

static struct alternative *alternatives_new(struct schema_set *set, size_t count)
{
    struct alternative *alternatives = calloc(count, sizeof *alternatives);
    if (alternatives == NULL)
        set->w->failed = true;
    return alternatives;
}

static size_t function_count(const struct function *const *functions)
{
    size_t count = 0;
    while (functions[count] != NULL)
        count++;
    return count;
}

void schema_union(struct schema_set *set, const char *property, const struct function *const *functions,
                  struct schema_definition (*alternative)(const struct function *function))
{
    size_t count = function_count(functions);
    struct alternative *alternatives = alternatives_new(set, count);
    if (alternatives == NULL)
        return;
    for (size_t i = 0; i < count; i++)
        alternatives[i] = (struct alternative){functions[i]->name, alternative(functions[i])};
    write_union(set, property, alternatives, count);
    free(alternatives);
}

/* `name` is that of the union's definition. */
static void write_function_union(struct schema_set *set, const char *name, const struct type *record)
{
    const struct field *tag = find_field(record, TYPE_FUNCTION);
    const struct function *const *functions = tag->type->functions != NULL ? tag->type->functions : set->functions;
    size_t count = function_count(functions);
    struct alternative *alternatives = alternatives_new(set, count);
    if (alternatives == NULL)
        return;
    for (size_t i = 0; i < count; i++) {
        struct schema_definition *definition = &alternatives[i].definition;
        *definition =
            (struct schema_definition){.write = write_function_alternative, .type = record, .function = functions[i]};
        schema_function_name(functions[i], name, definition->name);
        alternatives[i].value = functions[i]->name;
    }
    write_union(set, tag->name, alternatives, count);
    free(alternatives);
}

static void write_variant_union(struct schema_set *set, const char *name, const struct type *record)
{
    const struct field *tag = record->fields;
    size_t count = 0;
    while (tag->type->names[count] != NULL)
        count++;
    struct alternative *alternatives = alternatives_new(set, count);
    if (alternatives == NULL)
        return;
    for (size_t i = 0; i < count; i++) {
        struct schema_definition *definition = &alternatives[i].definition;
        *definition = (struct schema_definition){.write = write_variant, .type = record, .user = &record->variants[i]};
        schema_function_name(&(struct function){.name = tag->type->names[i]}, name, definition->name);
        alternatives[i].value = tag->type->names[i];
    }
    write_union(set, tag->name, alternatives, count);
    free(alternatives);
}

/* -- types --------------------------------------------------------------------------------------------------------- */

/* A type without its name. */
static void write_anonymous(struct schema_set *set, const char *name, const struct type *type, bool nullable)
{
    switch (type->kind) {
    case TYPE_BOOLEAN:
        type_keyword(set, "boolean", nullable);
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
    case TYPE_POOL:
        write_pool_names(set, nullable);
        return;
    case TYPE_TIME:
        type_keyword(set, "string", nullable);
        json_writer_member_string(set->w, "format", "date-time");
        return;
    case TYPE_ARRAY:
        write_array(set, type, NULL, nullable);
        return;
    case TYPE_RECORD:
        if (type->variants != NULL)
            write_variant_union(set, name, type);
        else if (is_function_union(set, type))
            write_function_union(set, name, type);
        else
            schema_object(set, &type, 1, NULL);
        return;
    case TYPE_REFERENCE:
        schema_type(set, type->item, nullable);
        return;
    case TYPE_CHILD:
        schema_type(set, set->child, nullable);
        return;
    case TYPE_FUNCTION:
        write_function_names(set, type, nullable);
        return;
    case TYPE_INPUT:
    case TYPE_OUTPUT:
        type_keyword(set, "object", nullable);
        json_writer_member_raw(set->w, "additionalProperties", "true");
        return;
    }
    UNREACHABLE();
}

void schema_type(struct schema_set *set, const struct type *type, bool nullable)
{
    if (type->kind == TYPE_REFERENCE || type->kind == TYPE_CHILD) {
        schema_type(set, type->kind == TYPE_CHILD ? set->child : type->item, nullable);
    } else if (type->name == NULL) {
        write_anonymous(set, NULL, type, nullable);
    } else if (nullable) {
        json_writer_member_raw(set->w, "anyOf", "[{");
        named_reference(set, type, NULL, "");
        json_writer_raw(set->w, "},{\"type\":\"null\"}]");
    } else {
        named_reference(set, type, NULL, "");
    }
}

static void write_definition(struct schema_set *set, const struct schema_definition *definition)
{
    const struct type *type = definition->type;
    const struct function *function = definition->function; /* whose input or result it is */
    if (type->doc != NULL) {
        json_writer_member_string(set->w, "description", type->doc);
    } else if (function != NULL) {
        char text[SCHEMA_NAME_SIZE];
        snprintf(text, sizeof text, "The %s of `%s`.", type == function->input ? "input" : "result", function->name);
        json_writer_member_string(set->w, "description", text);
    }
    write_anonymous(set, definition->name, type, false);
    bool any = false;
    for (const struct function_example *example = function != NULL && type == function->output ? function->examples
                                                                                               : NULL;
         example != NULL && example->name != NULL; example++) {
        if (example->result == NULL)
            continue;
        if (!any)
            json_writer_open_array(set->w, "examples");
        any = true;
        json_writer_item(set->w);
        json_writer_raw(set->w, example->result);
    }
    if (any)
        json_writer_raw(set->w, "]");
}

/* A record whose fields depend on a function (it has its input or output) or on an ENUM (its variants) is a union: one
 * definition for each alternative, and a discriminator that names them. */
#include "handlers/json/schema_internal.h"
#include "runtime/lib/check.h"

#include <stdio.h>
#include <stdlib.h>

static const struct field *find_kind(const struct type *record, enum type_kind kind)
{
    for (const struct field *f = record->fields; f->name != NULL; f++)
        if (f->type->kind == kind)
            return f;
    return NULL;
}

bool schema_is_input_array(const struct type *type)
{
    return type->kind == TYPE_ARRAY && type->item->kind == TYPE_INPUT;
}

static bool has_input(const struct type *record)
{
    for (const struct field *f = record->fields; f->name != NULL; f++)
        if (f->type->kind == TYPE_INPUT || schema_is_input_array(f->type))
            return true;
    return false;
}

static bool has_typed_output(const struct schema_set *set, const struct type *record)
{
    return set->typed_results && find_kind(record, TYPE_FUNCTION) != NULL && find_kind(record, TYPE_OUTPUT) != NULL;
}

bool schema_is_union(const struct schema_set *set, const struct type *record)
{
    return record->variants != NULL || has_input(record) || has_typed_output(set, record);
}

/* -- alternatives -------------------------------------------------------------------------------------------------- */

/* Whether the record has fields besides its FUNCTION and OUTPUT. */
static bool has_other_fields(const struct type *record)
{
    for (const struct field *f = record->fields; f->name != NULL; f++)
        if (f->type->kind != TYPE_FUNCTION && f->type->kind != TYPE_OUTPUT)
            return true;
    return false;
}

static void write_common_members(struct schema_set *set, const struct schema_definition *definition)
{
    char text[SCHEMA_NAME_SIZE + 96];
    snprintf(text, sizeof text, "The members of every %s, whatever its function. A member without a value is absent.",
             definition->type->name);
    json_writer_member_string(set->w, "description", text);
    schema_open_object(set, definition->type);
}

/* The members of every alternative are a schema of their own, which each refers to. */
static void write_extended_members(struct schema_set *set, const struct type *record, const struct function *function)
{
    const struct field *name = find_kind(record, TYPE_FUNCTION), *output = find_kind(record, TYPE_OUTPUT);
    struct schema_definition base = {.write = write_common_members, .type = record};
    CHECK(snprintf(base.name, sizeof base.name, "%sMembers", record->name) < SCHEMA_NAME_SIZE);
    schema_type_keyword(set, "object", false);
    json_writer_member_raw(set->w, "allOf", "[{");
    schema_reference(set, &base);
    json_writer_raw(set->w, "}]");
    json_writer_open_array(set->w, "required");
    json_writer_item_string(set->w, name->name);
    if (schema_field_required(record, output, NULL))
        json_writer_item_string(set->w, output->name);
    json_writer_raw(set->w, "]");
    json_writer_open_object(set->w, "properties");
    schema_field(set, record, name, function);
    schema_field(set, record, output, function);
    json_writer_raw(set->w, "}");
    json_writer_member_raw(set->w, "unevaluatedProperties", "false");
}

static void write_function_alternative(struct schema_set *set, const struct schema_definition *definition)
{
    const struct type *record = definition->type;
    const struct function *function = definition->function;
    char text[1024];
    CHECK(snprintf(text, sizeof text, "%s of `%s`. %s.", record->name != NULL ? record->name : "Input", function->name,
                   function->doc) < (int)sizeof text);
    json_writer_member_string(set->w, "description", text);
    if (has_input(record) || !has_other_fields(record))
        schema_object(set, &record, 1, function);
    else
        write_extended_members(set, record, function);
}

static void write_variant(struct schema_set *set, const struct schema_definition *definition)
{
    const struct type *record = definition->type;
    const struct field *tag = record->fields;
    size_t i = (size_t)((const struct type *const *)definition->user - record->variants);
    const struct type *variant = record->variants[i];
    schema_type_keyword(set, "object", false);
    json_writer_open_array(set->w, "required");
    json_writer_item_string(set->w, tag->name);
    for (const struct field *f = variant->fields; f->name != NULL; f++)
        if (schema_field_required(variant, f, NULL))
            json_writer_item_string(set->w, f->name);
    json_writer_raw(set->w, "]");
    json_writer_open_object(set->w, "properties");
    json_writer_open_object(set->w, tag->name);
    schema_field_description(set, tag, NULL);
    schema_const(set, tag->type->names[i]);
    json_writer_raw(set->w, "}");
    schema_members(set, variant);
    json_writer_raw(set->w, "}");
    json_writer_member_raw(set->w, "additionalProperties", "false");
    schema_rules(set, &variant, 1, NULL);
}

/* -- unions -------------------------------------------------------------------------------------------------------- */

struct alternative {
    const char *value; /* of the discriminator; borrowed */
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

/* NULL: out of memory. */
static struct alternative *alternatives_new(struct schema_set *set, size_t count)
{
    struct alternative *alternatives = calloc(count + 1, sizeof *alternatives); /* + 1: never of 0 bytes */
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

static struct schema_definition function_alternative(const struct type *record, const char *name,
                                                     const struct function *function)
{
    struct schema_definition definition = {.write = write_function_alternative, .type = record, .function = function};
    schema_function_name(function, name, definition.name);
    return definition;
}

void schema_alternative_reference(struct schema_set *set, const struct type *record, const struct function *function)
{
    struct schema_definition definition = function_alternative(record, record->name, function);
    schema_reference(set, &definition);
}

static void write_function_union(struct schema_set *set, const char *name, const struct type *record)
{
    const struct field *tag = find_kind(record, TYPE_FUNCTION);
    const struct function *const *functions = tag->type->functions != NULL ? tag->type->functions : set->functions;
    size_t count = function_count(functions);
    struct alternative *alternatives = alternatives_new(set, count);
    if (alternatives == NULL)
        return;
    for (size_t i = 0; i < count; i++)
        alternatives[i] = (struct alternative){functions[i]->name, function_alternative(record, name, functions[i])};
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
        schema_name(tag->type->names[i], name, definition->name);
        alternatives[i].value = tag->type->names[i];
    }
    write_union(set, tag->name, alternatives, count);
    free(alternatives);
}

void schema_record_union(struct schema_set *set, const char *name, const struct type *record)
{
    CHECK(name != NULL); /* the alternatives are named after it */
    if (record->variants != NULL)
        write_variant_union(set, name, record);
    else
        write_function_union(set, name, record);
}

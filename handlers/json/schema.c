#include "handlers/json/schema.h"

#include "handlers/json/schema_internal.h"
#include "runtime/lib/check.h"
#include "runtime/task/task_spec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Kinds of definitions. */
static void write_named_type(struct schema_set *set, const struct schema_definition *definition);
static void write_input(struct schema_set *set, const struct schema_definition *definition);
static void write_result(struct schema_set *set, const struct schema_definition *definition);

void schema_type_keyword(struct schema_set *set, const char *kind, bool nullable)
{
    json_writer_member(set->w, "type");
    json_writer_format(set->w, nullable ? "[\"%s\",\"null\"]" : "\"%s\"", kind);
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
        CHECK(known->write == definition->write && known->type == definition->type && known->user == definition->user &&
              (known->function == definition->function || definition->is_shared));
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

void schema_name(const char *name, const char *suffix, char out[SCHEMA_NAME_SIZE])
{
    size_t len = 0;
    CHECK(strlen(name) + strlen(suffix) < SCHEMA_NAME_SIZE);
    bool upper = true;
    for (const char *c = name; *c != '\0'; c++) {
        if (*c != '_')
            out[len++] = upper && *c >= 'a' && *c <= 'z' ? (char)(*c - 'a' + 'A') : *c;
        upper = *c == '_';
    }
    memcpy(out + len, suffix, strlen(suffix) + 1);
}

void schema_function_name(const struct function *function, const char *suffix, char out[SCHEMA_NAME_SIZE])
{
    char name[SCHEMA_NAME_SIZE];
    const char *prefix = function->schema_prefix == NULL ? "" : function->schema_prefix;
    schema_name(function->name, suffix, name);
    CHECK(snprintf(out, SCHEMA_NAME_SIZE, "%s%s", prefix, name) < SCHEMA_NAME_SIZE);
}

static void type_reference(struct schema_set *set, const struct type *type)
{
    struct schema_definition definition = {.write = write_named_type, .type = type};
    CHECK(snprintf(definition.name, sizeof definition.name, "%s", type->name) < SCHEMA_NAME_SIZE);
    schema_reference(set, &definition);
}

void schema_input_reference(struct schema_set *set, const struct function *function)
{
    struct schema_definition definition = {.write = write_input, .type = function->input, .function = function};
    if (function->input->name != NULL) {
        type_reference(set, function->input);
        return;
    }
    schema_function_name(function, "Input", definition.name);
    schema_reference(set, &definition);
}

void schema_result_reference(struct schema_set *set, const struct function *function)
{
    struct schema_definition definition = {.write = write_result, .type = function->output, .function = function};
    if (function->output->name != NULL) {
        type_reference(set, function->output);
        return;
    }
    schema_function_name(function, "Result", definition.name);
    schema_reference(set, &definition);
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

/* -- fields -------------------------------------------------------------------------------------------------------- */

void schema_field_description(struct schema_set *set, const struct field *f, const struct function *function)
{
    bool has_doc = f->doc != NULL && (function == NULL || f->type->name == NULL || f->type->doc == NULL);
    bool has_default = f->presence == FIELD_DEFAULTED;
    char text[1024];
    int len = snprintf(text, sizeof text, "%s%s%s%s%s", has_doc ? f->doc : "", has_doc ? "." : "",
                       has_default ? has_doc ? " Default: `" : "Default: `" : "", has_default ? f->default_text : "",
                       has_default ? "`." : "");
    CHECK(len < (int)sizeof text);
    if (len > 0)
        json_writer_member_string(set->w, "description", text);
}

bool schema_field_applies(const struct field *f, const struct function *function)
{
    return function == NULL || task_option_applies(f, function);
}

bool schema_has_required(const struct type *record)
{
    if (record->variants != NULL)
        return true;
    for (const struct field *f = record->fields; f->name != NULL; f++)
        if (f->presence == FIELD_REQUIRED)
            return true;
    return false;
}

bool schema_field_required(const struct type *record, const struct field *f, const struct function *function)
{
    if (function != NULL && f->type->kind == TYPE_INPUT) /* an absent input counts as an empty object */
        return schema_has_required(function->input);
    return f->presence == FIELD_REQUIRED || record->render_nulls;
}

/* Not of the option executor of a function, which may not allow the executor of the example. */
static bool has_example(const struct field *f, const struct function *function)
{
    return f->example != NULL && f->type->kind != TYPE_FUNCTION && f->type->name == NULL &&
           (function == NULL || f->type != &task_executor_type);
}

static void write_array(struct schema_set *set, const struct type *type, const struct function *function, bool nullable)
{
    int64_t max = type_max(type, set->limits);
    schema_type_keyword(set, "array", nullable);
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

static void write_field_type(struct schema_set *set, const struct type *record, const struct field *f,
                             const struct function *function)
{
    const struct type *type = f->type;
    if (function != NULL && type->kind == TYPE_FUNCTION)
        schema_const(set, function->name);
    else if (function != NULL && type->kind == TYPE_INPUT)
        schema_input_reference(set, function);
    else if (function != NULL && type->kind == TYPE_OUTPUT)
        schema_result_reference(set, function);
    else if (function != NULL && schema_is_input_array(type))
        write_array(set, type, function, false);
    else if (function != NULL && type == &task_executor_type)
        schema_executors(set, function);
    else
        schema_type(set, type, record->render_nulls && f->presence == FIELD_OPTIONAL);
}

void schema_field(struct schema_set *set, const struct type *record, const struct field *f,
                  const struct function *function)
{
    json_writer_open_object(set->w, f->name);
    schema_field_description(set, f, function);
    write_field_type(set, record, f, function);
    if (has_example(f, function)) {
        json_writer_open_array(set->w, "examples");
        schema_literal(set, f->type, f->example);
        json_writer_raw(set->w, "]");
    }
    json_writer_raw(set->w, "}");
}

/* -- objects ------------------------------------------------------------------------------------------------------- */

/* Whether the field is the same for every function. */
static bool is_common(const struct field *f)
{
    return f->type->kind != TYPE_FUNCTION && f->type->kind != TYPE_OUTPUT;
}

/* An item of the array "required", which the first one opens. */
static void write_required_name(struct schema_set *set, bool *open, const char *name)
{
    if (!*open)
        json_writer_open_array(set->w, "required");
    *open = true;
    json_writer_item_string(set->w, name);
}

void schema_members(struct schema_set *set, const struct type *record)
{
    for (const struct field *f = record->fields; f->name != NULL; f++)
        if (is_common(f))
            schema_field(set, record, f, NULL);
}

void schema_object(struct schema_set *set, const struct type *const *records, size_t count,
                   const struct function *function)
{
    bool open = false;
    schema_type_keyword(set, "object", false);
    for (size_t i = 0; i < count; i++)
        for (const struct field *f = records[i]->fields; f->name != NULL; f++)
            if (schema_field_applies(f, function) && schema_field_required(records[i], f, function))
                write_required_name(set, &open, f->name);
    if (open)
        json_writer_raw(set->w, "]");
    json_writer_open_object(set->w, "properties");
    for (size_t i = 0; i < count; i++)
        for (const struct field *f = records[i]->fields; f->name != NULL; f++)
            if (schema_field_applies(f, function))
                schema_field(set, records[i], f, function);
    json_writer_raw(set->w, "}");
    json_writer_member_raw(set->w, "additionalProperties", "false");
    schema_rules(set, records, count, function);
}

void schema_open_object(struct schema_set *set, const struct type *record)
{
    bool open = false;
    schema_type_keyword(set, "object", false);
    for (const struct field *f = record->fields; f->name != NULL; f++)
        if (is_common(f) && schema_field_required(record, f, NULL))
            write_required_name(set, &open, f->name);
    if (open)
        json_writer_raw(set->w, "]");
    json_writer_open_object(set->w, "properties");
    schema_members(set, record);
    json_writer_raw(set->w, "}");
}

/* -- types --------------------------------------------------------------------------------------------------------- */

/* A type without its name. `name` is that of its definition, or NULL. */
static void write_anonymous(struct schema_set *set, const char *name, const struct type *type, bool nullable)
{
    if (type->kind == TYPE_ARRAY)
        write_array(set, type, NULL, nullable);
    else if (type->kind != TYPE_RECORD)
        schema_scalar(set, type, nullable);
    else if (schema_is_union(set, type))
        schema_record_union(set, name, type);
    else
        schema_object(set, &type, 1, NULL);
}

void schema_type(struct schema_set *set, const struct type *type, bool nullable)
{
    if (type->kind == TYPE_CHILD && set->parts_of != NULL) {
        schema_alternative_reference(set, set->child, set->parts_of);
        return;
    }
    while (type->kind == TYPE_REFERENCE || type->kind == TYPE_CHILD)
        type = type->kind == TYPE_CHILD ? set->child : type->item;
    bool any_of = nullable && (type->name != NULL || type->kind == TYPE_RECORD);
    if (any_of)
        json_writer_member_raw(set->w, "anyOf", "[{");
    if (type->name != NULL)
        type_reference(set, type);
    else
        write_anonymous(set, NULL, type, nullable && !any_of);
    if (any_of)
        json_writer_raw(set->w, "},{\"type\":\"null\"}]");
}

static void write_result_examples(struct schema_set *set, const struct function *function)
{
    bool open = false;
    for (const struct function_example *example = function->examples; example != NULL && example->name != NULL;
         example++) {
        if (example->result == NULL)
            continue;
        if (!open)
            json_writer_open_array(set->w, "examples");
        open = true;
        json_writer_item(set->w);
        json_writer_raw(set->w, example->result);
    }
    if (open)
        json_writer_raw(set->w, "]");
}

/* Its `doc`, or else the text. */
static void write_type_description(struct schema_set *set, const struct type *type, const char *text)
{
    if (type->doc != NULL || text != NULL)
        json_writer_member_string(set->w, "description", type->doc != NULL ? type->doc : text);
}

static void write_named_type(struct schema_set *set, const struct schema_definition *definition)
{
    write_type_description(set, definition->type, NULL);
    write_anonymous(set, definition->name, definition->type, false);
}

static void write_input(struct schema_set *set, const struct schema_definition *definition)
{
    char text[FUNCTION_NAME_SIZE + 32];
    snprintf(text, sizeof text, "The input of `%s`.", definition->function->name);
    write_type_description(set, definition->type, text);
    write_anonymous(set, definition->name, definition->type, false);
}

static void write_result(struct schema_set *set, const struct schema_definition *definition)
{
    char text[FUNCTION_NAME_SIZE + 32];
    snprintf(text, sizeof text, "The result of `%s`.", definition->function->name);
    write_type_description(set, definition->type, text);
    if (set->typed_results && definition->function->split != NULL)
        set->parts_of = definition->function;
    write_anonymous(set, definition->name, definition->type, false);
    set->parts_of = NULL;
    write_result_examples(set, definition->function);
}

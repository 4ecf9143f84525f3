#include "handlers/json/schema.h"

#include "runtime/lib/check.h"
#include "runtime/task/task_spec.h"

#include <string.h>

enum { DEFINITIONS_MAX = 64 }; /* named records in one schema: a limit for our type tables, not for clients */

struct schema_writer {
    struct json_writer *w;
    const struct limits *limits;
    const struct child_codec *child;
    const struct type *definitions[DEFINITIONS_MAX];
    size_t definition_count;
};

/* -- collecting definitions ---------------------------------------------------------------------- */

static bool is_input_array(const struct type *type)
{
    return type->kind == TYPE_ARRAY && type->item->kind == TYPE_INPUT;
}

/* Whether a record has an input or an array of inputs. Its schema then has one alternative per function. */
static bool has_input(const struct type *record)
{
    for (const struct field *f = record->fields; f->name != NULL; f++)
        if (f->type->kind == TYPE_INPUT || is_input_array(f->type))
            return true;
    return false;
}

static void collect_type(struct schema_writer *s, const struct type *type);

static void collect_fields(struct schema_writer *s, const struct type *record)
{
    for (const struct field *f = record->fields; f->name != NULL; f++)
        collect_type(s, f->type);
    if (has_input(record))
        for (const struct function *const *f = function_registry; *f != NULL; f++)
            collect_type(s, (*f)->input);
}

/* Each named record is visited once. Recursion ends, because a type can contain itself only through a named record. */
static void collect_type(struct schema_writer *s, const struct type *type)
{
    if (type->kind == TYPE_ARRAY || type->kind == TYPE_REFERENCE) {
        collect_type(s, type->item);
        return;
    }
    if (type->kind == TYPE_CHILD)
        type = s->child->type;
    if (type->kind != TYPE_RECORD)
        return;
    if (type->name != NULL) {
        for (size_t i = 0; i < s->definition_count; i++) {
            if (s->definitions[i] == type)
                return;
            CHECK(strcmp(s->definitions[i]->name, type->name) != 0);
        }
        CHECK(s->definition_count < DEFINITIONS_MAX);
        s->definitions[s->definition_count++] = type;
    }
    collect_fields(s, type);
}

/* -- writing: each function appends members to an open JSON object ---------------------------------- */

static void write_type(struct schema_writer *s, const struct type *type, bool nullable);

static void write_type_keyword(struct schema_writer *s, const char *kind, bool nullable)
{
    json_writer_format(s->w, nullable ? "\"type\":[\"%s\",\"null\"]" : "\"type\":\"%s\"", kind);
}

static void write_bound(struct schema_writer *s, const char *keyword, int64_t bound)
{
    json_writer_format(s->w, ",\"%s\":", keyword);
    json_writer_integer(s->w, bound);
}

static void write_integer(struct schema_writer *s, const struct type *type, bool nullable)
{
    int64_t max = type_max(type, s->limits);
    if (type->min < -SAFE_INTEGER_MAX || max > SAFE_INTEGER_MAX)
        json_writer_format(s->w, "\"type\":[\"integer\",\"string\"%s],\"pattern\":\"^-?[0-9]+$\"",
                           nullable ? ",\"null\"" : "");
    else
        write_type_keyword(s, "integer", nullable);
    write_bound(s, "minimum", type->min);
    write_bound(s, "maximum", max);
}

static void write_seconds(struct schema_writer *s, const struct type *type, bool nullable)
{
    int64_t max = type_max(type, s->limits);
    write_type_keyword(s, "number", nullable);
    if (type->min == 1) { /* 1 ns: smaller positive values are rounded up to it */
        write_bound(s, "exclusiveMinimum", 0);
    } else {
        json_writer_raw(s->w, ",\"minimum\":");
        json_writer_seconds(s->w, (uint64_t)type->min);
    }
    if (max < INT64_MAX) {
        json_writer_raw(s->w, ",\"maximum\":");
        json_writer_seconds(s->w, (uint64_t)max);
    }
}

static void write_string(struct schema_writer *s, const struct type *type, bool nullable)
{
    int64_t max = type_max(type, s->limits);
    write_type_keyword(s, "string", nullable);
    if (type->min > 0) /* JSON Schema counts characters of up to four bytes; .min counts bytes */
        write_bound(s, "minLength", type->min / 4 + (type->min % 4 != 0));
    if (max < INT64_MAX)
        write_bound(s, "maxLength", max);
}

static void write_enum(struct schema_writer *s, const char *const *names, bool nullable)
{
    write_type_keyword(s, "string", nullable);
    json_writer_raw(s->w, ",\"enum\":[");
    for (size_t i = 0; names[i] != NULL; i++) {
        json_writer_raw(s->w, i == 0 ? "" : ",");
        json_writer_string(s->w, str_from(names[i]));
    }
    json_writer_raw(s->w, nullable ? ",null]" : "]");
}

static void write_function_names(struct schema_writer *s, const struct type *type, bool nullable)
{
    if (type->names != NULL) {
        write_enum(s, type->names, nullable);
        return;
    }
    write_type_keyword(s, "string", nullable);
    json_writer_raw(s->w, ",\"enum\":[");
    for (size_t i = 0; function_registry[i] != NULL; i++) {
        json_writer_raw(s->w, i == 0 ? "" : ",");
        json_writer_string(s->w, str_from(function_registry[i]->name));
    }
    json_writer_raw(s->w, nullable ? ",null]" : "]");
}

/* `item` replaces type->item. */
static void write_array(struct schema_writer *s, const struct type *type, const struct type *item, bool nullable)
{
    int64_t max = type_max(type, s->limits);
    write_type_keyword(s, "array", nullable);
    json_writer_raw(s->w, ",\"items\":{");
    write_type(s, item, false);
    json_writer_raw(s->w, "}");
    if (type->min > 0)
        write_bound(s, "minItems", type->min);
    if (max < INT64_MAX)
        write_bound(s, "maxItems", max);
}

/* Writes a default or an example, which tables hold as text for type_parse(). */
static void write_literal(struct schema_writer *s, const struct type *type, const char *text)
{
    if (type->kind == TYPE_BOOLEAN || type->kind == TYPE_INTEGER || type->kind == TYPE_SECONDS) {
        json_writer_raw(s->w, text);
    } else if (type->kind == TYPE_ARRAY) {
        json_writer_raw(s->w, "[");
        while (*text != '\0') {
            char item[128];
            size_t len = strcspn(text, ",");
            CHECK(len < sizeof item);
            memcpy(item, text, len);
            item[len] = '\0';
            write_literal(s, type->item, item);
            text += len;
            if (*text == ',')
                json_writer_bytes(s->w, text++, 1);
        }
        json_writer_raw(s->w, "]");
    } else {
        json_writer_string(s->w, str_from(text));
    }
}

static bool has_required(const struct type *record)
{
    for (const struct field *f = record->fields; f->name != NULL; f++)
        if (f->presence == FIELD_REQUIRED)
            return true;
    return false;
}

/* Whether tasks of this function can have the field. */
static bool field_applies(const struct field *f, const struct function *function)
{
    return function == NULL || task_option_applies(f, function);
}

static void write_executors(struct schema_writer *s, unsigned executors)
{
    const char *names[EXECUTOR_COUNT + 1] = {NULL};
    size_t count = 0;
    for (unsigned i = 0; i < EXECUTOR_COUNT; i++)
        if ((executors & EXECUTOR_BIT(i)) != 0)
            names[count++] = executor_names[i];
    write_enum(s, names, false);
}

/* Writes a field of `record`, or of the record's alternative for `function`. */
static void schema_write_field(struct schema_writer *s, const struct type *record, const struct field *f,
                               const struct function *function)
{
    json_writer_string(s->w, str_from(f->name));
    json_writer_raw(s->w, ":{");
    if (function != NULL && f->type->kind == TYPE_FUNCTION) {
        json_writer_raw(s->w, "\"const\":");
        json_writer_string(s->w, str_from(function->name));
    } else if (function != NULL && f->type->kind == TYPE_INPUT) {
        write_type(s, function->input, false);
    } else if (function != NULL && is_input_array(f->type)) {
        write_array(s, f->type, function->input, false);
    } else if (function != NULL && f->type == &task_executor_type) {
        write_executors(s, function->executors);
    } else {
        write_type(s, f->type, record->render_nulls && f->presence == FIELD_OPTIONAL);
    }
    if (f->doc != NULL) {
        json_writer_raw(s->w, ",\"description\":");
        json_writer_string(s->w, str_from(f->doc));
    }
    if (f->presence == FIELD_DEFAULTED) {
        json_writer_raw(s->w, ",\"default\":");
        write_literal(s, f->type, f->default_text);
    }
    if (f->example != NULL && f->type->kind != TYPE_FUNCTION) {
        json_writer_raw(s->w, ",\"examples\":[");
        write_literal(s, f->type, f->example);
        json_writer_raw(s->w, "]");
    }
    json_writer_raw(s->w, "}");
}

static bool is_required(const struct type *record, const struct field *f, const struct function *function)
{
    if (function != NULL && f->type->kind == TYPE_INPUT) /* an absent input counts as an empty object */
        return has_required(function->input);
    return f->presence == FIELD_REQUIRED || record->render_nulls;
}

static void write_object(struct schema_writer *s, const struct type *record, const struct function *function,
                         bool nullable)
{
    write_type_keyword(s, "object", nullable);
    json_writer_raw(s->w, ",\"properties\":{");
    for (const struct field *f = record->fields; f->name != NULL; f++) {
        if (!field_applies(f, function))
            continue;
        json_writer_raw(s->w, f == record->fields ? "" : ",");
        schema_write_field(s, record, f, function);
    }
    json_writer_raw(s->w, "},\"required\":[");
    bool first = true;
    for (const struct field *f = record->fields; f->name != NULL; f++) {
        if (!is_required(record, f, function))
            continue;
        json_writer_raw(s->w, first ? "" : ",");
        json_writer_string(s->w, str_from(f->name));
        first = false;
    }
    json_writer_raw(s->w, "],\"additionalProperties\":false");
}

/* Writes the definition of a record. */
static void write_record(struct schema_writer *s, const struct type *record, bool nullable)
{
    if (!has_input(record)) {
        write_object(s, record, NULL, nullable);
        return;
    }
    json_writer_raw(s->w, "\"oneOf\":[");
    for (const struct function *const *f = function_registry; *f != NULL; f++) {
        json_writer_raw(s->w, f == function_registry ? "{\"title\":" : ",{\"title\":");
        json_writer_string(s->w, str_from((*f)->name));
        json_writer_raw(s->w, ",\"description\":");
        json_writer_string(s->w, str_from((*f)->doc));
        json_writer_raw(s->w, ",");
        write_object(s, record, *f, false);
        json_writer_raw(s->w, "}");
    }
    json_writer_raw(s->w, nullable ? ",{\"type\":\"null\"}]" : "]");
}

static void write_reference(struct schema_writer *s, const struct type *record, bool nullable)
{
    if (record->name == NULL)
        write_record(s, record, nullable);
    else
        json_writer_format(
            s->w, nullable ? "\"anyOf\":[{\"$ref\":\"#/$defs/%s\"},{\"type\":\"null\"}]" : "\"$ref\":\"#/$defs/%s\"",
            record->name);
}

static void write_type(struct schema_writer *s, const struct type *type, bool nullable)
{
    switch (type->kind) {
    case TYPE_BOOLEAN:
        write_type_keyword(s, "boolean", nullable);
        return;
    case TYPE_INTEGER:
        write_integer(s, type, nullable);
        return;
    case TYPE_SECONDS:
        write_seconds(s, type, nullable);
        return;
    case TYPE_ENUM:
        write_enum(s, type->names, nullable);
        return;
    case TYPE_STRING:
        write_string(s, type, nullable);
        return;
    case TYPE_POOL:
        write_type_keyword(s, "string", nullable);
        return;
    case TYPE_TIME:
        write_type_keyword(s, "string", nullable);
        json_writer_raw(s->w, ",\"format\":\"date-time\"");
        return;
    case TYPE_ARRAY:
        write_array(s, type, type->item, nullable);
        return;
    case TYPE_RECORD:
        write_reference(s, type, nullable);
        return;
    case TYPE_REFERENCE:
        write_reference(s, type->item, nullable);
        return;
    case TYPE_CHILD:
        write_reference(s, s->child->type, nullable);
        return;
    case TYPE_FUNCTION:
        write_function_names(s, type, nullable);
        return;
    case TYPE_INPUT:
    case TYPE_OUTPUT:
        write_type_keyword(s, "object", nullable);
        return;
    }
    UNREACHABLE();
}

void schema_write(struct json_writer *w, const struct type *type, const struct limits *limits,
                  const struct child_codec *child)
{
    struct schema_writer s = {.w = w, .limits = limits, .child = child};
    json_writer_raw(w, "{");
    if (type->kind == TYPE_RECORD) { /* the root needs a definition only if it contains itself */
        collect_fields(&s, type);
        write_record(&s, type, false);
    } else {
        collect_type(&s, type);
        write_type(&s, type, false);
    }
    for (size_t i = 0; i < s.definition_count; i++) {
        json_writer_raw(w, i == 0 ? ",\"$defs\":{" : ",");
        json_writer_string(w, str_from(s.definitions[i]->name));
        json_writer_raw(w, ":{");
        write_record(&s, s.definitions[i], false);
        json_writer_raw(w, "}");
    }
    json_writer_raw(w, s.definition_count > 0 ? "}}" : "}");
}

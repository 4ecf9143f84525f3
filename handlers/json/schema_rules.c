/* Each rule is a schema in "dependentSchemas", which applies if the member that is its key is present: the field that
 * the rule restricts (RULE_ONLY_WITH), or else the other field. Rules with the same key are joined by "allOf". */
#include "handlers/json/schema_internal.h"
#include "runtime/lib/check.h"
#include "runtime/task/task_spec.h"

#include <string.h>

/* Whether `value`, which may be NULL, is one of rule->values. */
static bool has_value(const struct rule *rule, const char *value)
{
    for (size_t i = 0; i < COUNT_OF(rule->values) && rule->values[i] != NULL; i++)
        if (value != NULL && strcmp(rule->values[i], value) == 0)
            return true;
    return false;
}

static const struct field *find_field(const struct type *record, const char *name)
{
    for (const struct field *f = record->fields; f->name != NULL; f++)
        if (strcmp(f->name, name) == 0)
            return f;
    UNREACHABLE();
}

/* The other field has one of the values, or is absent. */
static void write_other_values(struct schema_set *set, const struct rule *rule)
{
    json_writer_open_object(set->w, "properties");
    json_writer_open_object(set->w, rule->other);
    json_writer_open_array(set->w, "enum");
    for (size_t i = 0; i < COUNT_OF(rule->values) && rule->values[i] != NULL; i++)
        json_writer_item_string(set->w, rule->values[i]);
    json_writer_raw(set->w, "]}}");
}

static void write_required(struct schema_set *set, const struct field *f)
{
    json_writer_open_array(set->w, "required");
    json_writer_item_string(set->w, f->name);
    json_writer_raw(set->w, "]");
}

/* The field is present: the other one has one of the values, unless the field has its default, which is not a use. */
static void write_only_with(struct schema_set *set, const struct rule *rule, const struct field *field,
                            const struct field *other)
{
    bool has_default = field->presence == FIELD_DEFAULTED;
    if (has_default) {
        json_writer_open_object(set->w, "if");
        json_writer_open_object(set->w, "properties");
        json_writer_open_object(set->w, field->name);
        json_writer_member(set->w, "const");
        schema_literal(set, field->type, field->default_text);
        json_writer_raw(set->w, "}}}");
        json_writer_open_object(set->w, "else");
    }
    write_other_values(set, rule);
    if (!has_value(rule, other->default_text))
        write_required(set, other);
    if (has_default)
        json_writer_raw(set->w, "}");
}

/* The other field is present: if it has one of the values, the field is present, or has an item. */
static void write_needed_with(struct schema_set *set, const struct rule *rule, const struct field *field,
                              const struct field *other)
{
    CHECK(!has_value(rule, other->default_text)); /* the rule would apply without the other field, too */
    json_writer_open_object(set->w, "if");
    write_other_values(set, rule);
    json_writer_raw(set->w, "}");
    json_writer_open_object(set->w, "then");
    if (rule->kind == RULE_REQUIRED_WITH) {
        write_required(set, field);
        json_writer_open_object(set->w, "properties"); /* linters want each required member among these */
        json_writer_member_raw(set->w, field->name, "{}");
        json_writer_raw(set->w, "}");
    } else {
        json_writer_open_object(set->w, "properties");
        json_writer_open_object(set->w, field->name);
        json_writer_member_integer(set->w, "minItems", 1);
        json_writer_raw(set->w, "}}");
    }
    json_writer_raw(set->w, "}");
}

static void write_rule(struct schema_set *set, const struct type *record, const struct rule *rule)
{
    const struct field *field = find_field(record, rule->field), *other = find_field(record, rule->other);
    if (rule->kind == RULE_ONLY_WITH)
        write_only_with(set, rule, field, other);
    else
        write_needed_with(set, rule, field, other);
}

/* The member whose presence makes the rule's schema apply. */
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
    schema_const(set, executor_names[EXECUTOR_THREADS]);
    json_writer_raw(set->w, "}}");
    if (function->executor != EXECUTOR_THREADS)
        json_writer_member_raw(set->w, "required", "[\"executor\"]");
    json_writer_raw(set->w, "}");
}

static const struct field *find_pool(const struct type *record, const struct function *function)
{
    for (const struct field *f = record->fields; f->name != NULL && function != NULL; f++)
        if (f->type == &task_pool_type && schema_field_applies(f, function))
            return f;
    return NULL;
}

void schema_rules(struct schema_set *set, const struct type *const *records, size_t count,
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

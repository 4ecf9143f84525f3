#include "runtime/types/type_rules.h"

#include "runtime/lib/check.h"
#include "runtime/lib/util.h"
#include "runtime/types/type_parse.h"

#include <stdio.h>
#include <string.h>

static const struct field *find_field(const struct type *record, const char *name)
{
    const struct field *f = record->fields;
    while (f->name != NULL && strcmp(f->name, name) != 0)
        f++;
    CHECK(f->name != NULL);
    return f;
}

/* Whether a field with a default has another value. Only of kinds whose values can be compared as bytes. */
static bool differs_from_default(const struct field *f, const void *value)
{
    union {
        bool boolean;
        int ordinal;
        int64_t number;
        uint64_t ns;
    } default_value;
    CHECK(f->type->kind == TYPE_BOOLEAN || f->type->kind == TYPE_INTEGER || f->type->kind == TYPE_SECONDS ||
          f->type->kind == TYPE_ENUM);
    int rc = type_parse(f->type, str_from(f->default_text), NULL, NULL, &default_value, NULL);
    CHECK(rc == 0);
    return memcmp(value, &default_value, type_size(f->type)) != 0;
}

static bool is_used(const struct field *f, const void *value)
{
    return f->presence == FIELD_DEFAULTED ? differs_from_default(f, value) : !type_is_absent(f->type, value);
}

static bool has_value(const struct rule *rule, const char *name)
{
    for (size_t i = 0; i < COUNT_OF(rule->values) && rule->values[i] != NULL; i++)
        if (strcmp(rule->values[i], name) == 0)
            return true;
    return false;
}

static void join_values(const struct rule *rule, char *out, size_t size)
{
    size_t len = 0;
    out[0] = '\0';
    for (size_t i = 0; i < COUNT_OF(rule->values) && rule->values[i] != NULL && len < size; i++) {
        bool is_last = i + 1 == COUNT_OF(rule->values) || rule->values[i + 1] == NULL;
        const char *separator = i == 0 ? "" : is_last ? " or " : ", ";
        len += (size_t)snprintf(out + len, size - len, "%s%s", separator, rule->values[i]);
    }
}

/* Fills *check_error and returns false. `value` is the name of rule->other's value, or NULL if that is absent. */
static bool break_rule(const struct rule *rule, const char *value, struct check_error *check_error)
{
    char pointer[sizeof check_error->pointer], allowed[96];
    snprintf(pointer, sizeof pointer, "/%s", rule->field);
    join_values(rule, allowed, sizeof allowed);
    if (rule->kind == RULE_REQUIRED_WITH)
        check_error_set(check_error, pointer, "is required with %s %s", rule->other, value);
    else if (rule->kind == RULE_ITEMS_WITH)
        check_error_set(check_error, pointer, "must have at least 1 item with %s %s", rule->other, value);
    else if (value == NULL)
        check_error_set(check_error, pointer, "is valid only with %s %s", rule->other, allowed);
    else
        check_error_set(check_error, pointer, "is valid only with %s %s, not with %s", rule->other, allowed, value);
    check_error->rc = ERR_INVALID;
    return false;
}

static bool check_rule(const struct rule *rule, const struct type *record, const char *value,
                       struct check_error *check_error)
{
    const struct field *field = find_field(record, rule->field);
    const void *member = value + field->offset;
    bool matters = rule->kind == RULE_ONLY_WITH       ? is_used(field, member)
                   : rule->kind == RULE_REQUIRED_WITH ? type_is_absent(field->type, member)
                                                      : ((const struct array *)member)->count == 0;
    if (!matters)
        return true;
    const struct field *other = find_field(record, rule->other);
    int ordinal = *(const int *)(value + other->offset);
    const char *name = ordinal == ENUM_ABSENT ? NULL : other->type->names[ordinal];
    bool matches = name != NULL && has_value(rule, name);
    return matches == (rule->kind == RULE_ONLY_WITH) || break_rule(rule, name, check_error);
}

bool type_check_each_rule(const struct type *record, const void *value, struct check_error *check_error)
{
    for (const struct rule *rule = record->rules; rule->kind != RULE_END; rule++)
        if (!check_rule(rule, record, value, check_error))
            return false;
    return true;
}

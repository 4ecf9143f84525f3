#include "handlers/json/decode_internal.h"
#include "handlers/json/json_parse.h"
#include "runtime/lib/check.h"
#include "runtime/lib/util.h"
#include "runtime/task/function.h"
#include "runtime/types/type_rules.h"

#include <string.h>

enum { FIELDS_MAX = 64 }; /* of all records of one object: a limit for our type tables, not for clients */

/* Recursion is bounded by the types or, for a type that contains itself, by jansson's nesting limit (2048). */
static bool decode_value(struct decoder *d, const struct json_path *at, const struct type *type, json_t *json,
                         const struct function *function, unsigned depth, void *value);
static bool decode_object(struct decoder *d, const struct json_path *at, json_t *object,
                          const struct record_ref *records, size_t record_count, unsigned depth);
static bool decode_variant(struct decoder *d, const struct json_path *at, const struct type *type, json_t *object,
                           unsigned depth, void *value);

static bool decode_array(struct decoder *d, const struct json_path *at, const struct type *type, json_t *json,
                         const struct function *function, unsigned depth, struct array *value)
{
    struct array array = {.count = json_array_size(json)};
    struct err e;
    if (type_check(type, &array, d->limits, &e) != 0)
        return decode_value_error(d, at, type, &e);
    size_t item_size = type_size(type->item);
    char *item = array.items = arena_calloc(d->arena, array.count, item_size);
    if (item == NULL)
        return decode_out_of_memory(d);
    for (size_t i = 0; i < array.count; i++, item += item_size) {
        struct json_path child_path = {.parent = at, .index = i};
        if (!decode_value(d, &child_path, type->item, json_array_get(json, i), function, depth, item))
            return false;
    }
    *value = array;
    return true;
}

static size_t error_count(const struct decoder *d)
{
    return d->errors->count + d->errors->more;
}

static size_t field_count(const struct type *record)
{
    size_t count = 0;
    while (record->fields[count].name != NULL)
        count++;
    return count;
}

/* Sorts an object's members into `members`, which has one entry per field, record after record. */
static void match_members(struct decoder *d, const struct json_path *at, json_t *object,
                          const struct record_ref *records, size_t record_count, json_t **members)
{
    for (void *iter = json_object_iter(object); iter != NULL; iter = json_object_iter_next(object, iter)) {
        struct str name = {json_object_iter_key(iter), json_object_iter_key_len(iter)};
        json_t **slot = members, **found = NULL;
        for (size_t i = 0; i < record_count && found == NULL; i++)
            for (const struct field *f = records[i].type->fields; f->name != NULL; f++, slot++)
                if (str_eq(name, f->name))
                    found = slot;
        if (found != NULL)
            *found = json_object_iter_value(iter);
        else
            decode_unknown_name(d, &(struct json_path){.parent = at, .key = name}, records, record_count);
    }
}

/* An absent input is decoded as an empty object, so that errors name its required members. */
static bool decode_input(struct decoder *d, const struct json_path *at, json_t *json, const struct function *function,
                         unsigned depth, void **value)
{
    if (json != NULL && !json_is_object(json))
        return decode_type_error(d, at, "an object", json);
    void *input = arena_alloc(d->arena, function->input->size);
    if (input == NULL)
        return decode_out_of_memory(d);
    *value = input;
    struct record_ref record = {function->input, input, function};
    return decode_object(d, at, json, &record, 1, depth);
}

static bool needs_function(const struct type *type)
{
    return type->kind == TYPE_INPUT || (type->kind == TYPE_ARRAY && type->item->kind == TYPE_INPUT);
}

static bool decode_fields(struct decoder *d, const struct json_path *at, const struct record_ref *record,
                          json_t *const *members, unsigned depth)
{
    const struct function *function = NULL; /* named by an earlier field; NULL if that field is invalid */
    for (const struct field *f = record->type->fields; f->name != NULL; f++, members++) {
        struct json_path child_path = {.parent = at, .key = str_from(f->name)};
        char *value = (char *)record->value + f->offset;
        bool more = true;
        if (function == NULL && needs_function(f->type)) {
            continue; /* the function's name is invalid, which has been reported */
        } else if (*members != NULL || f->type->kind == TYPE_INPUT) {
            more = decode_value(d, &child_path, f->type, *members, function, depth, value);
        } else {
            more = decode_absent(d, &child_path, f, value);
        }
        if (!more)
            return false;
        if (f->type->kind == TYPE_FUNCTION)
            memcpy(&function, value, sizeof(void *));
    }
    return true;
}

static bool decode_record(struct decoder *d, const struct json_path *at, const struct record_ref *record,
                          json_t *const *members, unsigned depth)
{
    size_t errors_before = error_count(d);
    if (!decode_fields(d, at, record, members, depth))
        return false;
    struct check_error check_error;
    if (error_count(d) == errors_before && !type_check_rules(record->type, record->value, &check_error))
        decode_error(d, at, check_error.pointer, check_error.rc, NULL, "%s", check_error.detail);
    return true;
}

/* NULL for `object` counts as an empty object. `depth` is the number of enclosing gathers. */
static bool decode_object(struct decoder *d, const struct json_path *at, json_t *object,
                          const struct record_ref *records, size_t record_count, unsigned depth)
{
    size_t fields = 0;
    for (size_t i = 0; i < record_count; i++) {
        fields += field_count(records[i].type);
        if (records[i].function != NULL && records[i].function->children != NULL)
            depth++;
    }
    CHECK(fields <= FIELDS_MAX);
    if (depth > (uint64_t)d->limits->max_gather_depth) {
        const struct field *limit = &limits_fields[LIMIT_GATHER_DEPTH];
        decode_error(d, at, "", ERR_LIMIT_EXCEEDED, limit, "must not nest gathers more than %lld deep (%s)",
                     (long long)d->limits->max_gather_depth, limit->name);
        return true;
    }

    json_t *members[FIELDS_MAX] = {NULL};
    if (object != NULL)
        match_members(d, at, object, records, record_count, members);
    json_t *const *next = members;
    for (size_t i = 0; i < record_count; i++) {
        if (!decode_record(d, at, &records[i], next, depth))
            return false;
        next += field_count(records[i].type);
    }
    return true;
}

/* `function` is named by an earlier field of the same record; it determines the type of an INPUT. */
static bool decode_value(struct decoder *d, const struct json_path *at, const struct type *type, json_t *json,
                         const struct function *function, unsigned depth, void *value)
{
    if (type->kind == TYPE_INPUT)
        return decode_input(d, at, json, function, depth, value);
    if (type->kind == TYPE_ARRAY) {
        if (!json_is_array(json))
            return decode_type_error(d, at, "an array", json);
        return decode_array(d, at, type, json, function, depth, value);
    }
    if (type->kind == TYPE_RECORD) {
        if (!json_is_object(json))
            return decode_type_error(d, at, "an object", json);
        if (type->variants != NULL)
            return decode_variant(d, at, type, json, depth, value);
        struct record_ref record = {type, value, NULL};
        return decode_object(d, at, json, &record, 1, depth);
    }
    return decode_scalar(d, at, type, json, value);
}

/* The only field of `type` selects the variant, whose fields are members of the same object. If the selector is
 * missing or invalid, that is the only error. */
static bool decode_variant(struct decoder *d, const struct json_path *at, const struct type *type, json_t *object,
                           unsigned depth, void *value)
{
    const struct field *selector = type->fields;
    struct json_path selector_path = {.parent = at, .key = str_from(selector->name)};
    const json_t *member = json_object_get(object, selector->name);
    int *selected = (int *)(void *)((char *)value + selector->offset);
    if (member == NULL)
        return decode_absent(d, &selector_path, selector, selected);
    size_t errors_before = error_count(d);
    if (!decode_scalar(d, &selector_path, selector->type, member, selected))
        return false;
    if (error_count(d) != errors_before)
        return true;
    struct record_ref records[] = {{type, value, NULL}, {type->variants[*selected], value, NULL}};
    return decode_object(d, at, object, records, COUNT_OF(records), depth);
}

static bool is_blank(struct str body)
{
    for (size_t i = 0; i < body.len; i++)
        if (body.data[i] != ' ' && body.data[i] != '\t' && body.data[i] != '\r' && body.data[i] != '\n')
            return false;
    return true;
}

/* Adds the reason why jansson rejected the body. */
static void add_parse_error(const json_error_t *error, struct validation_errors *errors)
{
    const char *reason = str_is_utf8(str_from(error->text)) ? error->text : "invalid token";
    int rc = ERR_MALFORMED_JSON;
    switch ((int)json_error_code(error)) {
    case json_error_duplicate_key:
        rc = ERR_INVALID_ARGUMENT;
        reason = "duplicate member name";
        break;
    case json_error_null_byte_in_key:
        rc = ERR_INVALID;
        reason = "a member name must not contain a NUL";
        break;
    case json_error_invalid_utf8:
        reason = "invalid UTF-8";
        break;
    case json_error_stack_overflow: /* valid JSON */
        rc = ERR_INVALID_ARGUMENT;
        reason = "nested too deeply";
        break;
    case json_error_numeric_overflow:
        reason = "number out of range: integers have 64 bits, other numbers are doubles";
        break;
    case json_error_end_of_input_expected:
        reason = "unexpected data after the JSON document";
        break;
    default:
        if (strcmp(reason, "string or '}' expected near '}'") == 0)
            reason = "expected a member name in double quotes (no comma is allowed before '}')";
        break;
    }
    validation_errors_add(errors, rc, NULL, "", "line %d, column %d: %s", error->line, error->column, reason);
}

int decode_body(struct str body, const struct record_ref *records, size_t record_count, struct arena *arena,
                const struct decode_context *context, struct validation_errors *errors)
{
    validation_errors_init(errors);
    struct decoder d = {.arena = arena, .limits = context->limits, .registry = context->registry, .errors = errors};
    for (size_t i = 0; i < record_count; i++)
        if (records[i].type->size > 0) /* a record without fields may have no address */
            memset(records[i].value, 0, records[i].type->size);
    if (is_blank(body)) {
        validation_errors_add(errors, ERR_MALFORMED_JSON, NULL, "", "the JSON document is empty; it must be an object");
        return errors->rc;
    }

    struct arena *tree_arena = arena_new(); /* freed with the tree on return; values are copied */
    json_t *json;
    json_error_t error;
    if (tree_arena == NULL || !json_parse(body, tree_arena, &json, &error))
        decode_out_of_memory(&d);
    else if (json == NULL)
        add_parse_error(&error, errors);
    else if (!json_is_object(json))
        decode_type_error(&d, &(struct json_path){0}, "an object", json);
    else
        decode_object(&d, &(struct json_path){0}, json, records, record_count, 0);
    arena_unref(tree_arena);
    return errors->rc;
}

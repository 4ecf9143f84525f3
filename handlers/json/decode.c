#include "handlers/json/decode_internal.h"
#include "handlers/json/json_parse.h"
#include "runtime/lib/check.h"
#include "runtime/task/function.h"
#include "runtime/types/type_parse.h"

#include <string.h>

enum { FIELDS_MOST = 64 }; /* of all parts of one object: our own tables, not the world's */

/* Recursion in here ends where the types end; a type that contains itself ends where jansson's nesting does (2048). */
static bool decode_value(struct decoder *d, const struct place *at, const struct type *type, json_t *json,
                         const struct function *function, unsigned depth, void *value);
static bool decode_object(struct decoder *d, const struct place *at, json_t *object, const struct record_ref *parts,
                          size_t part_count, unsigned depth);

static bool decode_list(struct decoder *d, const struct place *at, const struct type *type, json_t *json,
                        const struct function *function, unsigned depth, struct array *value)
{
    struct array list = {.count = json_array_size(json)};
    struct err e;
    if (type_check(type, &list, d->limits, &e) != 0)
        return decode_misfit(d, at, type, &e);
    size_t item_size = type_size(type->item);
    char *item = list.items = arena_calloc(d->arena, list.count, item_size);
    if (item == NULL)
        return decode_no_memory(d);
    for (size_t i = 0; i < list.count; i++, item += item_size) {
        struct place here = {.parent = at, .index = i};
        if (!decode_value(d, &here, type->item, json_array_get(json, i), function, depth, item))
            return false;
    }
    *value = list;
    return true;
}

static size_t issue_count(const struct decoder *d)
{
    return d->issues->count + d->issues->more;
}

static size_t field_count(const struct type *record)
{
    size_t count = 0;
    while (record->fields[count].name != NULL)
        count++;
    return count;
}

static void wrong_member(struct decoder *d, const struct place *at, struct str name, const struct record_ref *parts,
                         size_t part_count)
{
    struct name_list known = {0};
    for (size_t i = 0; i < part_count; i++)
        for (const struct field *f = parts[i].type->fields; f->name != NULL; f++)
            name_list_add(&known, f->name);
    struct place here = {.parent = at, .key = name};
    if (known.len == 0)
        decode_wrong(d, &here, "", ERR_INVALID, NULL, "is not a known member; there are none here");
    else
        decode_wrong(d, &here, "", ERR_INVALID, NULL, "is not a known member; known are: %s", known.text);
}

/* Sorts an object's members by the fields of the parts, one after the other, that they are values of. */
static void sort_members(struct decoder *d, const struct place *at, json_t *object, const struct record_ref *parts,
                         size_t part_count, json_t **given)
{
    for (void *iter = json_object_iter(object); iter != NULL; iter = json_object_iter_next(object, iter)) {
        struct str name = {json_object_iter_key(iter), json_object_iter_key_len(iter)};
        json_t **slot = given, **found = NULL;
        for (size_t i = 0; i < part_count && found == NULL; i++)
            for (const struct field *f = parts[i].type->fields; f->name != NULL; f++, slot++)
                if (str_eq(name, f->name))
                    found = slot;
        if (found != NULL)
            *found = json_object_iter_value(iter);
        else
            wrong_member(d, at, name, parts, part_count);
    }
}

static bool decode_absent(struct decoder *d, const struct place *at, const struct field *field, void *value)
{
    switch (field->presence) {
    case FIELD_REQUIRED:
        decode_wrong(d, at, "", ERR_INVALID, NULL, "is required");
        return true;
    case FIELD_OPTIONAL:
        type_set_absent(field->type, value);
        return true;
    case FIELD_DEFAULTED:
        break;
    }
    struct err e; /* a configured limit may be below the default */
    if (type_parse(field->type, str_from(field->default_text), d->arena, d->limits, value, &e) != 0)
        return decode_misfit(d, at, field->type, &e);
    return true;
}

/* An input that isn't there is an empty one, so that what it would have to have is named. */
static bool decode_input(struct decoder *d, const struct place *at, json_t *json, const struct function *function,
                         unsigned depth, void **value)
{
    if (json != NULL && !json_is_object(json))
        return decode_wrong_kind(d, at, "an object", json);
    void *input = arena_alloc(d->arena, function->input->size);
    if (input == NULL)
        return decode_no_memory(d);
    *value = input;
    struct record_ref part = {function->input, input, function};
    return decode_object(d, at, json, &part, 1, depth);
}

static bool needs_function(const struct type *type)
{
    return type->kind == TYPE_INPUT || (type->kind == TYPE_ARRAY && type->item->kind == TYPE_INPUT);
}

static bool decode_fields(struct decoder *d, const struct place *at, const struct record_ref *part,
                          json_t *const *given, unsigned depth)
{
    const struct function *function = NULL; /* named by an earlier field */
    for (const struct field *f = part->type->fields; f->name != NULL; f++, given++) {
        struct place here = {.parent = at, .key = str_from(f->name)};
        char *value = (char *)part->value + f->offset;
        bool more = true;
        if (function == NULL && needs_function(f->type)) {
            continue; /* what was named is no function: the issue is there */
        } else if (*given != NULL || f->type->kind == TYPE_INPUT) {
            more = decode_value(d, &here, f->type, *given, function, depth, value);
        } else {
            more = decode_absent(d, &here, f, value);
        }
        if (!more)
            return false;
        if (f->type->kind == TYPE_FUNCTION)
            memcpy(&function, value, sizeof(void *));
    }
    return true;
}

static bool decode_part(struct decoder *d, const struct place *at, const struct record_ref *part, json_t *const *given,
                        unsigned depth)
{
    size_t before = issue_count(d);
    if (!decode_fields(d, at, part, given, depth))
        return false;
    struct check_error check_error;
    if (issue_count(d) == before && part->type->check != NULL && !part->type->check(part->value, &check_error))
        decode_wrong(d, at, check_error.pointer, ERR_INVALID, NULL, "%s", check_error.detail);
    return true;
}

/* `object` may be NULL, which is an empty one. `depth` counts the gathers around it. */
static bool decode_object(struct decoder *d, const struct place *at, json_t *object, const struct record_ref *parts,
                          size_t part_count, unsigned depth)
{
    size_t fields = 0;
    for (size_t i = 0; i < part_count; i++) {
        fields += field_count(parts[i].type);
        if (parts[i].function != NULL && parts[i].function->children != NULL)
            depth++;
    }
    CHECK(fields <= FIELDS_MOST);
    if (depth > (uint64_t)d->limits->max_gather_depth) {
        const struct field *limit = &limits_fields[LIMIT_GATHER_DEPTH];
        decode_wrong(d, at, "", ERR_LIMIT_EXCEEDED, limit, "gathers may be at most %lld deep inside one another (%s)",
                     (long long)d->limits->max_gather_depth, limit->name);
        return true;
    }

    json_t *given[FIELDS_MOST] = {NULL};
    if (object != NULL)
        sort_members(d, at, object, parts, part_count, given);
    json_t *const *next = given;
    for (size_t i = 0; i < part_count; i++) {
        if (!decode_part(d, at, &parts[i], next, depth))
            return false;
        next += field_count(parts[i].type);
    }
    return true;
}

/* `function` is the one that an earlier field of the same record named: what an INPUT is for. */
static bool decode_value(struct decoder *d, const struct place *at, const struct type *type, json_t *json,
                         const struct function *function, unsigned depth, void *value)
{
    if (type->kind == TYPE_INPUT)
        return decode_input(d, at, json, function, depth, value);
    if (type->kind == TYPE_ARRAY) {
        if (!json_is_array(json))
            return decode_wrong_kind(d, at, "an array", json);
        return decode_list(d, at, type, json, function, depth, value);
    }
    if (type->kind == TYPE_RECORD) {
        if (!json_is_object(json))
            return decode_wrong_kind(d, at, "an object", json);
        struct record_ref part = {type, value, NULL};
        return decode_object(d, at, json, &part, 1, depth);
    }
    return decode_scalar(d, at, type, json, value);
}

static bool is_blank(struct str body)
{
    for (size_t i = 0; i < body.len; i++)
        if (body.at[i] != ' ' && body.at[i] != '\t' && body.at[i] != '\r' && body.at[i] != '\n')
            return false;
    return true;
}

/* Says why jansson took no JSON from the body. */
static void refused(struct str body, const json_error_t *error, struct validation_errors *issues)
{
    char where[sizeof issues->items[0].where];
    size_t position = error->position < 0 ? 0 : (size_t)error->position;
    const char *why = str_is_utf8(str_from(error->text)) ? error->text : "invalid token";
    switch ((int)json_error_code(error)) {
    case json_error_duplicate_key:
        json_where(body, position, where, sizeof where);
        issue_add(issues, ERR_INVALID, NULL, where, "is given more than once");
        return;
    case json_error_null_byte_in_key:
        json_where(body, position, where, sizeof where);
        issue_add(issues, ERR_INVALID, NULL, where, "must not contain a NUL in its name");
        return;
    case json_error_invalid_utf8:
        why = "this is not UTF-8";
        break;
    case json_error_stack_overflow:
        why = "this is nested too deeply";
        break;
    case json_error_numeric_overflow:
        why = "this number is out of range: integers have 64 bits, others are doubles";
        break;
    case json_error_end_of_input_expected:
        why = "the body must end after its JSON value";
        break;
    default:
        break;
    }
    issue_add(issues, ERR_MALFORMED_JSON, NULL, "", "line %d, column %d: %s", error->line, error->column, why);
}

int decode_body(struct str body, const struct record_ref *parts, size_t part_count, struct arena *arena,
                const struct limits *limits, struct validation_errors *issues)
{
    *issues = (struct validation_errors){0};
    struct decoder d = {arena, limits, issues};
    for (size_t i = 0; i < part_count; i++)
        if (parts[i].type->size > 0) /* a record without fields needs no memory */
            memset(parts[i].value, 0, parts[i].type->size);
    if (is_blank(body)) {
        issue_add(issues, ERR_MALFORMED_JSON, NULL, "", "the body is empty; it must be a JSON object");
        return issues->rc;
    }

    struct arena *memory = arena_new(); /* of the tree; values are copies */
    json_t *json;
    json_error_t error;
    if (memory == NULL || !json_tree_read(body, memory, &json, &error))
        decode_no_memory(&d);
    else if (json == NULL)
        refused(body, &error, issues);
    else if (!json_is_object(json))
        decode_wrong_kind(&d, &(struct place){0}, "a JSON object", json);
    else
        decode_object(&d, &(struct place){0}, json, parts, part_count, 0);
    arena_unref(memory);
    return issues->rc;
}

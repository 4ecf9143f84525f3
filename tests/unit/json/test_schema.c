/* test_schema - JSON Schemas: those of small tables, compared literally, and the consistency of all registered ones. */
#include "handlers/json/schema.h"
#include "handlers/resources/task_object.h"
#include "runtime/types/type_parse.h"
#include "tests/unit/support/alloc_fault.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

static struct limits schema_limits(void)
{
    struct limits limits;
    record_set_defaults(&limits_type, &limits);
    limits.max_tasks = 77;
    limits.max_timeout_seconds = 1500 * NS_PER_MS;
    return limits;
}

static char *schema_text(const struct type *type)
{
    struct limits limits = schema_limits();
    struct json_writer w = {0};
    schema_write(&w, type, &limits, &task_object_child_codec);
    json_writer_bytes(&w, "", 1);
    size_t len;
    char *text = json_writer_take(&w, &len);
    assert_non_null(text);
    return text;
}

static void expect_schema(const struct type *type, const char *schema)
{
    char *text = schema_text(type);
    assert_string_equal(text, schema);
    free(text);
}

static json_t *parse_schema(const struct type *type)
{
    char *text = schema_text(type);
    json_error_t error;
    json_t *schema = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    if (schema == NULL)
        print_message("%s: %s\n", error.text, text);
    assert_non_null(schema);
    free(text);
    return schema;
}

/* -- single types -------------------------------------------------------------------------------------------------- */

#define SECOND ((int64_t)NS_PER_SECOND)

static const char *const mode_names[] = {"slow", "fast", NULL};
static const struct type flag_type = {.kind = TYPE_BOOLEAN};
static const struct type count_type = {.kind = TYPE_INTEGER, .min = -5, .max = 100};
static const struct type safe_integer_type = {.kind = TYPE_INTEGER, .min = 0, .max = INT64_C(1) << 53};
static const struct type wide_type = {.kind = TYPE_INTEGER, .min = 0, .max = (INT64_C(1) << 53) + 1};
static const struct type limited_type = {.kind = TYPE_INTEGER, .min = 1, .limit = &limits_fields[LIMIT_TASKS]};
static const struct type pause_type = {.kind = TYPE_SECONDS, .min = SECOND / 2, .max = 90 * SECOND};
static const struct type unbounded_type = {.kind = TYPE_SECONDS, .min = 0, .max = INT64_MAX};
static const struct type timeout_type = {.kind = TYPE_SECONDS, .min = 1, .limit = &limits_fields[LIMIT_TIMEOUT]};
static const struct type mode_type = {.kind = TYPE_ENUM, .names = mode_names};
static const struct type word_type = {.kind = TYPE_STRING, .min = 5, .max = 8};
static const struct type string_type = {.kind = TYPE_STRING, .max = INT64_MAX};
static const struct type numbers_type = {.kind = TYPE_ARRAY, .min = 1, .max = 4, .item = &count_type};
static const struct type strings_type = {.kind = TYPE_ARRAY, .max = INT64_MAX, .item = &string_type};
static const struct type time_type = {.kind = TYPE_TIME};
static const struct type output_type = {.kind = TYPE_OUTPUT};

static void schema_of_each_type(void **state)
{
    (void)state;
    expect_schema(&flag_type, "{\"type\":\"boolean\"}");
    expect_schema(&count_type, "{\"type\":\"integer\",\"minimum\":-5,\"maximum\":100}");
    expect_schema(&safe_integer_type, "{\"type\":\"integer\",\"minimum\":0,\"maximum\":9007199254740992}");
    expect_schema(&wide_type, "{\"type\":[\"integer\",\"string\"],\"pattern\":\"^-?[0-9]+$\",\"minimum\":0,"
                              "\"maximum\":9007199254740993}");
    expect_schema(&limited_type, "{\"type\":\"integer\",\"minimum\":1,\"maximum\":77}");
    expect_schema(&pause_type, "{\"type\":\"number\",\"minimum\":0.5,\"maximum\":90}");
    expect_schema(&unbounded_type, "{\"type\":\"number\",\"minimum\":0}");
    expect_schema(&timeout_type, "{\"type\":\"number\",\"exclusiveMinimum\":0,\"maximum\":1.5}");
    expect_schema(&mode_type, "{\"type\":\"string\",\"enum\":[\"slow\",\"fast\"]}");
    /* The minimum of 5 bytes is reached by 2 characters. */
    expect_schema(&word_type, "{\"type\":\"string\",\"minLength\":2,\"maxLength\":8}");
    expect_schema(&string_type, "{\"type\":\"string\"}");
    expect_schema(&numbers_type, "{\"type\":\"array\",\"items\":{\"type\":\"integer\",\"minimum\":-5,\"maximum\":100},"
                                 "\"minItems\":1,\"maxItems\":4}");
    expect_schema(&strings_type, "{\"type\":\"array\",\"items\":{\"type\":\"string\"}}");
    expect_schema(&time_type, "{\"type\":\"string\",\"format\":\"date-time\"}");
    expect_schema(&output_type, "{\"type\":\"object\"}");
}

/* -- records ------------------------------------------------------------------------------------------------------- */

struct sample {
    bool flag;
    int64_t count;
    uint64_t pause;
    int mode;
    struct array numbers, texts;
};

#define FIELD(name, type, presence, default_text, doc, example) \
    { \
#name, type, offsetof(struct sample, name), presence, default_text, doc, example \
    }
static const struct field sample_fields[] = {
    FIELD(flag, &flag_type, FIELD_DEFAULTED, "true", NULL, NULL),
    FIELD(count, &count_type, FIELD_REQUIRED, NULL, "Of \"things\"", "-1"),
    FIELD(pause, &pause_type, FIELD_DEFAULTED, "1.5", NULL, "2"),
    FIELD(mode, &mode_type, FIELD_DEFAULTED, "fast", NULL, "slow"),
    FIELD(numbers, &numbers_type, FIELD_DEFAULTED, "1,2", NULL, NULL),
    FIELD(texts, &strings_type, FIELD_DEFAULTED, "", NULL, "a,b"),
    {0},
};
static const struct type sample_type = {.kind = TYPE_RECORD, .fields = sample_fields, .size = sizeof(struct sample)};

static void schema_of_record(void **state)
{
    (void)state;
    expect_schema(
        &sample_type,
        "{\"type\":\"object\",\"properties\":{"
        "\"flag\":{\"type\":\"boolean\",\"default\":true},"
        "\"count\":{\"type\":\"integer\",\"minimum\":-5,\"maximum\":100,\"description\":\"Of \\\"things\\\"\","
        "\"examples\":[-1]},"
        "\"pause\":{\"type\":\"number\",\"minimum\":0.5,\"maximum\":90,\"default\":1.5,\"examples\":[2]},"
        "\"mode\":{\"type\":\"string\",\"enum\":[\"slow\",\"fast\"],\"default\":\"fast\",\"examples\":[\"slow\"]},"
        "\"numbers\":{\"type\":\"array\",\"items\":{\"type\":\"integer\",\"minimum\":-5,\"maximum\":100},"
        "\"minItems\":1,\"maxItems\":4,\"default\":[1,2]},"
        "\"texts\":{\"type\":\"array\",\"items\":{\"type\":\"string\"},\"default\":[],\"examples\":[[\"a\",\"b\"]]}"
        "},\"required\":[\"count\"],\"additionalProperties\":false}");
}

struct pair {
    int64_t number;
};

struct nested {
    struct pair inner, named;
    const struct pair *other;
    int64_t wide;
    int mode;
};

static const struct field pair_fields[] = {
    {"number", &count_type, 0, FIELD_REQUIRED, NULL, NULL, NULL},
    {0},
};
static const struct type inner_type = {.kind = TYPE_RECORD, .fields = pair_fields, .size = sizeof(struct pair)};
static const struct type named_type = {
    .kind = TYPE_RECORD, .name = "Pair", .fields = pair_fields, .size = sizeof(struct pair)};
static const struct type named_reference = {.kind = TYPE_REFERENCE, .item = &named_type};

#define PAIR \
    "{\"type\":\"object\",\"properties\":{\"number\":{\"type\":\"integer\",\"minimum\":-5,\"maximum\":100}}," \
    "\"required\":[\"number\"],\"additionalProperties\":false}"

#define NESTED(name, type, presence) \
    { \
#name, type, offsetof(struct nested, name), presence, NULL, NULL, NULL \
    }
static const struct field nested_fields[] = {
    NESTED(inner, &inner_type, FIELD_REQUIRED),      NESTED(named, &named_type, FIELD_REQUIRED),
    NESTED(other, &named_reference, FIELD_OPTIONAL), NESTED(wide, &wide_type, FIELD_OPTIONAL),
    NESTED(mode, &mode_type, FIELD_OPTIONAL),        {0},
};
static const struct type nested_type = {.kind = TYPE_RECORD, .fields = nested_fields, .size = sizeof(struct nested)};
static const struct type nulls_type = {
    .kind = TYPE_RECORD, .fields = nested_fields, .size = sizeof(struct nested), .render_nulls = true};

static void named_records_become_refs(void **state)
{
    (void)state;
    expect_schema(&nested_type,
                  "{\"type\":\"object\",\"properties\":{\"inner\":" PAIR ",\"named\":{\"$ref\":\"#/$defs/Pair\"},"
                  "\"other\":{\"$ref\":\"#/$defs/Pair\"},"
                  "\"wide\":{\"type\":[\"integer\",\"string\"],\"pattern\":\"^-?[0-9]+$\",\"minimum\":0,"
                  "\"maximum\":9007199254740993},\"mode\":{\"type\":\"string\",\"enum\":[\"slow\",\"fast\"]}},"
                  "\"required\":[\"inner\",\"named\"],\"additionalProperties\":false,\"$defs\":{\"Pair\":" PAIR "}}");
    expect_schema(&named_type, PAIR); /* a schema does not define itself in $defs */
    expect_schema(&named_reference, "{\"$ref\":\"#/$defs/Pair\",\"$defs\":{\"Pair\":" PAIR "}}");
}

static void rendered_nulls_are_nullable(void **state)
{
    (void)state;
    expect_schema(
        &nulls_type,
        "{\"type\":\"object\",\"properties\":{\"inner\":" PAIR ",\"named\":{\"$ref\":\"#/$defs/Pair\"},"
        "\"other\":{\"anyOf\":[{\"$ref\":\"#/$defs/Pair\"},{\"type\":\"null\"}]},"
        "\"wide\":{\"type\":[\"integer\",\"string\",\"null\"],\"pattern\":\"^-?[0-9]+$\",\"minimum\":0,"
        "\"maximum\":9007199254740993},\"mode\":{\"type\":[\"string\",\"null\"],\"enum\":[\"slow\",\"fast\",null]}},"
        "\"required\":[\"inner\",\"named\",\"other\",\"wide\",\"mode\"],\"additionalProperties\":false,"
        "\"$defs\":{\"Pair\":" PAIR "}}");
}

/* -- registered types ---------------------------------------------------------------------------------------------- */

/* Asserts that each "$ref" has a definition. Returns the number of references. */
static size_t check_references(const json_t *schema, json_t *node)
{
    static const char prefix[] = "#/$defs/";
    size_t count = 0, index;
    const char *key;
    json_t *value;
    if (json_is_object(node)) {
        const char *reference = json_string_value(json_object_get(node, "$ref"));
        if (reference != NULL) {
            assert_int_equal(strncmp(reference, prefix, strlen(prefix)), 0);
            assert_non_null(json_object_get(json_object_get(schema, "$defs"), reference + strlen(prefix)));
            count++;
        }
        json_object_foreach(node, key, value)
        {
            count += check_references(schema, value);
        }
    }
    json_array_foreach(node, index, value)
    {
        count += check_references(schema, value);
    }
    return count;
}

static void registered_schemas_resolve_all_refs(void **state)
{
    (void)state;
    const struct type *types[64] = {&task_spec_type, &task_options_type, &task_object_type,
                                    task_object_child_codec.type, &limits_type};
    size_t count = 5;
    for (const struct function *const *f = function_registry; *f != NULL; f++) {
        assert_true(count + 2 <= COUNT_OF(types));
        types[count++] = (*f)->input;
        types[count++] = (*f)->output;
    }
    for (size_t i = 0; i < count; i++) {
        json_t *schema = parse_schema(types[i]);
        json_t *definitions = json_object_get(schema, "$defs");
        assert_int_equal(check_references(schema, schema) > 0, definitions != NULL);
        json_decref(schema);
    }
}

static bool contains_name(json_t *names, const char *name)
{
    size_t index;
    json_t *value;
    json_array_foreach(names, index, value)
    {
        if (strcmp(json_string_value(value), name) == 0)
            return true;
    }
    return false;
}

static void task_schema_has_one_alternative_per_function(void **state)
{
    (void)state;
    json_t *schema = parse_schema(&task_spec_type);
    json_t *all = json_object_get(schema, "oneOf");
    size_t i = 0;
    for (; function_registry[i] != NULL; i++) {
        json_t *one = json_array_get(all, i), *properties = json_object_get(one, "properties");
        json_t *function = json_object_get(properties, "function");
        assert_string_equal(json_string_value(json_object_get(function, "const")), function_registry[i]->name);
        bool required = false;
        for (const struct field *f = function_registry[i]->input->fields; f->name != NULL; f++)
            required = required || f->presence == FIELD_REQUIRED;
        assert_true(contains_name(json_object_get(one, "required"), "function"));
        assert_int_equal(contains_name(json_object_get(one, "required"), "input"), required);
        assert_non_null(json_object_get(properties, "timeout_seconds"));
    }
    assert_int_equal(json_array_size(all), i);
    json_decref(schema);
}

/* The tasks of a gather can be gathers, so its schema refers to itself. */
static void gather_schema_is_recursive(void **state)
{
    (void)state;
    json_t *schema = parse_schema(function_find(STR("gather"))->input);
    json_t *tasks = json_object_get(json_object_get(schema, "properties"), "tasks");
    assert_string_equal(json_string_value(json_object_get(json_object_get(tasks, "items"), "$ref")),
                        "#/$defs/TaskSpec");
    json_t *definitions = json_object_get(schema, "$defs");
    json_t *all = json_object_get(json_object_get(definitions, "TaskSpec"), "oneOf");
    for (size_t i = 0; function_registry[i] != NULL; i++) {
        json_t *input = json_object_get(json_object_get(json_array_get(all, i), "properties"), "input");
        char reference[96];
        snprintf(reference, sizeof reference, "#/$defs/%s", function_registry[i]->input->name);
        assert_string_equal(json_string_value(json_object_get(input, "$ref")), reference);
    }
    assert_non_null(json_object_get(definitions, "GatherInput"));
    json_decref(schema);
}

static void oom_in_schema_at_each_allocation(void **state)
{
    (void)state;
    struct limits limits = schema_limits();
    unsigned long n = 0;
    bool failed;
    do {
        struct json_writer w = {0};
        alloc_fail_at(++n);
        schema_write(&w, &task_spec_type, &limits, NULL);
        failed = alloc_count() >= n;
        alloc_fail_at(0);
        assert_int_equal(w.failed, failed);
        json_writer_free(&w);
    } while (failed);
    assert_true(n > 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schema_of_each_type),
        cmocka_unit_test(schema_of_record),
        cmocka_unit_test(named_records_become_refs),
        cmocka_unit_test(rendered_nulls_are_nullable),
        cmocka_unit_test(registered_schemas_resolve_all_refs),
        cmocka_unit_test(task_schema_has_one_alternative_per_function),
        cmocka_unit_test(gather_schema_is_recursive),
        cmocka_unit_test(oom_in_schema_at_each_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

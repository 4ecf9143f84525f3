/* test_schema - JSON Schemas: those of small tables, compared literally, and the consistency of all registered ones. */
#include "handlers/json/schema.h"
#include "handlers/resources/task_object.h"
#include "runtime/files/file_methods.h"
#include "runtime/types/type_parse.h"
#include "tests/unit/support/alloc_fault.h"
#include "tests/unit/support/builtins.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#define SECOND ((int64_t)NS_PER_SECOND)
#define NO_NUL "\"pattern\":\"^[^\\\\u0000]*$\""

/* A field whose offset does not matter. */
#define FIELD(name, type, presence, default_text, doc, example) \
    { \
        name, type, 0, presence, default_text, doc, example \
    }

/* -- two functions ------------------------------------------------------------------------------------------------- */

static const char *const mode_names[] = {"slow", "fast", NULL};
static const struct type flag_type = {.kind = TYPE_BOOLEAN};
static const struct type count_type = {.kind = TYPE_INTEGER, .min = -5, .max = 100};
static const struct type mode_type = {.kind = TYPE_ENUM, .names = mode_names};

static const struct field number_fields[] = {FIELD("n", &count_type, FIELD_REQUIRED, NULL, NULL, NULL), {0}};
static const struct type number_type = {.kind = TYPE_RECORD, .fields = number_fields};
static const struct field empty_fields[] = {{0}};
static const struct type empty_type = {.kind = TYPE_RECORD, .fields = empty_fields};

#define NUMBER_MEMBERS \
    "\"type\":\"object\",\"required\":[\"n\"],\"properties\":" \
    "{\"n\":{\"type\":\"integer\",\"minimum\":-5,\"maximum\":100}},\"additionalProperties\":false"
#define NUMBER "{" NUMBER_MEMBERS "}"
#define EMPTY_MEMBERS "\"type\":\"object\",\"properties\":{},\"additionalProperties\":false"

static const struct function_example count_examples[] = {
    {"none", "Without a result", JSON({"n" : 1}), NULL, NULL, ERR_INTERNAL},
    {"one", "With a result", JSON({"n" : 1}), NULL, "{\"n\":2}", 0},
    {"two", "With another one", JSON({"n" : 2}), NULL, "{\"n\":3}", 0},
    {0},
};
static int64_t count_split(const void *input, int64_t max_parts, int64_t index, void *part)
{
    (void)input, (void)max_parts, (void)index, (void)part;
    return 1;
}
static const struct function count_up = {
    .name = "count_up",
    .doc = "Counts",
    .examples = count_examples,
    .executor = EXECUTOR_PROCESSES,
    .executors = EXECUTOR_BIT(EXECUTOR_THREADS) | EXECUTOR_BIT(EXECUTOR_PROCESSES),
    .input = &number_type,
    .output = &number_type,
    .split = count_split,
};
static const struct function nop = {
    .name = "nop",
    .doc = "Does nothing",
    .executor = EXECUTOR_LOOP,
    .executors = EXECUTOR_BIT(EXECUTOR_LOOP),
    .input = &empty_type,
    .output = &empty_type,
};
static const struct function *const test_functions[] = {&count_up, &nop, NULL};

/* -- comparing ----------------------------------------------------------------------------------------------------- */

struct test_set {
    struct schema_set set;
    struct limits limits;
    struct json_writer w;
};

static void test_set_init(struct test_set *t, const struct function *const *functions)
{
    *t = (struct test_set){0};
    record_set_defaults(&limits_type, &t->limits);
    t->limits.max_tasks = 77;
    t->limits.max_timeout_seconds = 1500 * NS_PER_MS;
    t->set = (struct schema_set){
        .w = &t->w,
        .prefix = "#/$defs/",
        .limits = &t->limits,
        .functions = functions,
        .child = task_object_child_codec.type,
    };
}

/* The members of the schema in braces, followed by "$defs", if it refers to any. The caller frees the text. */
static char *test_set_take(struct test_set *t)
{
    if (t->set.count > 0) {
        json_writer_open_object(&t->w, "$defs");
        schema_definitions(&t->set);
        json_writer_raw(&t->w, "}");
    }
    json_writer_raw(&t->w, "}");
    json_writer_bytes(&t->w, "", 1);
    schema_set_free(&t->set);
    size_t len;
    char *text = json_writer_take(&t->w, &len);
    assert_non_null(text);
    return text;
}

static void expect_text(struct test_set *t, const char *schema)
{
    char *text = test_set_take(t);
    assert_string_equal(text, schema);
    free(text);
}

static void expect_type(const struct type *type, bool nullable, const char *schema)
{
    struct test_set t;
    test_set_init(&t, test_functions);
    json_writer_raw(&t.w, "{");
    schema_type(&t.set, type, nullable);
    expect_text(&t, schema);
}

static void expect_schema(const struct type *type, const char *schema)
{
    expect_type(type, false, schema);
}

/* -- types --------------------------------------------------------------------------------------------------------- */

static const struct type safe_integer_type = {.kind = TYPE_INTEGER, .min = 0, .max = INT64_C(1) << 53};
static const struct type wide_type = {.kind = TYPE_INTEGER, .min = 0, .max = (INT64_C(1) << 53) + 1};
static const struct type deep_type = {.kind = TYPE_INTEGER, .min = -(INT64_C(1) << 53) - 1, .max = 0};
static const struct type limited_type = {.kind = TYPE_INTEGER, .min = 1, .limit = &limits_fields[LIMIT_TASKS]};
static const struct type pause_type = {.kind = TYPE_SECONDS, .min = SECOND / 2, .max = 90 * SECOND};
static const struct type unbounded_type = {.kind = TYPE_SECONDS, .min = 0, .max = INT64_MAX};
static const struct type timeout_type = {.kind = TYPE_SECONDS, .min = 1, .limit = &limits_fields[LIMIT_TIMEOUT]};
static const struct type word_type = {.kind = TYPE_STRING, .min = 5, .max = 8};
static const struct type text_type = {.kind = TYPE_STRING, .max = INT64_MAX, .allow_nul = true};
static const struct type path_type = {.kind = TYPE_STRING, .max = INT64_MAX};
static const struct type id_type = {.kind = TYPE_STRING, .max = INT64_MAX, .pattern = "^[a-z\\\\]{28}$"};
static const struct type counts_type = {.kind = TYPE_ARRAY, .min = 1, .max = 4, .item = &count_type};
static const struct type texts_type = {.kind = TYPE_ARRAY, .max = INT64_MAX, .item = &text_type};
static const struct type limited_array_type = {
    .kind = TYPE_ARRAY, .limit = &limits_fields[LIMIT_TASKS], .item = &flag_type};
static const struct type nested_array_type = {.kind = TYPE_ARRAY, .max = INT64_MAX, .item = &counts_type};
static const struct type plain_time_type = {.kind = TYPE_TIME};
#define TIME_PATTERN "\"pattern\":\"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\\\.[0-9]{6}Z$\""
static const struct type function_type = {.kind = TYPE_FUNCTION};
static const struct function *const only_nop[] = {&nop, NULL};
static const struct type one_function_type = {.kind = TYPE_FUNCTION, .functions = only_nop};
static const struct type pool_type = {.kind = TYPE_POOL};
static const struct type input_type = {.kind = TYPE_INPUT};
static const struct type output_type = {.kind = TYPE_OUTPUT};
static const struct type number_reference = {.kind = TYPE_REFERENCE, .item = &number_type};

#define COUNT "{\"type\":\"integer\",\"minimum\":-5,\"maximum\":100}"

static void schema_of_each_kind(void **state)
{
    (void)state;
    expect_schema(&flag_type, "{\"type\":\"boolean\"}");
    expect_schema(&count_type, COUNT);
    expect_schema(&safe_integer_type, "{\"type\":\"integer\",\"minimum\":0,\"maximum\":9007199254740992}");
    expect_schema(&wide_type, "{\"type\":[\"integer\",\"string\"],\"pattern\":\"^-?[0-9]+$\",\"minimum\":0,"
                              "\"maximum\":9007199254740993}");
    expect_schema(&deep_type, "{\"type\":[\"integer\",\"string\"],\"pattern\":\"^-?[0-9]+$\","
                              "\"minimum\":-9007199254740993,\"maximum\":0}");
    expect_schema(&pause_type, "{\"type\":\"number\",\"minimum\":0.5,\"maximum\":90}");
    expect_schema(&unbounded_type, "{\"type\":\"number\",\"minimum\":0}");
    expect_schema(&mode_type, "{\"type\":\"string\",\"enum\":[\"slow\",\"fast\"]}");
    expect_schema(&word_type, "{\"type\":\"string\"," NO_NUL ",\"minLength\":5,\"maxLength\":8}");
    expect_schema(&path_type, "{\"type\":\"string\"," NO_NUL "}");
    expect_schema(&text_type, "{\"type\":\"string\"}");
    expect_schema(&id_type, "{\"type\":\"string\",\"pattern\":\"^[a-z\\\\\\\\]{28}$\"}");
    expect_schema(&plain_time_type, "{\"type\":\"string\",\"format\":\"date-time\"," TIME_PATTERN "}");
    expect_schema(&counts_type, "{\"type\":\"array\",\"minItems\":1,\"maxItems\":4,\"items\":" COUNT "}");
    expect_schema(&texts_type, "{\"type\":\"array\",\"items\":{\"type\":\"string\"}}");
    expect_schema(&nested_array_type, "{\"type\":\"array\",\"items\":"
                                      "{\"type\":\"array\",\"minItems\":1,\"maxItems\":4,\"items\":" COUNT "}}");
    expect_schema(&function_type, "{\"type\":\"string\",\"enum\":[\"count_up\",\"nop\"]}");
    expect_schema(&one_function_type, "{\"type\":\"string\",\"enum\":[\"nop\"]}");
    expect_schema(&input_type, "{\"type\":\"object\",\"additionalProperties\":true}");
    expect_schema(&output_type, "{\"type\":\"object\",\"additionalProperties\":true}");
    expect_schema(&number_type, NUMBER);
    expect_schema(&number_reference, NUMBER);
    expect_schema(&empty_type, "{" EMPTY_MEMBERS "}");
}

static void nullable_type_allows_null(void **state)
{
    (void)state;
    expect_type(&flag_type, true, "{\"type\":[\"boolean\",\"null\"]}");
    expect_type(&count_type, true, "{\"type\":[\"integer\",\"null\"],\"minimum\":-5,\"maximum\":100}");
    expect_type(&wide_type, true,
                "{\"type\":[\"integer\",\"string\",\"null\"],\"pattern\":\"^-?[0-9]+$\","
                "\"minimum\":0,\"maximum\":9007199254740993}");
    expect_type(&unbounded_type, true, "{\"type\":[\"number\",\"null\"],\"minimum\":0}");
    expect_type(&mode_type, true, "{\"type\":[\"string\",\"null\"],\"enum\":[\"slow\",\"fast\",null]}");
    expect_type(&path_type, true, "{\"type\":[\"string\",\"null\"]," NO_NUL "}");
    expect_type(&plain_time_type, true, "{\"type\":[\"string\",\"null\"],\"format\":\"date-time\"," TIME_PATTERN "}");
    expect_type(&texts_type, true, "{\"type\":[\"array\",\"null\"],\"items\":{\"type\":\"string\"}}");
    expect_type(&function_type, true, "{\"type\":[\"string\",\"null\"],\"enum\":[\"count_up\",\"nop\",null]}");
    expect_type(&output_type, true, "{\"type\":[\"object\",\"null\"],\"additionalProperties\":true}");
    expect_type(&number_type, true, "{\"anyOf\":[" NUMBER ",{\"type\":\"null\"}]}");
    expect_type(&number_reference, true, "{\"anyOf\":[" NUMBER ",{\"type\":\"null\"}]}");
}

static void configured_limits_are_maxima(void **state)
{
    (void)state;
    expect_schema(&limited_type, "{\"type\":\"integer\",\"minimum\":1,\"maximum\":77}");
    expect_schema(&timeout_type, "{\"type\":\"number\",\"exclusiveMinimum\":0,\"maximum\":1.5}");
    expect_schema(&limited_array_type, "{\"type\":\"array\",\"maxItems\":77,\"items\":{\"type\":\"boolean\"}}");
}

static void configured_pools_are_enumerated(void **state)
{
    (void)state;
    expect_schema(&pool_type, "{\"type\":\"string\"}");
    struct pool_config pools[] = {{.name = STR("default")}, {.name = STR("slow")}};
    for (int nullable = 0; nullable < 2; nullable++) {
        struct test_set t;
        test_set_init(&t, test_functions);
        t.limits.pools = (struct array){pools, COUNT_OF(pools)};
        json_writer_raw(&t.w, "{");
        schema_type(&t.set, &pool_type, nullable);
        expect_text(&t, nullable ? "{\"type\":[\"string\",\"null\"],\"enum\":[\"default\",\"slow\",null]}"
                                 : "{\"type\":\"string\",\"enum\":[\"default\",\"slow\"]}");
    }
}

/* -- records ------------------------------------------------------------------------------------------------------- */

static const struct field sample_fields[] = {
    FIELD("flag", &flag_type, FIELD_DEFAULTED, "true", "Whether", NULL),
    FIELD("count", &count_type, FIELD_REQUIRED, NULL, "Of \"things\"", "-1"),
    FIELD("pause", &pause_type, FIELD_DEFAULTED, "1.5", NULL, "2"),
    FIELD("mode", &mode_type, FIELD_DEFAULTED, "fast", "How", "slow"),
    FIELD("counts", &counts_type, FIELD_OPTIONAL, NULL, NULL, "1,2"),
    FIELD("texts", &texts_type, FIELD_OPTIONAL, NULL, NULL, "a,b"),
    {0},
};
static const struct type sample_type = {.kind = TYPE_RECORD, .fields = sample_fields};

static void schema_of_record(void **state)
{
    (void)state;
    expect_schema(
        &sample_type,
        "{\"type\":\"object\",\"required\":[\"count\"],\"properties\":{"
        "\"flag\":{\"description\":\"Whether. Default: `true`.\",\"type\":\"boolean\"},"
        "\"count\":{\"description\":\"Of \\\"things\\\".\",\"type\":\"integer\",\"minimum\":-5,\"maximum\":100,"
        "\"examples\":[-1]},"
        "\"pause\":{\"description\":\"Default: `1.5`.\",\"type\":\"number\",\"minimum\":0.5,\"maximum\":90,"
        "\"examples\":[2]},"
        "\"mode\":{\"description\":\"How. Default: `fast`.\",\"type\":\"string\",\"enum\":[\"slow\",\"fast\"],"
        "\"examples\":[\"slow\"]},"
        "\"counts\":{\"type\":\"array\",\"minItems\":1,\"maxItems\":4,\"items\":" COUNT ",\"examples\":[[1,2]]},"
        "\"texts\":{\"type\":\"array\",\"items\":{\"type\":\"string\"},\"examples\":[[\"a\",\"b\"]]}"
        "},\"additionalProperties\":false}");
}

static const struct type pair_type = {
    .kind = TYPE_RECORD, .name = "Pair", .doc = "Two things.", .fields = number_fields};
static const struct type pair_reference = {.kind = TYPE_REFERENCE, .item = &pair_type};
static const struct type speed_type = {.kind = TYPE_ENUM, .name = "Speed", .names = mode_names};
static const struct field nested_fields[] = {
    FIELD("inner", &number_type, FIELD_REQUIRED, NULL, NULL, NULL),
    FIELD("first", &pair_type, FIELD_REQUIRED, NULL, "The first", NULL),
    FIELD("second", &pair_reference, FIELD_OPTIONAL, NULL, NULL, NULL),
    FIELD("speed", &speed_type, FIELD_OPTIONAL, NULL, NULL, "fast"), /* an example belongs to the named type */
    {0},
};
static const struct type nested_type = {.kind = TYPE_RECORD, .fields = nested_fields};
static const struct type nulls_type = {.kind = TYPE_RECORD, .fields = nested_fields, .render_nulls = true};

#define PAIR_AND_SPEED \
    "\"$defs\":{\"Pair\":{\"description\":\"Two things.\"," NUMBER_MEMBERS "}," \
    "\"Speed\":{\"type\":\"string\",\"enum\":[\"slow\",\"fast\"]}}"

static void named_types_are_defined_once(void **state)
{
    (void)state;
    expect_schema(&nested_type,
                  "{\"type\":\"object\",\"required\":[\"inner\",\"first\"],\"properties\":{\"inner\":" NUMBER ","
                  "\"first\":{\"description\":\"The first.\",\"$ref\":\"#/$defs/Pair\"},"
                  "\"second\":{\"$ref\":\"#/$defs/Pair\"},\"speed\":{\"$ref\":\"#/$defs/Speed\"}},"
                  "\"additionalProperties\":false," PAIR_AND_SPEED "}");
    expect_schema(&speed_type, "{\"$ref\":\"#/$defs/Speed\",\"$defs\":{"
                               "\"Speed\":{\"type\":\"string\",\"enum\":[\"slow\",\"fast\"]}}}");
}

static void rendered_nulls_are_required_and_nullable(void **state)
{
    (void)state;
    expect_schema(&nulls_type, "{\"type\":\"object\",\"required\":[\"inner\",\"first\",\"second\",\"speed\"],"
                               "\"properties\":{\"inner\":" NUMBER ","
                               "\"first\":{\"description\":\"The first.\",\"$ref\":\"#/$defs/Pair\"},"
                               "\"second\":{\"anyOf\":[{\"$ref\":\"#/$defs/Pair\"},{\"type\":\"null\"}]},"
                               "\"speed\":{\"anyOf\":[{\"$ref\":\"#/$defs/Speed\"},{\"type\":\"null\"}]}},"
                               "\"additionalProperties\":false," PAIR_AND_SPEED "}");
}

static void open_object_omits_function_and_output(void **state)
{
    (void)state;
    static const struct field fields[] = {
        FIELD("function", &function_type, FIELD_REQUIRED, NULL, NULL, NULL),
        FIELD("result", &output_type, FIELD_REQUIRED, NULL, NULL, NULL),
        FIELD("flag", &flag_type, FIELD_REQUIRED, NULL, NULL, NULL),
        {0},
    };
    static const struct type record = {.kind = TYPE_RECORD, .fields = fields};
    struct test_set t;
    test_set_init(&t, test_functions);
    json_writer_raw(&t.w, "{");
    schema_open_object(&t.set, &record);
    expect_text(&t, "{\"type\":\"object\",\"required\":[\"flag\"],\"properties\":{\"flag\":{\"type\":\"boolean\"}}}");
}

static void object_joins_records(void **state)
{
    (void)state;
    const struct type *const records[] = {&number_type, &empty_type, &task_options_type};
    struct test_set t;
    test_set_init(&t, test_functions);
    json_writer_raw(&t.w, "{");
    schema_object(&t.set, records, COUNT_OF(records), &nop);
    char *text = test_set_take(&t);
    json_t *schema = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    json_t *properties = json_object_get(schema, "properties");
    static const char *const names[] = {"n", "name", "timeout_seconds", "deadline_seconds", "executor"};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        assert_non_null(json_object_get(properties, names[i]));
    assert_int_equal(json_object_size(properties), COUNT_OF(names)); /* nop has neither pools nor parts */
    json_decref(schema);
    free(text);
}

/* -- rules --------------------------------------------------------------------------------------------------------- */

/* A record with a `mode` (default fast), an optional `color`, `items`, `flag` (default false) and `n`, and these rules.
 * The schema ends with "dependentSchemas". */
static void expect_rules(const struct rule *rules, const char *schemas)
{
    static const char *const colors[] = {"red", "blue", NULL};
    static const struct type color_type = {.kind = TYPE_ENUM, .names = colors};
    static const struct field fields[] = {
        FIELD("mode", &mode_type, FIELD_DEFAULTED, "fast", NULL, NULL),
        FIELD("color", &color_type, FIELD_OPTIONAL, NULL, NULL, NULL),
        FIELD("items", &texts_type, FIELD_OPTIONAL, NULL, NULL, NULL),
        FIELD("flag", &flag_type, FIELD_DEFAULTED, "false", NULL, NULL),
        FIELD("n", &count_type, FIELD_OPTIONAL, NULL, NULL, NULL),
        {0},
    };
    const struct type record = {.kind = TYPE_RECORD, .fields = fields, .rules = rules};
    struct test_set t;
    test_set_init(&t, test_functions);
    json_writer_raw(&t.w, "{");
    schema_type(&t.set, &record, false);
    char *text = test_set_take(&t);
    static const char before[] = "\"additionalProperties\":false,\"dependentSchemas\":";
    char *found = strstr(text, before);
    assert_non_null(found);
    found[strlen(found) - 1] = '\0'; /* the final brace */
    assert_string_equal(found + strlen(before), schemas);
    free(text);
}

static void rule_only_with(void **state)
{
    (void)state;
    /* a value that is the default: the other field may be absent */
    expect_rules((struct rule[]){{RULE_ONLY_WITH, "n", "mode", {"fast"}}, {0}},
                 "{\"n\":{\"properties\":{\"mode\":{\"enum\":[\"fast\"]}}}}");
    expect_rules((struct rule[]){{RULE_ONLY_WITH, "n", "mode", {"slow"}}, {0}},
                 "{\"n\":{\"properties\":{\"mode\":{\"enum\":[\"slow\"]}},\"required\":[\"mode\"]}}");
    expect_rules((struct rule[]){{RULE_ONLY_WITH, "n", "color", {"red", "blue"}}, {0}},
                 "{\"n\":{\"properties\":{\"color\":{\"enum\":[\"red\",\"blue\"]}},\"required\":[\"color\"]}}");
    /* a field with a default: that is no use of it */
    expect_rules((struct rule[]){{RULE_ONLY_WITH, "flag", "color", {"red"}}, {0}},
                 "{\"flag\":{\"if\":{\"properties\":{\"flag\":{\"const\":false}}},"
                 "\"else\":{\"properties\":{\"color\":{\"enum\":[\"red\"]}},\"required\":[\"color\"]}}}");
}

static void rule_required_with(void **state)
{
    (void)state;
    expect_rules((struct rule[]){{RULE_REQUIRED_WITH, "n", "mode", {"slow"}}, {0}},
                 "{\"mode\":{\"if\":{\"properties\":{\"mode\":{\"enum\":[\"slow\"]}}},"
                 "\"then\":{\"required\":[\"n\"],\"properties\":{\"n\":{}}}}}");
}

static void rule_items_with(void **state)
{
    (void)state;
    expect_rules((struct rule[]){{RULE_ITEMS_WITH, "items", "color", {"red", "blue"}}, {0}},
                 "{\"color\":{\"if\":{\"properties\":{\"color\":{\"enum\":[\"red\",\"blue\"]}}},"
                 "\"then\":{\"properties\":{\"items\":{\"minItems\":1}}}}}");
}

static void rules_with_one_key_are_joined(void **state)
{
    (void)state;
    expect_rules((struct rule[]){{RULE_REQUIRED_WITH, "n", "color", {"red"}},
                                 {RULE_ONLY_WITH, "n", "mode", {"fast"}},
                                 {RULE_ITEMS_WITH, "items", "color", {"blue"}},
                                 {0}},
                 "{\"color\":{\"allOf\":["
                 "{\"if\":{\"properties\":{\"color\":{\"enum\":[\"red\"]}}},"
                 "\"then\":{\"required\":[\"n\"],\"properties\":{\"n\":{}}}},"
                 "{\"if\":{\"properties\":{\"color\":{\"enum\":[\"blue\"]}}},"
                 "\"then\":{\"properties\":{\"items\":{\"minItems\":1}}}}]},"
                 "\"n\":{\"properties\":{\"mode\":{\"enum\":[\"fast\"]}}}}");
}

/* -- unions -------------------------------------------------------------------------------------------------------- */

#define UNION(name, first, second) \
    "{\"oneOf\":[{\"$ref\":\"#/$defs/CountUp" name "\"},{\"$ref\":\"#/$defs/Nop" name "\"}]," \
    "\"discriminator\":{\"propertyName\":\"function\",\"mapping\":" \
    "{\"count_up\":\"#/$defs/CountUp" name "\",\"nop\":\"#/$defs/Nop" name "\"}}}," \
    "\"CountUp" name "\":{\"description\":\"" name " of `count_up`. Counts.\"," first "}," \
    "\"Nop" name "\":{\"description\":\"" name " of `nop`. Does nothing.\"," second "}"

static void record_with_input_is_union_of_functions(void **state)
{
    (void)state;
    static const struct type call_flag = {.kind = TYPE_BOOLEAN};
    static const struct field fields[] = {
        FIELD("function", &function_type, FIELD_REQUIRED, NULL, "The function", NULL),
        FIELD("input", &input_type, FIELD_REQUIRED, NULL, NULL, NULL),
        FIELD("flag", &call_flag, FIELD_DEFAULTED, "true", NULL, NULL),
        {0},
    };
    static const struct type record = {.kind = TYPE_RECORD, .name = "Call", .fields = fields};
#define CALL(name, input, required) \
    "\"type\":\"object\",\"required\":[" required "],\"properties\":{\"function\":" \
    "{\"description\":\"The function.\",\"type\":\"string\",\"const\":\"" name "\"}," \
    "\"input\":{\"$ref\":\"#/$defs/" input \
    "\"},\"flag\":{\"description\":\"Default: `true`.\",\"type\":\"boolean\"}}," \
    "\"additionalProperties\":false"
#define CALLS \
    UNION("Call", CALL("count_up", "CountUpInput", "\"function\",\"input\""), \
          CALL("nop", "NopInput", "\"function\"")) /* an input without required members may be absent */
    expect_schema(&record, "{\"$ref\":\"#/$defs/Call\",\"$defs\":{\"Call\":" CALLS ","
                           "\"CountUpInput\":{\"description\":\"The input of `count_up`.\"," NUMBER_MEMBERS "},"
                           "\"NopInput\":{\"description\":\"The input of `nop`.\"," EMPTY_MEMBERS "}}}");
#undef CALLS
#undef CALL
}

static void array_of_inputs_is_union_of_functions(void **state)
{
    (void)state;
    static const struct type inputs = {.kind = TYPE_ARRAY, .min = 1, .max = INT64_MAX, .item = &input_type};
    static const struct field fields[] = {
        FIELD("function", &one_function_type, FIELD_REQUIRED, NULL, NULL, NULL),
        FIELD("inputs", &inputs, FIELD_REQUIRED, NULL, NULL, NULL),
        {0},
    };
    static const struct type record = {.kind = TYPE_RECORD, .name = "Calls", .fields = fields};
    expect_schema(&record, "{\"$ref\":\"#/$defs/Calls\",\"$defs\":{\"Calls\":"
                           "{\"oneOf\":[{\"$ref\":\"#/$defs/NopCalls\"}],\"discriminator\":"
                           "{\"propertyName\":\"function\",\"mapping\":{\"nop\":\"#/$defs/NopCalls\"}}},"
                           "\"NopCalls\":{\"description\":\"Calls of `nop`. Does nothing.\",\"type\":\"object\","
                           "\"required\":[\"function\",\"inputs\"],\"properties\":{"
                           "\"function\":{\"type\":\"string\",\"const\":\"nop\"},\"inputs\":{\"type\":\"array\","
                           "\"minItems\":1,\"items\":{\"$ref\":\"#/$defs/NopInput\"}}},"
                           "\"additionalProperties\":false},"
                           "\"NopInput\":{\"description\":\"The input of `nop`.\"," EMPTY_MEMBERS "}}}");
}

static void options_apply_to_functions(void **state)
{
    (void)state;
    static const struct field fields[] = {
        FIELD("function", &function_type, FIELD_REQUIRED, NULL, NULL, NULL),
        FIELD("input", &input_type, FIELD_REQUIRED, NULL, NULL, NULL),
        FIELD("executor", &task_executor_type, FIELD_OPTIONAL, NULL, NULL, NULL),
        FIELD("pool", &task_pool_type, FIELD_OPTIONAL, NULL, NULL, NULL),
        {0},
    };
    static const struct type record = {.kind = TYPE_RECORD, .name = "Run", .fields = fields};
    struct test_set t;
    test_set_init(&t, test_functions);
    json_writer_raw(&t.w, "{");
    schema_type(&t.set, &record, false);
    char *text = test_set_take(&t);
    assert_non_null(strstr(text, "\"executor\":{\"$ref\":\"#/$defs/ThreadsProcessesExecutor\"},"
                                 "\"pool\":{\"$ref\":\"#/$defs/PoolName\"}},\"additionalProperties\":false,"
                                 "\"dependentSchemas\":{\"pool\":{\"properties\":{\"executor\":"
                                 "{\"type\":\"string\",\"const\":\"threads\"}},\"required\":[\"executor\"]}}}"));
    assert_non_null(strstr(text, "\"executor\":{\"$ref\":\"#/$defs/LoopExecutor\"}},\"additionalProperties\":false}"));
    free(text);
}

static const struct field outcome_fields[] = {
    FIELD("function", &function_type, FIELD_REQUIRED, NULL, NULL, NULL),
    FIELD("result", &output_type, FIELD_REQUIRED, NULL, NULL, NULL),
    FIELD("flag", &flag_type, FIELD_REQUIRED, NULL, NULL, NULL),
    {0},
};
static const struct type outcome_type = {.kind = TYPE_RECORD, .name = "Outcome", .fields = outcome_fields};

static void typed_results_make_union_of_functions(void **state)
{
    (void)state;
    struct test_set t;
    test_set_init(&t, test_functions);
    t.set.typed_results = true;
    json_writer_raw(&t.w, "{");
    schema_type(&t.set, &outcome_type, false);
#define OUTCOME(function, name) \
    "\"type\":\"object\",\"allOf\":[{\"$ref\":\"#/$defs/OutcomeMembers\"}],\"required\":[\"function\",\"result\"]," \
    "\"properties\":{\"function\":{\"type\":\"string\",\"const\":\"" function "\"}," \
    "\"result\":{\"$ref\":\"#/$defs/" name "Result\"}},\"unevaluatedProperties\":false"
#define OUTCOMES UNION("Outcome", OUTCOME("count_up", "CountUp"), OUTCOME("nop", "Nop"))
    expect_text(&t, "{\"$ref\":\"#/$defs/Outcome\",\"$defs\":{\"Outcome\":" OUTCOMES ","
                    "\"OutcomeMembers\":{\"description\":\"The members of every Outcome, whatever its function. "
                    "A member without a value is absent.\","
                    "\"type\":\"object\",\"required\":[\"flag\"],\"properties\":{\"flag\":{\"type\":\"boolean\"}}},"
                    "\"CountUpResult\":{\"description\":\"The result of `count_up`.\"," NUMBER_MEMBERS ","
                    "\"examples\":[{\"n\":2},{\"n\":3}]},"
                    "\"NopResult\":{\"description\":\"The result of `nop`.\"," EMPTY_MEMBERS "}}}");
#undef OUTCOMES
#undef OUTCOME
}

/* The children in the result of a function with split() are its parts, so they have its result. */
static void parts_are_tasks_of_their_function(void **state)
{
    (void)state;
    static const struct type part = {.kind = TYPE_CHILD};
    static const struct type parts = {.kind = TYPE_ARRAY, .max = INT64_MAX, .item = &part};
    static const struct field fields[] = {FIELD("parts", &parts, FIELD_OPTIONAL, NULL, NULL, NULL), {0}};
    static const struct type output = {.kind = TYPE_RECORD, .fields = fields};
    static const struct function parallel_sum = {.name = "parallel_sum", .output = &output, .split = count_split};
    static const struct function whole = {.name = "whole", .output = &output};
    static const struct {
        const struct function *function;
        bool typed_results;
        const char *item;
    } rows[] = {
        {&parallel_sum, true, "\"items\":{\"$ref\":\"#/$defs/ParallelSumOutcome\"}"},
        {&whole, true, "\"items\":{\"$ref\":\"#/$defs/Outcome\"}"},
        {&parallel_sum, false, "\"items\":{\"$ref\":\"#/$defs/Outcome\"}"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct test_set t;
        test_set_init(&t, (const struct function *const[]){NULL});
        t.set.child = &outcome_type;
        t.set.typed_results = rows[i].typed_results;
        schema_result_reference(&t.set, rows[i].function);
        struct schema_definition result = t.set.definitions[0];
        result.write(&t.set, &result);
        json_writer_bytes(&t.w, "", 1);
        assert_non_null(strstr(t.w.data, rows[i].item));
        schema_set_free(&t.set);
        json_writer_free(&t.w);
    }
}

static void results_are_any_object_without_typed_results(void **state)
{
    (void)state;
    expect_schema(&outcome_type, "{\"$ref\":\"#/$defs/Outcome\",\"$defs\":{\"Outcome\":{\"type\":\"object\","
                                 "\"required\":[\"function\",\"result\",\"flag\"],\"properties\":{"
                                 "\"function\":{\"type\":\"string\",\"enum\":[\"count_up\",\"nop\"]},"
                                 "\"result\":{\"type\":\"object\",\"additionalProperties\":true},"
                                 "\"flag\":{\"type\":\"boolean\"}},\"additionalProperties\":false}}}");
}

static void record_with_variants_is_union(void **state)
{
    (void)state;
    static const char *const shape_names[] = {"circle", "text_box", NULL};
    static const struct type shape_type = {.kind = TYPE_ENUM, .names = shape_names};
    static const struct field fields[] = {
        FIELD("shape", &shape_type, FIELD_REQUIRED, NULL, "Which shape", NULL),
        {0},
    };
    static const struct field circle_fields[] = {
        FIELD("radius", &count_type, FIELD_REQUIRED, NULL, NULL, NULL),
        {0},
    };
    static const struct field box_fields[] = {
        FIELD("mode", &mode_type, FIELD_OPTIONAL, NULL, NULL, NULL),
        FIELD("text", &text_type, FIELD_OPTIONAL, NULL, NULL, NULL),
        {0},
    };
    static const struct rule box_rules[] = {{RULE_ONLY_WITH, "text", "mode", {"slow"}}, {0}};
    static const struct type circle_type = {.kind = TYPE_RECORD, .fields = circle_fields};
    static const struct type box_type = {.kind = TYPE_RECORD, .fields = box_fields, .rules = box_rules};
    static const struct type *const variants[] = {&circle_type, &box_type};
    static const struct type record = {
        .kind = TYPE_RECORD, .name = "Shape", .doc = "A shape.", .fields = fields, .variants = variants};
    expect_schema(&record,
                  "{\"$ref\":\"#/$defs/Shape\",\"$defs\":{\"Shape\":{\"description\":\"A shape.\",\"oneOf\":["
                  "{\"$ref\":\"#/$defs/CircleShape\"},{\"$ref\":\"#/$defs/TextBoxShape\"}],"
                  "\"discriminator\":{\"propertyName\":\"shape\",\"mapping\":"
                  "{\"circle\":\"#/$defs/CircleShape\",\"text_box\":\"#/$defs/TextBoxShape\"}}},"
                  "\"CircleShape\":{\"type\":\"object\",\"required\":[\"shape\",\"radius\"],\"properties\":{"
                  "\"shape\":{\"description\":\"Which shape.\",\"type\":\"string\",\"const\":\"circle\"},"
                  "\"radius\":" COUNT "},\"additionalProperties\":false},"
                  "\"TextBoxShape\":{\"type\":\"object\",\"required\":[\"shape\"],\"properties\":{"
                  "\"shape\":{\"description\":\"Which shape.\",\"type\":\"string\",\"const\":\"text_box\"},"
                  "\"mode\":{\"type\":\"string\",\"enum\":[\"slow\",\"fast\"]},\"text\":{\"type\":\"string\"}},"
                  "\"additionalProperties\":false,\"dependentSchemas\":{\"text\":"
                  "{\"properties\":{\"mode\":{\"enum\":[\"slow\"]}},\"required\":[\"mode\"]}}}}}");
}

/* -- names --------------------------------------------------------------------------------------------------------- */

static void names_are_in_camel_case(void **state)
{
    (void)state;
    char name[SCHEMA_NAME_SIZE];
    schema_name("sha256_file", "", name);
    assert_string_equal(name, "Sha256File");
    schema_name("a__b_", "Input", name);
    assert_string_equal(name, "ABInput");
    schema_function_name(&(struct function){.name = "sleep"}, "Task", name);
    assert_string_equal(name, "SleepTask");
    schema_function_name(&(struct function){.name = "read_line", .schema_prefix = "OpenFile"}, "Result", name);
    assert_string_equal(name, "OpenFileReadLineResult");
}

/* -- built-in functions -------------------------------------------------------------------------------------------- */

/* The schema of an object with the inputs and results of all functions and methods, and what else is in requests and
 * responses. */
static void write_builtins(struct test_set *t)
{
    const struct type *const types[] = {&task_spec_type, &task_options_type,     &task_object_type,
                                        &limits_type,    &file_open_params_type, task_object_child_codec.type};
    const struct function *const *const lists[] = {t->set.functions, file_method_functions};
    json_writer_raw(&t->w, "{");
    json_writer_open_object(&t->w, "properties");
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        char name[16];
        snprintf(name, sizeof name, "type %zu", i);
        json_writer_open_object(&t->w, name);
        schema_type(&t->set, types[i], false);
        json_writer_raw(&t->w, "}");
    }
    for (size_t i = 0; i < COUNT_OF(lists); i++) {
        for (const struct function *const *f = lists[i]; *f != NULL; f++) {
            char name[64];
            snprintf(name, sizeof name, "input %zu %s", i, (*f)->name);
            json_writer_open_object(&t->w, name);
            schema_input_reference(&t->set, *f);
            json_writer_raw(&t->w, "}");
            snprintf(name, sizeof name, "result %zu %s", i, (*f)->name);
            json_writer_open_object(&t->w, name);
            schema_result_reference(&t->set, *f);
            json_writer_raw(&t->w, "}");
        }
    }
    json_writer_raw(&t->w, "}");
}

static json_t *parse_builtins(bool typed_results)
{
    struct registry *registry = builtins_new();
    struct test_set t;
    test_set_init(&t, registry_functions(registry));
    t.set.typed_results = typed_results;
    write_builtins(&t);
    char *text = test_set_take(&t);
    registry_unref(registry);
    json_error_t error;
    json_t *schema = json_loads(text, JSON_REJECT_DUPLICATES, &error); /* names of definitions are unique */
    if (schema == NULL)
        print_message("%s at %d\n", error.text, error.position);
    assert_non_null(schema);
    free(text);
    return schema;
}

static const char prefix[] = "#/$defs/";

static void check_reference(json_t *definitions, json_t *used, const char *reference)
{
    assert_int_equal(strncmp(reference, prefix, strlen(prefix)), 0);
    assert_non_null(json_object_get(definitions, reference + strlen(prefix)));
    json_object_set_new(used, reference + strlen(prefix), json_true());
}

/* Asserts that each reference has a definition, and adds the names to `used`. */
static void check_references(json_t *definitions, json_t *used, json_t *node)
{
    size_t index;
    const char *key;
    json_t *value;
    json_object_foreach(node, key, value)
    {
        if (strcmp(key, "$ref") == 0 && json_is_string(value))
            check_reference(definitions, used, json_string_value(value));
        check_references(definitions, used, value);
    }
    json_array_foreach(node, index, value)
    {
        check_references(definitions, used, value);
    }
    const char *name;
    json_object_foreach(json_object_get(json_object_get(node, "discriminator"), "mapping"), name, value)
    {
        check_reference(definitions, used, json_string_value(value));
    }
}

static void builtin_schemas_resolve_all_references(void **state)
{
    (void)state;
    for (int typed_results = 0; typed_results < 2; typed_results++) {
        json_t *schema = parse_builtins(typed_results), *used = json_object();
        json_t *definitions = json_object_get(schema, "$defs");
        assert_true(json_object_size(definitions) > 50);
        check_references(definitions, used, schema);
        assert_int_equal(json_object_size(used), json_object_size(definitions));
        json_decref(used);
        json_decref(schema);
    }
}

static bool has_string(json_t *array, const char *text)
{
    size_t index;
    json_t *value;
    json_array_foreach(array, index, value)
    {
        if (strcmp(json_string_value(value), text) == 0)
            return true;
    }
    return false;
}

static void task_schema_has_one_alternative_per_function(void **state)
{
    (void)state;
    json_t *schema = parse_builtins(false), *definitions = json_object_get(schema, "$defs");
    json_t *alternatives = json_object_get(json_object_get(definitions, "TaskSpec"), "oneOf");
    struct registry *registry = builtins_new();
    const struct function *const *functions = registry_functions(registry);
    size_t i = 0;
    for (; functions[i] != NULL; i++) {
        const char *reference = json_string_value(json_object_get(json_array_get(alternatives, i), "$ref"));
        json_t *one = json_object_get(definitions, reference + strlen(prefix));
        json_t *properties = json_object_get(one, "properties"), *names = json_object_get(one, "required");
        json_t *function = json_object_get(properties, "function");
        assert_string_equal(json_string_value(json_object_get(function, "const")), functions[i]->name);
        bool required = functions[i]->input->variants != NULL;
        for (const struct field *f = functions[i]->input->fields; f->name != NULL; f++)
            required = required || f->presence == FIELD_REQUIRED;
        assert_true(has_string(names, "function"));
        assert_int_equal(has_string(names, "input"), required);
        assert_non_null(json_object_get(properties, "timeout_seconds"));
        assert_int_equal(json_object_get(properties, "parallel") != NULL, functions[i]->split != NULL);
    }
    assert_int_equal(json_array_size(alternatives), i);
    registry_unref(registry);
    json_decref(schema);
}

/* The tasks of a gather can be gathers, so its schema refers to itself. */
static void gather_schema_is_recursive(void **state)
{
    (void)state;
    json_t *schema = parse_builtins(false), *definitions = json_object_get(schema, "$defs");
    json_t *spec = json_object_get(json_object_get(definitions, "GatherTaskSpec"), "properties");
    assert_string_equal(json_string_value(json_object_get(json_object_get(spec, "input"), "$ref")),
                        "#/$defs/GatherInput");
    json_t *input = json_object_get(json_object_get(definitions, "GatherInput"), "properties");
    json_t *tasks = json_object_get(json_object_get(input, "tasks"), "items");
    assert_string_equal(json_string_value(json_object_get(tasks, "$ref")), "#/$defs/TaskSpec");
    json_decref(schema);
}

static void oom_at_each_allocation(void **state)
{
    (void)state;
    struct registry *registry = builtins_new();
    unsigned long n = 0;
    bool failed;
    do {
        struct test_set t;
        test_set_init(&t, registry_functions(registry));
        t.set.typed_results = true;
        alloc_fail_at(++n);
        write_builtins(&t);
        schema_definitions(&t.set);
        failed = alloc_count() >= n;
        alloc_fail_at(0);
        assert_int_equal(t.w.failed, failed);
        schema_set_free(&t.set);
        json_writer_free(&t.w);
    } while (failed);
    registry_unref(registry);
    assert_true(n > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schema_of_each_kind),
        cmocka_unit_test(nullable_type_allows_null),
        cmocka_unit_test(configured_limits_are_maxima),
        cmocka_unit_test(configured_pools_are_enumerated),
        cmocka_unit_test(schema_of_record),
        cmocka_unit_test(named_types_are_defined_once),
        cmocka_unit_test(rendered_nulls_are_required_and_nullable),
        cmocka_unit_test(open_object_omits_function_and_output),
        cmocka_unit_test(object_joins_records),
        cmocka_unit_test(rule_only_with),
        cmocka_unit_test(rule_required_with),
        cmocka_unit_test(rule_items_with),
        cmocka_unit_test(rules_with_one_key_are_joined),
        cmocka_unit_test(record_with_input_is_union_of_functions),
        cmocka_unit_test(array_of_inputs_is_union_of_functions),
        cmocka_unit_test(options_apply_to_functions),
        cmocka_unit_test(typed_results_make_union_of_functions),
        cmocka_unit_test(parts_are_tasks_of_their_function),
        cmocka_unit_test(results_are_any_object_without_typed_results),
        cmocka_unit_test(record_with_variants_is_union),
        cmocka_unit_test(names_are_in_camel_case),
        cmocka_unit_test(builtin_schemas_resolve_all_references),
        cmocka_unit_test(task_schema_has_one_alternative_per_function),
        cmocka_unit_test(gather_schema_is_recursive),
        cmocka_unit_test(oom_at_each_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_function_docs - every function is documented, and its examples fit its types. */
#include "handlers/json/decode.h"
#include "handlers/json/json_parse.h"
#include "runtime/files/file_methods.h"
#include "runtime/types/type_parse.h"
#include "runtime/types/type_rules.h"
#include "tests/unit/support/builtins.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

typedef void check_fn(const struct function *function);

static void for_each_function(check_fn *check)
{
    struct registry *registry = builtins_new();
    for (const struct function *const *f = registry_functions(registry); *f != NULL; f++)
        check(*f);
    for (const struct function *const *f = file_method_functions; *f != NULL; f++)
        check(*f);
    check(&function_file_open);
    registry_unref(registry);
}

static void fail_about(const struct function *function, const char *name, const char *problem)
{
    print_error("%s: %s: %s\n", function->name, name, problem);
    fail();
}

/* One line, as it stands before a full stop or a parenthesis. */
static bool is_phrase(const char *text)
{
    return text != NULL && isupper((unsigned char)text[0]) && strchr(text, '\n') == NULL &&
           text[strlen(text) - 1] != '.';
}

static bool is_prose(const char *text)
{
    return strlen(text) > 0 && (text[strlen(text) - 1] == '.' || strstr(text, "\n- ") != NULL);
}

/* -- texts --------------------------------------------------------------------------------------------------------- */

static void check_type_docs(const struct function *function, const struct type *type)
{
    if (type->kind == TYPE_ARRAY || type->kind == TYPE_REFERENCE)
        check_type_docs(function, type->item);
    if (type->doc != NULL && !is_prose(type->doc))
        fail_about(function, type->name, "the doc of a type is sentences");
    if (type->kind != TYPE_RECORD || (type->name != NULL && strcmp(type->name, "TaskSpec") == 0))
        return;
    for (const struct field *f = type->fields; f->name != NULL; f++) {
        if (!is_phrase(f->doc))
            fail_about(function, f->name, "has no doc, or one with a full stop");
        if (strstr(f->doc, "default: ") != NULL && f->presence == FIELD_DEFAULTED)
            fail_about(function, f->name, "the doc repeats default_text");
        check_type_docs(function, f->type);
    }
}

static void check_texts(const struct function *function)
{
    if (!is_phrase(function->doc))
        fail_about(function, "doc", "must be a phrase without a full stop");
    if (function->description != NULL && !is_prose(function->description))
        fail_about(function, "description", "must be sentences");
    check_type_docs(function, function->input);
    check_type_docs(function, function->output);
}

static void functions_and_fields_are_documented(void **state)
{
    (void)state;
    for_each_function(check_texts);
    check_type_docs(&function_file_open, &file_open_params_type);
    for (const struct field *f = task_spec_type.fields; f->name != NULL; f++)
        assert_true(is_phrase(f->doc));
}

/* -- errors -------------------------------------------------------------------------------------------------------- */

static bool has_error(const struct function *function, int rc)
{
    for (const int *error = function->errors; error != NULL && *error != 0; error++)
        if (*error == rc)
            return true;
    return false;
}

static void check_error_codes(const struct function *function)
{
    for (const int *error = function->errors; error != NULL && *error != 0; error++) {
        assert_true(strlen(error_code(*error)) > 0);
        for (const int *other = function->errors; other != error; other++)
            assert_int_not_equal(*other, *error);
    }
}

static void error_codes_are_listed_once(void **state)
{
    (void)state;
    for_each_function(check_error_codes);
}

/* -- examples ------------------------------------------------------------------------------------------------------ */

static void set_limits(struct limits *limits)
{
    static struct pool_config pools[] = {{.name = {"default", 7}, .size = 1}};
    record_set_defaults(&limits_type, limits);
    limits->pools = (struct array){pools, 1};
}

static void check_input(const struct function *function, const struct function_example *example)
{
    const struct type *type = function == &function_file_open ? &file_open_params_type : function->input;
    struct limits limits;
    struct validation_errors errors;
    struct arena *arena = arena_new();
    assert_non_null(arena);
    set_limits(&limits);
    struct registry *registry = builtins_new();
    struct decode_context context = {&limits, registry};
    struct task_spec spec = {.function = function, .input = arena_alloc(arena, type->size)};
    assert_non_null(spec.input);
    struct record_ref input = {type, spec.input, function}, options = {&task_options_type, &spec.options, NULL};
    if (decode_body(str_from(example->input), &input, 1, arena, &context, &errors) != 0)
        fail_about(function, example->name, errors.items[0].detail);
    if (decode_query(str_from(example->query), &options, arena, &context, &errors) != 0)
        fail_about(function, example->name, errors.items[0].detail);
    struct check_error check_error;
    if (!type_check_rules(&task_spec_type, &spec, &check_error))
        fail_about(function, example->name, check_error.detail);
    registry_unref(registry);
    arena_unref(arena);
}

/* The members are those of the output. */
static void check_result(const struct function *function, const struct function_example *example)
{
    json_error_t error;
    json_t *result = NULL;
    struct arena *arena = arena_new();
    assert_true(arena != NULL && json_parse(str_from(example->result), arena, &result, &error));
    if (result == NULL)
        fail_about(function, example->name, error.text);
    assert_true(json_is_object(result));
    size_t members = 0;
    for (const struct field *f = function->output->fields; f->name != NULL; f++) {
        bool is_present = json_object_get(result, f->name) != NULL;
        members += is_present;
        if (f->presence == FIELD_REQUIRED && !is_present)
            fail_about(function, example->name, f->name);
    }
    assert_int_equal(json_object_size(result), members);
    arena_unref(arena);
}

static void check_example(const struct function *function, const struct function_example *example)
{
    for (const char *c = example->name; *c != '\0'; c++)
        assert_true(islower((unsigned char)*c) || *c == '_');
    if (!is_phrase(example->summary))
        fail_about(function, example->name, "the summary must be a phrase without a full stop");
    check_input(function, example);
    if (example->result != NULL)
        check_result(function, example);
    if (example->error == 0)
        return;
    assert_null(example->result);
    assert_true(has_error(function, example->error) || example->error == ERR_TIMEOUT ||
                example->error == ERR_DEADLINE_EXCEEDED);
}

static void check_examples(const struct function *function)
{
    size_t successes = 0;
    if (function->examples == NULL)
        fail_about(function, "examples", "must not be NULL");
    for (const struct function_example *example = function->examples; example->name != NULL; example++) {
        check_example(function, example);
        successes += example->error == 0;
        for (const struct function_example *other = function->examples; other != example; other++)
            assert_string_not_equal(other->name, example->name);
    }
    assert_true(successes > 0);
}

static void examples_fit_the_types(void **state)
{
    (void)state;
    for_each_function(check_examples);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(functions_and_fields_are_documented),
        cmocka_unit_test(error_codes_are_listed_once),
        cmocka_unit_test(examples_fit_the_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

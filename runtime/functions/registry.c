#include "runtime/task/function.h"

#include <string.h>

extern const struct function function_block, function_copy_file, function_file_script, function_gather,
    function_list_directory, function_make_directory, function_map, function_primes, function_read_file,
    function_remove_file, function_rename_file, function_resolve, function_sha256_file, function_sleep,
    function_stat_file, function_sum, function_write_file;

/* By name, as the catalogue lists them. */
const struct function *const function_registry[] = {
    &function_block,       &function_copy_file,      &function_file_script,
    &function_gather,      &function_list_directory, &function_make_directory,
    &function_map,         &function_primes,         &function_read_file,
    &function_remove_file, &function_rename_file,    &function_resolve,
    &function_sha256_file, &function_sleep,          &function_stat_file,
    &function_sum,         &function_write_file,     NULL,
};

#define EXECUTOR_NAME(NAME, name, effect, option) [EXECUTOR_##NAME] = (name),
#define EXECUTOR_EFFECT(NAME, name, effect, option) [EXECUTOR_##NAME] = (effect),
#define EXECUTOR_OPTION(NAME, name, effect, option) [EXECUTOR_##NAME] = (option),

const char *const executor_names[EXECUTOR_COUNT + 1] = {EXECUTORS(EXECUTOR_NAME)};

const char *const cancel_effect_names[EFFECT_COUNT + 1] = {
    [EFFECT_PREVENTED] = "prevented", [EFFECT_STOPPED] = "stopped",   [EFFECT_KILLED] = "killed",
    [EFFECT_ABANDONED] = "abandoned", [EFFECT_TOO_LATE] = "too_late",
};

enum cancel_effect executor_cancel_effect(enum executor_kind kind)
{
    static const enum cancel_effect effects[EXECUTOR_COUNT] = {EXECUTORS(EXECUTOR_EFFECT)};
    return effects[kind];
}

const char *executor_enabling_option(enum executor_kind kind)
{
    static const char *const options[EXECUTOR_COUNT] = {EXECUTORS(EXECUTOR_OPTION)};
    return options[kind];
}

static const struct type part_type = {.kind = TYPE_CHILD};
const struct type function_parts_type = {.kind = TYPE_ARRAY, .item = &part_type, .min = 1, .max = 64};

const struct function *function_find(struct str name)
{
    for (const struct function *const *f = function_registry; *f != NULL; f++)
        if (str_eq(name, (*f)->name))
            return *f;
    return NULL;
}

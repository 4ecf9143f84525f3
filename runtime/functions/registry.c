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

const char *const executor_names[EXECUTOR_COUNT + 1] = {
    [EXECUTOR_LOOP] = "loop",
    [EXECUTOR_THREADS] = "threads",
    [EXECUTOR_PROCESSES] = "processes",
    [EXECUTOR_FILES] = "files",
};

const char *const cancel_effect_names[EFFECT_COUNT + 1] = {
    [EFFECT_PREVENTED] = "prevented", [EFFECT_STOPPED] = "stopped",   [EFFECT_KILLED] = "killed",
    [EFFECT_ABANDONED] = "abandoned", [EFFECT_TOO_LATE] = "too_late",
};

enum cancel_effect executor_cancel_effect(enum executor executor)
{
    static const enum cancel_effect effects[EXECUTOR_COUNT] = {
        [EXECUTOR_LOOP] = EFFECT_STOPPED,
        [EXECUTOR_THREADS] = EFFECT_ABANDONED,
        [EXECUTOR_PROCESSES] = EFFECT_KILLED,
        [EXECUTOR_FILES] = EFFECT_ABANDONED,
    };
    return effects[executor];
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

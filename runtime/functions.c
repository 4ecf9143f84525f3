#include "runtime/function.h"

#include <string.h>

extern const struct function function_gather, function_sleep;

/* By name, as the catalogue lists them. */
const struct function *const functions[] = {&function_gather, &function_sleep, NULL};

const char *const executor_names[EXECUTOR_COUNT + 1] = {[EXECUTOR_LOOP] = "loop"};

const char *const effect_names[EFFECT_COUNT + 1] = {
    [EFFECT_PREVENTED] = "prevented",
    [EFFECT_STOPPED] = "stopped",
    [EFFECT_TOO_LATE] = "too_late",
};

const struct function *function_find(struct text name)
{
    for (const struct function *const *f = functions; *f != NULL; f++)
        if (text_is(name, (*f)->name))
            return *f;
    return NULL;
}

/* The registry of functions. Each file NAME.c in this folder defines function_NAME; CMakeLists.txt generates
 * function_list.h from the files. */
#include "function_list.h"
#include "runtime/task/function.h"

#define DECLARE(name) extern const struct function function_##name;
FUNCTION_LIST(DECLARE)

#define ROW(name) &function_##name,
const struct function *const function_registry[] = {FUNCTION_LIST(ROW) NULL};

const struct function *function_find(struct str name)
{
    for (const struct function *const *f = function_registry; *f != NULL; f++)
        if (str_eq(name, (*f)->name))
            return *f;
    return NULL;
}

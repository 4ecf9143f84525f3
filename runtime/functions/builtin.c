#include "runtime/functions/builtin.h"

#include "function_list.h"

/* The build lists the names (CMakeLists.txt). */
#define DECLARE(name) extern const struct function function_##name;
FUNCTION_LIST(DECLARE)

#define ROW(name) &function_##name,
static const struct function *const functions[] = {FUNCTION_LIST(ROW)};

int builtin_registry(struct registry **out, struct err *e)
{
    return registry_new(functions, COUNT_OF(functions), out, e);
}

#include "tests/unit/support/builtins.h"

#include "runtime/lib/check.h"

struct registry *builtins_new(void)
{
    struct registry *registry;
    int rc = builtin_registry(&registry, NULL);
    CHECK(rc == 0);
    return registry;
}

const struct function *builtins_find(const char *name)
{
    struct registry *registry = builtins_new();
    const struct function *function = registry_find(registry, str_from(name));
    registry_unref(registry); /* the functions are constants */
    return function;
}

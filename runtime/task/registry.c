#include "runtime/task/registry.h"

#include "runtime/lib/check.h"

#include <stdlib.h>
#include <string.h>

struct registry {
    size_t references;
    size_t count;
    const struct function *functions[]; /* sorted by name; ends with NULL */
};

static bool is_valid_name(const char *name)
{
    size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");
    return name[0] >= 'a' && name[0] <= 'z' && name[len] == '\0' && len < FUNCTION_NAME_SIZE;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp((*(const struct function *const *)a)->name, (*(const struct function *const *)b)->name);
}

/* Checks the sorted functions. */
static int check_functions(const struct registry *registry, struct err *e)
{
    for (size_t i = 0; i < registry->count; i++) {
        const char *name = registry->functions[i]->name;
        if (!is_valid_name(name))
            return err_set(e, ERR_INVALID,
                           "\"%s\" is not a valid function name: use a lowercase letter, then lowercase letters, "
                           "digits and '_', at most %d characters in all",
                           name, FUNCTION_NAME_SIZE - 1);
        if (i > 0 && strcmp(registry->functions[i - 1]->name, name) == 0)
            return err_set(e, ERR_INVALID, "Two functions are named \"%s\"", name);
    }
    return 0;
}

int registry_new(const struct function *const functions[], size_t count, struct registry **out, struct err *e)
{
    const size_t item_size = sizeof(const struct function *);
    struct registry *registry = calloc(1, sizeof *registry + (count + 1) * item_size);
    if (registry == NULL)
        return err_nomem(e);
    registry->references = 1;
    registry->count = count;
    if (count > 0) {
        memcpy(registry->functions, functions, count * item_size);
        qsort(registry->functions, count, item_size, compare_names);
    }
    int rc = check_functions(registry, e);
    if (rc != 0) {
        free(registry);
        return rc;
    }
    *out = registry;
    return 0;
}

struct registry *registry_ref(struct registry *registry)
{
    CHECK(registry->references > 0);
    registry->references++;
    return registry;
}

void registry_unref(struct registry *registry)
{
    if (registry == NULL)
        return;
    CHECK(registry->references > 0);
    if (--registry->references == 0)
        free(registry);
}

const struct function *registry_find(const struct registry *registry, struct str name)
{
    size_t from = 0, to = name.len == 0 ? 0 : registry->count; /* an absent name has no data to compare */
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        const struct function *function = registry->functions[middle];
        size_t len = strlen(function->name);
        int order = memcmp(name.data, function->name, name.len < len ? name.len : len);
        if (order == 0 && name.len == len)
            return function;
        if (order < 0 || (order == 0 && name.len < len))
            to = middle;
        else
            from = middle + 1;
    }
    return NULL;
}

const struct function *const *registry_functions(const struct registry *registry)
{
    return registry->functions;
}

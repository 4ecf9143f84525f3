/* registry - an immutable set of functions, found by name.
 *
 * Owns:     its list of functions, not the functions.
 * Threads:  the loop thread; lookups on any thread that is known to have a reference.
 * Lifetime: by reference count. registry_new() returns the first reference.
 */
#ifndef GATHERD_RUNTIME_TASK_REGISTRY_H
#define GATHERD_RUNTIME_TASK_REGISTRY_H

#include "runtime/task/function.h"

struct registry;

/* Copies the list; the functions are borrowed. ERR_INVALID: two have the same name, or a name is not valid: a lowercase
 * letter, then lowercase letters, digits and '_', less than FUNCTION_NAME_SIZE bytes in all. ERR_OUT_OF_MEMORY. */
int registry_new(const struct function *const functions[], size_t count, struct registry **out, struct err *e);

struct registry *registry_ref(struct registry *registry); /* returns its argument */
void registry_unref(struct registry *registry);           /* may be NULL */

const struct function *registry_find(const struct registry *registry, struct str name); /* NULL: not found */

/* All functions, sorted by name; ends with NULL. */
const struct function *const *registry_functions(const struct registry *registry);

#endif

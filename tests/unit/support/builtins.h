/* builtins - the built-in functions, for tests.
 *
 * Owns:     nothing.
 * Threads:  any.
 */
#ifndef GATHERD_TESTS_UNIT_SUPPORT_BUILTINS_H
#define GATHERD_TESTS_UNIT_SUPPORT_BUILTINS_H

#include "runtime/functions/builtin.h"

/* A new registry of them. Aborts if out of memory. */
struct registry *builtins_new(void);

/* The function of this name; NULL: not found. */
const struct function *builtins_find(const char *name);

#endif

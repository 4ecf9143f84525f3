/* builtin - the registry of the functions in this folder: each file defines one, function_NAME.
 *
 * Owns:     nothing; the caller gets the first reference.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_RUNTIME_FUNCTIONS_BUILTIN_H
#define GATHERD_RUNTIME_FUNCTIONS_BUILTIN_H

#include "runtime/task/registry.h"

int builtin_registry(struct registry **out, struct err *e); /* 0 or ERR_OUT_OF_MEMORY */

#endif

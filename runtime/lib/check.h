/* check - assertions, kept in release builds.
 *
 * For bugs in gatherd only: no client, system error or lack of memory may make one fail.
 *
 * Owns:     nothing.
 * Threads:  any.
 */
#ifndef GATHERD_RUNTIME_LIB_CHECK_H
#define GATHERD_RUNTIME_LIB_CHECK_H

/* If the condition is false, writes it with its file and line to stderr and calls abort(3). */
#define CHECK(condition) ((condition) ? (void)0 : check_failed(#condition, __FILE__, __LINE__))

/* Marks code that cannot be reached, such as the end of a function after an exhaustive switch. */
#define UNREACHABLE() check_failed("unreachable", __FILE__, __LINE__)

_Noreturn void check_failed(const char *condition, const char *file, int line);

#endif

/* check - assertions, kept in release builds.
 *
 * They are for our own bugs. Nothing that a client, the system or a lack of memory can bring about may reach one.
 */
#ifndef GATHERD_RUNTIME_LIB_CHECK_H
#define GATHERD_RUNTIME_LIB_CHECK_H

/* Logs the condition and where it stands on stderr, and aborts, when it does not hold. */
#define CHECK(condition) ((condition) ? (void)0 : check_failed(#condition, __FILE__, __LINE__))

/* Marks code that is never reached, such as what follows a switch over every value of an enum. */
#define UNREACHABLE() check_failed("unreachable", __FILE__, __LINE__)

_Noreturn void check_failed(const char *condition, const char *file, int line);

#endif

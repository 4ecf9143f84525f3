/* alloc_fault - makes the n-th allocation of our code fail, so that tests can fail each in turn.
 *
 * The linker's --wrap redirects malloc, calloc and realloc of statically linked code. Shared libraries are not
 * affected, but jansson decodes into our arenas.
 *
 *     unsigned long n = 0;
 *     do {
 *         alloc_fail_at(++n);
 *         ... the operation, and checks of its failure ...
 *     } while (alloc_count() >= n);
 *     alloc_fail_at(0);
 *
 * Threads:  any; the count is of all threads.
 */
#ifndef GATHERD_TESTS_UNIT_SUPPORT_ALLOC_FAULT_H
#define GATHERD_TESTS_UNIT_SUPPORT_ALLOC_FAULT_H

/* Makes the n-th allocation from now fail, and only that; 0: none. Resets the count. */
void alloc_fail_at(unsigned long n);

/* Allocations since the last alloc_fail_at(), including the failed one. */
unsigned long alloc_count(void);

#endif

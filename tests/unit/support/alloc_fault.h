/* alloc_fault - makes the n-th allocation of gatherd's code fail, so that a test can fail each allocation in turn.
 *
 * The linker's --wrap redirects malloc, calloc and realloc of statically linked code. Shared libraries are not
 * affected; but jansson allocates from an arena, whose allocations can fail.
 *
 *     unsigned long n = 0;
 *     do {
 *         alloc_fail_at(++n);
 *         ... run the operation, check how it fails ...
 *     } while (alloc_count() >= n);
 *     alloc_fail_at(0);
 *
 * Threads:  any; the allocations of all threads are counted together.
 */
#ifndef GATHERD_TESTS_UNIT_SUPPORT_ALLOC_FAULT_H
#define GATHERD_TESTS_UNIT_SUPPORT_ALLOC_FAULT_H

/* Makes only the n-th allocation from now fail; 0: none. Resets the count. */
void alloc_fail_at(unsigned long n);

/* Allocations since the last alloc_fail_at(), including the failed one. */
unsigned long alloc_count(void);

#endif

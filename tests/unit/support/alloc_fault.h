/* alloc_fault - makes an allocation of our own code fail, so that a test can try what happens at each of them.
 *
 * The linker's --wrap routes malloc, calloc and realloc of everything linked in statically through here. Shared libraries
 * have their own; but the memory that jansson decodes in is an arena of ours.
 *
 *     unsigned long n = 0;
 *     do {
 *         alloc_fail_at(++n);
 *         ... the operation, and what must hold when it failed ...
 *     } while (alloc_count() >= n);
 *     alloc_fail_at(0);
 *
 * Threads:  any; allocations of all threads are counted together.
 */
#ifndef GATHERD_TESTS_UNIT_SUPPORT_ALLOC_FAULT_H
#define GATHERD_TESTS_UNIT_SUPPORT_ALLOC_FAULT_H

/* The n-th allocation from now fails, and no other; with 0 none does. Counting starts anew. */
void alloc_fail_at(unsigned long n);

/* Allocations since the last alloc_fail_at(), the failed one included. */
unsigned long alloc_count(void);

#endif

/* strand - serializes jobs: jobs of one strand run one at a time, in order of submission, while the pool runs other
 * jobs concurrently.
 *
 * Owns:     nothing; a strand is embedded in another struct, and must be empty when that struct is freed.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_RUNTIME_EXECUTORS_STRAND_H
#define GATHERD_RUNTIME_EXECUTORS_STRAND_H

#include "runtime/lib/list.h"

struct strand {
    struct list_node waiting; /* of struct job */
    bool busy;                /* one of its jobs is in the pool's queue or in a slot, abandoned or not */
};

static inline void strand_init(struct strand *strand)
{
    list_init(&strand->waiting);
    strand->busy = false;
}

#endif

/* strand - calls that run one after the other, in order, in a pool that runs others at once.
 *
 * At most one job of a lane is in a pool's queue or in a slot; the others wait in the lane.
 *
 * Owns:     nothing; it belongs to whoever embeds it, and must be empty when it goes.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_RUNTIME_EXECUTORS_STRAND_H
#define GATHERD_RUNTIME_EXECUTORS_STRAND_H

#include "runtime/lib/list.h"

struct strand {
    struct list_node waiting; /* of struct job */
    bool busy;                /* a job of it is in the queue or in a slot, or its thread has not returned */
};

static inline void strand_init(struct strand *strand)
{
    list_init(&strand->waiting);
    strand->busy = false;
}

#endif

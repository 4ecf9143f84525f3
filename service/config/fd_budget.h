/* fd_budget - who gets how many, where the system allows fewer than the limits add up to.
 *
 * All that clients can make the service hold open at the same time is counted, so that what is within its limit finds a
 * descriptor: connections, those that linger, open files, files on their way in or out, and the channels of worker processes.
 *
 * Owns:     nothing; plain values.
 * Threads:  any.
 */
#ifndef GATHERD_SERVICE_CONFIG_FD_BUDGET_H
#define GATHERD_SERVICE_CONFIG_FD_BUDGET_H

#include "service/config/config.h"

/* A limit that was lowered. */
struct lowered {
    const char *name; /* of the option; static */
    int64_t asked, now;
};
enum { LOWERED_MOST = 4 };

/* Lowers limits of *config, and *lingers, until all of it needs no more than `most` descriptors, and keeps each at 1 at
 * least. Returns how many entries of `out` say what was lowered. */
size_t descriptors_fit(struct config *config, int64_t *lingers, uint64_t most, struct lowered out[LOWERED_MOST]);

#endif

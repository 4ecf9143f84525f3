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
struct reduced_limit {
    const char *name; /* of the option; static */
    int64_t configured, effective;
};
enum { MAX_REDUCED_LIMITS = 4 };

/* Lowers limits of *config, and *lingers, until all of it needs no more than `most` descriptors, and keeps each at 1 at
 * least. Returns how many entries of `out` say what was lowered. */
size_t fd_budget_apply(struct config *config, int64_t *max_lingering, uint64_t max_fds,
                       struct reduced_limit out[MAX_REDUCED_LIMITS]);

#endif

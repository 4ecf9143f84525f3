/* fd_budget - divides the file descriptors of the process when its limits add up to more than the system allows.
 *
 * It counts everything that clients can make the service hold open, so that requests within the limits never run out of
 * descriptors: connections, lingering connections, open files, uploads and downloads, and sockets of worker processes.
 *
 * Owns:     nothing.
 * Threads:  any.
 */
#ifndef GATHERD_SERVICE_CONFIG_FD_BUDGET_H
#define GATHERD_SERVICE_CONFIG_FD_BUDGET_H

#include "service/config/config.h"

struct reduced_limit {
    const char *name; /* of the option; static */
    int64_t configured, effective;
};
enum { MAX_REDUCED_LIMITS = 4 };

/* Reduces limits of *config (to at least 1) and *max_lingering until they need no more than max_fds descriptors.
 * Returns the number of entries written to `out`: one for each reduced limit of *config. */
size_t fd_budget_apply(struct config *config, int64_t *max_lingering, uint64_t max_fds,
                       struct reduced_limit out[MAX_REDUCED_LIMITS]);

#endif

/* service - the process: one loop with everything that hangs off it, from the start to a clean end.
 *
 * Owns:     the loop, the runtime, the handlers, HTTP, the listeners, the log.
 * Threads:  the caller's becomes the loop thread until service_run() returns.
 */
#ifndef GATHERD_SERVICE_SERVICE_H
#define GATHERD_SERVICE_SERVICE_H

#include "service/config/config.h"

/* With this as its first argument, and how many bytes it may take as its second ("": no limit), the executable is a worker
 * process. */
#define WORKER_FLAG "--worker"

/* Serves until SIGTERM or SIGINT, then drains:
 *
 *     serving -> draining (no new connections and tasks; what runs may end within drain_seconds, or until a second signal)
 *             -> canceling (everything is canceled, and answered) -> cutting (connections that don't end are cut) -> ended
 *
 * Prints a line for each listener on `out` once it is served. Returns the exit code: 0; 1 when it could not start;
 * EXIT_USAGE when an address to listen on is none, or needs --insecure. Complaints before the start go to `err`. */
int service_run(struct config *config, FILE *out, FILE *err);

#endif

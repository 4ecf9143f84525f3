/* service - the process: builds everything on one loop, serves, and shuts down.
 *
 * Owns:     the loop, the runtime, the handlers, HTTP, the listeners, the log.
 * Threads:  the caller's thread is the loop thread until service_run() returns.
 */
#ifndef GATHERD_SERVICE_SERVICE_H
#define GATHERD_SERVICE_SERVICE_H

#include "service/config/config.h"

/* The first argument of a worker process; the second is its memory limit in bytes ("" for none). */
#define WORKER_FLAG "--worker"

/* Serves until SIGTERM or SIGINT, then shuts down:
 *
 *     SERVING -> DRAINING             rejects new connections and tasks; for drain_seconds, or until a second signal
 *             -> CANCELING            all tasks are canceled, and their responses sent
 *             -> CLOSING_CONNECTIONS  the remaining connections are closed
 *             -> STOPPED              also from DRAINING and CANCELING, when no connection is left
 *
 * Prints one line per listener to `out` when it accepts connections, and startup errors to `err`. Returns the exit
 * status: 0; 1 if the service could not start; EXIT_USAGE if a listen address is invalid or needs --insecure. */
int service_run(struct config *config, FILE *out, FILE *err);

#endif

/* routes - what each route makes of a request; the table of them is in api.c.
 *
 * Owns:     nothing.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_HANDLERS_ROUTES_H
#define GATHERD_HANDLERS_ROUTES_H

#include "handlers/api.h"
#include "handlers/ids.h"
#include "runtime/runtime.h"

struct api {
    struct api_config config;
    struct ids ids;
    bool draining;
};

typedef void parse_fn(struct api *api, const struct request *request, struct outcome *out);

/* tasks.c */
parse_fn parse_tasks, parse_run, parse_gather;

/* catalogue.c */
parse_fn parse_functions, parse_function, parse_limits, parse_livez, parse_readyz, parse_openapi;

/* Refuses any query parameter; false with the outcome filled when there was one. */
bool no_query(struct api *api, const struct request *request, struct outcome *out);

/* Fills the outcome with a problem. */
void refuse(const struct request *request, struct outcome *out, int rc, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Fills the outcome with the problem that there is no such function, naming those there are. */
void refuse_function(const struct request *request, struct outcome *out);

#endif

/* print_openapi - gatherd --print-openapi: the OpenAPI document that a process with this configuration would serve.
 *
 * Owns:     nothing.
 * Threads:  any.
 */
#ifndef GATHERD_SERVICE_PRINT_OPENAPI_H
#define GATHERD_SERVICE_PRINT_OPENAPI_H

#include "service/config/config.h"

/* Prints config->print_openapi on `out`. Returns the exit status; errors are printed on `err`. */
int print_openapi(const struct config *config, FILE *out, FILE *err);

#endif

/* config - the service's configuration, from flags, GATHERD_* variables, the file of --config and defaults.
 *
 * Precedence: flags, variables, file, defaults. Every option is one row of a type table, which gives its flag
 * (--max-tasks), its variable (GATHERD_MAX_TASKS), its member in the file (max_tasks), its range, default and help
 * text.
 *
 * Owns:     the arena that holds its strings and lists, until config_free().
 * Threads:  any; constant after config_load().
 */
#ifndef GATHERD_SERVICE_CONFIG_CONFIG_H
#define GATHERD_SERVICE_CONFIG_CONFIG_H

#include "handlers/json/decode.h"
#include "runtime/executors/pool_options.h"
#include "runtime/types/limits.h"
#include "service/config/http_limits.h"

#include <stdio.h>

struct service_options {
    struct array listen; /* of struct str: addresses as given, at least one */
    bool insecure;
    int log_format;         /* enum log_format */
    int log_level;          /* enum log_level */
    uint64_t drain_seconds; /* nanoseconds */
};
extern const struct type service_options_type;

struct config {
    struct service_options service;
    struct http_limits http;
    struct limits limits;
    struct pool_options runtime; /* sizes of pools; the parsed pools are limits.pools */
    int print_openapi;           /* enum openapi_format: print the document and exit; ENUM_ABSENT: serve */
    struct arena *arena;         /* owned */
};

/* The records that make up a configuration, in the order of --help. */
enum { CONFIG_RECORDS = 4 };
void config_records(struct config *config, struct record_ref records[CONFIG_RECORDS]);

/* Reads the configuration from argv (argv[0] is skipped), env (in the format of environ) and the file that they name,
 * and validates it.
 *
 * If the service should start, sets *done to false and returns 0. Otherwise sets *done to true, leaves *config empty
 * and returns the exit status: 0 after --help, --version or --print-config; EXIT_USAGE for an invalid configuration,
 * after one line on `err` with the source and the allowed values; EXIT_FAILURE if out of memory, or if `out` cannot be
 * written. */
int config_load(struct config *config, int argc, char *const argv[], char *const env[], FILE *out, FILE *err,
                bool *done);

void config_free(struct config *config);

#endif

/* config - what the service was told: flags over GATHERD_* variables over the JSON file of --config over defaults.
 *
 * Every option is one row of a type table: from it come its flag (--max-tasks), its variable (GATHERD_MAX_TASKS), its member
 * in the file (max_tasks), its range, default and help.
 *
 * Owns:     the arena in which its texts and lists live, until config_free().
 * Threads:  any; constant once it is loaded.
 */
#ifndef GATHERD_SERVICE_CONFIG_CONFIG_H
#define GATHERD_SERVICE_CONFIG_CONFIG_H

#include "handlers/json/decode.h"
#include "runtime/executors/pool_options.h"
#include "runtime/types/limits.h"
#include "service/config/http_limits.h"

#include <stdio.h>

struct service_options {
    struct array listen; /* of struct str: addresses, at least one, as they were given */
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
    struct pool_options runtime;  /* how many threads and processes; the pools it makes are limits.pools */
    const char *processes_source; /* what says how many; static */
    const char *files_source;     /* likewise, of files_threads */
    struct arena *arena;          /* owned; holds all texts */
};

/* The records of which a configuration is made, in the order of --help. */
enum { CONFIG_RECORDS = 4 };
void config_records(struct config *config, struct record_ref records[CONFIG_RECORDS]);

/* Reads the configuration from argv (argv[0] is skipped), env (as environ) and the file they name, and checks it.
 *
 * With *done false the service is to start with *config, and the result is 0. Else there is nothing more to do than to exit
 * with the result: 0 when --help, --version or --print-config was answered on `out`; 2 when something given is wrong, which
 * one line on `err` names together with what is allowed; 1 when there is no memory or `out` can't be written. Then *config
 * holds nothing. */
int config_load(struct config *config, int argc, char *const argv[], char *const env[], FILE *out, FILE *err,
                bool *done);

void config_free(struct config *config);

#endif

/* config_help - prints the help text, configuration errors, and the configuration as JSON.
 *
 * Owns:     nothing; the text comes from the type tables.
 * Threads:  any.
 */
#ifndef GATHERD_SERVICE_CONFIG_CONFIG_HELP_H
#define GATHERD_SERVICE_CONFIG_CONFIG_HELP_H

#include "handlers/json/decode.h"

#include <stdio.h>

enum { EXIT_USAGE = 2 }; /* exit status for an invalid configuration; EXIT_FAILURE is for other errors */

/* A flag that is not an option: it has no variable, and no member in the file. */
struct config_action {
    const char *name;        /* with '_', like the names of fields */
    const char *placeholder; /* for the value; NULL if the flag takes none */
    const char *doc;
};

/* Map a character of a field's or action's name to its spelling in flags and in variables. */
char config_flag_char(char c);
char config_variable_char(char c);

/* Print one line on `err`. config_error() returns EXIT_USAGE, config_out_of_memory() EXIT_FAILURE. */
int config_error(FILE *err, const char *format, ...) __attribute__((format(printf, 2, 3)));
int config_out_of_memory(FILE *err);

/* `actions` ends with a row whose name is NULL. */
void config_print_help(FILE *out, const struct config_action actions[], const struct record_ref records[],
                       size_t record_count);

/* Prints one line in the format of --config. Returns false if out of memory. */
bool config_print_json(FILE *out, const struct record_ref records[], size_t record_count);

#endif

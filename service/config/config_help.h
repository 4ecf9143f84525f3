/* config_help - what the configuration says to people: help, complaints, and itself as JSON.
 *
 * Owns:     nothing. Derived from the type tables.
 * Threads:  any.
 */
#ifndef GATHERD_SERVICE_CONFIG_CONFIG_HELP_H
#define GATHERD_SERVICE_CONFIG_CONFIG_HELP_H

#include "handlers/json/decode.h"

#include <stdio.h>

enum { EXIT_USAGE = 2 }; /* exit code for an invalid configuration; other errors: EXIT_FAILURE */

/* A flag that is not an option: there is no variable and no member of its name. */
struct config_action {
    const char *name;        /* spelled as fields are, with '_' */
    const char *placeholder; /* of its value; NULL when it takes none */
    const char *doc;
};

/* How the name of a field or an action is spelled in flags and in variables. */
char config_flag_char(char c);
char config_variable_char(char c);

/* Prints one line on `err`; returns EXIT_USAGE, or EXIT_FAILURE when it is for want of memory. */
int config_error(FILE *err, const char *format, ...) __attribute__((format(printf, 2, 3)));
int config_out_of_memory(FILE *err);

/* `actions` ends with a row whose name is NULL. */
void config_print_help(FILE *out, const struct config_action actions[], const struct record_ref records[],
                       size_t record_count);

/* One line that --config takes; false when there is no memory. */
bool config_print_json(FILE *out, const struct record_ref records[], size_t record_count);

#endif

/* config_file - reads the configuration's JSON file.
 *
 * Owns:     nothing; values go to the records, their strings to the caller's arena.
 * Threads:  any; blocks while reading.
 */
#ifndef GATHERD_SERVICE_CONFIG_CONFIG_FILE_H
#define GATHERD_SERVICE_CONFIG_CONFIG_FILE_H

#include "handlers/json/decode.h"

#include <stdio.h>

/* Sets each field of the records from the file at `path` (NULL: no file), or to its default. Returns 0, or an exit code
 * after printing one line on `err`. */
int config_file_load(const char *path, const struct record_ref records[], size_t record_count, struct arena *arena,
                     FILE *err);

#endif

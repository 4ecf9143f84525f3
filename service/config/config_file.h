/* config_file - the configuration's JSON file.
 *
 * Owns:     nothing; values go into the parts, their texts into the caller's arena.
 * Threads:  any; reads the file at once.
 */
#ifndef GATHERD_SERVICE_CONFIG_CONFIG_FILE_H
#define GATHERD_SERVICE_CONFIG_CONFIG_FILE_H

#include "handlers/json/decode.h"

#include <stdio.h>

/* Sets each field of the parts to what `path` says (NULL: no file), or to its default. 0, or an exit code after a line on
 * `err`. */
int config_file_load(const char *path, const struct record_ref records[], size_t record_count, struct arena *arena,
                     FILE *err);

#endif

/* yaml - converts JSON to YAML in block style, for people to read. Parsers of YAML 1.1 and 1.2 read the same value.
 *
 * Members keep their order. Text of several lines becomes a literal block (|), a long line a folded one (>-).
 *
 * Owns:     nothing.
 * Threads:  any.
 */
#ifndef GATHERD_HANDLERS_JSON_YAML_H
#define GATHERD_HANDLERS_JSON_YAML_H

#include "handlers/json/json_writer.h"

/* Appends `json`, an object or array whose member names are unique and shorter than 1,024 bytes, as a YAML document.
 * Out of memory: out->failed. */
void yaml_write_json(struct json_writer *out, struct str json);

#endif

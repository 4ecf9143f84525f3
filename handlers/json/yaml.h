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
 * A collection inside it is on one line, as in "a: {b: 1}", if that line has at most line_max bytes; 0: never. Out of
 * memory: out->failed. */
void yaml_write_json(struct json_writer *out, struct str json, size_t line_max);

#endif

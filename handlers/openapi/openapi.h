/* openapi - renders the OpenAPI 3.1 document of this process from its routes, functions, limits and error codes.
 *
 * Owns:     a cache: its texts, until openapi_cache_free().
 * Threads:  the loop thread.
 */
#ifndef GATHERD_HANDLERS_OPENAPI_OPENAPI_H
#define GATHERD_HANDLERS_OPENAPI_OPENAPI_H

#include "handlers/json/decode.h"
#include "handlers/json/json_writer.h"
#include "handlers/resources/route.h"

/* What the document depends on; borrowed. */
struct openapi_source {
    const struct route *const *routes;       /* in the order of the document; ends with NULL */
    const struct function *const *functions; /* sorted by name; ends with NULL */
    const struct limits *limits;             /* in force */
    const struct record_ref *limit_records;  /* every record of limits */
    size_t limit_record_count;
};

enum openapi_format { OPENAPI_JSON, OPENAPI_YAML, OPENAPI_FORMAT_COUNT };
extern const char *const openapi_format_names[OPENAPI_FORMAT_COUNT + 1]; /* ends with NULL */

/* Appends the document. Out of memory: w->failed. */
void openapi_write(struct json_writer *w, const struct openapi_source *source, enum openapi_format format);

struct openapi_cache;
void openapi_cache_free(struct openapi_cache *cache); /* may be NULL */

#endif

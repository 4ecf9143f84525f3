/* openapi_embed - the bytes of openapi.yaml, embedded at build time by handlers/openapi/embed.cmake.
 *
 * Owns:     nothing; constants.
 * Threads:  any.
 */
#ifndef GATHERD_HANDLERS_OPENAPI_OPENAPI_EMBED_H
#define GATHERD_HANDLERS_OPENAPI_OPENAPI_EMBED_H

#include <stddef.h>

extern const unsigned char openapi_yaml[]; /* without a NUL */
extern const size_t openapi_yaml_len;      /* in bytes */

#endif

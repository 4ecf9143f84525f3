/* openapi_embed - the bytes of openapi.yaml, put into the binary at build time (handlers/openapi/embed.cmake). */
#ifndef GATHERD_HANDLERS_OPENAPI_OPENAPI_EMBED_H
#define GATHERD_HANDLERS_OPENAPI_OPENAPI_EMBED_H

#include <stddef.h>

extern const unsigned char openapi_yaml[]; /* the file as it is, without a closing NUL */
extern const size_t openapi_yaml_len;      /* its length in bytes */

#endif

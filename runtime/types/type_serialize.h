/* type_serialize - converts values to the bytes exchanged with worker processes, and back.
 *
 * Both processes run the same executable, so numbers keep their memory representation. type_deserialize() validates the
 * bytes nevertheless: a worker with corrupted memory may send anything.
 *
 * Owns:     nothing.
 * Threads:  any.
 */
#ifndef GATHERD_RUNTIME_TYPES_TYPE_SERIALIZE_H
#define GATHERD_RUNTIME_TYPES_TYPE_SERIALIZE_H

#include "runtime/types/type.h"

/* The number of bytes that type_serialize() writes. FUNCTION, INPUT, OUTPUT, CHILD and REFERENCE have no serialized
 * form and fail a CHECK; but an absent array of them can be serialized. */
size_t type_serialized_size(const struct type *type, const void *value);

/* Writes type_serialized_size() bytes to `out` and returns their end. */
char *type_serialize(const struct type *type, const void *value, char *out);

/* The bytes that have not been read yet; borrowed. */
struct reader {
    const char *at, *end;
};

/* Reads a value and advances reader->at; strings and arrays are copied into the arena. Returns 0, ERR_INVALID for
 * malformed bytes, or ERR_OUT_OF_MEMORY. Of the ranges, only the maximum of an ARRAY without .limit is checked. */
int type_deserialize(const struct type *type, struct reader *reader, struct arena *arena, void *value);

#endif

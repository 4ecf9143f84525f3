/* type_serialize - values as the bytes that cross to a worker process and back, by their type table.
 *
 * Both sides are the same executable, so numbers are as they lie in memory. What comes from a worker is checked all the same:
 * a worker that was hurt may send anything.
 *
 * Owns:     nothing.
 * Threads:  any.
 */
#ifndef GATHERD_RUNTIME_TYPES_TYPE_SERIALIZE_H
#define GATHERD_RUNTIME_TYPES_TYPE_SERIALIZE_H

#include "runtime/types/type.h"

/* How many bytes `value` takes. FUNCTION, INPUT, OUTPUT, CHILD and REFERENCE don't cross: PRE. A list of them does when it is
 * absent. */
size_t type_serialized_size(const struct type *type, const void *value);

/* Writes them; returns where they end. There must be type_serialized_size() bytes of room. */
char *type_serialize(const struct type *type, const void *value, char *out);

/* Bytes that are read, from `at` up to `end`. */
struct reader {
    const char *at, *end;
};

/* Reads a value, texts and lists into the arena. 0; ERR_INVALID when the bytes are no such value (ranges aside, but a list's
 * maximum is kept to); or ERR_OUT_OF_MEMORY. */
int type_deserialize(const struct type *type, struct reader *reader, struct arena *arena, void *value);

#endif

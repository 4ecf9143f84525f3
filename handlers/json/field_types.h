/* field_types - field types shared by the records of several resources.
 *
 * Owns:     nothing; tables are constants.
 * Threads:  any.
 */
#ifndef GATHERD_HANDLERS_JSON_FIELD_TYPES_H
#define GATHERD_HANDLERS_JSON_FIELD_TYPES_H

#include "runtime/types/type.h"

extern const struct type string_type;
extern const struct type text_type; /* a string that is not empty */
extern const struct type id_type;   /* STRING: an id of a task or an open file */
extern const struct type boolean_type;
extern const struct type count_type; /* a number of items or bytes */
extern const struct type pid_type;   /* a process or thread id */
extern const struct type seconds_type;

#endif

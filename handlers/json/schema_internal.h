/* schema_internal - shared by the files of schema. Each function writes members of the open schema object.
 *
 * Owns:     nothing.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_HANDLERS_JSON_SCHEMA_INTERNAL_H
#define GATHERD_HANDLERS_JSON_SCHEMA_INTERNAL_H

#include "handlers/json/schema.h"

/* schema.c */
void schema_type_keyword(struct schema_set *set, const char *kind, bool nullable);

/* The description of a field: its `doc` and its default. In the alternatives for a function, which repeat the same
 * fields, a named type describes itself. */
void schema_field_description(struct schema_set *set, const struct field *f, const struct function *function);

/* A field of `record`, or of the record's alternative for `function`, as a member of the open "properties". */
void schema_field(struct schema_set *set, const struct type *record, const struct field *f,
                  const struct function *function);
bool schema_field_required(const struct type *record, const struct field *f, const struct function *function);

/* Whether tasks of `function` can have the field; NULL: those of any function. */
bool schema_field_applies(const struct field *f, const struct function *function);

/* schema_scalar.c: types that contain no other types. */
void schema_scalar(struct schema_set *set, const struct type *type, bool nullable);

/* schema_rules.c: "dependentSchemas", if the records have rules or `function` (may be NULL) restricts an option. */
void schema_rules(struct schema_set *set, const struct type *const *records, size_t count,
                  const struct function *function);

/* schema_union.c */
bool schema_is_union(const struct schema_set *set, const struct type *record);
bool schema_is_input_array(const struct type *type);

/* The alternative for `function` of a named record that is a union. */
void schema_alternative_reference(struct schema_set *set, const struct type *record, const struct function *function);

/* The union's alternatives are definitions, whose names end with `name`. */
void schema_record_union(struct schema_set *set, const char *name, const struct type *record);

#endif

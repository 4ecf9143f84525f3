/* schema - JSON Schema (2020-12) from type tables.
 *
 * A schema is written as members of an open JSON object. Named types, inputs and results are written as references;
 * schema_definitions() then writes what is referred to, for "$defs" or for OpenAPI's components.
 *
 * Owns:     a set: its list of definitions, until schema_set_free(). Tables and limits are borrowed.
 * Threads:  the loop thread.
 * Errors:   out of memory sets set->w->failed.
 */
#ifndef GATHERD_HANDLERS_JSON_SCHEMA_H
#define GATHERD_HANDLERS_JSON_SCHEMA_H

#include "handlers/json/json_writer.h"
#include "runtime/task/function.h"
#include "runtime/types/limits.h"

enum { SCHEMA_NAME_SIZE = 96 };

struct schema_set;
struct schema_definition {
    char name[SCHEMA_NAME_SIZE];
    /* Writes the schema's members. `definition` is a copy, valid during the call. */
    void (*write)(struct schema_set *set, const struct schema_definition *definition);
    /* For write(); any may be NULL. */
    const struct type *type;
    const struct function *function;
    const void *user;
    bool is_shared; /* write() gives the same for each function with this name */
};

struct schema_set {
    struct json_writer *w;
    const char *prefix;                      /* of a reference, such as "#/$defs/" */
    const struct limits *limits;             /* configured limits appear with their values */
    const struct function *const *functions; /* ends with NULL */
    const struct type *child;                /* the record of a TYPE_CHILD */
    bool typed_results;                      /* a record with an OUTPUT has one alternative for each function */
    const struct function *parts_of;         /* while its result is written: each TYPE_CHILD is a part of it */
    struct schema_definition *definitions;   /* owned; in order of the first reference */
    size_t count, capacity;
};

/* The schema of a type. A configured limit has its value in set->limits. */
void schema_type(struct schema_set *set, const struct type *type, bool nullable);

/* The schema of an object whose members are the fields of all records. `function` (may be NULL) decides which options
 * apply. */
void schema_object(struct schema_set *set, const struct type *const *records, size_t count,
                   const struct function *function);

/* Whether an empty object lacks a member that the record requires. */
bool schema_has_required(const struct type *record);

/* A record's fields as the members of an open "properties" object, except FUNCTION and OUTPUT ones. */
void schema_members(struct schema_set *set, const struct type *record);

/* A string with one value. */
void schema_const(struct schema_set *set, const char *text);

/* The value of a default or an example, which a table has as input of type_parse(). */
void schema_literal(struct schema_set *set, const struct type *type, const char *text);

/* The name of an executor: one of those that the function allows; and a reference to a schema of it. */
void schema_executor_names(struct schema_set *set, const struct function *function);
void schema_executors(struct schema_set *set, const struct function *function);

/* The schema of an object with these fields and possibly others. */
void schema_open_object(struct schema_set *set, const struct type *record);

/* One alternative for each function, told apart by the member `property`, which has the function's name. */
void schema_union(struct schema_set *set, const char *property, const struct function *const *functions,
                  struct schema_definition (*alternative)(const struct function *function));

/* References. `name` is unique: every reference to it has the same write(), type and function. */
void schema_reference(struct schema_set *set, const struct schema_definition *definition);
void schema_input_reference(struct schema_set *set, const struct function *function);
void schema_result_reference(struct schema_set *set, const struct function *function);

/* "ThreadsProcesses" for these EXECUTOR_BITs, followed by `suffix`. */
void schema_executors_name(unsigned executors, const char *suffix, char out[SCHEMA_NAME_SIZE]);

/* "Sha256File" for "sha256_file", followed by `suffix`; of a function, preceded by its schema_prefix. */
void schema_name(const char *name, const char *suffix, char out[SCHEMA_NAME_SIZE]);
void schema_function_name(const struct function *function, const char *suffix, char out[SCHEMA_NAME_SIZE]);

/* Writes each definition, and those that they refer to, as a member of the open object. */
void schema_definitions(struct schema_set *set);
void schema_set_free(struct schema_set *set);

#endif

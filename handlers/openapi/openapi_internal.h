/* openapi_internal - shared by the files of openapi.
 *
 * Owns:     nothing.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_HANDLERS_OPENAPI_OPENAPI_INTERNAL_H
#define GATHERD_HANDLERS_OPENAPI_OPENAPI_INTERNAL_H

#include "handlers/json/schema.h"
#include "handlers/openapi/openapi.h"

enum { PROBLEM_SETS_MAX = 128 }; /* different answers that are problems: a bound on our own tables */

/* A set of error codes: bit i is the code with error_index i. */
#define ERROR_BIT(name) (UINT64_C(1) << ERROR_INDEX_##name)
_Static_assert(ERROR_COUNT <= 64, "a set of error codes has 64 bits");

static inline bool error_set_has(uint64_t codes, int rc)
{
    return (codes & UINT64_C(1) << (-1 - rc)) != 0;
}

/* A problem answer: the codes of one status that an operation can give. */
struct problem_set {
    char name[SCHEMA_NAME_SIZE]; /* its component */
    int status;
    uint64_t codes;
    unsigned headers; /* of enum answer_header */
};

struct openapi_writer {
    struct json_writer *w;
    const struct openapi_source *source;
    struct schema_set schemas;
    struct problem_set problems[PROBLEM_SETS_MAX]; /* in order of the first reference */
    size_t problem_count;
    unsigned headers;         /* used by answers: of enum answer_header */
    unsigned request_headers; /* used as parameters: 1 << HEADER_... */
};

/* openapi.c */
const char *openapi_tag_name(enum route_tag tag);
void openapi_write_reference(struct json_writer *w, const char *kind, const char *name); /* to a component */

/* operations.c: the path item objects, as members of the open object. */
void openapi_write_paths(struct openapi_writer *o);
void openapi_write_parameters(struct openapi_writer *o);

/* answers.c */
void openapi_write_answers(struct openapi_writer *o, const struct route *route, const struct function *function);
void openapi_write_headers(struct openapi_writer *o);
void openapi_write_problem_components(struct openapi_writer *o);
void openapi_write_problem_types(struct json_writer *w, uint64_t codes); /* as "enum" */

/* operation_errors.c: every code that the operation can give. */
uint64_t openapi_operation_errors(const struct openapi_source *source, const struct route *route,
                                  const struct function *function);
uint64_t openapi_common_errors(void); /* those that any operation can give, except that probes lack some */

/* Of these codes: those whose problem can have a task, and those whose problem always has one. */
uint64_t openapi_task_errors(uint64_t codes);
uint64_t openapi_task_only_errors(uint64_t codes);

/* task_schemas.c: each writes a reference as a member of the open schema object. */
void openapi_task_reference(struct openapi_writer *o, const struct function *function);
void openapi_any_task_reference(struct openapi_writer *o);
void openapi_problem_reference(struct openapi_writer *o);

/* The names of all limits, as items of the open array. */
void openapi_write_limit_names(struct json_writer *w, const struct openapi_source *source);

#endif

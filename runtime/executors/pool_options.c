#include "runtime/executors/pool_options.h"

#include "runtime/task/function.h"
#include "runtime/types/type_parse.h"

#include <string.h>

static const struct type pool_spec_type = {.kind = TYPE_STRING, .name = "NAME=N", .min = 1, .max = 64};
static const struct type pool_specs_type = {
    .kind = TYPE_ARRAY, .item = &pool_spec_type, .min = 1, .max = MAX_THREAD_POOLS - 1};
static const struct type processes_type = {.kind = TYPE_INTEGER, .min = 0, .max = 256};
static const struct type worker_tasks_type = {.kind = TYPE_INTEGER, .min = 1, .max = SAFE_INTEGER_MAX};
static const struct type worker_memory_type = {.kind = TYPE_INTEGER, .min = 1 << 20, .max = SAFE_INTEGER_MAX};
static const struct type pool_size_type = {.kind = TYPE_INTEGER, .min = 1, .max = 512};
static const struct type directory_type = {.kind = TYPE_STRING, .name = "DIR", .min = 1, .max = 4095};

static const struct field pool_options_fields[] = {
#define X(c_type, member, type, doc) \
    {#member, &(type), offsetof(struct pool_options, member), FIELD_OPTIONAL, NULL, doc, NULL},
    POOL_OPTIONS(X)
#undef X
        {0},
};

const struct type pool_options_type = {
    .kind = TYPE_RECORD, .fields = pool_options_fields, .size = sizeof(struct pool_options)};

#define POOL_NAME_CHARS "abcdefghijklmnopqrstuvwxyz0123456789_-"
enum { POOL_EXTRA_THREADS = 4, POOL_DEFAULT_MAX = 32 };

static int pool_options_parse_one(struct str item, struct pool_config *out, struct arena *arena, struct err *e)
{
    const char *equals = memchr(item.data, '=', item.len);
    struct str name = equals == NULL ? STR("default") : (struct str){item.data, (size_t)(equals - item.data)};
    struct str number = equals == NULL ? item : (struct str){equals + 1, item.len - name.len - 1};
    if (name.len == 0 || name.len > POOL_NAME_MAX || strspn(name.data, POOL_NAME_CHARS) < name.len)
        return err_set(e, ERR_INVALID, "must use pool names of 1 to %d characters from a-z, 0-9, _ and -",
                       POOL_NAME_MAX);
    for (const char *const *reserved = executor_names; *reserved != NULL; reserved++)
        if (str_eq(name, *reserved))
            return err_set(e, ERR_INVALID, "must not name a pool %s: that is the name of an executor", *reserved);
    struct err cause;
    if (type_parse(&pool_size_type, number, arena, NULL, &out->size, &cause) != 0)
        return err_set(e, ERR_INVALID, "must be NAME=N or N for each pool: N %s (given: \"%.*s\")", cause.msg,
                       (int)str_truncate(item, 60), item.data);
    if (!arena_str(arena, name.data, name.len, &out->name))
        return err_nomem(e);
    out->source = "configured";
    return 0;
}

static bool has_pool(const struct pool_config *pools, size_t count, struct str name)
{
    for (size_t i = 0; i < count; i++)
        if (str_eq(name, pools[i].name.data))
            return true;
    return false;
}

/* More than the CPUs, because functions on threads mostly block. */
static int64_t default_threads(struct cpus cpus)
{
    return cpus.count + POOL_EXTRA_THREADS < POOL_DEFAULT_MAX ? cpus.count + POOL_EXTRA_THREADS : POOL_DEFAULT_MAX;
}

static void set_size(int64_t *size, const char **source, int64_t default_size, struct cpus cpus)
{
    *source = *size == INTEGER_ABSENT ? cpus.source : "configured";
    if (*size == INTEGER_ABSENT)
        *size = default_size;
}

void pool_options_set_sizes(struct pool_options *options, struct cpus cpus)
{
    set_size(&options->processes, &options->processes_source, cpus.count, cpus);
    if (options->files_root.data != NULL)
        set_size(&options->files_threads, &options->files_source, default_threads(cpus), cpus);
    else
        options->files_threads = INTEGER_ABSENT;
}

int64_t pool_options_count_threads(const struct pool_options *options)
{
    int64_t count = 0;
    for (const struct field *field = pool_options_fields; field->name != NULL; field++) {
        const char *value = (const char *)options + field->offset;
        if (field->type == &pool_size_type && !type_is_absent(field->type, value))
            count += *(const int64_t *)(const void *)value;
    }
    return count;
}

int pool_options_parse(const struct pool_options *options, struct cpus cpus, struct arena *arena, struct array *out,
                       struct err *e)
{
    size_t spec_count = options->threads.items == NULL ? 0 : options->threads.count, count = 0;
    struct pool_config *pools = arena_calloc(arena, spec_count + 1, sizeof *pools);
    if (pools == NULL)
        return err_nomem(e);
    pools[count++] = (struct pool_config){STR("default"), default_threads(cpus), cpus.source};
    bool default_configured = false;
    for (size_t i = 0; i < spec_count; i++) {
        struct pool_config pool = {.source = NULL};
        int rc = pool_options_parse_one(((const struct str *)options->threads.items)[i], &pool, arena, e);
        if (rc != 0)
            return rc;
        bool is_default = str_eq(pool.name, "default");
        if (is_default ? default_configured : has_pool(pools, count, pool.name))
            return err_set(e, ERR_INVALID, "must name each pool once, and names %s twice", pool.name.data);
        default_configured = default_configured || is_default;
        pools[is_default ? 0 : count++] = pool;
    }
    *out = (struct array){pools, count};
    return 0;
}

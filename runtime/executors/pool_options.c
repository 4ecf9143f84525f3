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
    {"threads", &pool_specs_type, offsetof(struct pool_options, threads), FIELD_OPTIONAL, NULL,
     "Pools of threads for blocking calls, such as default=4,reports=2; a bare number sizes the pool default "
     "(default: CPUs + 4, at most 32)",
     NULL},
    {"processes", &processes_type, offsetof(struct pool_options, processes), FIELD_OPTIONAL, NULL,
     "Worker processes for computation; 0 disables them (default: one for each CPU)", NULL},
    {"worker_max_tasks", &worker_tasks_type, offsetof(struct pool_options, worker_max_tasks), FIELD_OPTIONAL, NULL,
     "Replace a worker process after this many tasks (default: never)", NULL},
    {"worker_memory_bytes", &worker_memory_type, offsetof(struct pool_options, worker_memory_bytes), FIELD_OPTIONAL,
     NULL, "Address space that a worker process may use beyond what it starts with (default: unlimited)", NULL},
    {"files_root", &directory_type, offsetof(struct pool_options, files_root), FIELD_OPTIONAL, NULL,
     "The directory that file functions can access; without it they are disabled", NULL},
    {"files_threads", &pool_size_type, offsetof(struct pool_options, files_threads), FIELD_OPTIONAL, NULL,
     "Threads for file functions (default: CPUs + 4, at most 32)", NULL},
    {0},
};

const struct type pool_options_type = {
    .kind = TYPE_RECORD, .fields = pool_options_fields, .size = sizeof(struct pool_options)};

#define POOL_NAME_CHARS "abcdefghijklmnopqrstuvwxyz0123456789_-"
enum { POOL_NAME_MAX = 12, POOL_EXTRA_THREADS = 4, POOL_DEFAULT_MAX = 32 };

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

int64_t pool_options_default_threads(struct cpus cpus)
{
    return cpus.count + POOL_EXTRA_THREADS < POOL_DEFAULT_MAX ? cpus.count + POOL_EXTRA_THREADS : POOL_DEFAULT_MAX;
}

int pool_options_parse(const struct pool_options *options, struct cpus cpus, struct arena *arena, struct array *out,
                       struct err *e)
{
    size_t spec_count = options->threads.items == NULL ? 0 : options->threads.count, count = 0;
    struct pool_config *pools = arena_calloc(arena, spec_count + 1, sizeof *pools);
    if (pools == NULL)
        return err_nomem(e);
    pools[count++] = (struct pool_config){STR("default"), pool_options_default_threads(cpus), cpus.source};
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

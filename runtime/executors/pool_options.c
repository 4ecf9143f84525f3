#include "runtime/executors/pool_options.h"

#include "runtime/task/function.h"
#include "runtime/types/type_parse.h"

#include <string.h>

static const struct type thread_type = {.kind = TYPE_STRING, .name = "NAME=N", .min = 1, .max = 64};
static const struct type threads_type = {.kind = TYPE_ARRAY, .item = &thread_type, .min = 1, .max = MAX_POOLS - 1};
static const struct type processes_type = {.kind = TYPE_INTEGER, .min = 0, .max = 256};
static const struct type worker_tasks_type = {.kind = TYPE_INTEGER, .min = 1, .max = INT64_C(1) << 53};
static const struct type worker_memory_type = {.kind = TYPE_INTEGER, .min = 1 << 20, .max = INT64_C(1) << 53};
static const struct type pool_size_type = {.kind = TYPE_INTEGER, .min = 1, .max = 512};
static const struct type path_type = {.kind = TYPE_STRING, .name = "DIR", .min = 1, .max = 4095};

static const struct field options_fields[] = {
    {"threads", &threads_type, offsetof(struct options, threads), FIELD_OPTIONAL, NULL,
     "Pools of threads for blocking calls, such as default=4,reports=2; a bare number sizes the pool default, which "
     "else has as many as there are processors, and 4",
     NULL},
    {"processes", &processes_type, offsetof(struct options, processes), FIELD_OPTIONAL, NULL,
     "Worker processes for computation; 0 switches them off; else as many as there are processors", NULL},
    {"worker_max_tasks", &worker_tasks_type, offsetof(struct options, worker_max_tasks), FIELD_OPTIONAL, NULL,
     "After how many tasks a worker process is replaced; else never", NULL},
    {"worker_memory_bytes", &worker_memory_type, offsetof(struct options, worker_memory_bytes), FIELD_OPTIONAL, NULL,
     "How much address space a worker process may take beyond what it starts with; else all there is", NULL},
    {"files_root", &path_type, offsetof(struct options, files_root), FIELD_OPTIONAL, NULL,
     "The directory that file functions see, and nothing outside of it; without it there are none", NULL},
    {"files_threads", &pool_size_type, offsetof(struct options, files_threads), FIELD_OPTIONAL, NULL,
     "Threads for file functions; else as many as there are processors, and 4", NULL},
    {0},
};

const struct type options_type = {.kind = TYPE_RECORD, .fields = options_fields, .size = sizeof(struct options)};

#define POOL_NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyz0123456789_-"
enum { POOL_NAME_MOST = 12, POOL_EXTRA = 4, POOL_AUTO_MOST = 32 };

static int parse_pool(struct str item, struct pool_config *out, struct arena *arena, struct err *e)
{
    const char *equals = memchr(item.at, '=', item.len);
    struct str name = equals == NULL ? STR("default") : (struct str){item.at, (size_t)(equals - item.at)};
    struct str number = equals == NULL ? item : (struct str){equals + 1, item.len - name.len - 1};
    if (name.len == 0 || name.len > POOL_NAME_MOST || strspn(name.at, POOL_NAME_CHARACTERS) < name.len)
        return err_set(e, ERR_INVALID, "must name each pool with 1 to %d of a-z, 0-9, _ and -", POOL_NAME_MOST);
    for (const char *const *taken = executor_names; *taken != NULL; taken++) /* the other pools have such names */
        if (str_eq(name, *taken))
            return err_set(e, ERR_INVALID, "must name no pool %s, as an executor is called", *taken);
    struct err why;
    if (type_parse(&pool_size_type, number, arena, NULL, &out->size, &why) != 0)
        return err_set(e, ERR_INVALID, "must be NAME=N or N for each pool, and N %s (given: \"%.*s\")", why.msg,
                       (int)str_truncate(item, 60), item.at);
    if (!arena_str(arena, name.at, name.len, &out->name))
        return err_set(e, ERR_OUT_OF_MEMORY, "there is no memory for the pools");
    out->source = "configured";
    return 0;
}

static bool has_pool(const struct pool_config *pools, size_t count, struct str name)
{
    for (size_t i = 0; i < count; i++)
        if (str_eq(name, pools[i].name.at))
            return true;
    return false;
}

int64_t options_threads(struct cpus cpus)
{
    return cpus.count + POOL_EXTRA < POOL_AUTO_MOST ? cpus.count + POOL_EXTRA : POOL_AUTO_MOST;
}

int options_pools(const struct options *options, struct cpus cpus, struct arena *arena, struct array *out,
                  struct err *e)
{
    size_t given = options->threads.items == NULL ? 0 : options->threads.count, count = 0;
    struct pool_config *pools = arena_calloc(arena, given + 1, sizeof *pools);
    if (pools == NULL)
        return err_set(e, ERR_OUT_OF_MEMORY, "there is no memory for the pools");
    pools[count++] = (struct pool_config){STR("default"), options_threads(cpus), cpus.source};
    bool default_given = false;
    for (size_t i = 0; i < given; i++) {
        struct pool_config pool = {.source = NULL};
        int rc = parse_pool(((const struct str *)options->threads.items)[i], &pool, arena, e);
        if (rc != 0)
            return rc;
        bool is_default = str_eq(pool.name, "default");
        if (is_default ? default_given : has_pool(pools, count, pool.name))
            return err_set(e, ERR_INVALID, "must name each pool once, and names %s twice", pool.name.at);
        default_given = default_given || is_default;
        pools[is_default ? 0 : count++] = pool;
    }
    *out = (struct array){pools, count};
    return 0;
}

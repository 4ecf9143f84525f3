/* pools - GET /v1/pools: the sizes, queues and counters of all pools. */
#include "handlers/json/field_types.h"
#include "handlers/json/render.h"
#include "handlers/resources/handlers.h"

static const struct type name_type = {.kind = TYPE_STRING, .min = 1, .max = POOL_NAME_MAX, .allow_nul = true};
static const struct type size_type = {.kind = TYPE_INTEGER, .min = 1, .max = SAFE_INTEGER_MAX};
static const struct type size_source_type = {
    .kind = TYPE_STRING, .max = INT64_MAX, .pattern = "^(configured|affinity|cgroup|descriptors)$"};

static const struct field worker_fields[] = {
    {"pid", &pid_type, offsetof(struct worker_stats, pid), FIELD_REQUIRED, NULL, "Process id", NULL},
    {"busy", &boolean_type, offsetof(struct worker_stats, busy), FIELD_REQUIRED, NULL, "Whether it is running a task",
     NULL},
    {"tasks_done", &count_type, offsetof(struct worker_stats, tasks_done), FIELD_REQUIRED, NULL,
     "Tasks it has run to their end", NULL},
    {"age_seconds", &seconds_type, offsetof(struct worker_stats, age_ns), FIELD_REQUIRED, NULL, "Time since its start",
     NULL},
    {0},
};
static const struct type worker_type = {
    .kind = TYPE_RECORD, .name = "Worker", .fields = worker_fields, .size = sizeof(struct worker_stats)};
static const struct type workers_type = {.kind = TYPE_ARRAY, .item = &worker_type, .max = 256};

static const struct field pool_fields[] = {
    {"name", &name_type, offsetof(struct pool_stats, name), FIELD_REQUIRED, NULL,
     "Its name; the option `pool` takes those of pools of threads", NULL},
    {"executor", &task_executor_type, offsetof(struct pool_stats, executor), FIELD_REQUIRED, NULL,
     "Its executor; not `loop`, which has no pool", NULL},
    {"size", &size_type, offsetof(struct pool_stats, size), FIELD_REQUIRED, NULL,
     "Number of slots: threads or worker processes", NULL},
    {"size_source", &size_source_type, offsetof(struct pool_stats, size_source), FIELD_REQUIRED, NULL,
     "Origin of the size: `configured`, `affinity` (CPUs of sched_getaffinity(2)), `cgroup` (CPU quota), or "
     "`descriptors` (reduced because the process may open too few descriptors)",
     NULL},
    {"queue_limit", &count_type, offsetof(struct pool_stats, queue_limit), FIELD_REQUIRED, NULL,
     "Maximum number of queued tasks, besides those in slots", NULL},
    {"busy", &count_type, offsetof(struct pool_stats, busy), FIELD_REQUIRED, NULL,
     "Occupied slots, including abandoned ones", NULL},
    {"queued", &count_type, offsetof(struct pool_stats, queued), FIELD_REQUIRED, NULL, "Tasks that wait for a slot",
     NULL},
    {"abandoned", &count_type, offsetof(struct pool_stats, abandoned), FIELD_REQUIRED, NULL,
     "Slots whose task has ended, but whose thread is still running", NULL},
    {"tasks_done", &count_type, offsetof(struct pool_stats, tasks_done), FIELD_REQUIRED, NULL,
     "Tasks that ended in a slot, with any outcome", NULL},
    {"restarts", &count_type, offsetof(struct pool_stats, restarts), FIELD_OPTIONAL, NULL,
     "Workers that were replaced, for any reason; only with the executor `processes`", NULL},
    {"workers", &workers_type, offsetof(struct pool_stats, workers), FIELD_OPTIONAL, NULL,
     "Worker processes, fewer than `size` while one is replaced; only with the executor `processes`", NULL},
    {0},
};
static const struct type pool_stats_type = {.kind = TYPE_RECORD,
                                            .name = "Pool",
                                            .doc = "The sizes and counts of a pool at this moment.",
                                            .fields = pool_fields,
                                            .size = sizeof(struct pool_stats)};

struct pool_list {
    struct array pools; /* of struct pool_stats */
};
static const struct type pools_type = {
    .kind = TYPE_ARRAY, .item = &pool_stats_type, .min = 1, .max = MAX_THREAD_POOLS + 2};
static const struct field pool_list_fields[] = {
    {"pools", &pools_type, offsetof(struct pool_list, pools), FIELD_REQUIRED, NULL, "All pools", NULL},
    {0},
};
static const struct type pool_list_type = {.kind = TYPE_RECORD,
                                           .name = "PoolList",
                                           .doc = "The pools of threads and of worker processes.",
                                           .fields = pool_list_fields,
                                           .size = sizeof(struct pool_list)};

static struct responder *get_pools(struct api *api, const struct request *request, struct response *response)
{
    struct pool_list list;
    if (!request_reject_query(request, response))
        return NULL;
    if (!runtime_get_pool_stats(api->runtime, request->arena, &list.pools)) {
        request_reject_nomem(request, response);
        return NULL;
    }
    struct json_writer w = {0};
    render_value(&w, &pool_list_type, &list, NULL);
    response_json(response, 200, &w);
    return NULL;
}

static const struct route_answer pools_answers[] = {
    {200, "All pools.", "application/json", &pool_list_type, false, 0, JSON({
         "pools" : [
             {
                 "name" : "default",
                 "executor" : "threads",
                 "size" : 6,
                 "size_source" : "affinity",
                 "queue_limit" : 10000,
                 "busy" : 0,
                 "queued" : 0,
                 "abandoned" : 0,
                 "tasks_done" : 0
             },
             {
                 "name" : "processes",
                 "executor" : "processes",
                 "size" : 2,
                 "size_source" : "affinity",
                 "queue_limit" : 10000,
                 "busy" : 0,
                 "queued" : 0,
                 "abandoned" : 0,
                 "tasks_done" : 0,
                 "restarts" : 0,
                 "workers" : [
                     {"pid" : 4712, "busy" : false, "tasks_done" : 0, "age_seconds" : 0.509626},
                     {"pid" : 4713, "busy" : false, "tasks_done" : 0, "age_seconds" : 0.508393}
                 ]
             }
         ]
     })},
    {0},
};

const struct route route_get_pools = {
    .method = METHOD_GET,
    .path = "/v1/pools",
    .handler = get_pools,
    .operation = "listPools",
    .tag = TAG_CATALOG,
    .summary = "Lists the pools, with their current load",
    .description = "First the pools of threads, beginning with `default`; then `files`, if gatherd was started with\n"
                   "`--files-root`; then `processes`, unless it was started with `--processes 0`. By default, sizes\n"
                   "follow the number of CPUs that the service may use (affinity mask and cgroup quota).",
    .answers = pools_answers,
};

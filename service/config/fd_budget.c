#include "service/config/fd_budget.h"

enum {
    BASE_FDS = 64,        /* standard streams, loop, libmicrohttpd, log, file root, and spawning a worker */
    FDS_PER_LISTENER = 2, /* its socket, and emfile_fd (service/net/listener.c) */
    FDS_PER_WORKER = 2,   /* its socket, and its stderr */
    FDS_PER_THREAD = 4,   /* while a function works on files or resolves a host */
};

enum fd_consumer { FD_CONNECTIONS, FD_OPEN_FILES, FD_STREAMS, FD_WORKERS, FD_LINGERING, FD_CONSUMERS };

struct share {
    int64_t demand;
    int64_t weight;
    int64_t allocation;
    bool satisfied; /* allocation == demand */
};

/* Max-min fairness: a consumer that demands less than its weighted share gets its demand, and the remainder is divided
 * among the others. */
static void allocate_max_min_fair(struct share shares[FD_CONSUMERS], int64_t available)
{
    int64_t total_weight = 0;
    bool changed = true;
    for (int i = 0; i < FD_CONSUMERS; i++)
        total_weight += shares[i].weight;
    while (changed) {
        changed = false;
        for (int i = 0; i < FD_CONSUMERS; i++) {
            struct share *share = &shares[i];
            if (share->satisfied || share->demand * total_weight > available * share->weight)
                continue;
            share->satisfied = changed = true;
            share->allocation = share->demand;
            available -= share->demand;
            total_weight -= share->weight;
        }
    }
    for (int i = 0; i < FD_CONSUMERS; i++)
        if (!shares[i].satisfied)
            shares[i].allocation = available > 0 ? available * shares[i].weight / total_weight : 0;
}

/* Threads use descriptors briefly, and rarely all at once, so at most an eighth of the total is reserved for them. */
static int64_t thread_fds(const struct config *config, int64_t max_fds)
{
    const struct pool_config *pools = config->limits.pools.items;
    int64_t threads = pool_options_count_threads(&config->runtime);
    for (size_t i = 0; i < config->limits.pools.count; i++)
        threads += pools[i].size;
    return threads * FDS_PER_THREAD < max_fds / 8 ? threads * FDS_PER_THREAD : max_fds / 8;
}

static void reduce_limit(const char *name, int64_t *limit, int64_t allocation, struct reduced_limit out[],
                         size_t *count)
{
    int64_t effective = allocation > 1 ? allocation : 1;
    if (*limit <= effective)
        return;
    out[(*count)++] = (struct reduced_limit){name, *limit, effective};
    *limit = effective;
}

size_t fd_budget_apply(struct config *config, int64_t *max_lingering, uint64_t max_fds,
                       struct reduced_limit out[MAX_REDUCED_LIMITS])
{
    if (max_fds > INT32_MAX) /* more than Linux allows any process */
        return 0;
    bool has_files_root = config->runtime.files_root.data != NULL;
    int64_t *processes = &config->runtime.processes;
    int64_t reserved =
        BASE_FDS + (int64_t)config->service.listen.count * FDS_PER_LISTENER + thread_fds(config, (int64_t)max_fds);
    struct share shares[FD_CONSUMERS] = {
        [FD_CONNECTIONS] = {.demand = config->http.max_connections, .weight = 4},
        [FD_OPEN_FILES] = {.demand = has_files_root ? config->limits.max_open_files : 0, .weight = 2},
        [FD_STREAMS] = {.demand = has_files_root ? config->limits.max_streams : 0, .weight = 1},
        [FD_WORKERS] = {.demand = *processes * FDS_PER_WORKER, .weight = 2},
        [FD_LINGERING] = {.demand = *max_lingering, .weight = 1},
    };
    allocate_max_min_fair(shares, (int64_t)max_fds - reserved);
    size_t count = 0;
    reduce_limit("max_connections", &config->http.max_connections, shares[FD_CONNECTIONS].allocation, out, &count);
    if (has_files_root) {
        reduce_limit("max_open_files", &config->limits.max_open_files, shares[FD_OPEN_FILES].allocation, out, &count);
        reduce_limit("max_streams", &config->limits.max_streams, shares[FD_STREAMS].allocation, out, &count);
    }
    int64_t configured = *processes;
    reduce_limit("processes", processes, shares[FD_WORKERS].allocation / FDS_PER_WORKER, out, &count);
    if (*processes < configured)
        config->runtime.processes_source = "descriptors";
    if (*max_lingering > shares[FD_LINGERING].allocation)
        *max_lingering = shares[FD_LINGERING].allocation;
    return count;
}

#include "service/config/fd_budget.h"

enum {
    OWN = 64, /* the loop's, libmicrohttpd's, the log's, standard streams, the root's; while a worker is spawned */
    PER_LISTENER = 2, /* it, and its spare one */
    PER_WORKER = 2,   /* its channel, and what it writes to stderr */
    PER_THREAD = 4,   /* while a function works on files, or asks for a host */
};

enum user { CONNECTIONS, OPEN_FILES, STREAMS, WORKERS, LINGERS, USERS };

struct share {
    int64_t wanted;
    int64_t weight;
    int64_t given;
    bool content; /* it has all that it wanted */
};

/* Whoever wants less than its share by weight gets all of it, and leaves the rest to the others. */
static void divide(struct share shares[USERS], int64_t room)
{
    int64_t weights = 0;
    bool again = true;
    for (int i = 0; i < USERS; i++)
        weights += shares[i].weight;
    while (again) {
        again = false;
        for (int i = 0; i < USERS; i++) {
            struct share *share = &shares[i];
            if (share->content || share->wanted * weights > room * share->weight)
                continue;
            share->content = again = true;
            share->given = share->wanted;
            room -= share->wanted;
            weights -= share->weight;
        }
    }
    for (int i = 0; i < USERS; i++)
        if (!shares[i].content)
            shares[i].given = room > 0 ? room * shares[i].weight / weights : 0;
}

/* Threads need theirs for moments only, and seldom all at once: they may not crowd out the others. */
static int64_t for_threads(const struct config *config, int64_t most)
{
    const struct pool_config *pools = config->limits.pools.items;
    int64_t threads = config->runtime.files_root.at == NULL ? 0 : config->runtime.files_threads;
    for (size_t i = 0; i < config->limits.pools.count; i++)
        threads += pools[i].size;
    return threads * PER_THREAD < most / 8 ? threads * PER_THREAD : most / 8;
}

static void lower(const char *name, int64_t *limit, int64_t given, struct lowered out[], size_t *count)
{
    int64_t now = given > 1 ? given : 1;
    if (*limit <= now)
        return;
    out[(*count)++] = (struct lowered){name, *limit, now};
    *limit = now;
}

size_t descriptors_fit(struct config *config, int64_t *lingers, uint64_t most, struct lowered out[LOWERED_MOST])
{
    if (most > INT32_MAX) /* more than Linux gives to any process */
        return 0;
    bool files = config->runtime.files_root.at != NULL;
    int64_t *processes = &config->runtime.processes;
    int64_t own = OWN + (int64_t)config->service.listen.count * PER_LISTENER + for_threads(config, (int64_t)most);
    struct share shares[USERS] = {
        [CONNECTIONS] = {.wanted = config->http.max_connections, .weight = 4}, /* nothing goes without one */
        [OPEN_FILES] = {.wanted = files ? config->limits.max_open_files : 0, .weight = 2},
        [STREAMS] = {.wanted = files ? config->limits.max_streams : 0, .weight = 1}, /* each has a connection, too */
        [WORKERS] = {.wanted = *processes * PER_WORKER, .weight = 2},
        [LINGERS] = {.wanted = *lingers, .weight = 1},
    };
    divide(shares, (int64_t)most - own);
    size_t count = 0;
    lower("max_connections", &config->http.max_connections, shares[CONNECTIONS].given, out, &count);
    if (files) {
        lower("max_open_files", &config->limits.max_open_files, shares[OPEN_FILES].given, out, &count);
        lower("max_streams", &config->limits.max_streams, shares[STREAMS].given, out, &count);
    }
    int64_t asked = *processes;
    lower("processes", processes, shares[WORKERS].given / PER_WORKER, out, &count);
    if (*processes < asked)
        config->processes_source = "descriptors";
    if (*lingers > shares[LINGERS].given)
        *lingers = shares[LINGERS].given;
    return count;
}

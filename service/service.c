#include "service/service.h"

#include "gatherd_version.h"
#include "handlers/api.h"
#include "runtime/lib/check.h"
#include "runtime/runtime.h"
#include "service/config/config_help.h"
#include "service/config/fd_budget.h"
#include "service/http/http_server.h"
#include "service/log/log.h"
#include "service/log/log_events.h"
#include "service/net/lingering_close.h"
#include "service/net/listener.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <uv.h>

enum {
    GRACE_MS = 500,    /* for answers to canceled tasks to leave, before their connections are cut */
    CLOSE_MS = 500,    /* for worker processes that were killed to be gone */
    LOG_RETRY_MS = 20, /* how long a reader of our log that is behind is left alone */
};

enum stage { SERVING, DRAINING, CANCELING, CUTTING, ENDED };

struct service {
    struct config *config; /* borrowed */
    uv_loop_t loop;
    struct log *log; /* owned, as all below */
    struct runtime *runtime;
    struct api *api;
    struct http *http;
    struct listener **listeners;
    size_t listeners_count;
    int64_t lingers_most; /* connections that may linger */
    enum stage stage;
    bool drained;      /* no connection is left */
    uv_prepare_t turn; /* runs once a turn of the loop, before it blocks */
    uv_signal_t term, interrupt;
    uv_timer_t stage_clock; /* ends the current stage of the drain */
    uv_timer_t log_clock;   /* runs while the log has lines that could not be written */
    struct record_ref limits[2];
    char worker_memory[24];  /* what a worker may take beyond what it starts with; "" for no limit */
    char *worker_command[4]; /* argv, for main() */
};

/* -- the drain ----------------------------------------------------------------------------------------------------- */

_Noreturn static void leave(struct service *service)
{
    log_close(service->log);
    _exit(EXIT_SUCCESS);
}

static void close_listeners(struct service *service)
{
    for (size_t i = 0; i < service->listeners_count; i++)
        listener_close(service->listeners[i]);
    service->listeners_count = 0;
}

static void on_stage_over(uv_timer_t *clock);

static void enter(struct service *service, enum stage stage, uint64_t ms)
{
    service->stage = stage;
    uv_timer_start(&service->stage_clock, on_stage_over, ms, 0);
}

static void drain(struct service *service)
{
    uint64_t drain_ns = service->config->service.drain_seconds;
    log_event(service->log, LOG_INFO, "draining",
              LOG_FIELDS(log_integer("connections", (int64_t)http_connections(service->http)),
                         log_integer("unfinished_tasks", (int64_t)runtime_unfinished(service->runtime)),
                         log_seconds("drain_seconds", drain_ns)));
    close_listeners(service);
    api_drain(service->api);
    runtime_reject_new(service->runtime);
    enter(service, DRAINING, drain_ns / NS_PER_MS);
    http_drain(service->http);
}

static void cancel(struct service *service)
{
    if (runtime_unfinished(service->runtime) > 0)
        log_event(service->log, LOG_WARN, "drain_timeout",
                  LOG_FIELDS(log_integer("unfinished_tasks", (int64_t)runtime_unfinished(service->runtime))));
    enter(service, CANCELING, GRACE_MS);
    runtime_shutdown(service->runtime);
    task_drain(service->runtime);
}

static void cut(struct service *service)
{
    log_event(service->log, LOG_WARN, "closing_connections",
              LOG_FIELDS(log_integer("connections", (int64_t)http_connections(service->http))));
    enter(service, CUTTING, GRACE_MS);
    http_cut(service->http);
}

static void on_stage_over(uv_timer_t *clock)
{
    struct service *service = container_of(clock, struct service, stage_clock);
    if (service->stage == DRAINING)
        cancel(service);
    else if (service->stage == CANCELING)
        cut(service);
    else if (service->stage == CUTTING)
        leave(service); /* a task that was killed does not end, as one in an uninterruptible system call */
}

static void on_signal(uv_signal_t *handle, int signum)
{
    (void)signum;
    struct service *service = handle->data;
    if (service->stage == SERVING)
        drain(service);
    else if (service->stage == DRAINING)
        cancel(service); /* who asks twice is in a hurry */
}

static void on_drained(void *user)
{
    struct service *service = user;
    service->drained = true;
}

/* Files may still be on their way to a close for which nobody waits. */
static void end_when_done(struct service *service)
{
    bool in_time = service->stage == DRAINING;
    if (!service->drained || service->stage == ENDED || (in_time && runtime_unfinished(service->runtime) > 0))
        return;
    service->stage = ENDED;
    runtime_shutdown(service->runtime);
    task_drain(service->runtime);
    log_event(service->log, LOG_INFO, "stopped", NULL, 0);
    uv_stop(&service->loop);
}

/* -- the loop ------------------------------------------------------------------------------------------------------ */

static void on_log_clock(uv_timer_t *clock)
{
    (void)clock; /* that the loop has a turn is all it is for */
}

static void on_turn(uv_prepare_t *turn)
{
    struct service *service = container_of(turn, struct service, turn);
    http_turn(service->http);
    end_when_done(service);
    log_flush(service->log);
    if (log_pending(service->log))
        uv_timer_start(&service->log_clock, on_log_clock, LOG_RETRY_MS, 0);
}

static void on_accepted(void *user, const struct listener *listener, int fd, const struct sockaddr_storage *peer,
                        socklen_t peer_len)
{
    struct service *service = user;
    http_accept(service->http, fd, peer, peer_len, !listener_is_loopback(listener));
}

static void on_worker_event(void *user, const struct worker_event *event)
{
    struct service *service = user;
    report_worker(service->log, event);
}

static void on_refused(void *user, int fd)
{
    struct service *service = user;
    http_refuse(service->http, fd);
}

static void on_exhausted(void *user, const struct listener *listener, int error)
{
    struct service *service = user;
    log_event(service->log, LOG_WARN, "accept_failed",
              LOG_FIELDS(log_text("address", str_from(listener_name(listener))),
                         log_text("error", str_from(strerror(error))),
                         log_integer("connections", (int64_t)http_connections(service->http))));
}

static const struct listener_events listener_events = {
    .accepted = on_accepted, .refused = on_refused, .exhausted = on_exhausted};

/* -- the start ----------------------------------------------------------------------------------------------------- */

/* Takes all descriptors that the hard limit allows, and lowers what there is no room for. */
static void fit_descriptors(struct service *service)
{
    struct lowered lowered[LOWERED_MOST];
    struct rlimit limit;
    service->lingers_most = LINGERS_MOST;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit); /* always allowed, unless the system as a whole has come to allow less */
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return;
    size_t count = descriptors_fit(service->config, &service->lingers_most, limit.rlim_cur, lowered);
    for (size_t i = 0; i < count; i++)
        log_event(service->log, LOG_WARN, "limit_reduced",
                  LOG_FIELDS(log_text("limit", str_from(lowered[i].name)), log_integer("configured", lowered[i].asked),
                             log_integer("effective", lowered[i].now),
                             log_integer("descriptors", (int64_t)limit.rlim_cur)));
}

static int complain(FILE *err, const struct err *e)
{
    fprintf(err, "gatherd: %s\n", e->msg);
    return e->rc == ERR_INVALID ? EXIT_USAGE : EXIT_TROUBLE;
}

static int open_listeners(struct service *service, struct err *e)
{
    const struct array *addresses = &service->config->service.listen;
    service->listeners = calloc(addresses->count, sizeof(struct listener *));
    if (service->listeners == NULL)
        return err_set(e, ERR_OUT_OF_MEMORY, "there is no memory for listeners");
    for (size_t i = 0; i < addresses->count; i++) {
        struct str address = ((const struct str *)addresses->items)[i];
        struct listener *listener;
        int rc = listener_open(&service->loop, address, &listener, e);
        if (rc != 0)
            return rc;
        service->listeners[service->listeners_count++] = listener;
        if (!listener_is_local(listener) && !service->config->service.insecure)
            return err_set(e, ERR_INVALID,
                           "%s can be reached from elsewhere, and there is no protection but the network's: "
                           "listen on a loopback address, or say --insecure",
                           address.at);
    }
    return 0;
}

static void announce(struct service *service, FILE *out)
{
    for (size_t i = 0; i < service->listeners_count; i++) {
        const char *name = listener_name(service->listeners[i]);
        listener_start(service->listeners[i], &listener_events, service);
        fprintf(out, "gatherd %s listening on %s\n", GATHERD_VERSION, name);
        log_event(service->log, LOG_INFO, "listening",
                  LOG_FIELDS(log_text("address", str_from(name)), log_text("version", str_from(GATHERD_VERSION)),
                             log_integer("pid", getpid())));
    }
    fflush(out);
}

static int start(struct service *service, struct err *e)
{
    int rc = open_listeners(service, e);
    if (rc != 0)
        return rc;
    const struct config *config = service->config;
    if (config->runtime.worker_memory_bytes != INTEGER_ABSENT)
        snprintf(service->worker_memory, sizeof service->worker_memory, "%lld",
                 (long long)config->runtime.worker_memory_bytes);
    struct runtime_config runtime = {
        .loop = &service->loop,
        .limits = &config->limits,
        .processes.size = config->runtime.processes,
        .processes.size_source = config->processes_source,
        .processes.command = service->worker_command,
        .processes.max_tasks = config->runtime.worker_max_tasks,
        .processes.on_worker_event = on_worker_event,
        .processes.user = service,
        .files_root = config->runtime.files_root.at,
        .files_threads = config->runtime.files_threads,
        .files_source = config->files_source,
    };
    rc = runtime_new(&runtime, &service->runtime, e);
    if (rc != 0)
        return rc;
    struct api_config api = {
        .runtime = service->runtime,
        .limits = service->limits,
        .limits_count = 2,
    };
    rc = api_new(&api, &service->api, e);
    if (rc != 0)
        return rc;
    struct http_config http = {
        .loop = &service->loop,
        .api = service->api,
        .runtime = service->runtime,
        .log = service->log,
        .limits = &service->config->http,
        .lingers_most = service->lingers_most,
        .drained = on_drained,
        .user = service,
    };
    return http_new(&http, &service->http, e);
}

static void watch_signals(struct service *service)
{
    signal(SIGPIPE, SIG_IGN); /* a write's error says as much, here */
    signal(SIGXFSZ, SIG_IGN); /* and here, when a file grows beyond RLIMIT_FSIZE */
    uv_signal_init(&service->loop, &service->term);
    uv_signal_init(&service->loop, &service->interrupt);
    service->term.data = service->interrupt.data = service;
    uv_signal_start(&service->term, on_signal, SIGTERM);
    uv_signal_start(&service->interrupt, on_signal, SIGINT);
}

static void init_handles(struct service *service)
{
    uv_prepare_init(&service->loop, &service->turn);
    uv_timer_init(&service->loop, &service->stage_clock);
    uv_timer_init(&service->loop, &service->log_clock);
    watch_signals(service);
}

/* A process that was killed may stay all the same, in an uninterruptible system call. */
static void on_close_bound(uv_timer_t *bound)
{
    leave(bound->data);
}

static void close_everything(struct service *service)
{
    uv_close((uv_handle_t *)&service->turn, NULL);
    uv_close((uv_handle_t *)&service->stage_clock, NULL);
    uv_close((uv_handle_t *)&service->log_clock, NULL);
    uv_close((uv_handle_t *)&service->term, NULL);
    uv_close((uv_handle_t *)&service->interrupt, NULL);
    close_listeners(service);
    if (service->http != NULL)
        http_close(service->http);
    api_free(service->api);
    free(service->listeners);
    if (service->runtime != NULL && runtime_abandoned(service->runtime) > 0)
        leave(service); /* a thread that blocks is not waited for; worker processes go when we do */
    if (service->runtime != NULL)
        runtime_close(service->runtime);
    uv_timer_t bound;
    uv_timer_init(&service->loop, &bound);
    bound.data = service;
    uv_timer_start(&bound, on_close_bound, CLOSE_MS, 0);
    uv_unref((uv_handle_t *)&bound);
    uv_run(&service->loop, UV_RUN_DEFAULT);
    uv_close((uv_handle_t *)&bound, NULL);
    uv_run(&service->loop, UV_RUN_DEFAULT);
    int rc = uv_loop_close(&service->loop);
    CHECK(rc == 0);
    log_close(service->log);
    free(service->log);
}

int service_run(struct config *config, FILE *out, FILE *err)
{
    struct service service = {.config = config};
    service.worker_command[0] = (char *)(uintptr_t) "/proc/self/exe"; /* nobody writes to these */
    service.worker_command[1] = (char *)(uintptr_t)WORKER_FLAG;
    service.worker_command[2] = service.worker_memory;
    struct err e;
    service.log = malloc(sizeof *service.log);
    if (service.log == NULL || uv_loop_init(&service.loop) != 0) {
        free(service.log);
        fprintf(err, "gatherd: there is no memory for the service\n");
        return EXIT_TROUBLE;
    }
    log_open(service.log, STDERR_FILENO, (enum log_format)config->service.log_format,
             (enum log_level)config->service.log_level);
    service.limits[0] = (struct record_ref){.type = &limits_type, .value = &config->limits};
    service.limits[1] = (struct record_ref){.type = &http_limits_type, .value = &config->http};
    init_handles(&service);
    fit_descriptors(&service);
    int rc = start(&service, &e);
    if (rc == 0) {
        announce(&service, out);
        uv_prepare_start(&service.turn, on_turn);
        uv_run(&service.loop, UV_RUN_DEFAULT);
        rc = EXIT_SUCCESS;
    } else {
        rc = complain(err, &e);
    }
    close_everything(&service);
    return rc;
}

#include "service/service.h"

#include "gatherd_version.h"
#include "handlers/api.h"
#include "runtime/functions/builtin.h"
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
    GRACE_PERIOD_MS = 500,  /* the longest time in STATE_CANCELING, and in STATE_CLOSING_CONNECTIONS */
    CLOSE_TIMEOUT_MS = 500, /* for killed worker processes to exit */
    LOG_RETRY_MS = 20,      /* between writes to a log whose reader is slow */
};

/* See service_run(). */
enum service_state { STATE_SERVING, STATE_DRAINING, STATE_CANCELING, STATE_CLOSING_CONNECTIONS, STATE_STOPPED };

struct service {
    struct config *config; /* borrowed */
    uv_loop_t loop;
    struct log *log; /* owned, as all below */
    struct runtime *runtime;
    struct api *api;
    struct http_server *http;
    struct listener **listeners;
    size_t listeners_count;
    int64_t max_lingering; /* concurrent lingering connections */
    enum service_state state;
    bool drained;         /* no connection is left */
    uv_prepare_t prepare; /* runs in each loop iteration, before the loop blocks */
    uv_signal_t sigterm, sigint;
    uv_timer_t drain_timer;     /* limits the time in the current state */
    uv_timer_t log_retry_timer; /* active while the log has unwritten lines */
    struct record_ref limits[2];
    char worker_memory_limit[24]; /* bytes beyond a worker's initial memory; "": no limit */
    char *worker_command[4];      /* argv of worker processes */
};

/* -- the drain ----------------------------------------------------------------------------------------------------- */

_Noreturn static void service_exit(struct service *service)
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

static void on_drain_timeout(uv_timer_t *timer);

static void service_set_state(struct service *service, enum service_state state, uint64_t ms)
{
    service->state = state;
    uv_timer_start(&service->drain_timer, on_drain_timeout, ms, 0);
}

static void service_drain(struct service *service)
{
    uint64_t drain_ns = service->config->service.drain_seconds;
    log_event(service->log, LOG_INFO, "draining",
              LOG_FIELDS(log_integer("connections", (int64_t)http_server_connection_count(service->http)),
                         log_integer("unfinished_tasks", (int64_t)runtime_unfinished(service->runtime)),
                         log_seconds("drain_seconds", drain_ns)));
    close_listeners(service);
    api_drain(service->api);
    runtime_reject_new(service->runtime);
    service_set_state(service, STATE_DRAINING, drain_ns / NS_PER_MS);
    http_server_drain(service->http);
}

static void service_cancel_tasks(struct service *service)
{
    if (runtime_unfinished(service->runtime) > 0)
        log_event(service->log, LOG_WARN, "drain_timeout",
                  LOG_FIELDS(log_integer("unfinished_tasks", (int64_t)runtime_unfinished(service->runtime))));
    service_set_state(service, STATE_CANCELING, GRACE_PERIOD_MS);
    runtime_shutdown(service->runtime);
    task_drain(service->runtime);
}

static void service_abort_connections(struct service *service)
{
    log_event(service->log, LOG_WARN, "closing_connections",
              LOG_FIELDS(log_integer("connections", (int64_t)http_server_connection_count(service->http))));
    service_set_state(service, STATE_CLOSING_CONNECTIONS, GRACE_PERIOD_MS);
    http_server_abort_connections(service->http);
}

static void on_drain_timeout(uv_timer_t *timer)
{
    struct service *service = container_of(timer, struct service, drain_timer);
    if (service->state == STATE_DRAINING)
        service_cancel_tasks(service);
    else if (service->state == STATE_CANCELING)
        service_abort_connections(service);
    else if (service->state == STATE_CLOSING_CONNECTIONS)
        service_exit(service); /* some task does not end, such as one in an uninterruptible system call */
}

static void on_signal(uv_signal_t *handle, int signum)
{
    (void)signum;
    struct service *service = handle->data;
    if (service->state == STATE_SERVING)
        service_drain(service);
    else if (service->state == STATE_DRAINING)
        service_cancel_tasks(service); /* the second signal */
}

static void on_drained(void *user)
{
    struct service *service = user;
    service->drained = true;
}

/* Stops the loop once no connection is left. Until the drain timeout, it also waits for tasks that have no connection,
 * such as the closing of files. */
static void stop_when_drained(struct service *service)
{
    bool before_timeout = service->state == STATE_DRAINING;
    if (!service->drained || service->state == STATE_STOPPED ||
        (before_timeout && runtime_unfinished(service->runtime) > 0))
        return;
    service->state = STATE_STOPPED;
    runtime_shutdown(service->runtime);
    task_drain(service->runtime);
    log_event(service->log, LOG_INFO, "stopped", NULL, 0);
    uv_stop(&service->loop);
}

/* -- the loop ------------------------------------------------------------------------------------------------------ */

static void on_log_retry(uv_timer_t *timer)
{
    (void)timer; /* it only ends the loop's wait, so that service_on_prepare() runs */
}

static void service_on_prepare(uv_prepare_t *prepare)
{
    struct service *service = container_of(prepare, struct service, prepare);
    http_server_iterate(service->http);
    stop_when_drained(service);
    log_flush(service->log);
    if (log_pending(service->log))
        uv_timer_start(&service->log_retry_timer, on_log_retry, LOG_RETRY_MS, 0);
}

static void service_on_accepted(void *user, const struct listener *listener, int fd,
                                const struct sockaddr_storage *peer, socklen_t peer_len)
{
    struct service *service = user;
    http_server_accept(service->http, fd, peer, peer_len, !listener_is_loopback(listener));
}

static void on_worker_event(void *user, const struct worker_event *event)
{
    struct service *service = user;
    log_worker_event(service->log, event);
}

static void on_task_finished(void *user, const struct task_snapshot *task, struct str request_id)
{
    struct service *service = user;
    log_task_finished(service->log, task, request_id);
}

static void service_on_rejected(void *user, int fd)
{
    struct service *service = user;
    http_server_reject(service->http, fd);
}

static void service_on_accept_failed(void *user, const struct listener *listener, int error)
{
    struct service *service = user;
    log_event(service->log, LOG_WARN, "accept_failed",
              LOG_FIELDS(log_string("address", str_from(listener_name(listener))),
                         log_string("error", str_from(strerror(error))),
                         log_integer("connections", (int64_t)http_server_connection_count(service->http))));
}

static const struct listener_events listener_events = {
    .accepted = service_on_accepted, .rejected = service_on_rejected, .accept_failed = service_on_accept_failed};

/* -- the start ----------------------------------------------------------------------------------------------------- */

/* Raises the soft limit of RLIMIT_NOFILE to the hard limit, and reduces the configured limits that need more. */
static void apply_fd_budget(struct service *service)
{
    struct reduced_limit reduced[MAX_REDUCED_LIMITS];
    struct rlimit limit;
    service->max_lingering = MAX_LINGERING;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit); /* fails only if fs.nr_open has been lowered below it */
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return;
    size_t count = fd_budget_apply(service->config, &service->max_lingering, limit.rlim_cur, reduced);
    for (size_t i = 0; i < count; i++)
        log_event(service->log, LOG_WARN, "limit_reduced",
                  LOG_FIELDS(log_string("limit", str_from(reduced[i].name)),
                             log_integer("configured", reduced[i].configured),
                             log_integer("effective", reduced[i].effective),
                             log_integer("descriptors", (int64_t)limit.rlim_cur)));
}

static int print_error(FILE *err, const struct err *e)
{
    fprintf(err, "gatherd: %s\n", e->msg);
    return e->rc == ERR_INVALID ? EXIT_USAGE : EXIT_FAILURE;
}

static int open_listeners(struct service *service, struct err *e)
{
    const struct array *addresses = &service->config->service.listen;
    service->listeners = calloc(addresses->count, sizeof(struct listener *));
    if (service->listeners == NULL)
        return err_nomem(e);
    for (size_t i = 0; i < addresses->count; i++) {
        struct str address = ((const struct str *)addresses->items)[i];
        struct listener *listener;
        int rc = listener_open(&service->loop, address, &listener, e);
        if (rc != 0)
            return rc;
        service->listeners[service->listeners_count++] = listener;
        if (!listener_is_local(listener) && !service->config->service.insecure)
            return err_set(e, ERR_INVALID,
                           "%s is not a loopback address, and gatherd has no authentication: listen on loopback, or "
                           "add --insecure",
                           address.data);
    }
    return 0;
}

static void start_listeners(struct service *service, FILE *out)
{
    for (size_t i = 0; i < service->listeners_count; i++) {
        const char *name = listener_name(service->listeners[i]);
        listener_start(service->listeners[i], &listener_events, service);
        fprintf(out, "gatherd %s listening on %s\n", GATHERD_VERSION, name);
        log_event(service->log, LOG_INFO, "listening",
                  LOG_FIELDS(log_string("address", str_from(name)), log_string("version", str_from(GATHERD_VERSION)),
                             log_integer("pid", getpid())));
    }
    fflush(out);
}

static int service_start(struct service *service, struct err *e)
{
    int rc = open_listeners(service, e);
    if (rc != 0)
        return rc;
    const struct config *config = service->config;
    if (config->runtime.worker_memory_bytes != INTEGER_ABSENT)
        snprintf(service->worker_memory_limit, sizeof service->worker_memory_limit, "%lld",
                 (long long)config->runtime.worker_memory_bytes);
    struct registry *registry;
    rc = builtin_registry(&registry, e);
    if (rc != 0)
        return rc;
    struct runtime_config runtime = {
        .loop = &service->loop,
        .limits = &config->limits,
        .registry = registry,
        .options = config->runtime,
        .processes.command = service->worker_command,
        .processes.on_worker_event = on_worker_event,
        .processes.user = service,
    };
    rc = runtime_new(&runtime, &service->runtime, e);
    registry_unref(registry);
    if (rc != 0)
        return rc;
    struct api_config api = {
        .runtime = service->runtime,
        .limits = service->limits,
        .limits_count = 2,
        .on_task_finished = on_task_finished,
        .user = service,
    };
    rc = api_new(&api, &service->api, e);
    if (rc != 0)
        return rc;
    struct http_server_config http = {
        .loop = &service->loop,
        .api = service->api,
        .log = service->log,
        .limits = &service->config->http,
        .max_lingering = service->max_lingering,
        .drained = on_drained,
        .user = service,
    };
    return http_server_new(&http, &service->http, e);
}

static void start_signal_handlers(struct service *service)
{
    signal(SIGPIPE, SIG_IGN); /* write(2) reports EPIPE instead */
    signal(SIGXFSZ, SIG_IGN); /* write(2) reports EFBIG instead, for a file over RLIMIT_FSIZE */
    uv_signal_init(&service->loop, &service->sigterm);
    uv_signal_init(&service->loop, &service->sigint);
    service->sigterm.data = service->sigint.data = service;
    uv_signal_start(&service->sigterm, on_signal, SIGTERM);
    uv_signal_start(&service->sigint, on_signal, SIGINT);
}

static void init_handles(struct service *service)
{
    uv_prepare_init(&service->loop, &service->prepare);
    uv_timer_init(&service->loop, &service->drain_timer);
    uv_timer_init(&service->loop, &service->log_retry_timer);
    start_signal_handlers(service);
}

/* Ends the wait for killed worker processes: one may be in an uninterruptible system call. */
static void on_close_timeout(uv_timer_t *close_timer)
{
    service_exit(close_timer->data);
}

static void service_close(struct service *service)
{
    uv_close((uv_handle_t *)&service->prepare, NULL);
    uv_close((uv_handle_t *)&service->drain_timer, NULL);
    uv_close((uv_handle_t *)&service->log_retry_timer, NULL);
    uv_close((uv_handle_t *)&service->sigterm, NULL);
    uv_close((uv_handle_t *)&service->sigint, NULL);
    close_listeners(service);
    if (service->http != NULL)
        http_server_close(service->http);
    api_free(service->api);
    free(service->listeners);
    if (service->runtime != NULL && runtime_abandoned(service->runtime) > 0)
        service_exit(service); /* a blocked thread cannot be joined; worker processes exit when the service does */
    if (service->runtime != NULL)
        runtime_close(service->runtime);
    uv_timer_t close_timer;
    uv_timer_init(&service->loop, &close_timer);
    close_timer.data = service;
    uv_timer_start(&close_timer, on_close_timeout, CLOSE_TIMEOUT_MS, 0);
    uv_unref((uv_handle_t *)&close_timer);
    uv_run(&service->loop, UV_RUN_DEFAULT);
    uv_close((uv_handle_t *)&close_timer, NULL);
    uv_run(&service->loop, UV_RUN_DEFAULT);
    int rc = uv_loop_close(&service->loop);
    CHECK(rc == 0);
    log_close(service->log);
    free(service->log);
}

int service_run(struct config *config, FILE *out, FILE *err)
{
    struct service service = {.config = config};
    service.worker_command[0] = (char *)(uintptr_t) "/proc/self/exe"; /* execv(3) does not modify its arguments */
    service.worker_command[1] = (char *)(uintptr_t)WORKER_FLAG;
    service.worker_command[2] = service.worker_memory_limit;
    struct err e;
    service.log = malloc(sizeof *service.log);
    if (service.log == NULL || uv_loop_init(&service.loop) != 0) {
        free(service.log);
        fprintf(err, "gatherd: out of memory\n");
        return EXIT_FAILURE;
    }
    log_open(service.log, STDERR_FILENO, (enum log_format)config->service.log_format,
             (enum log_level)config->service.log_level);
    service.limits[0] = (struct record_ref){.type = &limits_type, .value = &config->limits};
    service.limits[1] = (struct record_ref){.type = &http_limits_type, .value = &config->http};
    init_handles(&service);
    apply_fd_budget(&service);
    int rc = service_start(&service, &e);
    if (rc == 0) {
        start_listeners(&service, out);
        uv_prepare_start(&service.prepare, service_on_prepare);
        uv_run(&service.loop, UV_RUN_DEFAULT);
        rc = EXIT_SUCCESS;
    } else {
        rc = print_error(err, &e);
    }
    service_close(&service);
    return rc;
}

#include "service/net/listener.h"

#include "runtime/lib/resolver.h"
#include "runtime/lib/state.h"
#include "runtime/lib/util.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    BACKLOG = 4096,              /* capped by net.core.somaxconn */
    MAX_ACCEPTS_PER_WAKEUP = 64, /* leaves time for other handles during a flood of connections */
    ACCEPT_BACKOFF_MS = 100,
    MAX_UNSENT = 128 * 1024, /* TCP_NOTSENT_LOWAT (tcp(7)): filling a larger buffer would look like progress */
};

/*     bound -> accepting <-> backing_off    (out of descriptors or memory: polling stops for ACCEPT_BACKOFF_MS)
 *       |          |             |
 *       +----------+-------------+--> closing    (freed when both handles are closed)
 */
enum listener_state {
    LISTENER_BOUND,
    LISTENER_ACCEPTING,
    LISTENER_BACKING_OFF,
    LISTENER_CLOSING,
    LISTENER_STATE_COUNT
};

/* The states that each may move to. */
static const state_set listener_moves[LISTENER_STATE_COUNT] = {
    [LISTENER_BOUND] = STATE_BIT(LISTENER_ACCEPTING) | STATE_BIT(LISTENER_CLOSING),
    [LISTENER_ACCEPTING] = STATE_BIT(LISTENER_BACKING_OFF) | STATE_BIT(LISTENER_CLOSING),
    [LISTENER_BACKING_OFF] = STATE_BIT(LISTENER_ACCEPTING) | STATE_BIT(LISTENER_CLOSING),
};

struct listener {
    enum listener_state state;
    uv_loop_t *loop; /* borrowed */
    int fd;          /* owned */
    int emfile_fd;   /* owned; the spare descriptor; -1 if not open: opened again before each accept4() */
    bool loopback;
    uv_poll_t poll;
    uv_timer_t backoff_timer;
    int handles;                          /* how many handles are not closed yet */
    uint64_t quiet_until_ms;              /* loop time; until then failures are not reported */
    const struct listener_events *events; /* borrowed */
    void *user;
    struct sockaddr_un unix_addr; /* the socket file; sun_path is empty for TCP */
    char name[LISTENER_NAME_SIZE];
};

static void listener_on_readable(uv_poll_t *poll, int status, int events);

static void listener_move(struct listener *listener, enum listener_state to)
{
    listener->state = STATE_MOVE(listener_moves, listener->state, to);
}

static void listener_accept(struct listener *listener)
{
    listener_move(listener, LISTENER_ACCEPTING);
    uv_poll_start(&listener->poll, UV_READABLE, listener_on_readable);
}

static void listener_on_backoff_end(uv_timer_t *backoff_timer)
{
    listener_accept(container_of(backoff_timer, struct listener, backoff_timer));
}

/* Stops polling for a while: a pending connection that cannot be accepted keeps the descriptor readable. */
static void listener_back_off(struct listener *listener)
{
    listener_move(listener, LISTENER_BACKING_OFF);
    uv_poll_stop(&listener->poll);
    uv_timer_start(&listener->backoff_timer, listener_on_backoff_end, ACCEPT_BACKOFF_MS, 0);
}

static void report_accept_failure(struct listener *listener, int error)
{
    uint64_t now = uv_now(listener->loop);
    bool quiet = now < listener->quiet_until_ms;
    listener->quiet_until_ms = now + LISTENER_QUIET_MS;
    if (!quiet)
        listener->events->accept_failed(listener->user, listener, error);
}

/* Opens the spare descriptor: an eventfd, because it needs no path. */
static bool reserve_emfile_fd(struct listener *listener)
{
    if (listener->emfile_fd < 0)
        listener->emfile_fd = eventfd(0, EFD_CLOEXEC);
    return listener->emfile_fd >= 0;
}

static int accept_next(const struct listener *listener, struct sockaddr_storage *peer, socklen_t *len)
{
    *peer = (struct sockaddr_storage){.ss_family = AF_UNSPEC};
    *len = sizeof *peer;
    return accept4(listener->fd, (struct sockaddr *)peer, len, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

/* accept4() failed with `error`, EMFILE or ENFILE, which it does even with an empty backlog. Rejects the next
 * connection by means of the spare descriptor. 0 or an errno: EAGAIN for an empty backlog. */
static int reject_next(struct listener *listener, int error)
{
    struct sockaddr_storage peer;
    socklen_t len;
    int fd = -1, failed = error;
    if (listener->emfile_fd >= 0) {
        close(listener->emfile_fd);
        listener->emfile_fd = -1;
        fd = accept_next(listener, &peer, &len);
        failed = fd < 0 ? errno : 0;
    }
    if (failed == 0 || failed == EMFILE || failed == ENFILE)
        report_accept_failure(listener, error);
    if (fd >= 0) {
        listener->events->rejected(listener->user, fd);
        close(fd);
    }
    reserve_emfile_fd(listener);
    return failed;
}

static void listener_on_readable(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    struct listener *listener = container_of(poll, struct listener, poll);
    for (int i = 0; i < MAX_ACCEPTS_PER_WAKEUP; i++) {
        struct sockaddr_storage peer;
        socklen_t len;
        reserve_emfile_fd(listener);
        int fd = accept_next(listener, &peer, &len);
        int error = fd < 0 ? errno : 0;
        if (error == EMFILE || error == ENFILE)
            error = reject_next(listener, error);
        else if (error == ENOBUFS || error == ENOMEM)
            report_accept_failure(listener, error);
        if (fd >= 0) {
            int max_unsent = MAX_UNSENT;
            if (peer.ss_family != AF_UNIX)
                setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &max_unsent, sizeof max_unsent);
            listener->events->accepted(listener->user, listener, fd, &peer, len);
        } else if (error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM) {
            listener_back_off(listener);
            return;
        } else if (error != 0 && error != EINTR && error != ECONNABORTED) { /* after these the next may succeed */
            return;
        }
    }
}

static int system_error(struct err *e, struct str address, const char *call)
{
    return err_set(e, ERR_INTERNAL, "cannot listen on %s: %s: %s", address.data, call, strerror(errno));
}

static int bind_socket(int fd, const struct sockaddr *at, socklen_t len, struct str address, struct err *e)
{
    return bind(fd, at, len) == 0 ? 0 : system_error(e, address, "bind");
}

static int listen_socket(int fd, struct str address, struct err *e)
{
    return listen(fd, BACKLOG) == 0 ? 0 : system_error(e, address, "listen");
}

/* Removes the socket file of a process that was killed. Only ECONNREFUSED says that no process listens on it;
 * EAGAIN means that one does, and has a full backlog. */
static void remove_stale(const struct sockaddr_un *unix_addr)
{
    struct stat st;
    if (lstat(unix_addr->sun_path, &st) != 0 || !S_ISSOCK(st.st_mode))
        return;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    if (connect(fd, (const struct sockaddr *)unix_addr, sizeof *unix_addr) != 0 && errno == ECONNREFUSED)
        unlink(unix_addr->sun_path);
    close(fd);
}

static int open_unix(struct listener *listener, struct str address, const char *path, struct err *e)
{
    struct sockaddr_un unix_addr = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof unix_addr.sun_path)
        return err_set(e, ERR_INVALID, "invalid address %s: the path of a Unix socket must have 1 to %zu bytes",
                       address.data, sizeof unix_addr.sun_path - 1);
    memcpy(unix_addr.sun_path, path, len);
    remove_stale(&unix_addr);
    listener->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener->fd < 0)
        return system_error(e, address, "socket");
    int rc = bind_socket(listener->fd, (struct sockaddr *)&unix_addr, sizeof unix_addr, address, e);
    if (rc != 0)
        return rc;
    listener->unix_addr = unix_addr; /* bind() made the file: from here on it is removed on close */
    snprintf(listener->name, sizeof listener->name, "unix:%s", path);
    return listen_socket(listener->fd, address, e);
}

/* Splits "HOST:PORT" or "[IPV6]:PORT". */
static bool split_address(struct str address, char host[256], char port[8])
{
    const char *colon = strrchr(address.data, ':');
    if (colon == NULL || colon[1] == '\0' || strlen(colon + 1) >= 6)
        return false;
    size_t host_len = (size_t)(colon - address.data);
    const char *from = address.data;
    if (host_len >= 2 && from[0] == '[' && from[host_len - 1] == ']') {
        from++;
        host_len -= 2;
    } else if (memchr(from, ':', host_len) != NULL) {
        return false;
    }
    if (host_len == 0 || host_len >= 256 || strspn(colon + 1, "0123456789") != strlen(colon + 1))
        return false;
    memcpy(host, from, host_len);
    host[host_len] = '\0';
    memcpy(port, colon + 1, strlen(colon + 1) + 1);
    return strtol(port, NULL, 10) <= 65535;
}

static bool is_loopback(const struct sockaddr *at)
{
    if (at->sa_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)(const void *)at)->sin_addr.s_addr) >> 24 == 127;
    return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)at)->sin6_addr);
}

static void set_tcp_name(struct listener *listener)
{
    struct sockaddr_storage bound;
    socklen_t len = sizeof bound;
    char host[INET6_ADDRSTRLEN] = "?", port[8] = "?";
    if (getsockname(listener->fd, (struct sockaddr *)&bound, &len) == 0)
        getnameinfo((struct sockaddr *)&bound, len, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV);
    bool v6 = strchr(host, ':') != NULL;
    snprintf(listener->name, sizeof listener->name, "http://%s%s%s:%s", v6 ? "[" : "", host, v6 ? "]" : "", port);
}

static int open_tcp(struct listener *listener, struct str address, struct err *e)
{
    char host[256], port[8];
    if (!split_address(address, host, port))
        return err_set(e, ERR_INVALID, "invalid address %s: must be HOST:PORT, [IPV6]:PORT or unix:/PATH",
                       address.data);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *result;
    int rc = resolver_lookup(host, port, &hints, &result);
    if (rc != 0)
        return err_set(e, ERR_INVALID, "cannot listen on %s: %s", address.data, gai_strerror(rc));
    int enabled = 1;
    listener->loopback = is_loopback(result->ai_addr);
    listener->fd = socket(result->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener->fd < 0) {
        rc = system_error(e, address, "socket");
    } else {
        setsockopt(listener->fd, SOL_SOCKET, SO_REUSEADDR, &enabled, sizeof enabled);
        if (result->ai_family == AF_INET6)
            setsockopt(listener->fd, IPPROTO_IPV6, IPV6_V6ONLY, &enabled, sizeof enabled);
        rc = bind_socket(listener->fd, result->ai_addr, result->ai_addrlen, address, e);
        if (rc == 0)
            rc = listen_socket(listener->fd, address, e);
    }
    freeaddrinfo(result);
    if (rc == 0)
        set_tcp_name(listener);
    return rc;
}

int listener_open(uv_loop_t *loop, struct str address, struct listener **out, struct err *e)
{
    static const char prefix[] = "unix:";
    struct listener *listener = calloc(1, sizeof *listener);
    if (listener == NULL)
        return err_nomem(e);
    listener->loop = loop;
    listener->fd = listener->emfile_fd = -1;
    int rc = strncmp(address.data, prefix, sizeof prefix - 1) == 0
                 ? open_unix(listener, address, address.data + sizeof prefix - 1, e)
                 : open_tcp(listener, address, e);
    if (rc == 0 && !reserve_emfile_fd(listener))
        rc = system_error(e, address, "eventfd");
    if (rc == 0 && uv_poll_init(loop, &listener->poll, listener->fd) != 0)
        rc = err_set(e, ERR_INTERNAL, "cannot listen on %s: uv_poll_init failed", address.data);
    if (rc != 0) {
        if (listener->fd >= 0)
            close(listener->fd);
        if (listener->emfile_fd >= 0)
            close(listener->emfile_fd);
        if (listener->unix_addr.sun_path[0] != '\0')
            unlink(listener->unix_addr.sun_path);
        free(listener);
        return rc;
    }
    uv_timer_init(loop, &listener->backoff_timer);
    listener->handles = 2;
    *out = listener;
    return 0;
}

void listener_start(struct listener *listener, const struct listener_events *events, void *user)
{
    listener->events = events;
    listener->user = user;
    listener_accept(listener);
}

bool listener_is_local(const struct listener *listener)
{
    return listener->loopback || listener->unix_addr.sun_path[0] != '\0';
}

bool listener_is_loopback(const struct listener *listener)
{
    return listener->loopback;
}

const char *listener_name(const struct listener *listener)
{
    return listener->name;
}

static void listener_on_closed(struct listener *listener)
{
    if (--listener->handles == 0)
        free(listener);
}

static void listener_on_poll_closed(uv_handle_t *handle)
{
    listener_on_closed(container_of((uv_poll_t *)handle, struct listener, poll));
}

static void listener_on_backoff_closed(uv_handle_t *handle)
{
    listener_on_closed(container_of((uv_timer_t *)handle, struct listener, backoff_timer));
}

void listener_close(struct listener *listener)
{
    listener_move(listener, LISTENER_CLOSING);
    uv_close((uv_handle_t *)&listener->poll, listener_on_poll_closed);
    uv_close((uv_handle_t *)&listener->backoff_timer, listener_on_backoff_closed);
    close(listener->fd);
    if (listener->emfile_fd >= 0)
        close(listener->emfile_fd);
    if (listener->unix_addr.sun_path[0] != '\0')
        unlink(listener->unix_addr.sun_path);
}

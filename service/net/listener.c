#include "service/net/listener.h"

#include "runtime/lib/resolver.h"
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
    BACKLOG = 4096,        /* the kernel takes net.core.somaxconn if that is less */
    ACCEPTS_PER_TURN = 64, /* so that a flood of connections leaves time for the others */
    EXHAUSTED_PAUSE_MS = 100,
    UNSENT_MOST = 128 * 1024, /* bytes of an answer the kernel buffers: more would look to us like progress (tcp(7)) */
};

struct listener {
    uv_loop_t *loop; /* borrowed */
    int fd;          /* owned */
    int spare;       /* owned; -1: somebody else was faster, and it is tried again */
    bool loopback;
    uv_poll_t poll;
    uv_timer_t pause;                     /* when descriptors or memory have run out */
    int handles;                          /* of the loop that are not closed yet */
    uint64_t calm_ms;                     /* on the loop's clock: until then, being exhausted is no news */
    const struct listener_events *events; /* borrowed */
    void *user;
    struct sockaddr_un file; /* what to remove at the close; sun_path is empty for TCP */
    char name[LISTENER_NAME];
};

static void on_readable(uv_poll_t *poll, int status, int events);

static void on_pause_over(uv_timer_t *pause)
{
    struct listener *listener = container_of(pause, struct listener, pause);
    uv_poll_start(&listener->poll, UV_READABLE, on_readable);
}

static void tell_exhausted(struct listener *listener, int error)
{
    uint64_t now = uv_now(listener->loop);
    bool told = now < listener->calm_ms;
    listener->calm_ms = now + LISTENER_CALM_MS;
    if (!told)
        listener->events->exhausted(listener->user, listener, error);
}

/* Any descriptor will do, and this one needs no path. */
static bool keep_spare(struct listener *listener)
{
    if (listener->spare < 0)
        listener->spare = eventfd(0, EFD_CLOEXEC);
    return listener->spare >= 0;
}

static int accept_next(const struct listener *listener, struct sockaddr_storage *peer, socklen_t *len)
{
    *peer = (struct sockaddr_storage){.ss_family = AF_UNSPEC};
    *len = sizeof *peer;
    return accept4(listener->fd, (struct sockaddr *)peer, len, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

/* There is no descriptor for accept4(), which says so even where no connection waits. Refuses the next one by the spare. 0, or
 * an errno: EAGAIN where none waits. */
static int refuse_next(struct listener *listener, int error)
{
    struct sockaddr_storage peer;
    socklen_t len;
    int fd = -1, failed = error;
    if (listener->spare >= 0) {
        close(listener->spare);
        listener->spare = -1;
        fd = accept_next(listener, &peer, &len);
        failed = fd < 0 ? errno : 0;
    }
    if (failed == 0 || failed == EMFILE || failed == ENFILE)
        tell_exhausted(listener, error);
    if (fd >= 0) {
        listener->events->refused(listener->user, fd);
        close(fd);
    }
    keep_spare(listener);
    return failed;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    struct listener *listener = container_of(poll, struct listener, poll);
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        struct sockaddr_storage peer;
        socklen_t len;
        keep_spare(listener);
        int fd = accept_next(listener, &peer, &len);
        int error = fd < 0 ? errno : 0;
        if (error == EMFILE || error == ENFILE)
            error = refuse_next(listener, error);
        else if (error == ENOBUFS || error == ENOMEM)
            tell_exhausted(listener, error);
        if (fd >= 0) {
            int unsent = UNSENT_MOST;
            if (peer.ss_family != AF_UNIX)
                setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);
            listener->events->accepted(listener->user, listener, fd, &peer, len);
        } else if (error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM) {
            /* The connection stays in the backlog, and would wake us again at once. */
            uv_poll_stop(poll);
            uv_timer_start(&listener->pause, on_pause_over, EXHAUSTED_PAUSE_MS, 0);
            return;
        } else if (error != 0 && error != EINTR && error != ECONNABORTED) {
            return;
        }
    }
}

static int system_error(struct err *e, struct str address, const char *what)
{
    return err_set(e, ERR_INTERNAL, "can't listen on %s: %s: %s", address.at, what, strerror(errno));
}

static int bind_and_listen(int fd, const struct sockaddr *at, socklen_t len, struct str address, struct err *e)
{
    if (bind(fd, at, len) != 0)
        return system_error(e, address, "bind");
    return listen(fd, BACKLOG) == 0 ? 0 : system_error(e, address, "listen");
}

/* A socket file that nobody listens on is left from a process that was killed. */
static void remove_stale(const struct sockaddr_un *file)
{
    struct stat st;
    if (lstat(file->sun_path, &st) != 0 || !S_ISSOCK(st.st_mode))
        return;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    if (connect(fd, (const struct sockaddr *)file, sizeof *file) != 0 && errno == ECONNREFUSED)
        unlink(file->sun_path);
    close(fd);
}

static int open_unix(struct listener *listener, struct str address, const char *path, struct err *e)
{
    struct sockaddr_un file = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof file.sun_path)
        return err_set(e, ERR_INVALID, "%s: the path of a Unix socket must have 1 to %zu bytes", address.at,
                       sizeof file.sun_path - 1);
    memcpy(file.sun_path, path, len);
    remove_stale(&file);
    listener->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener->fd < 0)
        return system_error(e, address, "socket");
    int rc = bind_and_listen(listener->fd, (struct sockaddr *)&file, sizeof file, address, e);
    if (rc != 0)
        return rc;
    listener->file = file;
    snprintf(listener->name, sizeof listener->name, "unix:%s", path);
    return 0;
}

/* Splits "HOST:PORT" or "[IPV6]:PORT". */
static bool split_address(struct str address, char host[256], char port[8])
{
    const char *colon = strrchr(address.at, ':');
    if (colon == NULL || colon[1] == '\0' || strlen(colon + 1) >= 6)
        return false;
    size_t host_len = (size_t)(colon - address.at);
    const char *from = address.at;
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

static void name_tcp(struct listener *listener)
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
        return err_set(e, ERR_INVALID, "%s is no address; write HOST:PORT, [IPV6]:PORT or unix:/path", address.at);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *found;
    int rc = resolver_lookup(host, port, &hints, &found);
    if (rc != 0)
        return err_set(e, ERR_INVALID, "can't listen on %s: %s", address.at, gai_strerror(rc));
    int on = 1;
    listener->loopback = is_loopback(found->ai_addr);
    listener->fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener->fd < 0) {
        rc = system_error(e, address, "socket");
    } else {
        setsockopt(listener->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        if (found->ai_family == AF_INET6)
            setsockopt(listener->fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
        rc = bind_and_listen(listener->fd, found->ai_addr, found->ai_addrlen, address, e);
    }
    freeaddrinfo(found);
    if (rc == 0)
        name_tcp(listener);
    return rc;
}

int listener_open(uv_loop_t *loop, struct str address, struct listener **out, struct err *e)
{
    static const char prefix[] = "unix:";
    struct listener *listener = calloc(1, sizeof *listener);
    if (listener == NULL)
        return err_set(e, ERR_OUT_OF_MEMORY, "there is no memory for listening on %s", address.at);
    listener->loop = loop;
    listener->fd = listener->spare = -1;
    int rc = strncmp(address.at, prefix, sizeof prefix - 1) == 0
                 ? open_unix(listener, address, address.at + sizeof prefix - 1, e)
                 : open_tcp(listener, address, e);
    if (rc == 0 && !keep_spare(listener))
        rc = system_error(e, address, "eventfd");
    if (rc == 0 && uv_poll_init(loop, &listener->poll, listener->fd) != 0)
        rc = err_set(e, ERR_INTERNAL, "can't listen on %s: the loop does not take its descriptor", address.at);
    if (rc != 0) {
        if (listener->fd >= 0)
            close(listener->fd);
        if (listener->spare >= 0)
            close(listener->spare);
        if (listener->file.sun_path[0] != '\0')
            unlink(listener->file.sun_path);
        free(listener);
        return rc;
    }
    uv_timer_init(loop, &listener->pause);
    listener->handles = 2;
    *out = listener;
    return 0;
}

void listener_start(struct listener *listener, const struct listener_events *events, void *user)
{
    listener->events = events;
    listener->user = user;
    uv_poll_start(&listener->poll, UV_READABLE, on_readable);
}

bool listener_is_local(const struct listener *listener)
{
    return listener->loopback || listener->file.sun_path[0] != '\0';
}

bool listener_is_loopback(const struct listener *listener)
{
    return listener->loopback;
}

const char *listener_name(const struct listener *listener)
{
    return listener->name;
}

static void on_closed(struct listener *listener)
{
    if (--listener->handles == 0)
        free(listener);
}

static void on_poll_closed(uv_handle_t *handle)
{
    on_closed(container_of((uv_poll_t *)handle, struct listener, poll));
}

static void on_pause_closed(uv_handle_t *handle)
{
    on_closed(container_of((uv_timer_t *)handle, struct listener, pause));
}

void listener_close(struct listener *listener)
{
    uv_close((uv_handle_t *)&listener->poll, on_poll_closed);
    uv_close((uv_handle_t *)&listener->pause, on_pause_closed);
    close(listener->fd);
    if (listener->spare >= 0)
        close(listener->spare);
    if (listener->file.sun_path[0] != '\0')
        unlink(listener->file.sun_path);
}

#include "service/net/conn_timeout.h"

#include "runtime/lib/util.h"

#include <sys/socket.h>

static bool peer_closed(int fd)
{
    char byte;
    return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static void conn_timeout_on_timer(struct timer *timer)
{
    struct conn_timeout *timeout = container_of(timer, struct conn_timeout, timer);
    if (uv_hrtime() >= timeout->deadline_ns || peer_closed(timeout->fd))
        conn_timeout_expire(timeout);
    else
        timers_start(timeout->timers, timer, timeout->deadline_ns);
}

bool conn_timeout_init(struct conn_timeout *timeout, struct timers *timers, int fd,
                       void (*expired)(struct conn_timeout *timeout))
{
    if (!timers_reserve(timers, 1))
        return false;
    *timeout =
        (struct conn_timeout){.timers = timers, .timer.fire = conn_timeout_on_timer, .fd = fd, .expired = expired};
    return true;
}

void conn_timeout_start(struct conn_timeout *timeout, uint64_t ns)
{
    uint64_t now = uv_hrtime(), check_ns = CONN_TIMEOUT_HANGUP_CHECK_MS * NS_PER_MS;
    timeout->deadline_ns = now + ns;
    timers_start(timeout->timers, &timeout->timer, now + (ns < check_ns ? ns : check_ns));
}

void conn_timeout_stop(struct conn_timeout *timeout)
{
    timers_stop(timeout->timers, &timeout->timer);
}

void conn_timeout_free(struct conn_timeout *timeout)
{
    timers_stop(timeout->timers, &timeout->timer);
    timers_unreserve(timeout->timers, 1);
}

void conn_timeout_expire(struct conn_timeout *timeout)
{
    conn_timeout_stop(timeout);
    shutdown(timeout->fd, SHUT_RDWR); /* libmicrohttpd reads end of file, and closes the connection */
    timeout->expired(timeout);
}

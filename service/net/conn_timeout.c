#include "service/net/conn_timeout.h"

#include "runtime/lib/util.h"

#include <sys/socket.h>

static bool peer_closed(int fd)
{
    char byte;
    return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static void on_timer(struct timer *timer)
{
    struct conn_timeout *conn_timeout = container_of(timer, struct conn_timeout, timer);
    if (uv_hrtime() >= conn_timeout->deadline_ns || peer_closed(conn_timeout->fd))
        conn_timeout_expire(conn_timeout);
    else
        timers_start(conn_timeout->timers, timer, conn_timeout->deadline_ns);
}

bool conn_timeout_init(struct conn_timeout *conn_timeout, struct timers *timers, int fd,
                       void (*expired)(struct conn_timeout *conn_timeout))
{
    if (!timers_reserve(timers, 1))
        return false;
    *conn_timeout = (struct conn_timeout){.timers = timers, .timer.fire = on_timer, .fd = fd, .expired = expired};
    return true;
}

void conn_timeout_start(struct conn_timeout *conn_timeout, uint64_t ns)
{
    uint64_t now = uv_hrtime(), check_ns = CONN_TIMEOUT_HANGUP_CHECK_MS * NS_PER_MS;
    conn_timeout->deadline_ns = now + ns;
    timers_start(conn_timeout->timers, &conn_timeout->timer, now + (ns < check_ns ? ns : check_ns));
}

void conn_timeout_stop(struct conn_timeout *conn_timeout)
{
    timers_stop(conn_timeout->timers, &conn_timeout->timer);
}

void conn_timeout_free(struct conn_timeout *conn_timeout)
{
    timers_stop(conn_timeout->timers, &conn_timeout->timer);
    timers_unreserve(conn_timeout->timers, 1);
}

void conn_timeout_expire(struct conn_timeout *conn_timeout)
{
    conn_timeout_stop(conn_timeout);
    shutdown(conn_timeout->fd, SHUT_RDWR); /* libmicrohttpd finds the end of its input, and closes */
    conn_timeout->expired(conn_timeout);
}

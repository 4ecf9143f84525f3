#include "service/net/conn_timeout.h"

#include "runtime/lib/util.h"

#include <sys/socket.h>

static bool hung_up(int fd)
{
    char byte;
    return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static void on_timer(struct timer *timer)
{
    struct patience *patience = container_of(timer, struct patience, timer);
    if (uv_hrtime() >= patience->due_ns || hung_up(patience->fd))
        patience_cut(patience);
    else
        timers_start(patience->timers, timer, patience->due_ns);
}

bool patience_init(struct patience *patience, struct timers *timers, int fd, void (*over)(struct patience *patience))
{
    if (!timers_reserve(timers, 1))
        return false;
    *patience = (struct patience){.timers = timers, .timer.fire = on_timer, .fd = fd, .over = over};
    return true;
}

void patience_begin(struct patience *patience, uint64_t ns)
{
    uint64_t now = uv_hrtime(), look = PATIENCE_LOOK_MS * NS_PER_MS;
    patience->due_ns = now + ns;
    timers_start(patience->timers, &patience->timer, now + (ns < look ? ns : look));
}

void patience_end(struct patience *patience)
{
    timers_stop(patience->timers, &patience->timer);
}

void patience_free(struct patience *patience)
{
    timers_stop(patience->timers, &patience->timer);
    timers_unreserve(patience->timers, 1);
}

void patience_cut(struct patience *patience)
{
    patience_end(patience);
    shutdown(patience->fd, SHUT_RDWR); /* libmicrohttpd finds the end of its input, and closes */
    patience->over(patience);
}

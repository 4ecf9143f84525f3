#include "service/http/mhd_loop.h"

#include "runtime/lib/util.h"

static void on_readable(uv_poll_t *epoll, int status, int events)
{
    (void)status;
    (void)events;
    pump_kick(container_of(epoll, struct pump, epoll));
}

static void on_timeout(uv_timer_t *timeout)
{
    pump_kick(container_of(timeout, struct pump, timeout));
}

static void on_idle(uv_idle_t *idle)
{
    (void)idle; /* that it runs keeps the loop from blocking */
}

int pump_init(struct pump *pump, uv_loop_t *loop, int epoll_fd, uint64_t (*run)(struct pump *pump), struct err *e)
{
    if (uv_poll_init(loop, &pump->epoll, epoll_fd) != 0)
        return err_set(e, ERR_INTERNAL, "the loop does not take libmicrohttpd's descriptor");
    uv_timer_init(loop, &pump->timeout);
    uv_idle_init(loop, &pump->idle);
    uv_poll_start(&pump->epoll, UV_READABLE, on_readable);
    pump->epoll.data = pump->timeout.data = pump->idle.data = pump;
    pump->handles = 3;
    pump->run = run;
    pump->kicked = false;
    return 0;
}

static void run(struct pump *pump)
{
    pump->kicked = false;
    uint64_t ms = pump->run(pump);
    if (ms == PUMP_NEVER) {
        uv_timer_stop(&pump->timeout);
    } else if (ms == 0) {
        pump_kick(pump);
    } else {
        uv_update_time(pump->timeout.loop);
        uv_timer_start(&pump->timeout, on_timeout, ms, 0);
    }
}

void pump_turn(struct pump *pump)
{
    if (pump->kicked)
        run(pump);
    if (pump->kicked)
        uv_idle_start(&pump->idle, on_idle);
    else
        uv_idle_stop(&pump->idle);
}

static void on_closed(uv_handle_t *handle)
{
    struct pump *pump = handle->data;
    if (--pump->handles == 0)
        pump->closed(pump);
}

void pump_close(struct pump *pump, void (*closed)(struct pump *pump))
{
    pump->closed = closed;
    uv_close((uv_handle_t *)&pump->epoll, on_closed);
    uv_close((uv_handle_t *)&pump->timeout, on_closed);
    uv_close((uv_handle_t *)&pump->idle, on_closed);
}

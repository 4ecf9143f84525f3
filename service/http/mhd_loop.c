#include "service/http/mhd_loop.h"

#include "runtime/lib/util.h"

static void mhd_loop_on_readable(uv_poll_t *epoll, int status, int events)
{
    (void)status;
    (void)events;
    mhd_loop_wake(container_of(epoll, struct mhd_loop, epoll));
}

static void mhd_loop_on_timeout(uv_timer_t *timeout)
{
    mhd_loop_wake(container_of(timeout, struct mhd_loop, timeout));
}

static void mhd_loop_on_idle(uv_idle_t *idle)
{
    (void)idle; /* an active idle handle keeps the loop from blocking */
}

int mhd_loop_init(struct mhd_loop *mhd_loop, uv_loop_t *loop, int epoll_fd,
                  uint64_t (*run_daemon)(struct mhd_loop *mhd_loop), struct err *e)
{
    if (uv_poll_init(loop, &mhd_loop->epoll, epoll_fd) != 0)
        return err_set(e, ERR_INTERNAL, "uv_poll_init() failed for libmicrohttpd's descriptor");
    uv_timer_init(loop, &mhd_loop->timeout);
    uv_idle_init(loop, &mhd_loop->idle);
    uv_poll_start(&mhd_loop->epoll, UV_READABLE, mhd_loop_on_readable);
    mhd_loop->epoll.data = mhd_loop->timeout.data = mhd_loop->idle.data = mhd_loop;
    mhd_loop->open_handles = 3;
    mhd_loop->run_daemon = run_daemon;
    mhd_loop->wake_pending = false;
    return 0;
}

static void run_daemon(struct mhd_loop *mhd_loop)
{
    mhd_loop->wake_pending = false;
    uint64_t ms = mhd_loop->run_daemon(mhd_loop);
    if (ms == MHD_LOOP_NO_TIMEOUT) {
        uv_timer_stop(&mhd_loop->timeout);
    } else if (ms == 0) {
        mhd_loop_wake(mhd_loop);
    } else {
        uv_update_time(mhd_loop->timeout.loop);
        uv_timer_start(&mhd_loop->timeout, mhd_loop_on_timeout, ms, 0);
    }
}

void mhd_loop_iterate(struct mhd_loop *mhd_loop)
{
    if (mhd_loop->wake_pending)
        run_daemon(mhd_loop);
    if (mhd_loop->wake_pending)
        uv_idle_start(&mhd_loop->idle, mhd_loop_on_idle);
    else
        uv_idle_stop(&mhd_loop->idle);
}

static void mhd_loop_on_closed(uv_handle_t *handle)
{
    struct mhd_loop *mhd_loop = handle->data;
    if (--mhd_loop->open_handles == 0)
        mhd_loop->closed(mhd_loop);
}

void mhd_loop_close(struct mhd_loop *mhd_loop, void (*closed)(struct mhd_loop *mhd_loop))
{
    mhd_loop->closed = closed;
    uv_close((uv_handle_t *)&mhd_loop->epoll, mhd_loop_on_closed);
    uv_close((uv_handle_t *)&mhd_loop->timeout, mhd_loop_on_closed);
    uv_close((uv_handle_t *)&mhd_loop->idle, mhd_loop_on_closed);
}

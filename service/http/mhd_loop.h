/* mhd_loop - runs libmicrohttpd, which has its own epoll descriptor and timeouts, on a libuv loop.
 *
 * libmicrohttpd works only inside mhd_loop_iterate(), which the service calls before the loop blocks, and only if
 * mhd_loop_wake() was called: by the epoll descriptor, by the timeout, for a resumed or a new connection. If it is
 * called during the run itself, an idle handle keeps the loop from blocking; a timer of 0 ms would starve the loop in
 * libuv before 1.48.
 *
 * Owns:     its handles, but not the epoll descriptor.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_SERVICE_HTTP_MHD_LOOP_H
#define GATHERD_SERVICE_HTTP_MHD_LOOP_H

#include "runtime/lib/error.h"

#include <stdbool.h>
#include <uv.h>

#define MHD_LOOP_NO_TIMEOUT UINT64_MAX

struct mhd_loop {
    /* Runs libmicrohttpd; returns the milliseconds until it must run again, or MHD_LOOP_NO_TIMEOUT. */
    uint64_t (*run_daemon)(struct mhd_loop *mhd_loop);
    void (*closed)(struct mhd_loop *mhd_loop); /* set by mhd_loop_close() */
    uv_poll_t epoll;
    uv_timer_t timeout;
    uv_idle_t idle; /* runs while the loop must not block */
    bool wake_pending;
    int open_handles; /* how many handles are not closed yet */
};

/* Returns 0, or ERR_INTERNAL if the loop cannot poll the descriptor. */
int mhd_loop_init(struct mhd_loop *mhd_loop, uv_loop_t *loop, int epoll_fd,
                  uint64_t (*run_daemon)(struct mhd_loop *mhd_loop), struct err *e);

static inline void mhd_loop_wake(struct mhd_loop *mhd_loop)
{
    mhd_loop->wake_pending = true;
}

void mhd_loop_iterate(struct mhd_loop *mhd_loop);

/* To be called before the epoll descriptor is closed. closed() runs when all handles are closed. */
void mhd_loop_close(struct mhd_loop *mhd_loop, void (*closed)(struct mhd_loop *mhd_loop));

#endif

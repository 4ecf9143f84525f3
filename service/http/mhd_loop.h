/* mhd_loop - runs a library that brings its own epoll descriptor and its own timeouts, on our loop.
 *
 * libmicrohttpd works only while it is called, and it is called in one place, mhd_loop_iterate(), which the service calls before the loop
 * blocks. Whatever gives it something to do (its descriptor, its timeout, a resumed or a new connection) kicks the pump.
 * What kicks during the run itself keeps the loop from blocking, by an idle handle: a timer of 0 ms, armed again by
 * each run, would starve the loop of libuv before 1.48.
 *
 * Owns:     its handles.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_SERVICE_HTTP_MHD_LOOP_H
#define GATHERD_SERVICE_HTTP_MHD_LOOP_H

#include "runtime/lib/error.h"

#include <stdbool.h>
#include <uv.h>

#define MHD_LOOP_NO_TIMEOUT UINT64_MAX

struct mhd_loop {
    uint64_t (*run_daemon)(
        struct mhd_loop
            *mhd_loop); /* lets it work; returns after how many ms it wants to again, or MHD_LOOP_NO_TIMEOUT */
    void (*closed)(struct mhd_loop *mhd_loop); /* set by mhd_loop_close() */
    uv_poll_t epoll;
    uv_timer_t timeout;
    uv_idle_t idle; /* runs while the loop must not block */
    bool wake_pending;
    int open_handles; /* of the loop that are not closed yet */
};

/* ERR_INTERNAL when the loop does not take the descriptor. */
int mhd_loop_init(struct mhd_loop *mhd_loop, uv_loop_t *loop, int epoll_fd,
                  uint64_t (*run_daemon)(struct mhd_loop *mhd_loop), struct err *e);

static inline void mhd_loop_wake(struct mhd_loop *mhd_loop)
{
    mhd_loop->wake_pending = true;
}

void mhd_loop_iterate(struct mhd_loop *mhd_loop);

/* Before the descriptor is closed. `closed` runs when the loop has let go of all handles. */
void mhd_loop_close(struct mhd_loop *mhd_loop, void (*closed)(struct mhd_loop *mhd_loop));

#endif

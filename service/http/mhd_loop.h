/* mhd_loop - runs a library that brings its own epoll descriptor and its own timeouts, on our loop.
 *
 * libmicrohttpd works only while it is called, and it is called in one place, pump_turn(), which the service calls before the loop
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

#define PUMP_NEVER UINT64_MAX

struct pump {
    uint64_t (*run)(struct pump *pump); /* lets it work; returns after how many ms it wants to again, or PUMP_NEVER */
    void (*closed)(struct pump *pump);  /* set by pump_close() */
    uv_poll_t epoll;
    uv_timer_t timeout;
    uv_idle_t idle; /* runs while the loop must not block */
    bool kicked;
    int handles; /* of the loop that are not closed yet */
};

/* ERR_INTERNAL when the loop does not take the descriptor. */
int pump_init(struct pump *pump, uv_loop_t *loop, int epoll_fd, uint64_t (*run)(struct pump *pump), struct err *e);

static inline void pump_kick(struct pump *pump)
{
    pump->kicked = true;
}

void pump_turn(struct pump *pump);

/* Before the descriptor is closed. `closed` runs when the loop has let go of all handles. */
void pump_close(struct pump *pump, void (*closed)(struct pump *pump));

#endif

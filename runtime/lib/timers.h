/* timers - any number of timers in one heap, driven by one uv timer.
 *
 * Owns:     the heap (16 bytes an entry). A struct timer is embedded by its user and must be stopped before it is
 *           freed.
 * Threads:  the loop thread.
 * Promise:  a timer never fires before its due time, nor from inside timers_start(). A timer that is started by the
 *           callback of another fires in a later iteration of the loop, even if it is already due.
 */
#ifndef GATHERD_RUNTIME_LIB_TIMERS_H
#define GATHERD_RUNTIME_LIB_TIMERS_H

#include <stdbool.h>
#include <uv.h>

struct timer;
typedef void timer_fn(struct timer *timer);

struct timer {
    timer_fn *fire;   /* called when the timer is due, and already stopped; may start or free the timer */
    size_t heap_slot; /* 1 + index in the heap; 0 while stopped */
};

struct timers {
    struct timer_entry *heap; /* owned; heap[i] fires no later than its children 2i+1, 2i+2 */
    size_t count, capacity;
    size_t reserved;                       /* by timers_reserve(); count <= reserved <= capacity */
    uv_timer_t uv_timer;                   /* armed for the earliest entry */
    uint64_t armed_ms;                     /* the uv_now() for which uv_timer is armed; 0: not armed */
    uint64_t batch_ns;                     /* while a batch fires: the latest due time in it; otherwise 0 */
    void (*after_batch)(struct timers *t); /* called when all due timers have fired; may be NULL */
    void (*close_cb)(struct timers *t);    /* set by timers_close() */
};

int timers_init(struct timers *t, uv_loop_t *loop, void (*after_batch)(struct timers *t)); /* as uv_timer_init() */

/* Reserves entries for `n` more running timers, so that timers_start() cannot fail. False: out of memory. Each
 * reservation must be returned by timers_unreserve(). */
bool timers_reserve(struct timers *t, size_t n);
void timers_unreserve(struct timers *t, size_t n);

/* due_ns is a time of uv_hrtime(). */
void timers_start(struct timers *t, struct timer *timer, uint64_t due_ns); /* restarts a running timer */
void timers_stop(struct timers *t, struct timer *timer);                   /* no effect on a stopped timer */

/* All timers must be stopped. Frees the heap and calls close_cb once the uv timer is closed. */
void timers_close(struct timers *t, void (*close_cb)(struct timers *t));

#endif

/* timers - any number of timers in one heap, driven by one uv timer.
 *
 * Owns:     the heap (16 bytes an entry). A struct timer is embedded by its user and must be stopped before it is
 *           freed.
 * Threads:  the loop thread.
 * Promise:  a timer fires once uv_hrtime() has reached its time, never from inside timers_start(). A timer that a
 *           callback starts fires in a later iteration of the loop, even if it is already due.
 */
#ifndef GATHERD_RUNTIME_LIB_TIMERS_H
#define GATHERD_RUNTIME_LIB_TIMERS_H

#include <stdbool.h>
#include <uv.h>

struct timer;
typedef void timer_fn(struct timer *timer);

struct timer {
    timer_fn *fire;   /* called with the timer stopped; may start or free it */
    size_t heap_slot; /* 1 + index in the heap; 0 while stopped */
};

struct timers {
    struct timer_entry *heap; /* owned; heap[i] fires no later than its children 2i+1, 2i+2 */
    size_t count, capacity;
    size_t reserved;                       /* entries promised by timers_reserve() */
    uv_timer_t uv_timer;                   /* armed for the earliest entry */
    uint64_t armed_ms;                     /* the loop time it is armed for, or 0 */
    uint64_t batch_ns;                     /* while a batch fires, its upper bound; otherwise 0 */
    void (*after_batch)(struct timers *t); /* called after each batch; may be NULL */
    void (*close_cb)(struct timers *t);    /* set by timers_close() */
};

int timers_init(struct timers *t, uv_loop_t *loop, void (*after_batch)(struct timers *t));

/* Reserves entries for `n` more running timers, so that timers_start() cannot fail. False if out of memory. Each
 * reservation must be returned by timers_unreserve(). */
bool timers_reserve(struct timers *t, size_t n);
void timers_unreserve(struct timers *t, size_t n);

void timers_start(struct timers *t, struct timer *timer, uint64_t due_ns); /* restarts a running timer */
void timers_stop(struct timers *t, struct timer *timer);                   /* no effect on a stopped timer */

/* All timers must be stopped. Frees the heap and calls close_cb once the uv timer is closed. */
void timers_close(struct timers *t, void (*close_cb)(struct timers *t));

#endif

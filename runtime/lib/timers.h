/* timers - any number of points in time in one heap, behind one timer of the loop.
 *
 * Owns:     the heap (16 bytes an entry); a struct timer belongs to whoever embeds it, and must be stopped before it goes.
 * Threads:  all on the loop thread.
 * Promise:  a timer never fires early: its callback runs when uv_hrtime() has reached its time, and not from timers_start(). What
 *           a callback starts waits for a later turn of the loop, also when its time has passed.
 */
#ifndef GATHERD_RUNTIME_LIB_TIMERS_H
#define GATHERD_RUNTIME_LIB_TIMERS_H

#include <stdbool.h>
#include <uv.h>

struct timer;
typedef void timer_fn(struct timer *timer);

struct timer {
    timer_fn *fire;   /* runs with the timer stopped; it may be started again, or its memory given back */
    size_t heap_slot; /* 1 + its place in the heap; 0 when it is not running */
};

struct timers {
    struct timer_entry *heap; /* owned; heap[i] fires no later than its children 2i+1, 2i+2 */
    size_t count, capacity;
    size_t reserved;                       /* places promised by timers_reserve() */
    uv_timer_t uv_timer;                   /* armed for the earliest entry */
    uint64_t armed_ms;                     /* the loop time it is armed for; 0 when it isn't */
    uint64_t batch_ns;                     /* while a batch fires: what is due by then belongs to it; otherwise 0 */
    void (*after_batch)(struct timers *t); /* runs after a batch of timers fired; may be NULL */
    void (*close_cb)(struct timers *t);    /* set by timers_close() */
};

int timers_init(struct timers *t, uv_loop_t *loop, void (*after_batch)(struct timers *t));

/* Makes room for `n` more running timers, so that timers_start() can't fail; false when there is no memory. Each
 * reservation is given back by timers_unreserve(). */
bool timers_reserve(struct timers *t, size_t n);
void timers_unreserve(struct timers *t, size_t n);

void timers_start(struct timers *t, struct timer *timer, uint64_t due_ns); /* moves it when it is running already */
void timers_stop(struct timers *t, struct timer *timer);                   /* also when it isn't running */

/* Every timer must have been stopped. Frees the heap and runs `closed` when the loop has let go of the timer. */
void timers_close(struct timers *t, void (*close_cb)(struct timers *t));

#endif

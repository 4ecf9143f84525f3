#include "runtime/lib/timers.h"

#include "runtime/lib/check.h"
#include "runtime/lib/util.h"

#include <stdlib.h>

struct timer_entry {
    uint64_t at_ns;
    struct timer *timer; /* timer->slot is one more than this entry's index */
};

static void place(struct timers *t, size_t i, struct timer_entry entry)
{
    t->heap[i] = entry;
    entry.timer->slot = i + 1;
}

static void sift_up(struct timers *t, size_t i, struct timer_entry entry)
{
    while (i > 0 && entry.at_ns < t->heap[(i - 1) / 2].at_ns) {
        place(t, i, t->heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    place(t, i, entry);
}

static void sift_down(struct timers *t, size_t i, struct timer_entry entry)
{
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= t->count)
            break;
        if (child + 1 < t->count && t->heap[child + 1].at_ns < t->heap[child].at_ns)
            child++;
        if (entry.at_ns <= t->heap[child].at_ns)
            break;
        place(t, i, t->heap[child]);
        i = child;
    }
    place(t, i, entry);
}

static void remove_at(struct timers *t, size_t i)
{
    t->heap[i].timer->slot = 0;
    struct timer_entry last = t->heap[--t->count];
    if (i == t->count)
        return;
    if (i > 0 && last.at_ns < t->heap[(i - 1) / 2].at_ns)
        sift_up(t, i, last);
    else
        sift_down(t, i, last);
}

static void on_clock(uv_timer_t *clock);

/* Arms the clock for the earliest entry. Loop time is hrtime rounded down to ms, and the due time is rounded up, so that
 * the clock can't be early; the 1 ms at least keeps libuv before 1.48 from running this timer again in the same turn. A clock that is
 * armed for an earlier time is left alone: it will find nothing due, and arm itself again. */
static void arm(struct timers *t)
{
    if (t->count == 0) {
        if (t->armed_ms != 0)
            uv_timer_stop(&t->clock);
        t->armed_ms = 0;
        return;
    }
    uint64_t due_ms = t->heap[0].at_ns / NS_PER_MS + (t->heap[0].at_ns % NS_PER_MS != 0);
    if (t->armed_ms != 0 && t->armed_ms <= due_ms)
        return;
    uint64_t now_ms = uv_now(t->clock.loop);
    uv_timer_start(&t->clock, on_clock, due_ms > now_ms ? due_ms - now_ms : 1, 0);
    t->armed_ms = due_ms;
}

static void on_clock(uv_timer_t *clock)
{
    struct timers *t = container_of(clock, struct timers, clock);
    t->armed_ms = 0;
    t->batch_ns = uv_hrtime();
    while (t->count > 0 && t->heap[0].at_ns <= t->batch_ns) {
        struct timer *timer = t->heap[0].timer;
        remove_at(t, 0);
        timer->fire(timer);
    }
    t->batch_ns = 0;
    arm(t);
    if (t->after != NULL)
        t->after(t);
}

int timers_init(struct timers *t, uv_loop_t *loop, void (*after)(struct timers *t))
{
    *t = (struct timers){.after = after};
    return uv_timer_init(loop, &t->clock);
}

bool timers_reserve(struct timers *t, size_t n)
{
    if (n > SIZE_MAX / sizeof *t->heap / 4 - t->reserved)
        return false;
    if (t->reserved + n > t->capacity) {
        size_t capacity = t->capacity == 0 ? 64 : t->capacity;
        while (capacity < t->reserved + n)
            capacity *= 2;
        struct timer_entry *heap = realloc(t->heap, capacity * sizeof *heap);
        if (heap == NULL)
            return false;
        t->heap = heap;
        t->capacity = capacity;
    }
    t->reserved += n;
    return true;
}

void timers_unreserve(struct timers *t, size_t n)
{
    CHECK(n <= t->reserved && t->count <= t->reserved - n);
    t->reserved -= n;
}

void timers_start(struct timers *t, struct timer *timer, uint64_t at_ns)
{
    if (timer->slot != 0)
        remove_at(t, timer->slot - 1);
    CHECK(t->count < t->reserved);
    if (at_ns <= t->batch_ns) /* a callback that starts itself anew must not keep the batch from ending */
        at_ns = t->batch_ns + 1;
    t->count++;
    sift_up(t, t->count - 1, (struct timer_entry){at_ns, timer});
    if (timer->slot == 1)
        arm(t);
}

void timers_stop(struct timers *t, struct timer *timer)
{
    if (timer->slot == 0)
        return;
    remove_at(t, timer->slot - 1);
    if (t->count == 0)
        arm(t);
}

static void on_closed(uv_handle_t *clock)
{
    struct timers *t = container_of((uv_timer_t *)clock, struct timers, clock);
    free(t->heap);
    t->heap = NULL;
    t->closed(t);
}

void timers_close(struct timers *t, void (*closed)(struct timers *t))
{
    CHECK(t->count == 0);
    t->closed = closed;
    uv_close((uv_handle_t *)&t->clock, on_closed);
}

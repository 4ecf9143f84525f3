#include "runtime/lib/timers.h"

#include "runtime/lib/check.h"
#include "runtime/lib/util.h"

#include <stdlib.h>

struct timer_entry {
    uint64_t due_ns;
    struct timer *timer; /* timer->heap_slot is this entry's index + 1 */
};

static void timers_set_entry(struct timers *t, size_t i, struct timer_entry entry)
{
    t->heap[i] = entry;
    entry.timer->heap_slot = i + 1;
}

static void timers_sift_up(struct timers *t, size_t i, struct timer_entry entry)
{
    while (i > 0 && entry.due_ns < t->heap[(i - 1) / 2].due_ns) {
        timers_set_entry(t, i, t->heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    timers_set_entry(t, i, entry);
}

static void timers_sift_down(struct timers *t, size_t i, struct timer_entry entry)
{
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= t->count)
            break;
        if (child + 1 < t->count && t->heap[child + 1].due_ns < t->heap[child].due_ns)
            child++;
        if (entry.due_ns <= t->heap[child].due_ns)
            break;
        timers_set_entry(t, i, t->heap[child]);
        i = child;
    }
    timers_set_entry(t, i, entry);
}

static void timers_remove_at(struct timers *t, size_t i)
{
    t->heap[i].timer->heap_slot = 0;
    struct timer_entry last = t->heap[--t->count];
    if (i == t->count)
        return;
    if (i > 0 && last.due_ns < t->heap[(i - 1) / 2].due_ns)
        timers_sift_up(t, i, last);
    else
        timers_sift_down(t, i, last);
}

static void timers_on_timeout(uv_timer_t *uv_timer);

/* Arms the uv timer for the earliest entry. Loop time is uv_hrtime() rounded down to ms, and due times are rounded up,
 * so the uv timer never fires early. The minimum of 1 ms keeps libuv before 1.48 from running the uv timer again in the
 * same iteration. If it is armed for an earlier time, it stays so: it will find no entry due and be armed again. */
static void timers_arm(struct timers *t)
{
    if (t->count == 0) {
        if (t->armed_ms != 0)
            uv_timer_stop(&t->uv_timer);
        t->armed_ms = 0;
        return;
    }
    uint64_t due_ms = t->heap[0].due_ns / NS_PER_MS + (t->heap[0].due_ns % NS_PER_MS != 0);
    if (t->armed_ms != 0 && t->armed_ms <= due_ms)
        return;
    uint64_t now_ms = uv_now(t->uv_timer.loop);
    uv_timer_start(&t->uv_timer, timers_on_timeout, due_ms > now_ms ? due_ms - now_ms : 1, 0);
    t->armed_ms = due_ms;
}

static void timers_on_timeout(uv_timer_t *uv_timer)
{
    struct timers *t = container_of(uv_timer, struct timers, uv_timer);
    t->armed_ms = 0;
    t->batch_ns = uv_hrtime();
    while (t->count > 0 && t->heap[0].due_ns <= t->batch_ns) {
        struct timer *timer = t->heap[0].timer;
        timers_remove_at(t, 0);
        timer->fire(timer);
    }
    t->batch_ns = 0;
    timers_arm(t);
    if (t->after_batch != NULL)
        t->after_batch(t);
}

int timers_init(struct timers *t, uv_loop_t *loop, void (*after_batch)(struct timers *t))
{
    *t = (struct timers){.after_batch = after_batch};
    return uv_timer_init(loop, &t->uv_timer);
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

void timers_start(struct timers *t, struct timer *timer, uint64_t due_ns)
{
    if (timer->heap_slot != 0)
        timers_remove_at(t, timer->heap_slot - 1);
    CHECK(t->count < t->reserved);
    if (due_ns <= t->batch_ns) /* otherwise a callback that restarts its timer could extend the batch forever */
        due_ns = t->batch_ns + 1;
    t->count++;
    timers_sift_up(t, t->count - 1, (struct timer_entry){due_ns, timer});
    if (timer->heap_slot == 1)
        timers_arm(t);
}

void timers_stop(struct timers *t, struct timer *timer)
{
    if (timer->heap_slot == 0)
        return;
    timers_remove_at(t, timer->heap_slot - 1);
    if (t->count == 0)
        timers_arm(t);
}

static void timers_on_closed(uv_handle_t *uv_timer)
{
    struct timers *t = container_of((uv_timer_t *)uv_timer, struct timers, uv_timer);
    free(t->heap);
    t->heap = NULL;
    t->close_cb(t);
}

void timers_close(struct timers *t, void (*close_cb)(struct timers *t))
{
    CHECK(t->count == 0);
    t->close_cb = close_cb;
    uv_close((uv_handle_t *)&t->uv_timer, timers_on_closed);
}

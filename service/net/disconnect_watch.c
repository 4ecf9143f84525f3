#include "service/net/disconnect_watch.h"

#include "runtime/lib/check.h"
#include "runtime/lib/util.h"

#include <stdlib.h>

struct watches {
    uv_loop_t *loop; /* borrowed */
    uv_timer_t clock;
    struct list_node waiting; /* of struct watch that have not begun, by begin_ms */
};

struct watch_poll {
    uv_poll_t poll;
    struct watch *watch; /* NULL once that has ended */
};

static void on_poll_closed(uv_handle_t *handle)
{
    free(container_of((uv_poll_t *)handle, struct watch_poll, poll));
}

static void on_event(uv_poll_t *poll, int status, int events)
{
    struct watch *watch = container_of(poll, struct watch_poll, poll)->watch;
    if (status == 0 && (events & UV_DISCONNECT) == 0)
        return;
    watch_end(watch);
    watch->hung_up(watch);
}

static bool begin(struct watches *watches, struct watch *watch)
{
    struct watch_poll *p = malloc(sizeof *p);
    if (p == NULL || uv_poll_init(watches->loop, &p->poll, watch->fd) != 0) {
        free(p);
        return false;
    }
    p->watch = watch;
    if (uv_poll_start(&p->poll, UV_DISCONNECT, on_event) != 0) {
        uv_close((uv_handle_t *)&p->poll, on_poll_closed);
        return false;
    }
    watch->poll = p;
    return true;
}

static void on_clock(uv_timer_t *clock)
{
    struct watches *watches = container_of(clock, struct watches, clock);
    uint64_t now = uv_now(watches->loop);
    while (!list_empty(&watches->waiting)) {
        struct watch *watch = container_of(watches->waiting.next, struct watch, link);
        if (watch->begin_ms > now) {
            uv_timer_start(clock, on_clock, watch->begin_ms - now, 0);
            return;
        }
        list_remove(&watch->link);
        if (!begin(watches, watch)) { /* no memory or no room in the kernel: once more, later */
            watch->begin_ms = now + WATCH_AFTER_MS;
            list_append(&watches->waiting, &watch->link);
        }
    }
}

int watches_new(uv_loop_t *loop, struct watches **out, struct err *e)
{
    struct watches *watches = malloc(sizeof *watches);
    if (watches == NULL)
        return err_set(e, ERR_OUT_OF_MEMORY, "there is no memory for watching connections");
    watches->loop = loop;
    list_init(&watches->waiting);
    int rc = uv_timer_init(loop, &watches->clock);
    CHECK(rc == 0); /* uv_timer_init() has nothing that could fail */
    *out = watches;
    return 0;
}

void watch_begin(struct watches *watches, struct watch *watch, int fd, void (*hung_up)(struct watch *watch))
{
    watch->watches = watches;
    watch->fd = fd;
    watch->hung_up = hung_up;
    watch->poll = NULL;
    watch->begin_ms = uv_now(watches->loop) + WATCH_AFTER_MS;
    if (list_empty(&watches->waiting))
        uv_timer_start(&watches->clock, on_clock, WATCH_AFTER_MS, 0);
    list_append(&watches->waiting, &watch->link);
}

void watch_end(struct watch *watch)
{
    if (watch->poll != NULL) {
        watch->poll->watch = NULL;
        uv_close((uv_handle_t *)&watch->poll->poll, on_poll_closed); /* leaves the kernel's set at once */
        watch->poll = NULL;
        return;
    }
    list_remove(&watch->link);
    if (list_empty(&watch->watches->waiting))
        uv_timer_stop(&watch->watches->clock);
}

static void on_clock_closed(uv_handle_t *handle)
{
    free(container_of((uv_timer_t *)handle, struct watches, clock));
}

void watches_close(struct watches *watches)
{
    CHECK(list_empty(&watches->waiting));
    uv_close((uv_handle_t *)&watches->clock, on_clock_closed);
}

#include "service/net/disconnect_watch.h"

#include "runtime/lib/check.h"
#include "runtime/lib/util.h"

#include <stdlib.h>

struct disconnect_watch_set {
    uv_loop_t *loop; /* borrowed */
    uv_timer_t timer;
    struct list_node pending; /* of struct watch that have not begun, by begin_ms */
};

struct disconnect_poll {
    uv_poll_t poll;
    struct disconnect_watch *disconnect_watch; /* NULL once that has ended */
};

static void disconnect_watch_on_poll_closed(uv_handle_t *handle)
{
    free(container_of((uv_poll_t *)handle, struct disconnect_poll, poll));
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct disconnect_watch *disconnect_watch = container_of(poll, struct disconnect_poll, poll)->disconnect_watch;
    if (status == 0 && (events & UV_DISCONNECT) == 0)
        return;
    disconnect_watch_stop(disconnect_watch);
    disconnect_watch->disconnected(disconnect_watch);
}

static bool start_poll(struct disconnect_watch_set *disconnect_watch_set, struct disconnect_watch *disconnect_watch)
{
    struct disconnect_poll *p = malloc(sizeof *p);
    if (p == NULL || uv_poll_init(disconnect_watch_set->loop, &p->poll, disconnect_watch->fd) != 0) {
        free(p);
        return false;
    }
    p->disconnect_watch = disconnect_watch;
    if (uv_poll_start(&p->poll, UV_DISCONNECT, on_poll) != 0) {
        uv_close((uv_handle_t *)&p->poll, disconnect_watch_on_poll_closed);
        return false;
    }
    disconnect_watch->poll = p;
    return true;
}

static void disconnect_watch_on_timer(uv_timer_t *timer)
{
    struct disconnect_watch_set *disconnect_watch_set = container_of(timer, struct disconnect_watch_set, timer);
    uint64_t now = uv_now(disconnect_watch_set->loop);
    while (!list_empty(&disconnect_watch_set->pending)) {
        struct disconnect_watch *disconnect_watch =
            container_of(disconnect_watch_set->pending.next, struct disconnect_watch, link);
        if (disconnect_watch->start_ms > now) {
            uv_timer_start(timer, disconnect_watch_on_timer, disconnect_watch->start_ms - now, 0);
            return;
        }
        list_remove(&disconnect_watch->link);
        if (!start_poll(disconnect_watch_set,
                        disconnect_watch)) { /* no memory or no room in the kernel: once more, later */
            disconnect_watch->start_ms = now + DISCONNECT_WATCH_DELAY_MS;
            list_append(&disconnect_watch_set->pending, &disconnect_watch->link);
        }
    }
}

int disconnect_watch_set_new(uv_loop_t *loop, struct disconnect_watch_set **out, struct err *e)
{
    struct disconnect_watch_set *disconnect_watch_set = malloc(sizeof *disconnect_watch_set);
    if (disconnect_watch_set == NULL)
        return err_nomem(e);
    disconnect_watch_set->loop = loop;
    list_init(&disconnect_watch_set->pending);
    int rc = uv_timer_init(loop, &disconnect_watch_set->timer);
    CHECK(rc == 0); /* uv_timer_init() has nothing that could fail */
    *out = disconnect_watch_set;
    return 0;
}

void disconnect_watch_start(struct disconnect_watch_set *disconnect_watch_set,
                            struct disconnect_watch *disconnect_watch, int fd,
                            void (*disconnected)(struct disconnect_watch *disconnect_watch))
{
    disconnect_watch->disconnect_watch_set = disconnect_watch_set;
    disconnect_watch->fd = fd;
    disconnect_watch->disconnected = disconnected;
    disconnect_watch->poll = NULL;
    disconnect_watch->start_ms = uv_now(disconnect_watch_set->loop) + DISCONNECT_WATCH_DELAY_MS;
    if (list_empty(&disconnect_watch_set->pending))
        uv_timer_start(&disconnect_watch_set->timer, disconnect_watch_on_timer, DISCONNECT_WATCH_DELAY_MS, 0);
    list_append(&disconnect_watch_set->pending, &disconnect_watch->link);
}

void disconnect_watch_stop(struct disconnect_watch *disconnect_watch)
{
    if (disconnect_watch->poll != NULL) {
        disconnect_watch->poll->disconnect_watch = NULL;
        uv_close((uv_handle_t *)&disconnect_watch->poll->poll,
                 disconnect_watch_on_poll_closed); /* leaves the kernel's set at once */
        disconnect_watch->poll = NULL;
        return;
    }
    list_remove(&disconnect_watch->link);
    if (list_empty(&disconnect_watch->disconnect_watch_set->pending))
        uv_timer_stop(&disconnect_watch->disconnect_watch_set->timer);
}

static void disconnect_watch_on_timer_closed(uv_handle_t *handle)
{
    free(container_of((uv_timer_t *)handle, struct disconnect_watch_set, timer));
}

void disconnect_watch_set_close(struct disconnect_watch_set *disconnect_watch_set)
{
    CHECK(list_empty(&disconnect_watch_set->pending));
    uv_close((uv_handle_t *)&disconnect_watch_set->timer, disconnect_watch_on_timer_closed);
}

#include "service/net/disconnect_watch.h"

#include "runtime/lib/check.h"
#include "runtime/lib/state.h"
#include "runtime/lib/util.h"

#include <stdlib.h>

struct disconnect_watch_set {
    uv_loop_t *loop;          /* borrowed */
    uv_timer_t timer;         /* runs while watches are pending */
    struct list_node pending; /* of struct disconnect_watch, in the order of start_ms */
};

struct disconnect_poll {
    uv_poll_t poll;
    struct disconnect_watch *watch; /* NULL once stopped: the poll handle may outlive the watch */
};

/* The states that each may move to. */
static const state_set watch_moves[DISCONNECT_WATCH_STATE_COUNT] = {
    [DISCONNECT_WATCH_IDLE] = STATE_BIT(DISCONNECT_WATCH_PENDING),
    [DISCONNECT_WATCH_PENDING] = STATE_BIT(DISCONNECT_WATCH_POLLING) | STATE_BIT(DISCONNECT_WATCH_IDLE),
    [DISCONNECT_WATCH_POLLING] = STATE_BIT(DISCONNECT_WATCH_IDLE),
};

static void watch_move(struct disconnect_watch *watch, enum disconnect_watch_state to)
{
    watch->state = STATE_MOVE(watch_moves, watch->state, to);
}

static void watch_on_poll_closed(uv_handle_t *handle)
{
    free(container_of((uv_poll_t *)handle, struct disconnect_poll, poll));
}

static void watch_on_poll(uv_poll_t *poll, int status, int events)
{
    struct disconnect_watch *watch = container_of(poll, struct disconnect_poll, poll)->watch;
    if (status == 0 && (events & UV_DISCONNECT) == 0)
        return;
    disconnect_watch_stop(watch);
    watch->disconnected(watch);
}

/* Returns NULL if out of memory or of kernel resources. */
static struct disconnect_poll *start_poll(struct disconnect_watch *watch)
{
    struct disconnect_poll *p = malloc(sizeof *p);
    if (p == NULL || uv_poll_init(watch->set->loop, &p->poll, watch->fd) != 0) {
        free(p);
        return NULL;
    }
    p->watch = watch;
    if (uv_poll_start(&p->poll, UV_DISCONNECT, watch_on_poll) != 0) {
        uv_close((uv_handle_t *)&p->poll, watch_on_poll_closed);
        return NULL;
    }
    return p;
}

static void watch_set_on_timer(uv_timer_t *timer)
{
    struct disconnect_watch_set *set = container_of(timer, struct disconnect_watch_set, timer);
    uint64_t now = uv_now(set->loop);
    while (!list_empty(&set->pending)) {
        struct disconnect_watch *watch = container_of(set->pending.next, struct disconnect_watch, link);
        if (watch->start_ms > now) {
            uv_timer_start(timer, watch_set_on_timer, watch->start_ms - now, 0);
            return;
        }
        list_remove(&watch->link);
        watch->poll = start_poll(watch);
        if (watch->poll != NULL) {
            watch_move(watch, DISCONNECT_WATCH_POLLING);
        } else { /* retry later */
            watch->start_ms = now + DISCONNECT_WATCH_DELAY_MS;
            list_append(&set->pending, &watch->link);
        }
    }
}

int disconnect_watch_set_new(uv_loop_t *loop, struct disconnect_watch_set **out, struct err *e)
{
    struct disconnect_watch_set *set = malloc(sizeof *set);
    if (set == NULL)
        return err_nomem(e);
    set->loop = loop;
    list_init(&set->pending);
    int rc = uv_timer_init(loop, &set->timer);
    CHECK(rc == 0); /* uv_timer_init() always succeeds */
    *out = set;
    return 0;
}

void disconnect_watch_start(struct disconnect_watch_set *set, struct disconnect_watch *watch, int fd,
                            void (*disconnected)(struct disconnect_watch *watch))
{
    watch_move(watch, DISCONNECT_WATCH_PENDING);
    watch->set = set;
    watch->fd = fd;
    watch->disconnected = disconnected;
    watch->start_ms = uv_now(set->loop) + DISCONNECT_WATCH_DELAY_MS;
    if (list_empty(&set->pending))
        uv_timer_start(&set->timer, watch_set_on_timer, DISCONNECT_WATCH_DELAY_MS, 0);
    list_append(&set->pending, &watch->link);
}

void disconnect_watch_stop(struct disconnect_watch *watch)
{
    if (watch->state == DISCONNECT_WATCH_IDLE)
        return;
    if (watch->state == DISCONNECT_WATCH_PENDING) {
        list_remove(&watch->link);
        if (list_empty(&watch->set->pending))
            uv_timer_stop(&watch->set->timer);
    } else {
        watch->poll->watch = NULL;
        uv_close((uv_handle_t *)&watch->poll->poll, watch_on_poll_closed); /* removes fd from epoll at once */
        watch->poll = NULL;
    }
    watch_move(watch, DISCONNECT_WATCH_IDLE);
}

static void watch_set_on_timer_closed(uv_handle_t *handle)
{
    free(container_of((uv_timer_t *)handle, struct disconnect_watch_set, timer));
}

void disconnect_watch_set_close(struct disconnect_watch_set *set)
{
    CHECK(list_empty(&set->pending));
    uv_close((uv_handle_t *)&set->timer, watch_set_on_timer_closed);
}

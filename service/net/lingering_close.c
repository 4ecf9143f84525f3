#include "service/net/lingering_close.h"

#include "runtime/lib/check.h"
#include "runtime/lib/list.h"
#include "runtime/lib/util.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LINGER_MS = 2000, READS_PER_TURN = 16, BUFFER = 64 * 1024 };
#define DISCARD_MOST (INT64_C(256) * 1024 * 1024)

struct lingers {
    uv_loop_t *loop;         /* borrowed */
    uv_timer_t clock;        /* for the oldest; runs while there is one */
    struct list_node oldest; /* of struct lingering, by age */
    size_t count;            /* in the ring */
    size_t most;
    size_t handles; /* of the loop that are not closed yet, the clock among them */
    char buffer[BUFFER];
};

struct lingering {
    struct list_node link;
    struct lingers *lingers;
    uv_poll_t poll;
    int fd;
    uint64_t until_ms;
    int64_t discarded;
};

static void on_handle_closed(struct lingers *lingers)
{
    if (--lingers->handles == 0)
        free(lingers);
}

static void on_poll_closed(uv_handle_t *handle)
{
    struct lingering *l = container_of((uv_poll_t *)handle, struct lingering, poll);
    struct lingers *lingers = l->lingers;
    free(l);
    on_handle_closed(lingers);
}

static void on_clock_closed(uv_handle_t *handle)
{
    on_handle_closed(container_of((uv_timer_t *)handle, struct lingers, clock));
}

static void end(struct lingering *l)
{
    list_remove(&l->link);
    l->lingers->count--;
    uv_close((uv_handle_t *)&l->poll, on_poll_closed); /* stops polling at once, so the descriptor may go */
    close(l->fd);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    (void)events;
    struct lingering *l = container_of(poll, struct lingering, poll);
    for (int i = 0; status == 0 && i < READS_PER_TURN; i++) {
        ssize_t n = recv(l->fd, l->lingers->buffer, BUFFER, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0 || (l->discarded += n) > DISCARD_MOST) {
            end(l);
            return;
        }
    }
    if (status != 0)
        end(l);
}

static void on_clock(uv_timer_t *clock)
{
    struct lingers *lingers = container_of(clock, struct lingers, clock);
    uint64_t now = uv_now(lingers->loop);
    while (!list_empty(&lingers->oldest)) {
        struct lingering *l = container_of(lingers->oldest.next, struct lingering, link);
        if (l->until_ms > now) {
            uv_timer_start(clock, on_clock, l->until_ms - now, 0);
            return;
        }
        end(l);
    }
}

int lingers_new(uv_loop_t *loop, int64_t most, struct lingers **out, struct err *e)
{
    struct lingers *lingers = malloc(sizeof *lingers);
    if (lingers == NULL)
        return err_set(e, ERR_OUT_OF_MEMORY, "there is no memory for closing connections");
    lingers->loop = loop;
    lingers->count = 0;
    lingers->most = (size_t)most;
    lingers->handles = 1;
    list_init(&lingers->oldest);
    int rc = uv_timer_init(loop, &lingers->clock);
    CHECK(rc == 0); /* uv_timer_init() has nothing that could fail */
    *out = lingers;
    return 0;
}

void linger(struct lingers *lingers, int fd)
{
    shutdown(fd, SHUT_WR);
    struct lingering *l = lingers->count < lingers->most ? malloc(sizeof *l) : NULL;
    if (l == NULL || uv_poll_init(lingers->loop, &l->poll, fd) != 0) {
        free(l);
        close(fd);
        return;
    }
    l->lingers = lingers;
    l->fd = fd;
    l->discarded = 0;
    lingers->handles++;
    uv_update_time(lingers->loop);
    l->until_ms = uv_now(lingers->loop) + LINGER_MS;
    list_append(&lingers->oldest, &l->link);
    if (lingers->count++ == 0)
        uv_timer_start(&lingers->clock, on_clock, LINGER_MS, 0);
    if (uv_poll_start(&l->poll, UV_READABLE, on_readable) != 0)
        end(l);
}

void lingers_close(struct lingers *lingers)
{
    while (!list_empty(&lingers->oldest))
        end(container_of(lingers->oldest.next, struct lingering, link));
    uv_close((uv_handle_t *)&lingers->clock, on_clock_closed);
}

#include "service/net/lingering_close.h"

#include "runtime/lib/check.h"
#include "runtime/lib/list.h"
#include "runtime/lib/util.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LINGERING_TIMEOUT_MS = 2000, MAX_READS_PER_WAKEUP = 16, BUFFER_SIZE = 64 * 1024 };
#define MAX_LINGERING_BYTES (INT64_C(256) * 1024 * 1024)

struct lingering_set {
    uv_loop_t *loop;         /* borrowed */
    uv_timer_t timer;        /* for the oldest; runs while there is one */
    struct list_node by_age; /* of struct lingering, by age */
    size_t count;            /* in the ring */
    size_t max;
    size_t handles; /* of the loop that are not closed yet, the clock among them */
    char buffer[BUFFER_SIZE];
};

struct lingering_conn {
    struct list_node link;
    struct lingering_set *lingering_set;
    uv_poll_t poll;
    int fd;
    uint64_t deadline_ms;
    int64_t discarded;
};

static void on_handle_closed(struct lingering_set *lingering_set)
{
    if (--lingering_set->handles == 0)
        free(lingering_set);
}

static void lingering_on_poll_closed(uv_handle_t *handle)
{
    struct lingering_conn *conn = container_of((uv_poll_t *)handle, struct lingering_conn, poll);
    struct lingering_set *lingering_set = conn->lingering_set;
    free(conn);
    on_handle_closed(lingering_set);
}

static void lingering_on_timer_closed(uv_handle_t *handle)
{
    on_handle_closed(container_of((uv_timer_t *)handle, struct lingering_set, timer));
}

static void lingering_conn_close(struct lingering_conn *conn)
{
    list_remove(&conn->link);
    conn->lingering_set->count--;
    uv_close((uv_handle_t *)&conn->poll,
             lingering_on_poll_closed); /* stops polling at once, so the descriptor may go */
    close(conn->fd);
}

static void lingering_on_readable(uv_poll_t *poll, int status, int events)
{
    (void)events;
    struct lingering_conn *conn = container_of(poll, struct lingering_conn, poll);
    for (int i = 0; status == 0 && i < MAX_READS_PER_WAKEUP; i++) {
        ssize_t n = recv(conn->fd, conn->lingering_set->buffer, BUFFER_SIZE, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0 || (conn->discarded += n) > MAX_LINGERING_BYTES) {
            lingering_conn_close(conn);
            return;
        }
    }
    if (status != 0)
        lingering_conn_close(conn);
}

static void lingering_on_timer(uv_timer_t *timer)
{
    struct lingering_set *lingering_set = container_of(timer, struct lingering_set, timer);
    uint64_t now = uv_now(lingering_set->loop);
    while (!list_empty(&lingering_set->by_age)) {
        struct lingering_conn *conn = container_of(lingering_set->by_age.next, struct lingering_conn, link);
        if (conn->deadline_ms > now) {
            uv_timer_start(timer, lingering_on_timer, conn->deadline_ms - now, 0);
            return;
        }
        lingering_conn_close(conn);
    }
}

int lingering_set_new(uv_loop_t *loop, int64_t max, struct lingering_set **out, struct err *e)
{
    struct lingering_set *lingering_set = malloc(sizeof *lingering_set);
    if (lingering_set == NULL)
        return err_nomem(e);
    lingering_set->loop = loop;
    lingering_set->count = 0;
    lingering_set->max = (size_t)max;
    lingering_set->handles = 1;
    list_init(&lingering_set->by_age);
    int rc = uv_timer_init(loop, &lingering_set->timer);
    CHECK(rc == 0); /* uv_timer_init() has nothing that could fail */
    *out = lingering_set;
    return 0;
}

void lingering_close(struct lingering_set *lingering_set, int fd)
{
    shutdown(fd, SHUT_WR);
    struct lingering_conn *conn = lingering_set->count < lingering_set->max ? malloc(sizeof *conn) : NULL;
    if (conn == NULL || uv_poll_init(lingering_set->loop, &conn->poll, fd) != 0) {
        free(conn);
        close(fd);
        return;
    }
    conn->lingering_set = lingering_set;
    conn->fd = fd;
    conn->discarded = 0;
    lingering_set->handles++;
    uv_update_time(lingering_set->loop);
    conn->deadline_ms = uv_now(lingering_set->loop) + LINGERING_TIMEOUT_MS;
    list_append(&lingering_set->by_age, &conn->link);
    if (lingering_set->count++ == 0)
        uv_timer_start(&lingering_set->timer, lingering_on_timer, LINGERING_TIMEOUT_MS, 0);
    if (uv_poll_start(&conn->poll, UV_READABLE, lingering_on_readable) != 0)
        lingering_conn_close(conn);
}

void lingering_set_close(struct lingering_set *lingering_set)
{
    while (!list_empty(&lingering_set->by_age))
        lingering_conn_close(container_of(lingering_set->by_age.next, struct lingering_conn, link));
    uv_close((uv_handle_t *)&lingering_set->timer, lingering_on_timer_closed);
}

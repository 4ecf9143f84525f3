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
    uv_timer_t timer;        /* for the oldest connection */
    struct list_node by_age; /* of struct lingering_conn, oldest first */
    size_t count;            /* in by_age */
    size_t max;
    size_t handles; /* how many handles are not closed yet, including the timer */
    char buffer[BUFFER_SIZE];
};

struct lingering_conn {
    struct list_node link;
    struct lingering_set *set;
    uv_poll_t poll;
    int fd;
    uint64_t deadline_ms; /* loop time */
    int64_t discarded;    /* bytes */
};

static void lingering_on_handle_closed(struct lingering_set *set)
{
    if (--set->handles == 0)
        free(set);
}

static void lingering_on_poll_closed(uv_handle_t *handle)
{
    struct lingering_conn *conn = container_of((uv_poll_t *)handle, struct lingering_conn, poll);
    struct lingering_set *set = conn->set;
    free(conn);
    lingering_on_handle_closed(set);
}

static void lingering_on_timer_closed(uv_handle_t *handle)
{
    lingering_on_handle_closed(container_of((uv_timer_t *)handle, struct lingering_set, timer));
}

static void lingering_conn_close(struct lingering_conn *conn)
{
    list_remove(&conn->link);
    conn->set->count--;
    uv_close((uv_handle_t *)&conn->poll, lingering_on_poll_closed); /* stops polling at once: fd may be closed */
    close(conn->fd);
}

static void lingering_on_readable(uv_poll_t *poll, int status, int events)
{
    (void)events;
    struct lingering_conn *conn = container_of(poll, struct lingering_conn, poll);
    for (int i = 0; status == 0 && i < MAX_READS_PER_WAKEUP; i++) {
        ssize_t n = recv(conn->fd, conn->set->buffer, BUFFER_SIZE, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return; /* called again while bytes are left */
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
    struct lingering_set *set = container_of(timer, struct lingering_set, timer);
    uint64_t now = uv_now(set->loop);
    while (!list_empty(&set->by_age)) {
        struct lingering_conn *conn = container_of(set->by_age.next, struct lingering_conn, link);
        if (conn->deadline_ms > now) {
            uv_timer_start(timer, lingering_on_timer, conn->deadline_ms - now, 0);
            return;
        }
        lingering_conn_close(conn);
    }
}

int lingering_set_new(uv_loop_t *loop, int64_t max, struct lingering_set **out, struct err *e)
{
    struct lingering_set *set = malloc(sizeof *set);
    if (set == NULL)
        return err_nomem(e);
    set->loop = loop;
    set->count = 0;
    set->max = (size_t)max;
    set->handles = 1;
    list_init(&set->by_age);
    int rc = uv_timer_init(loop, &set->timer);
    CHECK(rc == 0); /* uv_timer_init() always succeeds */
    *out = set;
    return 0;
}

void lingering_close(struct lingering_set *set, int fd)
{
    shutdown(fd, SHUT_WR);
    struct lingering_conn *conn = set->count < set->max ? malloc(sizeof *conn) : NULL;
    if (conn == NULL || uv_poll_init(set->loop, &conn->poll, fd) != 0) {
        free(conn);
        close(fd);
        return;
    }
    conn->set = set;
    conn->fd = fd;
    conn->discarded = 0;
    set->handles++;
    uv_update_time(set->loop);
    conn->deadline_ms = uv_now(set->loop) + LINGERING_TIMEOUT_MS;
    list_append(&set->by_age, &conn->link);
    if (set->count++ == 0)
        uv_timer_start(&set->timer, lingering_on_timer, LINGERING_TIMEOUT_MS, 0);
    if (uv_poll_start(&conn->poll, UV_READABLE, lingering_on_readable) != 0)
        lingering_conn_close(conn);
}

void lingering_set_close(struct lingering_set *set)
{
    while (!list_empty(&set->by_age))
        lingering_conn_close(container_of(set->by_age.next, struct lingering_conn, link));
    uv_close((uv_handle_t *)&set->timer, lingering_on_timer_closed);
}

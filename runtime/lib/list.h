/* list - a doubly linked circular list whose nodes lie in the structs that are listed.
 *
 * Owns:     nothing.
 * Threads:  any; a list belongs to one at a time.
 */
#ifndef GATHERD_RUNTIME_LIB_LIST_H
#define GATHERD_RUNTIME_LIB_LIST_H

#include <stdbool.h>

/* A doubly linked ring; an empty one, and a node that is in no ring, points to itself. */
struct ring {
    struct ring *prev, *next;
};

static inline void ring_init(struct ring *r)
{
    r->prev = r->next = r;
}

static inline bool ring_empty(const struct ring *r)
{
    return r->next == r;
}

static inline void ring_append(struct ring *head, struct ring *node)
{
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}

static inline void ring_remove(struct ring *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    ring_init(node);
}

#endif

/* list - a doubly linked circular list whose nodes lie in the structs that are listed.
 *
 * Owns:     nothing.
 * Threads:  any; a list belongs to one at a time.
 */
#ifndef GATHERD_RUNTIME_LIB_LIST_H
#define GATHERD_RUNTIME_LIB_LIST_H

#include <stdbool.h>

/* A doubly linked ring; an empty one, and a node that is in no ring, points to itself. */
struct list_node {
    struct list_node *prev, *next;
};

static inline void list_init(struct list_node *r)
{
    r->prev = r->next = r;
}

static inline bool list_empty(const struct list_node *r)
{
    return r->next == r;
}

static inline void list_append(struct list_node *head, struct list_node *node)
{
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}

static inline void list_remove(struct list_node *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

#endif

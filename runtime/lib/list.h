/* list - an intrusive, circular, doubly linked list.
 *
 * Owns:     nothing.
 * Threads:  one at a time for each list.
 */
#ifndef GATHERD_RUNTIME_LIB_LIST_H
#define GATHERD_RUNTIME_LIB_LIST_H

#include <stdbool.h>

/* A list is a head, and nodes embedded in its items. The head of an empty list, and a node in no list, point to
 * themselves, so removing such a node has no effect. */
struct list_node {
    struct list_node *prev, *next;
};

static inline void list_init(struct list_node *node)
{
    node->prev = node->next = node;
}

static inline bool list_empty(const struct list_node *head)
{
    return head->next == head;
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

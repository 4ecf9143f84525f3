/* test_list - linked lists: append, remove, and the order of items. */
#include "runtime/lib/list.h"
#include "runtime/lib/util.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct item {
    int number;
    struct list_node link;
};

/* The numbers of the items, in order, as the digits of one decimal number. */
static int list_digits(const struct list_node *head)
{
    int digits = 0;
    for (const struct list_node *r = head->next; r != head; r = r->next) {
        assert_ptr_equal(r->next->prev, r);
        assert_ptr_equal(r->prev->next, r);
        digits = digits * 10 + container_of(r, struct item, link)->number;
    }
    return digits;
}

static void list_keeps_insertion_order(void **state)
{
    (void)state;
    struct list_node head;
    struct item items[] = {{.number = 1}, {.number = 2}, {.number = 3}};
    list_init(&head);
    assert_true(list_empty(&head));
    for (size_t i = 0; i < COUNT_OF(items); i++)
        list_append(&head, &items[i].link);
    assert_false(list_empty(&head));
    assert_int_equal(list_digits(&head), 123);
    list_remove(&items[1].link);
    assert_int_equal(list_digits(&head), 13);
    assert_true(list_empty(&items[1].link));
    list_remove(&items[1].link); /* no effect: the item is in no list */
    assert_int_equal(list_digits(&head), 13);
    list_append(&head, &items[1].link);
    assert_int_equal(list_digits(&head), 132);
    for (size_t i = 0; i < COUNT_OF(items); i++)
        list_remove(&items[i].link);
    assert_true(list_empty(&head));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(list_keeps_insertion_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

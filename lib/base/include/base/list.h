/* An intrusive, doubly linked, circular list.
 *
 *     struct list sessions = LIST_INIT(sessions);          // the head is a node as well
 *     list_add_tail(&sessions, &s->by_age);
 *     LIST_EACH(s, &sessions, by_age) ...                  // s is a `struct ft_session *`
 *     list_remove(&s->by_age);                             // also fine on a node that is in no list
 *
 * A node that is in no list is linked to itself (or zero, before its first use); list_remove() leaves it so. The list
 * owns nothing and locks nothing.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next, *prev;
};

#define LIST_INIT(name) {&(name), &(name)}

/* The struct that contains `node` as its member `member`. */
#define LIST_ENTRY(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}

static inline bool list_empty(const struct list *head)
{
    return !head->next || head->next == head;
}

/* Is this node in a list? */
static inline bool list_linked(const struct list *node)
{
    return node->next && node->next != node;
}

static inline void list_insert_(struct list *node, struct list *prev, struct list *next)
{
    node->prev = prev;
    node->next = next;
    prev->next = node;
    next->prev = node;
}

static inline void list_add_head(struct list *head, struct list *node)
{
    list_insert_(node, head, head->next);
}

static inline void list_add_tail(struct list *head, struct list *node)
{
    list_insert_(node, head->prev, head);
}

static inline void list_add_before(struct list *where, struct list *node)
{
    list_insert_(node, where->prev, where);
}

static inline void list_remove(struct list *node)
{
    if (!node->next)
        return;
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

/* Move all nodes of `from` to the tail of `head`; `from` is empty after. */
static inline void list_splice_tail(struct list *head, struct list *from)
{
    if (list_empty(from))
        return;
    from->next->prev = head->prev;
    head->prev->next = from->next;
    from->prev->next = head;
    head->prev = from->prev;
    list_init(from);
}

static inline size_t list_count(const struct list *head)
{
    size_t n = 0;

    for (const struct list *l = head->next; l && l != head; l = l->next)
        n++;
    return n;
}

/* First or last entry, or NULL when empty; `take` removes it too. */
#define LIST_FIRST(head, type, member)                                                             \
    (list_empty(head) ? NULL : LIST_ENTRY((head)->next, type, member))
#define LIST_LAST(head, type, member)                                                              \
    (list_empty(head) ? NULL : LIST_ENTRY((head)->prev, type, member))

static inline struct list *list_take_head(struct list *head)
{
    struct list *node = head->next;

    if (list_empty(head))
        return NULL;
    list_remove(node);
    return node;
}
#define LIST_TAKE_FIRST(head, type, member)                                                        \
    __extension__({                                                                                \
        struct list *list_taken_ = list_take_head(head);                                           \
        list_taken_ ? LIST_ENTRY(list_taken_, type, member) : NULL;                                \
    })

/* Each entry. The body must not remove `it`; LIST_EACH_SAFE allows exactly that (but not the removal of the next). */
#define LIST_EACH(it, head, member)                                                                \
    for (it = LIST_ENTRY((head)->next, __typeof__(*it), member); LIST_NODE_(it, member) != (head); \
         it = LIST_ENTRY(it->member.next, __typeof__(*it), member))
#define LIST_EACH_SAFE(it, tmp, head, member)                                                      \
    for (it = LIST_ENTRY((head)->next, __typeof__(*it), member),                                   \
        tmp = LIST_ENTRY(LIST_NODE_(it, member)->next, __typeof__(*it), member);                   \
         LIST_NODE_(it, member) != (head);                                                         \
         it = tmp, tmp = LIST_ENTRY(LIST_NODE_(it, member)->next, __typeof__(*it), member))
/* The node of an entry that may be the head's, which is none and need not be aligned as one. */
#define LIST_NODE_(it, member) ((struct list *)(void *)((char *)(it) + offsetof(__typeof__(*(it)), member)))

/* Bump allocation in chunks. A chunk is taken from the budget before it is taken from malloc, with
 * its head, so the budget tells the truth. Large requests get a chunk of their own behind the
 * current one, whose rest stays in use. Nothing is freed alone: what the decoder throws away while
 * it merges repeated parts stays counted, which bounds that work too. */
#include <proto/alloc.h>

#include <errno.h>
#include <stdlib.h>

#define CHUNK_FIRST ((size_t)1024)
#define CHUNK_MAX   (64 * FT_KIB)
#define ALIGN       _Alignof(max_align_t)

struct ft_arena_chunk {
    struct ft_arena_chunk *next;
    size_t                 size; /* of the whole chunk */
    size_t                 used; /* from its start */
};

#define HEAD (((sizeof(struct ft_arena_chunk)) + ALIGN - 1) / ALIGN * ALIGN)

int ft_budget_take(struct ft_budget *b, size_t n)
{
    size_t used = atomic_load_explicit(&b->used, memory_order_relaxed);

    do {
        if (n > b->max - used) {
            atomic_fetch_add_explicit(&b->refusals, 1, memory_order_relaxed);
            return -EAGAIN;
        }
    } while (!atomic_compare_exchange_weak_explicit(&b->used, &used, used + n, memory_order_relaxed,
                                                    memory_order_relaxed));
    return 0;
}

void ft_budget_give(struct ft_budget *b, size_t n)
{
    atomic_fetch_sub_explicit(&b->used, n, memory_order_relaxed);
}

void ft_arena_init(struct ft_arena *a, size_t max, struct ft_budget *budget)
{
    *a = (struct ft_arena){.max = max, .budget = budget};
}

void ft_arena_fini(struct ft_arena *a)
{
    struct ft_arena_chunk *c, *next;

    for (c = a->chunks; c; c = next) {
        next = c->next;
        free(c);
    }
    if (a->budget && a->used > 0) /* an empty arena may outlive the budget */
        ft_budget_give(a->budget, a->used);
    *a = (struct ft_arena){.max = a->max, .budget = a->budget};
}

static void *refuse(struct ft_arena *a, int err)
{
    if (!a->err)
        a->err = err;
    return NULL;
}

/* A chunk of `size` bytes, counted. NULL when refused. */
static struct ft_arena_chunk *chunk_new(struct ft_arena *a, size_t size)
{
    struct ft_arena_chunk *c;

    if (size > a->max - a->used)
        return refuse(a, -E2BIG);
    if (a->budget && ft_budget_take(a->budget, size) < 0)
        return refuse(a, -EAGAIN);
    c = malloc(size);
    if (!c) {
        if (a->budget)
            ft_budget_give(a->budget, size);
        return refuse(a, -ENOMEM);
    }
    *c = (struct ft_arena_chunk){.size = size, .used = HEAD};
    a->used += size;
    return c;
}

/* How large the next chunk should be to hold `n`: twice the last one, within reason and the cap. */
static size_t chunk_size(const struct ft_arena *a, size_t n)
{
    size_t size = a->chunks ? a->chunks->size * 2 : CHUNK_FIRST;

    if (size > CHUNK_MAX)
        size = CHUNK_MAX;
    if (size > a->max - a->used)
        size = a->max - a->used;
    return size < HEAD + n ? HEAD + n : size;
}

void *ft_arena_alloc(struct ft_arena *a, size_t n)
{
    struct ft_arena_chunk *c = a->chunks;
    void                  *p;

    if (n > a->max)
        return refuse(a, -E2BIG);
    n = (n + ALIGN - 1) / ALIGN * ALIGN;
    if (n == 0)
        n = ALIGN;
    if (!c || n > c->size - c->used) {
        c = chunk_new(a, chunk_size(a, n));
        if (!c)
            return NULL;
        if (a->chunks && c->size == HEAD + n) {
            c->next = a->chunks->next; /* full at once: keep filling the current one */
            a->chunks->next = c;
        } else {
            c->next = a->chunks;
            a->chunks = c;
        }
    }
    p = (uint8_t *)c + c->used;
    c->used += n;
    return p;
}

static void *allocator_alloc(void *data, size_t size)
{
    return ft_arena_alloc(data, size);
}

static void allocator_free(void *data, void *pointer)
{
    (void)data;
    (void)pointer;
}

ProtobufCAllocator ft_arena_allocator(struct ft_arena *a)
{
    return (ProtobufCAllocator){
        .alloc = allocator_alloc, .free = allocator_free, .allocator_data = a};
}

/* Stacks: four classes, one reservation each, a guard page below every stack.
 *
 *      | guard | usable ...................................... top | guard | usable ...
 *
 * Pages are committed by touching them; huge pages are off, or one touched stack would cost 2 MiB.
 * Guards are page-table markers (MADV_GUARD_INSTALL, Linux 6.13), which cost no mapping; where the
 * kernel or an emulator doesn't do it (the probe finds out), mprotect, which costs two mappings
 * each, until three quarters of vm.max_map_count are used; then -ENOMEM, never a stack without its
 * guard.
 *
 * A stack that was given back stays warm, last in first out, up to HOT_MAX of a class; the others
 * lose their pages. Guards stay.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

enum { HOT_MAX = 256, COLOURS = 16, COLOUR_SIZE = 128 };

static const struct {
    size_t size;
    uint32_t count;
} classes[RN__STACK_CLASSES] = {
    [RN_STACK_16K] = {16 << 10, 1 << 20},
    [RN_STACK_64K] = {64 << 10, 1 << 20},
    [RN_STACK_256K] = {256 << 10, 1 << 16},
    [RN_STACK_1M] = {1 << 20, 1 << 14},
};

size_t rn__page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

void *rn__reserve(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);

    if (p == MAP_FAILED)
        return NULL;
    (void)rn__sys_madvise(p, size, MADV_NOHUGEPAGE);
    return p;
}

void rn__unreserve(void *p, size_t size)
{
    if (p)
        munmap(p, size);
}

/* Does a guard keep even the kernel out? A write(2) from it into a pipe must say EFAULT. */
static bool guard_holds(const void *page)
{
    int fds[2];
    ssize_t n;
    int r;

    if (rn_sys_pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
        return false;
    n = write(fds[1], page, 1);
    r = n < 0 ? errno : 0;
    (void)rn_sys_close(fds[0]);
    (void)rn_sys_close(fds[1]);
    return n < 0 && r == EFAULT;
}

static bool guards_by_madvise(void)
{
    size_t page = rn__page_size();
    char *p = rn__reserve(2 * page);
    bool works;

    if (!p)
        return false;
    p[0] = 1;
    works = rn__sys_madvise(p, page, MADV_GUARD_INSTALL) == 0 && guard_holds(p);
    rn__unreserve(p, 2 * page);
    return works;
}

static uint32_t max_map_count(void)
{
    char text[32] = "";
    int fd = open("/proc/sys/vm/max_map_count", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

    if (fd >= 0)
        close(fd);
    return n > 0 ? (uint32_t)strtoul(text, NULL, 10) : 65530;
}

/* As many stacks as there is room for. Under `ulimit -v` or strict overcommit that is less than
 * wanted, and then a good part of the room is left to the others. */
static void slab_reserve(struct rn__slab *slab, uint32_t count)
{
    for (slab->count_max = count; slab->count_max >= 16; slab->count_max /= 2) {
        slab->base = rn__reserve(slab->stack_size * slab->count_max);
        if (slab->base && slab->count_max == count)
            return;
        if (slab->base) {
            rn__unreserve(slab->base, slab->stack_size * slab->count_max);
            slab->count_max = slab->count_max > 64 ? slab->count_max / 4 : slab->count_max;
            slab->base = rn__reserve(slab->stack_size * slab->count_max);
            return;
        }
    }
}

static void slab_describe(struct rn_memtrace *trace, char *buf, size_t n)
{
    const struct rn__slab *slab = LIST_ENTRY(trace, struct rn__slab, trace);
    uint32_t used = slab->count - slab->n_hot - slab->n_cold;

    snprintf(buf, n, "%u mapped, %u in use, %u warm, %zu KiB in use", slab->count, used,
             slab->n_hot, used * (slab->stack_size >> 10));
}

static int slab_open(struct rn__slab *slab, unsigned class)
{
    static const char *const names[] = {[RN_STACK_16K] = "stacks 16K",
                                        [RN_STACK_64K] = "stacks 64K",
                                        [RN_STACK_256K] = "stacks 256K",
                                        [RN_STACK_1M] = "stacks 1M"};

    slab->trace = (struct rn_memtrace){.name = names[class], .describe = slab_describe};
    slab->stack_size = classes[class].size;
    slab_reserve(slab, classes[class].count);
    slab->hot = calloc(HOT_MAX, sizeof(uint32_t));
    slab->cold = rn__reserve(slab->count_max * sizeof(uint32_t));
    return slab->base && slab->hot && slab->cold ? 0 : -ENOMEM;
}

static void slab_close(struct rn__slab *slab)
{
    rn__unreserve(slab->base, slab->stack_size * slab->count_max);
    rn__unreserve(slab->cold, slab->count_max * sizeof(uint32_t));
    free(slab->hot);
    *slab = (struct rn__slab){0};
}

int rn__stacks_open(struct rn__stacks *s)
{
    int r = 0;

    *s = (struct rn__stacks){0};
    s->madvise_guards = guards_by_madvise();
    s->mprotect_guards_max = max_map_count() / 4 * 3 / 2;
    for (unsigned class = 0; class < RN__STACK_CLASSES && r == 0; class ++)
        r = slab_open(&s->slabs[class], class);
    if (r < 0)
        rn__stacks_close(s);
    return r;
}

void rn__stacks_close(struct rn__stacks *s)
{
    for (unsigned class = 0; class < RN__STACK_CLASSES; class ++) {
        struct rn__slab *slab = &s->slabs[class];
#ifdef RN__ASAN
        for (uint32_t i = 0; i < slab->count; i++)
            __lsan_unregister_root_region(slab->base + i * slab->stack_size + rn__page_size(),
                                          slab->stack_size - rn__page_size());
#endif
        slab_close(slab);
    }
}

static int guard_install(struct rn__stacks *s, char *page)
{
    if (s->madvise_guards)
        return rn__sys_madvise(page, rn__page_size(), MADV_GUARD_INSTALL);
    if (s->mprotect_guards >= s->mprotect_guards_max) {
        static const char text[] = "runnel: no more stacks: their guard pages would use up "
                                   "vm.max_map_count (or use Linux 6.13)\n";

        (void)!write(STDERR_FILENO, text, sizeof(text) - 1);
        return -ENOMEM;
    }
    if (rn__sys_mprotect(page, rn__page_size(), PROT_NONE) < 0)
        return -ENOMEM;
    s->mprotect_guards++;
    return 0;
}

/* The first use of a stack: it gets its guard. */
static int slab_grow(struct rn__stacks *s, struct rn__slab *slab, uint32_t *ret_index)
{
    char *base = slab->base + slab->count * slab->stack_size;
    int r;

    if (slab->count == slab->count_max)
        return -ENOMEM;
    r = guard_install(s, base);
    if (r < 0)
        return -ENOMEM;
#ifdef RN__ASAN
    __lsan_register_root_region(base + rn__page_size(), slab->stack_size - rn__page_size());
#endif
    *ret_index = slab->count++;
    rn_memtrace_grown(&slab->trace, 1);
    return 0;
}

int rn__stack_take(struct rn__stacks *s, enum rn_stack_class class, struct rn__stack *ret_stack)
{
    struct rn__slab *slab = &s->slabs[class];
    uint32_t index = 0;
    int r;

    if (slab->n_hot > 0) {
        index = slab->hot[--slab->n_hot];
    } else if (slab->n_cold > 0) {
        index = slab->cold[--slab->n_cold];
        rn_memtrace_grown(&slab->trace, 1);
    } else {
        r = slab_grow(s, slab, &index);
        if (r < 0)
            return r;
    }
    ret_stack->index = index;
    ret_stack->class = (uint8_t) class;
    ret_stack->bottom = slab->base + index * slab->stack_size + rn__page_size();
    /* Coloured: tops at the same offset of their pages would all fall into the same cache sets. */
    ret_stack->top = slab->base + (index + 1) * slab->stack_size - (index % COLOURS) * COLOUR_SIZE;
    atomic_fetch_add_explicit(&s->bytes, slab->stack_size, memory_order_relaxed);
    return 0;
}

void rn__stack_give(struct rn__stacks *s, const struct rn__stack *stack)
{
    struct rn__slab *slab = &s->slabs[stack->class];

    atomic_fetch_sub_explicit(&s->bytes, slab->stack_size, memory_order_relaxed);
    if (slab->n_hot < HOT_MAX && !rn_memtrace_trims()) {
        slab->hot[slab->n_hot++] = stack->index;
        return;
    }
    (void)rn__sys_madvise(stack->bottom, slab->stack_size - rn__page_size(), MADV_DONTNEED);
    slab->cold[slab->n_cold++] = stack->index;
    rn_memtrace_trimmed(&slab->trace, 1);
}

bool rn__stacks_guard_hit(const struct rn__stacks *s, const void *addr, char **ret_top,
                          size_t *ret_size, uint32_t *ret_index)
{
    size_t page = rn__page_size();

    for (unsigned class = 0; class < RN__STACK_CLASSES; class ++) {
        const struct rn__slab *slab = &s->slabs[class];
        uintptr_t off = (uintptr_t)addr - (uintptr_t)slab->base;
        uint32_t index = (uint32_t)(off / classes[class].size);

        if (!slab->base || off >= slab->stack_size * slab->count)
            continue;
        if (off % slab->stack_size >= page)
            return false;
        *ret_top = slab->base + (index + 1) * slab->stack_size - (index % COLOURS) * COLOUR_SIZE;
        *ret_size = slab->stack_size;
        *ret_index = index;
        return true;
    }
    return false;
}

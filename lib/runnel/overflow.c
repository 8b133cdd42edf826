/* Stack overflow: the one owner of SIGSEGV and SIGBUS in the process, while a runtime lives.
 *
 * A task that runs into its guard page faults; the handler, on the thread's alternate stack, finds
 * the stack by the address and says whose it was. Then the former handler is put back and the
 * instruction faults again, so the core dump, the sanitizer's report or the exit status are those
 * of the program without runnel.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core.h"

enum { ALTSTACK_SIZE = 64 << 10 };

static const int signals[] = {SIGSEGV, SIGBUS};

static struct {
    pthread_mutex_t lock;
    unsigned users;
    struct sigaction former[2];
} owner = {.lock = PTHREAD_MUTEX_INITIALIZER};

struct line {
    char text[512];
    size_t len;
};

static void line_str(struct line *l, const char *s)
{
    while (s && *s && l->len < sizeof(l->text))
        l->text[l->len++] = *s++;
}

static void line_num(struct line *l, uint64_t n)
{
    char digits[24];
    size_t i = sizeof(digits);

    digits[--i] = 0;
    do {
        digits[--i] = (char)('0' + n % 10);
        n /= 10;
    } while (n && i > 0);
    line_str(l, &digits[i]);
}

static void report(const struct rn__task *t, size_t size)
{
    struct line l = {.len = 0};

    line_str(&l, "runnel: stack overflow: task ");
    line_num(&l, t->id);
    line_str(&l, " \"");
    line_str(&l, t->name);
    line_str(&l, "\", started at ");
    line_str(&l, t->born ? t->born->file : "?");
    line_str(&l, ":");
    line_num(&l, t->born ? (uint64_t)t->born->line : 0);
    line_str(&l, " with a stack of ");
    line_num(&l, size >> 10);
    line_str(&l, " KiB\n");
    (void)!write(STDERR_FILENO, l.text, l.len);
}

static void handler(int sig, siginfo_t *info, void *context)
{
    (void)context;
    for (unsigned i = 0; i < RN__RUNTIMES_MAX; i++) {
        struct rn_runtime *rt = rn__runtime_at(i);
        char *top;
        size_t size;
        uint32_t index;

        if (rt && rn__stacks_guard_hit(&rt->stacks, info->si_addr, &top, &size, &index)) {
            const struct rn__task *t = rn__task_below(top);

            if (t->magic == RN__TASK_MAGIC)
                report(t, size);
            break;
        }
    }
    /* Put the former owner back; the same instruction faults again on return. A signal that was
     * sent is sent again. */
    for (unsigned i = 0; i < 2; i++)
        sigaction(signals[i], &owner.former[i], NULL);
    if (info->si_code <= 0)
        raise(sig);
}

int rn__overflow_begin(void)
{
    struct sigaction act = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};

    sigemptyset(&act.sa_mask);
    pthread_mutex_lock(&owner.lock);
    if (owner.users++ == 0)
        for (unsigned i = 0; i < 2; i++)
            sigaction(signals[i], &act, &owner.former[i]);
    pthread_mutex_unlock(&owner.lock);
    return 0;
}

void rn__overflow_end(void)
{
    pthread_mutex_lock(&owner.lock);
    if (--owner.users == 0)
        for (unsigned i = 0; i < 2; i++)
            sigaction(signals[i], &owner.former[i], NULL);
    pthread_mutex_unlock(&owner.lock);
}

int rn__overflow_thread_begin(void **ret_altstack)
{
    stack_t now, mine;

    *ret_altstack = NULL;
    if (sigaltstack(NULL, &now) == 0 && !(now.ss_flags & SS_DISABLE))
        return 0; /* the thread has one already */
    mine = (stack_t){.ss_sp = malloc(ALTSTACK_SIZE), .ss_size = ALTSTACK_SIZE};
    if (!mine.ss_sp)
        return -ENOMEM;
    if (sigaltstack(&mine, NULL) < 0) {
        int r = -errno;

        free(mine.ss_sp);
        return r;
    }
    *ret_altstack = mine.ss_sp;
    return 0;
}

void rn__overflow_thread_end(void *altstack)
{
    stack_t off = {.ss_flags = SS_DISABLE};

    if (altstack)
        sigaltstack(&off, NULL);
    free(altstack);
}

/* The switch of stacks alone: no runtime, no harness, so that it also runs cross-compiled under an
 * emulator. TAP on stdout. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *rn__switch(void **from_sp, void *to_sp, void *value);
void *rn__switch_prepare(void *top, void (*fn)(void *value));

static char stacks[3][65536] __attribute__((aligned(64)));
static void *main_sp, *sp[3];
static int failures;

static void check(int ok, int number, const char *what)
{
    printf("%s %d - %s\n", ok ? "ok" : "not ok", number, what);
    failures += !ok;
}

static uint64_t echo_sum;

static void echo(void *value)
{
    for (;;) {
        echo_sum += (uintptr_t)value;
        value = rn__switch(&sp[0], main_sp, (void *)((uintptr_t)value * 2));
    }
}

static int values_travel(void)
{
    uint64_t sum = 0;

    sp[0] = rn__switch_prepare(stacks[0] + sizeof(stacks[0]), echo);
    for (uintptr_t i = 1; i <= 1000; i++) {
        if (rn__switch(&main_sp, sp[0], (void *)i) != (void *)(i * 2))
            return 0;
        sum += i;
    }
    return sum == echo_sum;
}

/* More live values than there are caller-saved registers: some stay in callee-saved ones over each
 * switch. */
#define LIVE(T, expr)                                                                              \
    T a0 = expr(0), a1 = expr(1), a2 = expr(2), a3 = expr(3), a4 = expr(4), a5 = expr(5),          \
      a6 = expr(6), a7 = expr(7), a8 = expr(8), a9 = expr(9), a10 = expr(10), a11 = expr(11)
#define LIVE_OK(expr)                                                                              \
    (a0 == expr(0) && a1 == expr(1) && a2 == expr(2) && a3 == expr(3) && a4 == expr(4) &&          \
     a5 == expr(5) && a6 == expr(6) && a7 == expr(7) && a8 == expr(8) && a9 == expr(9) &&          \
     a10 == expr(10) && a11 == expr(11))
#define INTEGER(i) ((uint64_t)seed * 1000003u + (i))
#define REAL(i) ((double)seed * 1.5 + (i))

__attribute__((noinline)) static int integers_live(uint64_t seed, void **from, void **to)
{
    LIVE(uint64_t, INTEGER);
    __asm__ volatile("" : "+r"(a0), "+r"(a1), "+r"(a2), "+r"(a3), "+r"(a4));
    rn__switch(from, *to, NULL);
    return LIVE_OK(INTEGER);
}

__attribute__((noinline)) static int reals_live(uint64_t seed, void **from, void **to)
{
    LIVE(double, REAL);
#if defined(__aarch64__)
    __asm__ volatile("" : "+w"(a0), "+w"(a1), "+w"(a2), "+w"(a3), "+w"(a4), "+w"(a5));
#endif
    rn__switch(from, *to, NULL);
    return LIVE_OK(REAL);
}

static int other_failed;

static void disturbs(void *value)
{
    (void)value;
    for (uint64_t i = 0;; i++)
        if (!(i % 2 ? integers_live(~i, &sp[1], &main_sp) : reals_live(i * 7, &sp[1], &main_sp)))
            other_failed = 1;
}

static int registers_survive(void)
{
    sp[1] = rn__switch_prepare(stacks[1] + sizeof(stacks[1]), disturbs);
    for (uint64_t i = 1; i <= 1000; i++)
        if (!integers_live(i, &main_sp, &sp[1]) || !reals_live(i, &main_sp, &sp[1]))
            return 0;
    return !other_failed;
}

static int aligned, chain_length;

__attribute__((noinline)) static int chain_walk(void)
{
    void **frame = __builtin_frame_address(0);
    int n = 0;

    for (; frame && n < 100; frame = *frame)
        n++;
    return n;
}

static void looks_around(void *value)
{
    char probe[32] __attribute__((aligned(16)));

    (void)value;
    __asm__ volatile("" : : "r"(probe) : "memory");
    aligned = ((uintptr_t)probe & 15) == 0 && ((uintptr_t)__builtin_frame_address(0) & 15) == 0;
    chain_length = chain_walk();
    for (;;)
        rn__switch(&sp[2], main_sp, NULL);
}

static int entry_is_aligned(void)
{
    sp[2] = rn__switch_prepare(stacks[2] + sizeof(stacks[2]) - 8,
                               looks_around); /* an odd top is put right */
    rn__switch(&main_sp, sp[2], NULL);
    return aligned;
}

int main(void)
{
    printf("1..4\n");
    check(values_travel(), 1, "values travel both ways");
    check(registers_survive(), 2, "callee saved registers survive");
    check(entry_is_aligned(), 3, "a new stack begins aligned");
    check(chain_length >= 2 && chain_length < 8, 4,
          "the chain of frames ends where the stack began");
    return failures != 0;
}

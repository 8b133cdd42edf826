/* /debug/syscalls: the table of `strace -c`, counted by the program itself at the one door that all
 * calls of runnel and rnet go through; with ?delta=SECONDS what was called in that time.
 *
 * The names are the kernel's, since that is how strace prints them. `seconds` is time on the wall,
 * estimated from every 16th call: for epoll_wait that is mostly sleep.
 */
#include "debug_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <base/cleanup.h>
#include <runnel/sys.h>
#include <runnel/task.h>

#define DELTA_MAX 3600

struct row {
    const char *name;
    uint64_t calls, errors;
    double seconds;
};

static void subtract(struct rn_sys_count *now, const struct rn_sys_count *before)
{
    for (int call = 0; call < RN_SYS_MAX; call++) {
        now[call].calls -= before[call].calls;
        now[call].zeros -= before[call].zeros;
        now[call].timed -= before[call].timed;
        now[call].time_ns -= before[call].time_ns;
        for (int e = 0; e < RN_SYS_ERRNO_MAX; e++)
            now[call].errors[e] -= before[call].errors[e];
    }
}

static size_t rows_fill(const struct rn_sys_count *counts, struct row rows[RN_SYS_MAX])
{
    size_t n = 0;

    for (int call = 0; call < RN_SYS_MAX; call++) {
        const struct rn_sys_count *c = &counts[call];
        const char *name = rn_sys_kernel_name((enum rn_syscall)call);
        size_t i = 0;

        if (c->calls == 0)
            continue;
        while (i < n && strcmp(rows[i].name, name) != 0)
            i++;
        if (i == n)
            rows[n++] = (struct row){.name = name};
        rows[i].calls += c->calls;
        for (int e = 0; e < RN_SYS_ERRNO_MAX; e++)
            rows[i].errors += c->errors[e];
        if (c->timed > 0)
            rows[i].seconds += (double)c->time_ns / (double)c->timed * (double)c->calls / 1e9;
    }
    return n;
}

static int by_seconds(const void *a, const void *b)
{
    const struct row *x = a, *y = b;

    if (x->seconds != y->seconds)
        return x->seconds < y->seconds ? 1 : -1;
    return (x->calls < y->calls) - (x->calls > y->calls);
}

static void put_row(FILE *out, const struct row *r, double all)
{
    char errors[24] = "";

    if (r->errors)
        snprintf(errors, sizeof(errors), "%" PRIu64, r->errors);
    fprintf(out, "%6.2f %11.6f %11.0f %9" PRIu64 " %9s %s\n",
            all > 0 ? 100 * r->seconds / all : 0.0, r->seconds,
            r->calls ? r->seconds * 1e6 / (double)r->calls : 0.0, r->calls, errors, r->name);
}

static void put_table(FILE *out, const struct rn_sys_count *counts)
{
    static const char dashes[] = "------ ----------- ----------- --------- --------- "
                                 "----------------\n";
    struct row rows[RN_SYS_MAX], total = {.name = "total"};
    size_t n = rows_fill(counts, rows);

    qsort(rows, n, sizeof(rows[0]), by_seconds);
    for (size_t i = 0; i < n; i++) {
        total.calls += rows[i].calls;
        total.errors += rows[i].errors;
        total.seconds += rows[i].seconds;
    }
    fprintf(out, "%6s %11s %11s %9s %9s %s\n%s", "% time", "seconds", "usecs/call", "calls",
            "errors", "syscall", dashes);
    for (size_t i = 0; i < n; i++)
        put_row(out, &rows[i], total.seconds);
    fputs(dashes, out);
    put_row(out, &total, total.seconds);
}

/* What the third story was about: calls that did nothing. */
static void put_futile(FILE *out, const struct rn_sys_count *counts)
{
    static const enum rn_syscall tried[] = {RN_SYS_recv, RN_SYS_read, RN_SYS_send, RN_SYS_accept4};

    fputc('\n', out);
    for (size_t i = 0; i < sizeof(tried) / sizeof(tried[0]); i++) {
        const struct rn_sys_count *c = &counts[tried[i]];
        if (c->calls)
            fprintf(out, "%s: EAGAIN in %" PRIu64 " of %" PRIu64 " calls (%.3f %%)\n",
                    rn_sys_kernel_name(tried[i]), c->errors[11], c->calls,
                    100 * (double)c->errors[11] / (double)c->calls);
    }
    if (counts[RN_SYS_epoll_wait].calls)
        fprintf(out, "%s: nothing in %" PRIu64 " of %" PRIu64 " calls\n",
                rn_sys_kernel_name(RN_SYS_epoll_wait), counts[RN_SYS_epoll_wait].zeros,
                counts[RN_SYS_epoll_wait].calls);
    fputs("Counted: calls that runnel and rnet make, in all threads of this process but this "
          "window's; not those of libc and of libraries. seconds: on the wall, estimated from "
          "every 16th call.\n",
          out);
}

void rnet__debug_syscalls(void *arg, struct rnet_http_request *req)
{
    CLEANUP(freep) struct rn_sys_count *before = calloc(RN_SYS_MAX, sizeof(*before));
    CLEANUP(freep) struct rn_sys_count *now = calloc(RN_SYS_MAX, sizeof(*now));
    uint64_t delta = rnet__page_number(req, "delta", 0);
    struct rnet__page page;

    (void)arg;
    if (!before || !now) {
        (void)rnet_http_problem(req, 503, "no memory", NULL);
        return;
    }
    if (rnet_http_query(req, "delta").len > 0 && (delta == 0 || delta > DELTA_MAX)) {
        (void)rnet_http_problem(req, 400, "delta is a number of seconds, 1 to 3600", NULL);
        return;
    }
    if (delta) {
        rn_sys_counts_of_others(before);
        if (rn_sleep(rn_after((rn_time)delta * RN_S)) < 0)
            return;
    }
    rn_sys_counts_of_others(now);
    subtract(now, before);
    if (rnet__page_open(&page, req) < 0)
        return;
    put_table(page.out, now);
    put_futile(page.out, now);
    rnet__page_send(&page, req, "text/plain; charset=utf-8");
}

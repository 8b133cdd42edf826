/* /debug/tasks and /debug/leaks: who there is, and who will not wake. */
#include "debug_internal.h"

#include <inttypes.h>
#include <string.h>

#include <runnel/leak.h>

#define TASKS_LIMIT 10000

/* ---- /debug/tasks ---- */

struct tasks {
    struct rnet__page page;
    struct rnet_http_request *req;
    const char *type;
    uint64_t seen, limit;
    bool json;
};

static const char *state_name(enum rn_task_state state)
{
    static const char *const names[] = {"free", "running", "runnable", "parked"};

    return (unsigned)state < 4 ? names[state] : "unknown";
}

static void put_site_text(FILE *out, const char *what, const struct rn_site *site)
{
    if (site)
        fprintf(out, "\t%s %s:%d (%s)\n", what, site->file, site->line, site->func);
}

/* As Go heads its stacks: "task 7 [chan recv, 12s]: name". */
static void put_task_text(struct tasks *p, const struct rn_task_info *t)
{
    fprintf(p->page.out, "task %" PRIu32 " [%s", t->id,
            t->state == RN_TASK_PARKED ? rn_wait_name(t->wait) : state_name(t->state));
    if (t->state == RN_TASK_PARKED && t->wait_ns >= RN_S)
        fprintf(p->page.out, ", %" PRId64 "s", t->wait_ns / RN_S);
    fprintf(p->page.out, "%s]: %s\n",
            t->dead      ? ", leaked"
            : t->suspect ? ", suspect"
                         : "",
            t->name);
    put_site_text(p->page.out, "waits at", t->wait_site);
    put_site_text(p->page.out, "started at", t->born);
}

static void put_site_json(FILE *out, const char *key, const struct rn_site *site)
{
    fprintf(out, ",\"%s\":", key);
    if (!site) {
        fputs("null", out);
        return;
    }
    fputs("{\"file\":", out);
    rnet__put_json(out, site->file);
    fprintf(out, ",\"line\":%d,\"func\":", site->line);
    rnet__put_json(out, site->func);
    fputc('}', out);
}

static void put_task_json(struct tasks *p, const struct rn_task_info *t)
{
    fprintf(p->page.out, "%s{\"id\":%" PRIu32 ",\"name\":", p->seen > 1 ? "," : "", t->id);
    rnet__put_json(p->page.out, t->name);
    fprintf(p->page.out, ",\"state\":\"%s\",\"wait\":", state_name(t->state));
    if (t->state == RN_TASK_PARKED)
        rnet__put_json(p->page.out, rn_wait_name(t->wait));
    else
        fputs("null", p->page.out);
    fprintf(p->page.out, ",\"wait_ns\":%" PRId64 ",\"leaked\":%s,\"suspect\":%s", t->wait_ns,
            t->dead ? "true" : "false", t->suspect ? "true" : "false");
    put_site_json(p->page.out, "waits_at", t->wait_site);
    put_site_json(p->page.out, "started_at", t->born);
    fputc('}', p->page.out);
}

static bool put_task(void *arg, const struct rn_task_info *t)
{
    struct tasks *p = arg;

    if (++p->seen > p->limit)
        return true; /* only counted */
    if (p->json)
        put_task_json(p, t);
    else
        put_task_text(p, t);
    return rnet__page_part(&p->page, p->req, p->type) == 0;
}

static void put_total(struct tasks *p)
{
    if (p->json)
        fprintf(p->page.out, "],\"total\":%" PRIu64 "}\n", p->seen);
    else if (p->seen > p->limit)
        fprintf(p->page.out, "%" PRIu64 " tasks, the first %" PRIu64 " shown (?limit=N)\n", p->seen,
                p->limit);
    else
        fprintf(p->page.out, "%" PRIu64 " tasks\n", p->seen);
}

void rnet__debug_tasks(void *arg, struct rnet_http_request *req)
{
    struct rnet_debug *d = arg;
    struct tasks t = {.req = req,
                      .limit = rnet__page_number(req, "limit", TASKS_LIMIT),
                      .json = rnet__page_json(req)};

    t.type = t.json ? "application/json" : "text/plain; charset=utf-8";
    if (rnet__page_open(&t.page, req) < 0)
        return;
    if (t.json)
        fputs("{\"tasks\":[", t.page.out);
    rn_tasks_each(d->observed, put_task, &t);
    if (t.page.error == 0)
        put_total(&t);
    rnet__page_send(&t.page, req, t.type);
}

/* ---- /debug/leaks ---- */

void rnet__debug_leaks(void *arg, struct rnet_http_request *req)
{
    struct rnet_debug *d = arg;
    struct rnet__page page;
    struct rn_stats stats;
    int n;

    if (rnet__page_open(&page, req) < 0)
        return;
    n = rn_leak_check(d->observed, page.out);
    rn_stats(d->observed, &stats);
    if (n >= 0)
        fprintf(page.out, "%d tasks can never wake\n%" PRIu64 " tasks are suspect\n", n,
                stats.tasks_suspect);
    else
        fprintf(page.out, "the check could not be made: %s\n", strerror(-n));
    rnet__page_send(&page, req, "text/plain; charset=utf-8");
}

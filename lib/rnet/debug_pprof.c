/* /debug/pprof/: Go's paths and formats, so that its tools read us unchanged.
 *
 *      goroutine            profile.proto, gzipped (debug=0)
 *      goroutine?debug=1    stacks that are the same, counted
 *      goroutine?debug=2    every stack (rn_dump_tasks)
 *
 * Errors are text with X-Go-Pprof, which pprof shows to its user.
 */
#include "debug_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <base/cleanup.h>

static void refuse(struct rnet_http_request *req, unsigned status, const char *text)
{
    (void)rnet_http_header(req, "X-Content-Type-Options", "nosniff");
    (void)rnet_http_header(req, "X-Go-Pprof", "1");
    (void)rnet_http_respond(req, status, "text/plain; charset=utf-8",
                            rn_slice((const uint8_t *)text, strlen(text)));
}

void rnet__debug_no_profile(void *arg, struct rnet_http_request *req)
{
    (void)arg;
    refuse(req, 404, "Unknown profile\n");
}

static bool count_task(void *arg, const struct rn_task_info *info)
{
    (void)info;
    (*(uint64_t *)arg)++;
    return true;
}

void rnet__debug_pprof(void *arg, struct rnet_http_request *req)
{
    const struct rnet_debug *d = arg;
    struct rnet__page page;
    uint64_t tasks = 0;

    if (rnet__page_open(&page, req) < 0)
        return;
    rn_tasks_each(d->observed, count_task, &tasks);
    fprintf(page.out,
            "<html>\n<head>\n<title>/debug/pprof/</title>\n<style>\n"
            ".profile-name{\n\tdisplay:inline-block;\n\twidth:6rem;\n}\n</style>\n</head>\n"
            "<body>\n/debug/pprof/\n<br>\n"
            "<p>Set debug=1 as a query parameter to export in legacy text format</p>\n<br>\n"
            "Types of profiles available:\n<table>\n"
            "<thead><td>Count</td><td>Profile</td></thead>\n"
            "<tr><td>%" PRIu64 "</td><td><a href='goroutine?debug=1'>goroutine</a></td></tr>\n"
            "</table>\n<a href=\"goroutine?debug=2\">full goroutine stack dump</a>\n<br>\n"
            "<p>\nProfile Descriptions:\n<ul>\n"
            "<li><div class=profile-name>goroutine: </div> Stack traces of all current tasks. Use "
            "debug=2 as a query parameter to export in the same format as a crash of Go "
            "(limit=N bounds it).</li>\n</ul>\n"
            "See also <a href=\"../tasks\">tasks</a>, <a href=\"../leaks\">leaks</a>, "
            "<a href=\"../objects\">channels</a>, <a href=\"../fds\">descriptors</a>, "
            "<a href=\"../listeners\">listeners</a>, <a href=\"../syscalls\">system calls</a>, "
            "<a href=\"/metrics\">metrics</a>.\n</p>\n</body>\n</html>\n",
            tasks);
    rnet__page_send(&page, req, "text/html; charset=utf-8");
}

/* ---- debug=1 --------------------------------------------------------------------------------- */

/* A cell and its padding, as Go's tabwriter: to the next multiple of 8 behind the widest. */
static void put_cell(FILE *out, const char *cell, size_t widest)
{
    size_t len = strlen(cell), width = (widest + 1 + 7) / 8 * 8;

    fputs(cell, out);
    for (; len < width; len = len / 8 * 8 + 8)
        fputc('\t', out);
}

static void frame_name(const struct rn_symbol *s, uintptr_t pc, char *buf, size_t n)
{
    snprintf(buf, n, "%s+0x%lx", s->name, (unsigned long)(pc - s->start));
}

static void put_frames(FILE *out, const struct rnet__stack *stack)
{
    size_t widest_pc = 0, widest_name = 0;
    char pc[24], name[256];
    struct rn_symbol s;

    for (int pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < stack->n; i++) {
            rn_symbol_at(stack->pcs[i], &s);
            snprintf(pc, sizeof(pc), "%#lx", (unsigned long)stack->pcs[i]);
            if (!s.name) {
                if (pass)
                    fprintf(out, "#\t%s\n", pc);
                continue;
            }
            frame_name(&s, stack->pcs[i], name, sizeof(name));
            if (!pass) {
                widest_pc = strlen(pc) > widest_pc ? strlen(pc) : widest_pc;
                widest_name = strlen(name) > widest_name ? strlen(name) : widest_name;
                continue;
            }
            fputs("#\t", out);
            put_cell(out, pc, widest_pc);
            put_cell(out, name, widest_name);
            fprintf(out, "%s:%d\n", s.file ? s.file : "?", s.line);
        }
    }
}

static void put_group(FILE *out, const struct rnet__stack *stack)
{
    fprintf(out, "%" PRIu64 " @", stack->count);
    for (unsigned i = 0; i < stack->n; i++)
        fprintf(out, " %#lx", (unsigned long)stack->pcs[i] + 1);
    if (stack->n == 0) /* a thread that didn't answer; readers want an address */
        fputs(" 0x1", out);
    fputs("\n# labels: {\"name\":", out);
    rnet__put_json(out, stack->name);
    fputs(", \"wait\":", out);
    rnet__put_json(out, stack->wait);
    fputs(stack->n ? "}\n" : "}\n#\tstack unavailable\n", out);
    put_frames(out, stack);
    fputc('\n', out);
}

static void serve_grouped(struct rnet_http_request *req, const struct rnet__stacks *stacks)
{
    struct rnet__page page;

    if (rnet__page_open(&page, req) < 0)
        return;
    fprintf(page.out, "goroutine profile: total %" PRIu64 "\n", stacks->total);
    for (size_t i = 0; i < stacks->n; i++)
        put_group(page.out, stacks->sorted[i]);
    (void)rnet_http_header(req, "X-Content-Type-Options", "nosniff");
    rnet__page_send(&page, req, "text/plain; charset=utf-8");
}

/* ---- debug=0 --------------------------------------------------------------------------------- */

static void serve_proto(struct rnet_http_request *req, const struct rnet__stacks *stacks)
{
    CLEANUP(freep) uint8_t *bytes = NULL;
    size_t n = 0;

    if (rnet__profile_make(stacks, "goroutine", &bytes, &n) < 0) {
        refuse(req, 503, "no memory\n");
        return;
    }
    (void)rnet_http_header(req, "X-Content-Type-Options", "nosniff");
    (void)rnet_http_header(req, "Content-Disposition", "attachment; filename=\"goroutine\"");
    (void)rnet_http_respond(req, 200, "application/octet-stream", rn_slice(bytes, n));
}

void rnet__debug_goroutine(void *arg, struct rnet_http_request *req)
{
    CLEANUP(rnet__stacks_free) struct rnet__stacks stacks = {0};
    const struct rnet_debug *d = arg;
    uint64_t debug = rnet__page_number(req, "debug", 0);

    if (rnet_http_query(req, "seconds").len > 0) {
        refuse(req, 400, "\"seconds\" is not supported: a profile of tasks has no delta\n");
        return;
    }
    if (debug >= 2) {
        struct rn_sink sink = rnet__page_sink(req);
        rnet__page_end(req, rn_dump_tasks(d->observed, rnet__page_number(req, "limit", 0), &sink));
        return;
    }
    if (rnet__stacks_read(d->observed, &stacks) < 0)
        refuse(req, 503, "no memory\n");
    else if (debug == 1)
        serve_grouped(req, &stacks);
    else
        serve_proto(req, &stacks);
}

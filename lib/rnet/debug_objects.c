/* /debug/objects, /debug/fds, /debug/listeners: channels, descriptors and listening sockets, each
 * with who holds it.
 *
 * Listeners are told as by `netstat -ntlp`. The check of each second is made by their own loop,
 * which may hang; so the page looks at the numbers itself: the socket with the cookie that was
 * bound has to be there and listen. TCP_INFO tells the accept queue of a listening socket and its
 * limit.
 */
#include "debug_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <runnel/sys.h>

void rnet__debug_objects(void *arg, struct rnet_http_request *req)
{
    const struct rnet_debug *d = arg;
    struct rn_sink sink = rnet__page_sink(req);

    rnet__page_end(req, rn_dump_chans(d->observed, rnet__page_number(req, "limit", 0), &sink));
}

void rnet__debug_fds(void *arg, struct rnet_http_request *req)
{
    const struct rnet_debug *d = arg;
    struct rn_sink sink = rnet__page_sink(req);

    rnet__page_end(req, rn_dump_fds(d->observed, rnet__page_number(req, "limit", 0), &sink));
}

/* ---- listeners ---- */

struct verdict {
    const char *text; /* "ok", or what is wrong */
    bool lost, has_queue;
    uint32_t queue, queue_max;
};

static bool is_our_socket(const struct rnet_listener_socket *s)
{
    uint64_t cookie = 0;
    socklen_t len = sizeof(cookie);

    return rn_sys_getsockopt(s->number, SOL_SOCKET, SO_COOKIE, &cookie, &len) == 0 &&
           cookie == s->cookie;
}

static bool listens(const struct rnet_listener_socket *s)
{
    int accepts = 0;
    socklen_t len = sizeof(accepts);

    return rn_sys_getsockopt(s->number, SOL_SOCKET, SO_ACCEPTCONN, &accepts, &len) == 0 && accepts;
}

static struct verdict judge(const struct rnet_listener_info *info,
                            const struct rnet_listener_socket *s)
{
    struct verdict v = {.text = "ok"};
    struct tcp_info tcp = {0};
    socklen_t len = sizeof(tcp);

    if (!s->up) {
        v.lost = s->why != NULL;
        v.text = s->why ? s->why : "closed";
        return v;
    }
    if (!is_our_socket(s) || !listens(s)) {
        v.lost = true;
        v.text = is_our_socket(s) ? "the socket does not listen any more"
                                  : "the descriptor is not that socket any more";
        return v;
    }
    v.has_queue = rn_sys_getsockopt(s->number, IPPROTO_TCP, TCP_INFO, &tcp, &len) == 0;
    v.queue = tcp.tcpi_unacked;
    v.queue_max = tcp.tcpi_sacked;
    if (info->paused_now)
        v.text = "paused: out of descriptors or memory";
    else if (v.has_queue && v.queue_max > 0 && v.queue >= v.queue_max - v.queue_max / 5)
        v.text = "the accept queue is nearly full";
    return v;
}

static const char *proto(const struct rnet_listener_socket *s)
{
    return s->address[0] == '[' ? "tcp6" : strncmp(s->address, "unix:", 5) == 0 ? "unix" : "tcp";
}

static void put_row(FILE *out, const struct rnet_listener_info *info,
                    const struct rnet_listener_socket *s, const struct verdict *v)
{
    char queue[16] = "-", max[16] = "-", program[64];

    if (v->has_queue) {
        snprintf(queue, sizeof(queue), "%" PRIu32, v->queue);
        snprintf(max, sizeof(max), "%" PRIu32, v->queue_max);
    }
    snprintf(program, sizeof(program), "%d/%s", (int)getpid(), program_invocation_short_name);
    fprintf(out,
            "%-5s %6s %6s %-23s %-11s %-19s %-10s %-20s %10" PRIu64 " %4d %8" PRIu32 " %10" PRIu64
            "  %s%s\n",
            proto(s), queue, max, s->address, v->lost || !s->up ? "LOST" : "LISTEN", program,
            info->name, info->owner, s->inode, s->number, info->connections, info->accepted,
            v->lost ? "RED: " : "", v->text);
}

static void put_row_json(FILE *out, const struct rnet_listener_info *info,
                         const struct rnet_listener_socket *s, const struct verdict *v)
{
    fputs("{\"listener\":", out);
    rnet__put_json(out, info->name);
    fputs(",\"owner\":", out);
    rnet__put_json(out, info->owner);
    fputs(",\"address\":", out);
    rnet__put_json(out, s->address);
    fprintf(out,
            ",\"pid\":%d,\"fd\":%d,\"inode\":%" PRIu64 ",\"state\":\"%s\",\"connections\":%" PRIu32
            ",\"accepted\":%" PRIu64 ",\"paused\":%s,",
            (int)getpid(), s->number, s->inode, v->lost || !s->up ? "LOST" : "LISTEN",
            info->connections, info->accepted, info->paused_now ? "true" : "false");
    if (v->has_queue)
        fprintf(out, "\"accept_queue\":%" PRIu32 ",\"backlog\":%" PRIu32 ",", v->queue,
                v->queue_max);
    fprintf(out, "\"ok\":%s,\"verdict\":", strcmp(v->text, "ok") == 0 ? "true" : "false");
    rnet__put_json(out, v->text);
    fputc('}', out);
}

static void put_listener(FILE *out, const struct rnet_listener_info *info, bool json, bool *first)
{
    for (uint32_t i = 0; i < info->n_sockets; i++) {
        struct verdict v = judge(info, &info->sockets[i]);

        if (json) {
            fputs(*first ? "" : ",", out);
            put_row_json(out, info, &info->sockets[i], &v);
        } else {
            put_row(out, info, &info->sockets[i], &v);
        }
        *first = false;
    }
}

void rnet__debug_listeners(void *arg, struct rnet_http_request *req)
{
    bool json = rnet__page_json(req), first = true;
    struct rnet_listener_info info;
    struct rnet__page page;

    (void)arg;
    if (rnet__page_open(&page, req) < 0)
        return;
    if (json)
        fputs("{\"listeners\":[", page.out);
    else
        fprintf(page.out, "%-5s %6s %6s %-23s %-11s %-19s %-10s %-20s %10s %4s %8s %10s  %s\n",
                "Proto", "Recv-Q", "Send-Q", "Local Address", "State", "PID/Program name",
                "Listener", "Owner", "Inode", "FD", "Conns", "Accepted", "Verdict");
    for (size_t index = 0; rnet_listener_info(&index, &info);)
        put_listener(page.out, &info, json, &first);
    if (json)
        fputs("]}\n", page.out);
    rnet__page_send(&page, req, json ? "application/json" : "text/plain; charset=utf-8");
}

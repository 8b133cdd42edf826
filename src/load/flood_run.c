#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <base/cleanup.h>

#include <rnet/server.h>
#include <rnet/stream.h>

#include <runnel/sys.h>

#include "dial.h"
#include "flood.h"

#define PREFIX    4
#define PRAISE    "receive success"
#define RETRY_NS  (50 * RN_MS)
#define REST_NS   (2 * RN_S) /* for answers that are still due when an endless flood ends */

struct client {
    struct ft_flood *flood;
    uint32_t index;
    uint64_t next;    /* number of the next frame */
    uint8_t *out;     /* a window of frames */
};

/* ---- counting: the clients share the books ---- */

static void count(struct ft_flood *f, uint64_t *counter)
{
    rn_lock_acquire(&f->lock);
    ++*counter;
    rn_lock_release(&f->lock);
}

static void note_span(struct ft_flood *f, struct ft_spread *spread, rn_time span)
{
    rn_lock_acquire(&f->lock);
    ft_spread_add(spread, span);
    rn_lock_release(&f->lock);
}

static size_t frame_len(const struct ft_flood *f)
{
    return PREFIX + (size_t)f->options.size;
}

/* Every payload is another: whose it is, its number, then letters. */
static void payload_put(const struct client *c, uint64_t number, uint8_t *at)
{
    const size_t size = (size_t)c->flood->options.size;
    const uint64_t head[2] = {c->index, number};

    memset(at, 'a' + (int)(number % 26), size);
    memcpy(at, head, size < sizeof(head) ? size : sizeof(head));
}

static size_t window_put(const struct client *c, uint64_t n)
{
    uint8_t *at = c->out;
    const size_t size = (size_t)c->flood->options.size;

    for (uint64_t i = 0; i < n; i++) {
        for (unsigned b = 0; b < PREFIX; b++)
            *at++ = (uint8_t)(size >> (24 - 8 * b));
        payload_put(c, c->next + i, at);
        at += size;
    }
    return (size_t)(at - c->out);
}

/* Is it the answer to the frame that lies at `sent`? */
static bool right(const struct client *c, const uint8_t *sent, struct rn_slice answer)
{
    const size_t praise = sizeof(PRAISE) - 1, size = (size_t)c->flood->options.size;

    return answer.len == praise + size && memcmp(answer.data, PRAISE, praise) == 0 &&
           memcmp(answer.data + praise, sent + PREFIX, size) == 0;
}

/* Write n frames, read n answers. 0, or why it broke off. */
static int window(struct client *c, struct rnet_frame_reader *reader, uint64_t n)
{
    struct ft_flood *f = c->flood;
    const rn_time began = rn_now();
    struct rn_slice answer;
    int r = rnet_stream_write(reader->stream, c->out, window_put(c, n), f->deadline);

    for (uint64_t i = 0; r == 0 && i < n; i++) {
        r = rnet_frame_reader_next(reader, &answer, f->deadline + REST_NS);
        if (r <= 0)
            return r < 0 ? r : -ECONNRESET;
        if (right(c, c->out + i * frame_len(f), answer))
            count(f, &f->frames);
        else
            count(f, &f->wrong);
        r = 0;
    }
    if (r == 0) {
        c->next += n;
        note_span(f, &f->answer, rn_now() - began);
    }
    return r;
}

static bool over(const struct ft_flood *f)
{
    return (f->stop && atomic_load(f->stop)) || rn_now() >= f->deadline;
}

/* All frames of one connection. 0, or why it broke off. */
static int talk(struct client *c, struct rnet_stream *stream)
{
    const struct ft_flood_options *o = &c->flood->options;
    CLEANUP(rnet_frame_reader_fini) struct rnet_frame_reader reader = {
        .stream = stream,
        .codec = &rnet_codec_length_prefixed,
        .frame_max = (size_t)o->size + sizeof(PRAISE)};
    int r = 0;

    for (uint64_t left = o->frames ? o->frames : UINT64_MAX; r == 0 && left > 0;) {
        const uint64_t n = left < o->window ? left : o->window;

        if (over(c->flood))
            return o->frames ? -ETIMEDOUT : 0;
        r = window(c, &reader, n);
        left -= n;
    }
    return r;
}

static int connection(struct client *c)
{
    struct ft_flood *f = c->flood;
    CLEANUP(rnet_stream_closep) struct rnet_stream *stream = NULL;
    const rn_time began = rn_now();
    int number = ft_dial(&f->options.server, c->index / FT_PER_SOURCE, f->deadline);
    int r = number;

    if (number >= 0)
        r = rnet_stream_adopt(number, &stream);
    if (r < 0) {
        if (number >= 0)
            (void)rn_sys_close(number);
        count(f, &f->connect_errors);
        return r;
    }
    count(f, &f->connects);
    note_span(f, &f->connect, rn_now() - began);
    r = talk(c, stream);
    if (r < 0 && r != -ECANCELED)
        count(f, &f->broken);
    return r;
}

static int client_task(void *arg)
{
    struct client *c = arg;
    struct ft_flood *f = c->flood;
    uint64_t done = 0;
    int r = 0;

    while (done < f->options.rounds && !over(f) && r != -ECANCELED) {
        r = connection(c);
        if (r == 0)
            done++;
        else if (r != -ECANCELED)
            r = rn_sleep(rn_after(RETRY_NS));
    }
    if (done == f->options.rounds)
        count(f, &f->clients_done);
    return 0;
}

/* ---- the run ---- */

static int clients_start(struct ft_flood *f, struct rn_scope scope, struct client *clients)
{
    const size_t bytes = (size_t)f->options.window * frame_len(f);
    int r = 0;

    for (uint64_t i = 0; r == 0 && i < f->options.clients; i++) {
        clients[i] = (struct client){.flood = f, .index = (uint32_t)i, .out = malloc(bytes)};
        r = clients[i].out ? rn_go(scope, client_task, &clients[i], NULL, 0) : -ENOMEM;
    }
    return r;
}

static int verdict(const struct ft_flood *f)
{
    if (f->wrong > 0)
        return -EBADMSG;
    return f->clients_done < f->options.clients ? -ETIMEDOUT : 0;
}

static int clients_run(struct ft_flood *f, struct client *clients)
{
    CLEANUP(rn_scope_closep) struct rn_scope scope = {0};
    int r = rn_scope_open(RN_SCOPE_WAIT_ALL, &scope);

    if (r == 0)
        r = rn_scope_deadline(scope, f->deadline + 2 * REST_NS);
    if (r == 0)
        r = clients_start(f, scope, clients);
    return r < 0 ? r : rn_scope_wait(scope);
}

int ft_flood_run(struct ft_flood *f)
{
    CLEANUP(freep) struct client *clients = calloc(f->options.clients, sizeof(*clients));
    int r = clients ? ft_dial_limit(f->options.clients) : -ENOMEM;

    if (r < 0)
        return r;
    if (f->options.pid)
        (void)ft_usage_read(f->options.pid, &f->usage_before);
    f->began = rn_now();
    f->deadline = f->began + f->options.duration;
    r = clients_run(f, clients);
    f->ended = rn_now();
    if (f->options.pid)
        (void)ft_usage_read(f->options.pid, &f->usage_ended);
    for (uint64_t i = 0; i < f->options.clients; i++)
        free(clients[i].out);
    return r < 0 ? r : verdict(f);
}

/* ---- the report ---- */

static double seconds(rn_time ns)
{
    return (double)ns / (double)RN_S;
}

static double ms(const struct ft_spread *s, double percent)
{
    return (double)ft_spread_percentile(s, percent) / (double)RN_MS;
}

static double per_core_second(const struct ft_flood *f)
{
    const rn_time cpu = f->usage_ended.cpu_ns - f->usage_before.cpu_ns;

    return cpu > 0 ? (double)f->frames / seconds(cpu) : 0;
}

static void report_json(const struct ft_flood *f)
{
    printf("{\"event\":\"end\",\"seconds\":%.6f,\"clients\":%llu,\"clients_done\":%llu,"
           "\"connects\":%llu,\"connect_errors\":%llu,\"broken\":%llu,\"frames\":%llu,\"wrong\":%llu",
           seconds(f->ended - f->began), (unsigned long long)f->options.clients,
           (unsigned long long)f->clients_done, (unsigned long long)f->connects,
           (unsigned long long)f->connect_errors, (unsigned long long)f->broken,
           (unsigned long long)f->frames, (unsigned long long)f->wrong);
    printf(",\"answer\":{\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f}", ms(&f->answer, 50),
           ms(&f->answer, 99), ms(&f->answer, 100));
    if (f->options.pid)
        printf(",\"server\":{\"cpu_seconds\":%.6f,\"frames_per_core_second\":%.0f,"
               "\"rss_anon_ended\":%llu}",
               seconds(f->usage_ended.cpu_ns - f->usage_before.cpu_ns), per_core_second(f),
               (unsigned long long)f->usage_ended.rss_anon_bytes);
    printf("}\n");
}

static void report_text(const struct ft_flood *f)
{
    const double took = seconds(f->ended - f->began);

    printf("clients         %llu, of which %llu had all their frames answered\n",
           (unsigned long long)f->options.clients, (unsigned long long)f->clients_done);
    printf("connections     %llu made, %llu failed, %llu broke off\n",
           (unsigned long long)f->connects, (unsigned long long)f->connect_errors,
           (unsigned long long)f->broken);
    printf("frames          %llu answered rightly, %llu wrongly in %.3f s: %.0f a second\n",
           (unsigned long long)f->frames, (unsigned long long)f->wrong, took,
           took > 0 ? (double)f->frames / took : 0);
    printf("answer          p50 %.3f ms, p99 %.3f ms, max %.3f ms (a window of %llu)\n",
           ms(&f->answer, 50), ms(&f->answer, 99), ms(&f->answer, 100),
           (unsigned long long)f->options.window);
    if (f->options.pid)
        printf("server          %.3f s of CPU, %.0f frames per core-second, RssAnon %.1f MiB\n",
               seconds(f->usage_ended.cpu_ns - f->usage_before.cpu_ns), per_core_second(f),
               (double)f->usage_ended.rss_anon_bytes / (1 << 20));
}

void ft_flood_report(const struct ft_flood *f)
{
    if (f->options.json)
        report_json(f);
    else
        report_text(f);
    (void)fflush(stdout);
}

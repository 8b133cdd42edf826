/* What a run says: an event a line on stdout, as text or as JSON. */
#include <stdio.h>
#include <string.h>

#include "fleet.h"

static double ms(rn_time ns)
{
    return (double)ns / (double)RN_MS;
}

static double seconds(rn_time ns)
{
    return (double)ns / (double)RN_S;
}

static double mib(uint64_t bytes)
{
    return (double)bytes / (1 << 20);
}

static void spread_json(const char *name, const struct ft_spread *s)
{
    printf(",\"%s\":{\"count\":%llu,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f}", name,
           (unsigned long long)s->count, ms(ft_spread_percentile(s, 50)),
           ms(ft_spread_percentile(s, 99)), ms(s->max));
}

static void spread_text(const char *name, const struct ft_spread *s)
{
    if (s->count > 0)
        printf("%-15s p50 %.3f ms, p99 %.3f ms, max %.3f ms\n", name, ms(ft_spread_percentile(s, 50)),
               ms(ft_spread_percentile(s, 99)), ms(s->max));
}

void ft_report_connected(const struct ft_fleet *f)
{
    const double took = seconds(f->connected - f->began);

    if (f->options.json)
        printf("{\"event\":\"connected\",\"agents\":%llu,\"seconds\":%.3f,\"rss_anon\":%llu,"
               "\"rss_anon_before\":%llu}\n",
               (unsigned long long)f->options.agents, took,
               (unsigned long long)f->usage_connected.rss_anon_bytes,
               (unsigned long long)f->usage_before.rss_anon_bytes);
    else
        printf("connected       %llu agents in %.3f s\n", (unsigned long long)f->options.agents, took);
    (void)fflush(stdout);
}

void ft_report_progress(const struct ft_fleet *f)
{
    struct ft_usage u = {0};
    const double at = seconds(rn_now() - f->connected);

    if (f->options.pid)
        (void)ft_usage_read(f->options.pid, &u);
    if (f->options.json)
        printf("{\"event\":\"progress\",\"seconds\":%.3f,\"heartbeats\":%llu,\"rss_anon\":%llu}\n", at,
               (unsigned long long)f->counts.beats_answered, (unsigned long long)u.rss_anon_bytes);
    else
        printf("progress        %llu heartbeats after %.3f s, RssAnon %.1f MiB\n",
               (unsigned long long)f->counts.beats_answered, at, mib(u.rss_anon_bytes));
    (void)fflush(stdout);
}

void ft_report_storm(const struct ft_fleet *f, rn_time took)
{
    if (f->options.json)
        printf("{\"event\":\"storm\",\"seconds\":%.3f}\n", seconds(took));
    else
        printf("storm           all back after %.3f s\n", seconds(took));
    (void)fflush(stdout);
}

static double per_core_second(const struct ft_fleet *f)
{
    const rn_time cpu = f->usage_ended.cpu_ns - f->usage_connected.cpu_ns;

    return cpu > 0 ? (double)f->counts.beats_answered / seconds(cpu) : 0;
}

static void end_json(const struct ft_fleet *f)
{
    const struct ft_fleet_counts *c = &f->counts;
    const struct {
        const char *name;
        uint64_t value;
    } numbers[] = {
        {"agents", f->options.agents},           {"connects", c->connects},
        {"connect_errors", c->connect_errors},   {"lost", c->lost},
        {"refused", c->refused},                 {"messages", c->sent},
        {"answers", c->answered},                {"heartbeats_sent", c->beats_sent},
        {"heartbeats_answered", c->beats_answered}, {"heartbeats_skipped", c->beats_skipped},
        {"samples_sent", c->samples_sent},       {"acks", c->acks},
        {"configs_received", c->configs_received}, {"configs_applied", c->configs_applied},
        {"full_state_asked", c->full_asked},     {"storms", f->storm.count},
    };

    printf("{\"event\":\"end\",\"seconds\":%.6f", seconds(f->ended - f->connected));
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        printf(",\"%s\":%llu", numbers[i].name, (unsigned long long)numbers[i].value);
    spread_json("connect", &f->connect);
    spread_json("answer", &f->beat);
    spread_json("storm", &f->storm);
    printf(",\"all_applied_seconds\":%.6f", seconds(f->applied_ns));
    if (f->options.pid)
        printf(",\"server\":{\"cpu_seconds\":%.6f,\"heartbeats_per_core_second\":%.0f,"
               "\"rss_anon_before\":%llu,\"rss_anon_connected\":%llu,\"rss_anon_ended\":%llu}",
               seconds(f->usage_ended.cpu_ns - f->usage_connected.cpu_ns), per_core_second(f),
               (unsigned long long)f->usage_before.rss_anon_bytes,
               (unsigned long long)f->usage_connected.rss_anon_bytes,
               (unsigned long long)f->usage_ended.rss_anon_bytes);
    printf("}\n");
}

static void end_text(const struct ft_fleet *f)
{
    const struct ft_fleet_counts *c = &f->counts;
    const double took = seconds(f->ended - f->connected);

    printf("connections     %llu made, %llu failed, %llu lost, %llu refused\n",
           (unsigned long long)c->connects, (unsigned long long)c->connect_errors,
           (unsigned long long)c->lost, (unsigned long long)c->refused);
    spread_text("connect", &f->connect);
    printf("heartbeats      %llu sent, %llu answered, %llu skipped in %.3f s: %.0f a second\n",
           (unsigned long long)c->beats_sent, (unsigned long long)c->beats_answered,
           (unsigned long long)c->beats_skipped, took,
           took > 0 ? (double)c->beats_answered / took : 0);
    spread_text("answer", &f->beat);
    printf("samples         %llu sent, %llu acknowledgements\n", (unsigned long long)c->samples_sent,
           (unsigned long long)c->acks);
    printf("configurations  %llu received, %llu applied", (unsigned long long)c->configs_received,
           (unsigned long long)c->configs_applied);
    if (f->applied_ns)
        printf("; the newest by all within %.3f s of the first", seconds(f->applied_ns));
    printf("\n");
    if (f->options.pid)
        printf("server          %.3f s of CPU, %.0f heartbeats per core-second, RssAnon %.1f -> %.1f -> "
               "%.1f MiB (before, connected, at the end)\n",
               seconds(f->usage_ended.cpu_ns - f->usage_connected.cpu_ns), per_core_second(f),
               mib(f->usage_before.rss_anon_bytes), mib(f->usage_connected.rss_anon_bytes),
               mib(f->usage_ended.rss_anon_bytes));
}

void ft_report_end(const struct ft_fleet *f)
{
    if (f->options.json)
        end_json(f);
    else
        end_text(f);
    (void)fflush(stdout);
}

#include "describe.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <base/cleanup.h>

#include "table.h"

#define HEAD_WIDTH  17
#define DEPTH_MAX   16 /* of health shown */

/* `Head:` and the rest of the line; what agents say has no power over the terminal. */
__attribute__((format(printf, 3, 4))) static void line(FILE *out, const char *head,
                                                       const char *format, ...)
{
    CLEANUP(freep) char *text = NULL;
    va_list args;

    va_start(args, format);
    int n = vasprintf(&text, format, args);
    va_end(args);
    if (n >= 0)
        fprintf(out, "%-*s%s\n", HEAD_WIDTH, head, text_tame(text));
}

static const char *text(const json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));

    return s && *s ? s : "-";
}

/* A value in one line: strings as they are, everything else as JSON; free() it. */
static char *value_text(const json_t *value)
{
    return json_is_string(value) ? strdup(json_string_value(value))
                                 : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
}

static void print_pairs(FILE *out, const char *head, const json_t *object)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)object, key, value)
    {
        CLEANUP(freep) char *shown = value_text(value);
        line(out, head, "%s=%s", key, shown ? shown : "?");
        head = "";
    }
    if (*head)
        line(out, head, "none");
}

static void print_capabilities(FILE *out, const json_t *list)
{
    const char *head = "Capabilities:";
    size_t i;
    json_t *name;

    json_array_foreach((json_t *)list, i, name)
    {
        line(out, head, "%s", json_string_value(name) ? json_string_value(name) : "?");
        head = "";
    }
    if (*head)
        line(out, head, "none");
}

static void print_health(FILE *out, const char *head, const char *name, const json_t *health,
                         int depth)
{
    const char *error = text(health, "last_error"), *key;
    json_t *component;

    line(out, head, "%*s%s%s%s, %s%s%s", 2 * depth, "", name, *name ? ": " : "",
         json_is_true(json_object_get(health, "healthy")) ? "healthy" : "not healthy",
         text(health, "status"), strcmp(error, "-") ? ": " : "", strcmp(error, "-") ? error : "");
    json_object_foreach(json_object_get(health, "components"), key, component)
    {
        if (depth < DEPTH_MAX)
            print_health(out, "", key, component, depth + 1);
    }
}

static void print_config(FILE *out, const json_t *config)
{
    if (!json_is_string(json_object_get(config, "name"))) {
        line(out, "Configuration:", "none");
        return;
    }
    line(out, "Configuration:", "%s v%lld, %s", text(config, "name"),
         (long long)json_integer_value(json_object_get(config, "version")), text(config, "status"));
    line(out, "  desired:", "%s", text(config, "desired_hash"));
    line(out, "  applied:", "%s", text(config, "applied_hash"));
    line(out, "  effective:", "%s", text(config, "effective_hash"));
    if (strcmp(text(config, "error"), "-") != 0)
        line(out, "  error:", "%s", text(config, "error"));
}

static void print_objects(FILE *out, const json_t *objects)
{
    const char *head = "Effective files:", *name;
    json_t *object;

    json_object_foreach((json_t *)objects, name, object)
    {
        line(out, head, "%s (%s)", name, text(object, "content_type"));
        head = "";
    }
    if (*head)
        line(out, head, objects ? "none" : "unknown");
}

static void add_number(struct table *t, const json_t *sample, const char *key)
{
    const json_t *n = json_object_get(sample, key);
    char shown[40] = "";

    if (json_is_integer(n))
        snprintf(shown, sizeof(shown), "%lld", (long long)json_integer_value(n));
    else if (json_is_real(n))
        snprintf(shown, sizeof(shown), "%.3f", json_real_value(n));
    table_add(t, shown);
}

static void print_samples(FILE *out, const json_t *samples)
{
    static const char *const heads[] = {"PROCESS", "PID", "CPU", "MEMORY", "LINES", "SAMPLE", "COMMAND"};
    struct table t;
    size_t i;
    json_t *sample;

    if (json_array_size(samples) == 0) {
        line(out, "Processes:", "no samples yet");
        return;
    }
    table_init(&t, sizeof(heads) / sizeof(heads[0]));
    for (i = 0; i < t.columns; i++)
        table_add(&t, heads[i]);
    json_array_foreach((json_t *)samples, i, sample)
    {
        table_add(&t, text(sample, "process_name"));
        add_number(&t, sample, "pid");
        add_number(&t, sample, "cpu_usage_rate");
        add_number(&t, sample, "mem_usage");
        add_number(&t, sample, "send_lines");
        add_number(&t, sample, "seq");
        table_add(&t, text(sample, "cmd"));
    }
    fputc('\n', out);
    table_print(&t, out);
    table_done(&t);
}

void describe_print(const struct description *d, FILE *out)
{
    const json_t *a = d->agent, *health = json_object_get(a, "health");

    line(out, "Instance UID:", "%s", text(a, "instance_uid"));
    line(out, "Status:", "%s", text(a, "status"));
    line(out, "Connection:", "%s from %s", text(a, "transport"), text(a, "remote_address"));
    line(out, "Connected since:", "%s", text(a, "connected_since"));
    line(out, "Last seen:", "%s (message %lld)", text(a, "last_seen"),
         (long long)json_integer_value(json_object_get(a, "sequence_num")));
    line(out, "Group:", "%s", text(a, "group"));
    print_pairs(out, "Labels:", json_object_get(a, "labels"));
    print_pairs(out, "Identity:", json_object_get(a, "identifying_attributes"));
    print_pairs(out, "Attributes:", json_object_get(a, "non_identifying_attributes"));
    print_capabilities(out, json_object_get(a, "capabilities"));
    if (json_is_object(health))
        print_health(out, "Health:", "", health, 0);
    else
        line(out, "Health:", "unknown");
    print_config(out, json_object_get(a, "config"));
    print_objects(out, d->effective);
    print_samples(out, d->samples);
}

/* Exporters: where samples go. One file and one struct ft_exporter_type each; exporter/types.c has
 * the list.
 *
 * An exporter only does its own thing: it opens, formats, sends once, and says about each sample
 * how that went. Batching, retries, time-outs, states, overflow and the books are the lane's
 * (metrics/lane.h). All of its functions run on a thread of the exporter's own class of the
 * blocking pool, one at a time, so they may block; `deadline` is when they should have returned.
 *
 *     starting --open--> [ send, send, ... ] --close--> gone
 *
 * An open that fails is tried again, with the same self. A send that answers RETRY or HOLD for a
 * sample gets that sample again later; a sample whose fate is unknown is RETRY, since agent_id,
 * boot_id and seq make it recognisable.
 */
#pragma once

#include <runnel/slice.h>

#include <model/hash.h>
#include <model/buf.h>
#include <model/sample.h>
#include <model/text_error.h>
#include <model/yaml.h>

/* One sample and the batch that it came with (agent_id, boot_id). */
struct ft_row {
    const struct ft_batch *batch;
    const struct ft_sample *sample;
};

/* What one send carries: samples of one or several batches. */
struct ft_rows {
    const struct ft_row *items;
    size_t n;
};

enum ft_verdict_kind {
    FT_VERDICT_RETRY, /* not stored, or nobody knows: later again. What a sample has that nothing is
                         said about */
    FT_VERDICT_OK,    /* stored */
    FT_VERDICT_DUPLICATE, /* was stored before */
    FT_VERDICT_REJECT,    /* will never be stored, with the reason */
    FT_VERDICT_HOLD, /* a person has to do something (full disk, wrong password): kept, and tried
                        again slowly */
};

struct ft_verdict {
    uint8_t kind;    /* enum ft_verdict_kind */
    uint32_t reason; /* of ft_answer.reasons; 0: none */
};

/* The answer to one send: a verdict per row. Given to send with every verdict RETRY and no reason.
 */
#define FT_REASONS_BYTES_MAX ((size_t)64 << 10)
struct ft_answer {
    struct ft_verdict *items;
    size_t n;
    struct ft_buf reasons; /* texts, each with its NUL, from offset 1 */
    rn_time
        retry_after; /* how long the other side wants to be left alone, a span; 0: it did not say */
};

/* Say it about one row, about every row, or about every row that has no verdict but RETRY without a
 * reason. `format` NULL: no reason. Reasons beyond FT_REASONS_BYTES_MAX are lost, verdicts never.
 */
__attribute__((format(printf, 4, 5))) void
ft_answer_one(struct ft_answer *a, size_t i, enum ft_verdict_kind kind, const char *format, ...);
__attribute__((format(printf, 3, 4))) void
ft_answer_all(struct ft_answer *a, enum ft_verdict_kind kind, const char *format, ...);
__attribute__((format(printf, 3, 4))) void
ft_answer_rest(struct ft_answer *a, enum ft_verdict_kind kind, const char *format, ...);
/* "" when none was given. */
const char *ft_answer_reason(const struct ft_answer *a, size_t i);

/* For the lane. Every verdict RETRY; `items` has room for n. */
void ft_answer_reset(struct ft_answer *a, size_t n);

#define FT_EXPORTER_NAME_MAX 64

/* First member of every exporter's settings, and so of its self. */
struct ft_exporter_head {
    /* from the options */
    const char *name; /* in API, metrics and logs */
    bool required; /* an agent is told to forget a sample only when this exporter has decided about
                      it */

    /* set by the lane before open */
    const char *data_dir; /* what relative paths are relative to; borrowed */
};

/* The options that every exporter has; first in each table. An FT_PATH names a file that is read
 * when the exporter opens (a secret, a certificate): ft_exporter_files_hash(). */
#define FT_EXPORTER_OPTIONS(self_type, name_default, required_default)                             \
    {"name", FT_STRING, offsetof(struct self_type, head.name), .def = name_default,                \
     .help = "its name in API and metrics"},                                                       \
    {                                                                                              \
        "required", FT_BOOL, offsetof(struct self_type, head.required),                            \
            .def = required_default,                                                               \
            .help = "agents keep their samples until this exporter has decided about them"         \
    }

/* How a lane feeds this type. */
struct ft_pace {
    size_t rows_max;   /* a send is due with so many samples, */
    size_t bytes_max;  /* or so many bytes of batches, */
    rn_time age_max;   /* or when the first has waited so long */
    rn_time send_max;  /* time for one send */
    rn_time retry_max; /* the longest pause between two tries; its half on average */
};

struct ft_exporter_type {
    const char *name;     /* "sqlite" */
    const char *summary;  /* one line for people */
    size_t size;          /* of self: starts with the settings, otherwise zero */
    size_t settings_size; /* of what the options fill; starts with struct ft_exporter_head */
    const struct ft_option *options;
    struct ft_pace pace;

    /* Do the settings go together? 0 or -EINVAL with what and what to do; pure. NULL: whatever the
     * options let pass. */
    int (*judge)(const void *settings, struct ft_text_error *why);
    /* 0 or -Exxx with the reason; -EACCES: a person has to do something. After a failure self is as
     * before. */
    int (*open)(void *self, struct ft_text_error *reterr);
    /* Append the body of one send. Pure: the same rows give the same bytes. NULL where a library
     * binds rows. 0, -ENOMEM, -E2BIG. */
    int (*encode)(const void *self, const struct ft_rows *in, struct ft_buf *out);
    /* Send once. A negative result is RETRY for each row about which nothing was said. */
    int (*send)(void *self, const struct ft_rows *in, struct rn_slice body,
                struct ft_answer *answer, rn_time deadline);
    /* Chores between two sends, in steps so small that the next send hardly waits: called after a
     * successful open, then *ret_pause (a span; RN_FOREVER: never again) after the end of the call
     * before. NULL: there are none. 0, or -Exxx with the reason, which is logged. */
    int (*tend)(void *self, rn_time *ret_pause, struct ft_text_error *reterr);
    /* Comes once after an open that succeeded. */
    void (*close)(void *self);
};

/* An exporter to be. */
struct ft_exporter_spec {
    const struct ft_exporter_type *type;
    const void *settings; /* type->settings_size bytes; copied, their texts belong to: */
    struct ft_yaml *yaml; /* a reference is held until the exporter is closed; NULL: static texts */
    struct ft_hash files; /* of what the files hold that the settings name */
};

static inline const struct ft_exporter_head *
ft_exporter_spec_head(const struct ft_exporter_spec *spec)
{
    return spec->settings;
}

/* Would the two do the same? */
bool ft_exporter_same(const struct ft_exporter_spec *a, const struct ft_exporter_spec *b);

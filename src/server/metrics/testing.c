#include "metrics/testing.h"

#include <errno.h>
#include <unistd.h>

static int fake_open(void *arg, struct ft_text_error *reterr)
{
    struct fake *f = ((struct fake_settings *)arg)->fake;

    if (atomic_load(&f->shut)) {
        ft_text_error_set(reterr, "the fake is shut");
        return -ENOENT;
    }
    atomic_fetch_add(&f->opened, 1);
    return 0;
}

static void fake_close(void *arg)
{
    atomic_fetch_add(&((struct fake_settings *)arg)->fake->closed, 1);
}

static enum ft_verdict_kind take(struct fake *f, uint64_t seq)
{
    if (f->has[seq % FAKE_SEQ_MAX])
        return FT_VERDICT_DUPLICATE;
    f->has[seq % FAKE_SEQ_MAX] = true;
    atomic_fetch_add(&f->stored, 1);
    return FT_VERDICT_OK;
}

static uint64_t draw(struct fake *f)
{
    f->random = f->random * UINT64_C(6364136223846793005) + 1442695040888963407;
    return f->random >> 33;
}

static void judge(struct fake *f, const struct ft_row *row, struct ft_answer *a, size_t i,
                  int temper)
{
    const uint64_t seq = row->sample->seq;

    switch (temper) {
    case FAKE_FAILS:
        ft_answer_one(a, i, FT_VERDICT_RETRY, "the fake fails");
        break;
    case FAKE_HOLDS:
        ft_answer_one(a, i, FT_VERDICT_HOLD, "the fake holds");
        break;
    case FAKE_LATER:
        a->retry_after = f->retry_after;
        ft_answer_one(a, i, FT_VERDICT_RETRY, "later");
        break;
    case FAKE_REJECTS:
        if (seq % 2 == 0) {
            ft_answer_one(a, i, FT_VERDICT_REJECT, "%u is even", (unsigned)seq);
            break;
        }
        ft_answer_one(a, i, take(f, seq), NULL);
        break;
    case FAKE_HALF:
        if (i % 2 == 0)
            ft_answer_one(a, i, take(f, seq), NULL);
        break;
    case FAKE_RANDOM:
        switch (draw(f) % 8) {
        case 0:
            ft_answer_one(a, i, FT_VERDICT_REJECT, "by chance");
            break;
        case 1:
            ft_answer_one(a, i, FT_VERDICT_HOLD, "by chance");
            break;
        case 2:
            (void)take(f, seq); /* taken, and the answer was lost */
            break;
        default:
            ft_answer_one(a, i, take(f, seq), NULL);
        }
        break;
    default:
        ft_answer_one(a, i, take(f, seq), NULL);
    }
}

static int fake_send(void *arg, const struct ft_rows *in, struct rn_slice body,
                     struct ft_answer *answer, rn_time deadline)
{
    struct fake *f = ((struct fake_settings *)arg)->fake;
    int temper = atomic_load(&f->temper);
    rn_time none = 0;

    (void)body;
    (void)deadline;
    atomic_compare_exchange_strong(&f->first_at, &none, rn_now());
    atomic_store(&f->last_at, rn_now());
    atomic_fetch_add(&f->sends, 1);
    while ((temper = atomic_load(&f->temper)) == FAKE_HANGS)
        (void)poll(NULL, 0, 1);
    atomic_fetch_add(&f->rows, in->n);
    if (in->n > atomic_load(&f->biggest))
        atomic_store(&f->biggest, in->n);
    for (size_t i = 0; i < in->n; i++)
        judge(f, &in->items[i], answer, i, temper);
    return temper == FAKE_HALF ? -ECONNRESET : 0;
}

static int fake_tend(void *arg, rn_time *ret_pause, struct ft_text_error *reterr)
{
    struct fake *f = ((struct fake_settings *)arg)->fake;

    *ret_pause = f->tend_pause ? f->tend_pause : RN_FOREVER;
    ft_text_error_set(reterr, "the fake has too much to do");
    return atomic_fetch_add(&f->tended, 1) % 2 ? -EIO : 0;
}

static bool same_fake(const void *a, const void *b)
{
    return *(struct fake *const *)a == *(struct fake *const *)b;
}

static const struct ft_option fake_options[] = {
    FT_EXPORTER_OPTIONS(fake_settings, "fake", "false"),
    {"fake", FT_CUSTOM, offsetof(struct fake_settings, fake), .same = same_fake},
    {0},
};

const struct ft_exporter_type fake_type = {
    .name = "fake",
    .summary = "for tests",
    .size = sizeof(struct fake_settings),
    .settings_size = sizeof(struct fake_settings),
    .options = fake_options,
    .pace = {.rows_max = 100,
             .bytes_max = 1 << 20,
             .age_max = RN_MS,
             .send_max = 30 * RN_S,
             .retry_max = 2 * RN_S},
    .open = fake_open,
    .send = fake_send,
    .tend = fake_tend,
    .close = fake_close,
};

const struct ft_exporter_type fake_slow_type = {
    .name = "fake",
    .summary = "for tests",
    .size = sizeof(struct fake_settings),
    .settings_size = sizeof(struct fake_settings),
    .options = fake_options,
    .pace = {.rows_max = 7,
             .bytes_max = 1 << 20,
             .age_max = 10 * RN_S,
             .send_max = 30 * RN_S,
             .retry_max = 2 * RN_S},
    .open = fake_open,
    .send = fake_send,
    .tend = fake_tend,
    .close = fake_close,
};

const struct ft_exporter_type fake_late_type = {
    .name = "fake",
    .summary = "for tests",
    .size = sizeof(struct fake_settings),
    .settings_size = sizeof(struct fake_settings),
    .options = fake_options,
    .pace = {.rows_max = 100,
             .bytes_max = 1 << 20,
             .age_max = RN_MS,
             .send_max = 20 * RN_MS,
             .retry_max = 2 * RN_S},
    .open = fake_open,
    .send = fake_send,
    .tend = fake_tend,
    .close = fake_close,
};

struct ft_uuid fake_uuid(unsigned who)
{
    const uint8_t random[10] = {(uint8_t)who, (uint8_t)(who >> 8), (uint8_t)(who >> 16)};

    return ft_uuid_make(who, random);
}

struct ft_sample fake_sample(uint64_t seq)
{
    return (struct ft_sample){.seq = seq,
                              .timestamp_ms = 1700000000000 + (int64_t)seq,
                              .process_name = rn_slice_str("p"),
                              .host_name = rn_slice_str("host"),
                              .ip = rn_slice_str("127.0.0.1"),
                              .cmd = rn_slice_str("./p --fast"),
                              .pid = 42,
                              .has_cpu_usage_rate = seq > 1,
                              .cpu_usage_rate = 0.25,
                              .mem_usage = 1 << 20,
                              .send_lines = seq};
}

struct ft_batch *fake_batch(unsigned who, uint64_t first, uint32_t count)
{
    static struct ft_sample samples[FT_METRICS_SAMPLES_MAX];
    const struct ft_uuid id = fake_uuid(who);
    struct ft_batch *b;

    for (uint32_t i = 0; i < count; i++)
        samples[i] = fake_sample(first + i);
    OK(ft_batch_new_from(&id, &id, samples, count, &b));
    return b;
}

void fake_offer(struct ft_fanout *f, uint64_t first, uint32_t count)
{
    CLEANUP(ft_batch_unrefp) struct ft_batch *b = fake_batch(1, first, count);

    ft_fanout_offer(f, b);
}

struct ft_ledger_view fake_books(struct ft_fanout *f, size_t i)
{
    struct ft_lane_info info;

    OK(ft_fanout_describe(f, i, &info));
    EQ(ft_ledger_imbalance(&info.ledger), 0);
    FALSE(info.ledger.stale);
    return info.ledger;
}

uint64_t fake_column(struct ft_fanout *f, size_t i, enum ft_column c)
{
    return fake_books(f, i).columns[c];
}

#include "agents/record.h"

#include <harness/test.h>

#include <string.h>

#include <base/cleanup.h>

#include <proto/names.h>

static void set(struct ft_registry *r, struct ft_blob **slot, const char *text)
{
    OK(ft_agent_set_blob(r, slot, rn_slice_str(text)));
}

static struct ft_agent a_full_one(struct ft_registry *r)
{
    struct ft_agent a = {.bits = FT_AGENT_STATE_KNOWN | FT_AGENT_HAS_REPORTED |
                                 FT_AGENT_HAS_APPLIED | FT_AGENT_HAS_EFFECTIVE |
                                 FT_AGENT_TAKES_ACKS | FT_AGENT_TIMED_OUT,
                         .liveness = FT_LIVENESS_STALE,
                         .transport = FT_TRANSPORT_TCP,
                         .status = FT_STATUS_APPLYING,
                         .capabilities = UINT64_MAX - 7,
                         .connected_since_ms = 1732464000123,
                         .interval = 17 * RN_S,
                         .failed = UINT64_C(1) << 40,
                         .offered = UINT64_C(1) << 41,
                         .settings_s = 17,
                         .effective_hash = {{1, 2, 3}},
                         .reported_hash = {{4, 5, 6}},
                         .applied_hash = {{7, 8, 9}}};

    set(r, &a.description, "who I am");
    set(r, &a.health, "well");
    set(r, &a.effective, "what I run");
    set(r, &a.status_error, "\xc3\xa4rgerlich");
    set(r, &a.remote_address, "127.0.0.1:51022");
    return a;
}

#define FIXTURE()                                                                                  \
    CLEANUP(ft_registry_freep) struct ft_registry *r = NULL;                                       \
    CLEANUP(ft_buf_fini) struct ft_buf b = FT_BUF_INIT(4096);                                      \
    OK(ft_registry_new(&r))

TEST(a_record_reads_back_as_it_was_written)
{
    FIXTURE();
    struct ft_agent a = a_full_one(r), back = {0};

    OK(ft_record_encode(&a, &b));
    EQ(b.len, ft_record_size(&a));
    OK(ft_record_decode(r, ft_buf_slice(&b), &back));
    MEMEQ(&a, &back, sizeof(a)); /* blobs included: equal bytes are one blob */
    ft_record_fini(&a);
    ft_record_fini(&back);
}

TEST(an_empty_record_does_too)
{
    FIXTURE();
    struct ft_agent a = {.interval = FT_INTERVAL_DEFAULT}, back = {0};

    OK(ft_record_encode(&a, &b));
    EQ(b.len, ft_record_size(&a));
    OK(ft_record_decode(r, ft_buf_slice(&b), &back));
    MEMEQ(&a, &back, sizeof(a));
}

TEST(what_belongs_to_a_connection_is_not_stored)
{
    FIXTURE();
    struct ft_agent a = {.interval = FT_INTERVAL_DEFAULT, .bits = UINT32_MAX}, back = {0};

    OK(ft_record_encode(&a, &b));
    OK(ft_record_decode(r, ft_buf_slice(&b), &back));
    EQ(back.bits & (FT_AGENT_SEQ_VALID | FT_AGENT_CONFIG_KNOWN | FT_AGENT_DIRTY | FT_AGENT_ACK_DUE |
                    FT_AGENT_OFFERED),
       0);
    EQ(back.bits & FT_AGENT_TIMED_OUT, FT_AGENT_TIMED_OUT);
}

/* A leaked blob would end in an assertion when the registry goes. */
TEST(a_record_cut_anywhere_is_refused_and_leaves_nothing)
{
    FIXTURE();
    struct ft_agent a = a_full_one(r);

    OK(ft_record_encode(&a, &b));
    for (size_t n = 0; n < b.len; n++) {
        struct ft_agent back = {0};
        test_note("%zu bytes", n);
        ERR(ft_record_decode(r, rn_slice(b.data, n), &back), EBADMSG);
        TRUE(!back.description && !back.remote_address);
    }
    OK(ft_buf_add_byte(&b, 0));
    struct ft_agent back = {0};
    ERR(ft_record_decode(r, ft_buf_slice(&b), &back), EBADMSG);
    ft_record_fini(&a);
}

/* The first version had no number of the last offer: the one that failed stands for it. */
TEST(a_record_of_the_first_version_is_read)
{
    static const size_t offered_at = 1 + 4 + 3 + 4 * 8;
    FIXTURE();
    struct ft_agent a = a_full_one(r), back = {0};

    OK(ft_record_encode(&a, &b));
    b.data[0] = 1;
    memmove(b.data + offered_at, b.data + offered_at + 8, b.len - offered_at - 8);
    OK(ft_record_decode(r, rn_slice(b.data, b.len - 8), &back));
    EQ(back.failed, a.failed);
    EQ(back.offered, a.failed);
    EQ(back.settings_s, a.settings_s);
    MEMEQ(&back.applied_hash, &a.applied_hash, sizeof(a.applied_hash));
    ft_record_fini(&a);
    ft_record_fini(&back);
}

TEST(another_version_is_not_understood)
{
    FIXTURE();
    struct ft_agent a = a_full_one(r), back = {0};

    OK(ft_record_encode(&a, &b));
    b.data[0]++;
    ERR(ft_record_decode(r, ft_buf_slice(&b), &back), ENOTSUP);
    ft_record_fini(&a);
}

TEST(numbers_out_of_range_are_refused)
{
    static const struct {
        size_t at;
        uint8_t value;
    } wrong[] = {{5, FT_LIVENESS_COUNT}, {6, FT_TRANSPORT_COUNT}, {7, 4}, {24, 0x7f}};
    FIXTURE();
    struct ft_agent a = a_full_one(r);

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct ft_agent back = {0};
        ft_buf_clear(&b);
        OK(ft_record_encode(&a, &b));
        b.data[wrong[i].at] = wrong[i].value;
        ERR(ft_record_decode(r, ft_buf_slice(&b), &back), EBADMSG);
    }
    ft_record_fini(&a);
}

TEST(random_bytes_do_no_harm)
{
    FIXTURE();
    struct ft_agent a = a_full_one(r);
    uint64_t random = 42;

    for (int i = 0; i < 20000; i++) {
        struct ft_agent back = {0};
        ft_buf_clear(&b);
        OK(ft_record_encode(&a, &b));
        for (int n = 0; n < 3; n++) {
            random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
            b.data[1 + (random >> 33) % (b.len - 1)] = (uint8_t)(random >> 20);
        }
        if (ft_record_decode(r, ft_buf_slice(&b), &back) == 0)
            ft_record_fini(&back);
    }
    ft_record_fini(&a);
}

TEST(a_slim_copy_asks_to_be_told_again)
{
    CLEANUP(ft_registry_freep) struct ft_registry *r = NULL;
    OK(ft_registry_new(&r));
    struct ft_agent a = a_full_one(r), copy;

    ft_record_copy_locked(&a, &copy);
    ft_record_slim(&copy);
    TRUE(!copy.effective && !copy.description);
    EQ(copy.bits & (FT_AGENT_STATE_KNOWN | FT_AGENT_HAS_EFFECTIVE), 0);
    TRUE(copy.bits & FT_AGENT_HAS_REPORTED);
    TRUE(rn_slice_eq_str(ft_blob_slice(a.effective), "what I run"));
    ft_record_fini(&copy);
    ft_record_fini(&a);
}

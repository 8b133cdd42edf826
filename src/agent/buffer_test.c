#include "buffer.h"

#include <string.h>

#include <base/cleanup.h>
#include <harness/test.h>

static struct ft_sample sample(const char *cmd)
{
    return (struct ft_sample){
        .timestamp_ms = 1, .process_name = rn_slice_str("p"), .cmd = rn_slice_str(cmd), .pid = 7};
}

static void add(struct ft_buffer *b, size_t n)
{
    struct ft_sample s = sample("x");

    while (n--)
        OK(ft_buffer_add(b, &s));
}

/* The numbers that a message carries. */
static int sends(struct ft_buffer *b, size_t bytes_max, uint64_t *first, uint64_t *last)
{
    CLEANUP(ft_buf_fini) struct ft_buf out = FT_BUF_INIT(1 << 20);
    const struct ft_uuid boot = {{1}};
    struct ft_metrics m;
    int n = ft_buffer_encode_unsent(b, &boot, bytes_max, &out);

    if (n <= 0)
        return n;
    OK(ft_metrics_decode(ft_buf_slice(&out), &m, NULL));
    *first = m.first_seq;
    *last = m.last_seq;
    EQ(m.count, n);
    return n;
}

TEST(samples_are_numbered_from_one_and_sent_once)
{
    CLEANUP(ft_buffer_fini) struct ft_buffer b = {0};
    uint64_t first = 0, last = 0;

    OK(ft_buffer_init(&b, 10, 1 << 20));
    EQ(sends(&b, 1 << 20, &first, &last), 0);
    add(&b, 3);
    EQ(sends(&b, 1 << 20, &first, &last), 3);
    EQ(first, 1);
    EQ(last, 3);
    EQ(sends(&b, 1 << 20, &first, &last), 0);
    add(&b, 1);
    EQ(sends(&b, 1 << 20, &first, &last), 1);
    EQ(first, 4);
}

TEST(a_new_connection_sends_again_what_is_not_acknowledged)
{
    CLEANUP(ft_buffer_fini) struct ft_buffer b = {0};
    uint64_t first = 0, last = 0;

    OK(ft_buffer_init(&b, 10, 1 << 20));
    add(&b, 5);
    EQ(sends(&b, 1 << 20, &first, &last), 5);
    ft_buffer_ack(&b, 2);
    EQ(b.n, 3);
    ft_buffer_ack(&b, 1);
    ft_buffer_ack(&b, 99);
    EQ(b.n, 3);
    ft_buffer_rewind(&b);
    EQ(sends(&b, 1 << 20, &first, &last), 3);
    EQ(first, 3);
    ft_buffer_ack(&b, 5);
    EQ(b.n, 0);
    EQ(b.bytes, 0);
    ft_buffer_rewind(&b);
    FALSE(ft_buffer_has_unsent(&b));
}

TEST(a_full_buffer_gives_up_its_oldest)
{
    CLEANUP(ft_buffer_fini) struct ft_buffer b = {0};
    uint64_t first = 0, last = 0;

    OK(ft_buffer_init(&b, 4, 1 << 20));
    add(&b, 10);
    EQ(b.n, 4);
    EQ(b.dropped, 6);
    EQ(sends(&b, 1 << 20, &first, &last), 4);
    EQ(first, 7);
    EQ(last, 10);
}

TEST(the_bytes_are_bounded_too)
{
    CLEANUP(ft_buffer_fini) struct ft_buffer b = {0};
    char text[1001];
    struct ft_sample s;

    memset(text, 'x', 1000);
    text[1000] = '\0';
    s = sample(text);
    OK(ft_buffer_init(&b, 1000, 10000));
    for (int i = 0; i < 100; i++)
        OK(ft_buffer_add(&b, &s));
    LE(b.bytes, 10000);
    GT(b.n, 5);
    EQ(b.dropped, 100 - b.n);
    b.bytes_max = 100;
    ERR(ft_buffer_add(&b, &s), ENOMEM);
}

TEST(a_message_is_bounded_and_the_rest_follows)
{
    CLEANUP(ft_buffer_fini) struct ft_buffer b = {0};
    uint64_t first = 0, last = 0, seen = 0;

    OK(ft_buffer_init(&b, 100, 1 << 20));
    add(&b, 100);
    while (ft_buffer_has_unsent(&b)) {
        GT(sends(&b, 200, &first, &last), 0);
        EQ(first, seen + 1);
        seen = last;
    }
    EQ(seen, 100);
}

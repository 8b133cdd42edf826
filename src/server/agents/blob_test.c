#include "agents/blob.h"

#include <harness/test.h>

#include <pthread.h>
#include <stdio.h>

static struct ft_blob *intern(struct ft_blobs *t, const char *text)
{
    struct ft_blob *b;

    OK(ft_blob_intern(t, rn_slice_str(text), &b));
    return b;
}

TEST(equal_bytes_are_one_blob)
{
    struct ft_blobs *t;

    OK(ft_blobs_new(&t));
    struct ft_blob *a = intern(t, "web-1"), *b = intern(t, "web-1"), *other = intern(t, "web-2");
    TRUE(a == b && a != other);
    EQ(a->len, 5);
    TRUE(rn_slice_eq_str(ft_blob_slice(a), "web-1"));
    ft_blob_unref(a);
    TRUE(rn_slice_eq_str(ft_blob_slice(b), "web-1"));
    ft_blob_unref(b);
    ft_blob_unref(other);
    ft_blobs_free(t);
}

TEST(a_blob_goes_with_its_last_user_and_may_come_again)
{
    struct ft_blobs *t;

    OK(ft_blobs_new(&t));
    for (int i = 0; i < 100; i++) {
        struct ft_blob *b = intern(t, "x");
        EQ(b->refs, 1);
        ft_blob_unref(ft_blob_ref(b));
        EQ(b->refs, 1);
        ft_blob_unrefp(&b);
        TRUE(b == NULL);
    }
    ft_blobs_free(t); /* which asserts that none is left */
}

TEST(no_bytes_are_no_blob)
{
    struct ft_blobs *t;
    struct ft_blob *b = (struct ft_blob *)&t;

    OK(ft_blobs_new(&t));
    OK(ft_blob_intern(t, (struct rn_slice){0}, &b));
    TRUE(b == NULL && ft_blob_unref(NULL) == NULL && ft_blob_ref(NULL) == NULL);
    EQ(ft_blob_slice(NULL).len, 0);
    ft_blobs_free(t);
}

TEST(too_many_bytes_are_refused_before_they_are_read)
{
    struct ft_blobs *t;
    struct ft_blob *b;

    OK(ft_blobs_new(&t));
    ERR(ft_blob_intern(t, rn_slice("", FT_BLOB_BYTES_MAX + 1), &b), E2BIG);
    ft_blobs_free(t);
}

TEST(many_contents_are_told_apart)
{
    enum { N = 50000 };
    static struct ft_blob *blobs[N];
    struct ft_blobs *t;
    char text[32];

    OK(ft_blobs_new(&t));
    for (int i = 0; i < N; i++) {
        snprintf(text, sizeof(text), "content number %d", i);
        blobs[i] = intern(t, text);
    }
    for (int i = 0; i < N; i++) {
        snprintf(text, sizeof(text), "content number %d", i);
        struct ft_blob *again = intern(t, text);
        TRUE(again == blobs[i]);
        ft_blob_unref(again);
    }
    for (int i = 0; i < N; i++)
        ft_blob_unref(blobs[i]);
    ft_blobs_free(t);
}

static void *come_and_go(void *arg)
{
    struct ft_blobs *t = arg;

    for (int i = 0; i < 20000; i++) {
        struct ft_blob *b = intern(t, i % 3 ? "shared by all" : "and another");
        if (b->len < 11)
            FAIL("not what was asked for");
        ft_blob_unref(b);
    }
    return NULL;
}

TEST(threads_that_find_and_drop_the_same_blob_do_not_meet_a_dead_one)
{
    pthread_t threads[4];
    struct ft_blobs *t;

    test_heap_allow(64 * 1024); /* what glibc keeps for threads */
    OK(ft_blobs_new(&t));
    for (int i = 0; i < 4; i++)
        EQ(pthread_create(&threads[i], NULL, come_and_go, t), 0);
    for (int i = 0; i < 4; i++)
        EQ(pthread_join(threads[i], NULL), 0);
    ft_blobs_free(t);
}

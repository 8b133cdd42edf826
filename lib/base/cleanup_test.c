#include <base/cleanup.h>

#include <fcntl.h>
#include <string.h>

#include <harness/test.h>

static int freed;

static void count_free(char *p)
{
    freed++;
    free(p);
}
DEFINE_TRIVIAL_CLEANUP(char *, count_free);

TEST(leaving_a_scope_cleans_up_once)
{
    {
        CLEANUP(count_freep) char *p = strdup("x");
        CLEANUP(count_freep) char *none = NULL;

        TRUE(p != NULL && none == NULL);
    }
    EQ(freed, 1);
}

static char *made(void)
{
    CLEANUP(count_freep) char *p = strdup("taken");

    return TAKE(p);
}

TEST(a_taken_pointer_survives)
{
    CLEANUP(freep) char *p = made();

    STREQ(p, "taken");
    EQ(freed, 0);
}

TEST(a_descriptor_is_closed_unless_taken)
{
    int kept, closed;

    {
        CLEANUP(closep) int a = (int)OK(open("/dev/null", O_RDONLY | O_CLOEXEC));
        CLEANUP(closep) int b = (int)OK(open("/dev/null", O_RDONLY | O_CLOEXEC));
        CLEANUP(closep) int none = -1;

        closed = a;
        kept = TAKE_FD(b);
        EQ(b, -1);
        EQ(none, -1);
    }
    EQ(fcntl(closed, F_GETFD), -1);
    OK(fcntl(kept, F_GETFD));
    OK(close(kept));
}

#include "exporter/testing.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <runnel/task.h>

#include "exporter/json.h"

static struct rig *rig_at(const char *path)
{
    const struct ft_file_settings settings = {.head = {.name = "out"}, .path = path};

    return rig_new(&ft_exporter_file, &settings);
}

static char *read_all(const char *path)
{
    static char text[1 << 22];
    FILE *f = fopen(path, "r");

    if (!f)
        FAIL("%s cannot be read", path);
    text[fread(text, 1, sizeof(text) - 1, f)] = 0;
    (void)fclose(f);
    return text;
}

static void write_all(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    (void)fputs(text, f);
    (void)fclose(f);
}

/* Every line ends, and is an object from its first field to its last. Returns how many. */
static size_t whole_lines(const char *text)
{
    size_t n = 0;

    for (const char *end; *text; text = end + 1, n++) {
        end = strchr(text, '\n');
        if (!end || end[-1] != '}' || strncmp(text, "{\"agent_id\":\"", 13) != 0)
            FAIL("line %zu is torn: %.*s", n + 1, end ? (int)(end - text) : 60, text);
    }
    return n;
}

TEST(a_sample_is_one_line_with_the_names_of_the_contract)
{
    CLEANUP(ft_buf_fini) struct ft_buf b = FT_BUF_INIT(65536);
    struct rig *g = rig_at("-");
    struct ft_sample s[2] = {rig_sample(1), rig_sample(2)};

    s[1].cmd = rn_slice("a\"b\\c\n\t\x01"
                        "d\xc3\xa9",
                        11);
    s[1].cpu_usage_rate = 1.0 / 3;
    s[1].send_lines = UINT64_MAX;
    rig_add(g, s, 2);
    OK(ft_json_add_sample(&b, &g->rows[0]));
    OK(ft_buf_add_byte(&b, '\n'));
    OK(ft_json_add_sample(&b, &g->rows[1]));
    OK(ft_buf_add_byte(&b, 0));
    STREQ((const char *)b.data,
          "{\"agent_id\":\"00000000-0001-7100-8000-000000000000\",\"boot_id\":\"00000000-0002-7200-"
          "8000-000000000000\","
          "\"seq\":1,\"timestamp\":1700000000001,\"process_name\":\"shipper\",\"host_name\":\"web-"
          "1\",\"ip\":\"10.0.0.1\","
          "\"pid\":42,\"cmd\":\"./shipper --config \\\"a "
          "b\\\"\",\"cpu_usage_rate\":null,\"mem_usage\":1048576,\"send_lines\":1}\n"
          "{\"agent_id\":\"00000000-0001-7100-8000-000000000000\",\"boot_id\":\"00000000-0002-7200-"
          "8000-000000000000\","
          "\"seq\":2,\"timestamp\":1700000000002,\"process_name\":\"shipper\",\"host_name\":\"web-"
          "1\",\"ip\":\"10.0.0.1\","
          "\"pid\":42,\"cmd\":\"a\\\"b\\\\c\\n\\t\\u0001d\xc3\xa9\",\"cpu_usage_rate\":0."
          "3333333333333333,\"mem_usage\":1048576,"
          "\"send_lines\":18446744073709551615}");
    rig_free(g);
}

TEST(doubles_are_short_and_read_back_as_the_same)
{
    static const struct {
        double v;
        const char *text;
    } cases[] = {{0, "0"},     {1, "1"},          {0.1, "0.1"},
                 {2.5, "2.5"}, {1e300, "1e+300"}, {0.30000000000000004, "0.30000000000000004"}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        CLEANUP(ft_buf_fini) struct ft_buf b = FT_BUF_INIT(100);

        OK(ft_json_add_double(&b, cases[i].v));
        OK(ft_buf_add_byte(&b, 0));
        STREQ((const char *)b.data, cases[i].text);
    }
}

/* Every bit pattern: the largest, the smallest, those below the normal ones, the zero with a sign.
 */
TEST(any_double_reads_back_bit_by_bit)
{
    static const uint64_t edges[] = {0x8000000000000000, 1,
                                     0x000fffffffffffff, 0x0010000000000000,
                                     0x7fefffffffffffff, 0xffefffffffffffff,
                                     0x4340000000000001};
    uint64_t random = 1, bits, back;
    double v;

    for (size_t i = 0; i < test_tasks(100000); i++) {
        CLEANUP(ft_buf_fini) struct ft_buf b = FT_BUF_INIT(100);

        random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        bits = i < sizeof(edges) / sizeof(*edges) ? edges[i] : random ^ random >> 32;
        memcpy(&v, &bits, sizeof(v));
        if ((bits >> 52 & 0x7ff) == 0x7ff) /* not finite: never a sample's */
            continue;
        OK(ft_json_add_double(&b, v));
        OK(ft_buf_add_byte(&b, 0));
        v = strtod((const char *)b.data, NULL);
        memcpy(&back, &v, sizeof(back));
        EQ(back, bits);
    }
}

TEST(integers_are_decimal_to_their_ends)
{
    CLEANUP(ft_buf_fini) struct ft_buf b = FT_BUF_INIT(1000);

    OK(ft_json_add_u64(&b, "", 0));
    OK(ft_json_add_u64(&b, ",", UINT64_MAX));
    OK(ft_json_add_i64(&b, ",", 0));
    OK(ft_json_add_i64(&b, ",", -1));
    OK(ft_json_add_i64(&b, ",", INT64_MAX));
    OK(ft_json_add_i64(&b, ",", INT64_MIN));
    OK(ft_buf_add_byte(&b, 0));
    STREQ((const char *)b.data,
          "0,18446744073709551615,0,-1,9223372036854775807,-9223372036854775808");
}

TEST(lines_are_appended_to_what_is_there)
{
    struct rig *g = rig_at("samples.jsonl");

    OK(rig_open(g));
    rig_fill(g, 1, 3);
    OK(rig_send(g, RN_FOREVER));
    EQ(rig_count(g, FT_VERDICT_OK), 3);
    rig_free(g);
    g = rig_at("samples.jsonl");
    OK(rig_open(g));
    rig_fill(g, 4, 2);
    OK(rig_send(g, RN_FOREVER));
    EQ(whole_lines(read_all(rig_path("samples.jsonl"))), 5);
    rig_free(g);
}

TEST(a_line_that_a_crash_left_torn_is_cut_off_at_the_next_start)
{
    struct rig *g = rig_at("samples.jsonl");
    char torn[100];

    OK(rig_open(g));
    rig_fill(g, 1, 2);
    OK(rig_send(g, RN_FOREVER));
    rig_free(g);
    for (size_t len = 1; len < 40; len += 6) {
        (void)snprintf(torn, sizeof(torn), "%.*s", (int)len,
                       "{\"agent_id\":\"00000000-0001-7100-8000-000000000000\"");
        FILE *f = fopen(rig_path("samples.jsonl"), "a");
        (void)fputs(torn, f);
        (void)fclose(f);
        g = rig_at("samples.jsonl");
        OK(rig_open(g));
        EQ(whole_lines(read_all(rig_path("samples.jsonl"))), 2);
        rig_free(g);
    }
}

TEST(a_last_line_of_somebody_else_gets_its_newline)
{
    struct rig *g = rig_at("samples.jsonl");

    write_all(rig_path("samples.jsonl"), "# hand-made");
    OK(rig_open(g));
    rig_fill(g, 1, 1);
    OK(rig_send(g, RN_FOREVER));
    EQ(strncmp(read_all(rig_path("samples.jsonl")), "# hand-made\n{", 13), 0);
    rig_free(g);
}

TEST(a_full_disk_leaves_no_torn_line_and_passes_when_there_is_space)
{
    struct rig *g = rig_at("disk/samples.jsonl");

    small_disk_mount("256k");
    OK(rig_open(g));
    rig_fill(g, 1, 10);
    OK(rig_send(g, RN_FOREVER));
    rig_fill(g, 11, 4000); /* more than the disk */
    ERR(rig_send(g, RN_FOREVER), ENOSPC);
    EQ(rig_count(g, FT_VERDICT_HOLD), 4000);
    TRUE(strstr(ft_answer_reason(&g->answer, 0),
                "disk/samples.jsonl: No space left on device: free space on its file system"));
    EQ(whole_lines(read_all(rig_path("disk/samples.jsonl"))), 10);
    small_disk_fill();
    rig_fill(g, 11, 100);
    ERR(rig_send(g, RN_FOREVER), ENOSPC);
    EQ(whole_lines(read_all(rig_path("disk/samples.jsonl"))), 10);
    small_disk_free();
    OK(rig_send(g, RN_FOREVER));
    EQ(whole_lines(read_all(rig_path("disk/samples.jsonl"))), 110);
    rig_free(g);
}

TEST(a_rotated_file_is_left_and_a_new_one_begun)
{
    struct rig *g = rig_at("samples.jsonl");
    char moved[600];

    OK(rig_open(g));
    rig_fill(g, 1, 3);
    OK(rig_send(g, RN_FOREVER));
    (void)snprintf(moved, sizeof(moved), "%s", rig_path("samples.jsonl.1"));
    OK(rename(rig_path("samples.jsonl"), moved));
    rig_fill(g, 4, 2);
    OK(rig_send(g, RN_FOREVER));
    EQ(whole_lines(read_all(moved)), 3);
    EQ(whole_lines(read_all(rig_path("samples.jsonl"))), 2);
    rig_free(g);
}

TEST(two_servers_do_not_share_a_file)
{
    struct rig *a = rig_at("samples.jsonl"), *b = rig_at("samples.jsonl");

    OK(rig_open(a));
    ERR(rig_open(b), EAGAIN);
    TRUE(strstr(b->error.text, "another process has locked it"));
    rig_free(a);
    OK(rig_open(b));
    rig_free(b);
}

TEST(a_folder_that_is_missing_is_named)
{
    struct rig *g = rig_at("nowhere/samples.jsonl");

    ERR(rig_open(g), ENOENT);
    STREQ(g->error.text, "nowhere/samples.jsonl: No such file or directory: create its folder");
    rig_free(g);
}

/* ---- stdout and pipes ----------------------------------------------------------------------- */

/* stdout becomes a pipe; returns its reading end. */
static int stdout_pipe(int *ret_saved)
{
    int fds[2];

    OK(pipe2(fds, O_CLOEXEC));
    *ret_saved = dup(STDOUT_FILENO);
    OK(dup2(fds[1], STDOUT_FILENO));
    (void)close(fds[1]);
    return fds[0];
}

static void stdout_restore(int saved)
{
    OK(dup2(saved, STDOUT_FILENO));
    (void)close(saved);
}

static char received[1 << 22];

static size_t read_some(int fd, size_t have)
{
    const ssize_t n = read(fd, received + have, sizeof(received) - 1 - have);

    OK(n);
    received[have + (size_t)n] = 0;
    return (size_t)n;
}

TEST(a_dash_is_stdout)
{
    struct rig *g = rig_at("-");
    int saved, fd = stdout_pipe(&saved);

    OK(rig_open(g));
    rig_fill(g, 1, 5);
    OK(rig_send(g, RN_FOREVER));
    EQ(rig_count(g, FT_VERDICT_OK), 5);
    stdout_restore(saved);
    while (read_some(fd, strlen(received)) > 0)
        ;
    EQ(whole_lines(received), 5);
    (void)close(fd);
    rig_free(g);
}

TEST(a_reader_that_stands_still_ends_a_send_at_its_deadline_and_gets_whole_lines_later)
{
    struct rig *g = rig_at("-");
    int saved, fd = stdout_pipe(&saved);
    size_t taken = 0, have = 0;

    OK(rig_open(g));
    rig_fill(g, 1, 3000); /* more than a pipe holds */
    ERR(rig_send(g, rn_after(20 * RN_MS)), ETIMEDOUT);
    taken = rig_count(g, FT_VERDICT_OK);
    TRUE(taken > 0 && taken < 3000);
    EQ(rig_count(g, FT_VERDICT_RETRY), 3000 - taken);
    while (taken < 3000) {
        have += read_some(fd, have);
        rig_fill(g, taken + 1, 3000 - taken); /* as the lane does */
        (void)rig_send(g, rn_after(RN_MS));
        taken += rig_count(g, FT_VERDICT_OK);
    }
    for (int i = 0; i < 100 && rig_send(g, rn_after(RN_MS)) < 0;
         i++) /* the rest of the last line */
        have += read_some(fd, have);
    stdout_restore(saved);
    for (size_t n; (n = read_some(fd, have)) > 0;)
        have += n;
    GE(whole_lines(received), 3000);
    (void)close(fd);
    rig_free(g);
}

TEST(a_reader_that_has_gone_is_a_hold)
{
    struct rig *g = rig_at("-");
    int saved, fd = stdout_pipe(&saved);

    (void)signal(SIGPIPE, SIG_IGN); /* the pool's threads block it */
    (void)close(fd);
    OK(rig_open(g));
    rig_fill(g, 1, 5);
    ERR(rig_send(g, RN_FOREVER), EPIPE);
    EQ(rig_count(g, FT_VERDICT_HOLD), 5);
    STREQ(ft_answer_reason(&g->answer, 0),
          "stdout: Broken pipe: nobody reads it: start its reader");
    stdout_restore(saved);
    rig_free(g);
}

TEST(a_fifo_without_a_reader_is_no_wait)
{
    struct rig *g = rig_at("fifo");
    int fd;

    OK(mkfifo(rig_path("fifo"), 0600));
    ERR(rig_open(g), ENXIO);
    fd = open(rig_path("fifo"), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    OK(fd);
    OK(rig_open(g));
    rig_fill(g, 1, 2);
    OK(rig_send(g, rn_after(RN_S)));
    received[0] = 0;
    (void)read_some(fd, 0);
    EQ(whole_lines(received), 2);
    (void)close(fd);
    rig_free(g);
}

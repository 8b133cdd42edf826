/* The log is read back: as text by eye, as JSON by a parser that this project did not write. */
#include <base/log.h>

#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <harness/test.h>

/* stderr goes to a file in memory between begin and end. */
static int  saved_stderr = -1;
static int  captured = -1;
static char text[1 << 20];

static void capture_begin(void)
{
    captured = (int)OK(memfd_create("log", MFD_CLOEXEC));
    saved_stderr = (int)OK(fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10));
    OK(fcntl(captured, F_SETFL, O_APPEND));
    OK(dup2(captured, STDERR_FILENO));
}

static const char *capture_end(void)
{
    OK(dup2(saved_stderr, STDERR_FILENO));
    text[OK(pread(captured, text, sizeof(text) - 1, 0))] = '\0';
    close(saved_stderr);
    close(captured);
    return text;
}

/* One JSON line, parsed; the caller releases. */
static json_t *parse_one(const char *line)
{
    json_error_t error;
    json_t *root = json_loads(line, JSON_REJECT_DUPLICATES, &error);

    if (!root)
        FAIL("%s\n%s", error.text, line);
    return root;
}

TEST(text_lines_have_time_level_message_and_fields)
{
    const char *line;

    capture_begin();
    log_info("agent connected", LOG_STR("agent", "web-1"), LOG_INT("protocol", -1), LOG_UINT("max", UINT64_MAX),
             LOG_BOOL("tls", true), LOG_ERR(-EPIPE), LOG_FLOAT("load", 0.5));
    line = capture_end();
    EQ(line[strlen("2024-03-01T12:00:00.123")], 'Z');
    STREQ(line + strlen("2024-03-01T12:00:00.123Z"),
          " info  agent connected agent=web-1 protocol=-1 max=18446744073709551615 tls=true error=\"Broken pipe\""
          " load=0.5\n");
}

TEST(lines_below_the_level_are_not_written)
{
    enum log_level level;

    OK(log_level_parse("warn", &level));
    log_setup(LOG_TEXT, level);
    capture_begin();
    log_debug("no");
    log_info("no", LOG_INT("n", 1));
    log_infof("no %d", 1);
    log_warnf("yes %d", 2);
    log_error("yes");
    capture_end();
    TRUE(!strstr(text, "no") && strstr(text, "warn  yes 2\n") && strstr(text, "error yes\n"));
}

TEST(names_of_levels_and_formats_are_judged)
{
    enum log_level level = LOG_DEBUG;
    enum log_format format = LOG_TEXT;

    ERR(log_level_parse("loud", &level), EINVAL);
    ERR(log_level_parse(NULL, &level), EINVAL);
    ERR(log_format_parse("xml", &format), EINVAL);
    EQ(level, LOG_DEBUG);
    OK(log_format_parse("json", &format));
    EQ(format, LOG_JSON);
}

TEST(control_characters_cannot_forge_a_line)
{
    const char *line;

    capture_begin();
    log_warn("from a peer\nerror forged", LOG_STR("name", "a\r\n\x1b[31mred \"x\"\\"), LOG_STR("gone", NULL),
             LOG_STRN("part", "abcdef", 3), LOG_STR("empty", ""), LOG_STR("c1", "\xc2\x9b"));
    line = capture_end();
    TRUE(strstr(line, "from a peer\\nerror forged name=\"a\\r\\n\\u001b[31mred \\\"x\\\"\\\\\" gone=(null) part=abc"
                      " empty=\"\" c1=\"\\u009b\"\n"));
}

TEST(json_lines_carry_every_byte_that_is_text)
{
    char all[256];
    json_t *root;

    log_setup(LOG_JSON, LOG_DEBUG);
    for (int i = 0; i < 255; i++)
        all[i] = (char)(i + 1);
    all[255] = '\0';
    capture_begin();
    log_debug("caf\xc3\xa9 \"\n\"", LOG_STR("all", all), LOG_FLOAT("nan", NAN), LOG_STR("null", NULL),
              LOG_INT("min", INT64_MIN), LOG_BOOL("off", false));
    root = parse_one(capture_end());
    STREQ(json_string_value(json_object_get(root, "msg")), "caf\xc3\xa9 \"\n\"");
    STREQ(json_string_value(json_object_get(root, "level")), "debug");
    TRUE(json_is_null(json_object_get(root, "nan")) && json_is_null(json_object_get(root, "null")));
    TRUE(json_is_false(json_object_get(root, "off")));
    EQ(json_integer_value(json_object_get(root, "min")), INT64_MIN);
    MEMEQ(json_string_value(json_object_get(root, "all")), all, 0x7f);
    json_decref(root);
}

TEST(a_long_line_is_cut_and_says_so)
{
    CLEANUP(freep) char *big = malloc(100000);
    json_t *root;

    TRUE(big != NULL);
    memset(big, '"', 99999);
    big[99999] = '\0';
    log_setup(LOG_JSON, LOG_INFO);

    capture_begin();
    log_info("short", LOG_INT("first", 1), LOG_STR("big", big), LOG_INT("after", 2));
    root = parse_one(capture_end());
    EQ(json_integer_value(json_object_get(root, "first")), 1);
    TRUE(json_is_true(json_object_get(root, "cut")));
    TRUE(!json_object_get(root, "big"));
    json_decref(root);

    capture_begin();
    log_info(big, LOG_INT("after", 2));
    root = parse_one(capture_end());
    TRUE(json_is_true(json_object_get(root, "cut")));
    TRUE(json_string_length(json_object_get(root, "msg")) > 1000);
    json_decref(root);
}

static void *writer(void *arg)
{
    const size_t n = test_tasks(500);

    for (size_t i = 0; i < n; i++)
        log_info("from a thread", LOG_STR("who", arg), LOG_UINT("i", i));
    return NULL;
}

TEST(lines_of_several_threads_do_not_mix)
{
    static char names[8][100];
    pthread_t threads[8];
    size_t lines = 0;

    test_heap_allow(64 * 1024);
    log_setup(LOG_JSON, LOG_INFO);
    capture_begin();
    for (int i = 0; i < 8; i++) {
        memset(names[i], 'a' + i, sizeof(names[i]) - 1);
        EQ(pthread_create(&threads[i], NULL, writer, names[i]), 0);
    }
    for (int i = 0; i < 8; i++)
        EQ(pthread_join(threads[i], NULL), 0);
    capture_end();
    for (char *p = text, *end; (end = strchr(p, '\n')); p = end + 1, lines++) {
        *end = '\0';
        json_decref(parse_one(p));
    }
    EQ(lines, 8 * test_tasks(500));
    EQ(log_lost(), 0);
}

TEST(a_line_that_cannot_be_written_is_counted)
{
    CLEANUP(closep) int full = (int)OK(open("/dev/full", O_WRONLY | O_CLOEXEC));

    capture_begin();
    OK(dup2(full, STDERR_FILENO));
    log_error("lost");
    capture_end();
    EQ(log_lost(), 1);
}

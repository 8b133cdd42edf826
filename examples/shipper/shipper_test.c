/* The shipper from outside: what comes out of it, on which signal, and how it ends. */
#include <harness/test.h>

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static const char *path(const char *name)
{
    static char paths[4][512];
    static int turn;
    char *out = paths[turn++ % 4];

    (void)snprintf(out, sizeof(paths[0]), "%s/%s", test_dir(), name);
    return out;
}

static void put(const char *name, const char *mode, const char *text)
{
    FILE *f = fopen(path(name), mode);

    TRUE(f != NULL);
    TRUE(fputs(text, f) >= 0);
    EQ(fclose(f), 0);
}

static void config(const char *rest)
{
    char text[1024];

    (void)snprintf(text, sizeof(text), "# a comment\npath = %s\n%s", path("log"), rest);
    put("conf", "we", text);
}

static bool file_is(const char *name, const char *want)
{
    char text[4096] = "";
    FILE *f = fopen(path(name), "re");

    if (!f)
        return false;
    text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
    (void)fclose(f);
    return strcmp(text, want) == 0;
}

static bool says(const char *name, const char *part)
{
    char text[4096] = "";
    FILE *f = fopen(path(name), "re");

    TRUE(f != NULL);
    text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
    (void)fclose(f);
    return strstr(text, part) != NULL;
}

static pid_t start(void)
{
    const char *program = getenv("SHIPPER");
    posix_spawn_file_actions_t actions;
    pid_t pid;

    if (!program)
        SKIP("SHIPPER does not name the program");
    char *argv[] = {(char *)program, (char *)"--config", (char *)path("conf"), NULL};
    EQ(posix_spawn_file_actions_init(&actions), 0);
    EQ(posix_spawn_file_actions_addopen(&actions, 1, path("out"), O_WRONLY | O_CREAT | O_TRUNC,
                                        0600),
       0);
    EQ(posix_spawn_file_actions_addopen(&actions, 2, path("err"), O_WRONLY | O_CREAT | O_TRUNC,
                                        0600),
       0);
    EQ(posix_spawn(&pid, program, &actions, NULL, argv, environ), 0);
    EQ(posix_spawn_file_actions_destroy(&actions), 0);
    return pid;
}

static int ends(pid_t pid)
{
    int status;

    EQ(waitpid(pid, &status, 0), pid);
    TRUE(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void stop(pid_t pid)
{
    EQ(kill(pid, SIGTERM), 0);
    EQ(ends(pid), 0);
}

TEST(matching_lines_come_out_also_of_a_file_that_comes_later)
{
    config("match = ^keep [0-9]+$\n");
    pid_t pid = start();
    put("log", "we", "keep 1\nlose\nkeep x\nkeep 22\nkeep 3");
    UNTIL(file_is("out", "keep 1\nkeep 22\n"));
    put("log", "ae", "33\n");
    UNTIL(file_is("out", "keep 1\nkeep 22\nkeep 333\n"));
    stop(pid);
}

TEST(hup_takes_up_a_new_rule_and_goes_on_where_it_was)
{
    config("contains = a\n");
    put("log", "we", "a1\nb1\n");
    pid_t pid = start();
    UNTIL(file_is("out", "a1\n"));
    config("contains = b\n");
    EQ(kill(pid, SIGHUP), 0);
    /* The signal and what is appended now are not ordered, so append until it is taken. */
    UNTIL((put("log", "ae", "b2\n"), says("out", "b2\n")));
    FALSE(says("out", "b1\n"));
    stop(pid);
}

TEST(truncation_and_rotation_are_followed)
{
    config("");
    put("log", "we", "a long first line\n");
    pid_t pid = start();
    UNTIL(file_is("out", "a long first line\n"));
    put("log", "we", "short\n");
    UNTIL(file_is("out", "a long first line\nshort\n"));
    EQ(rename(path("log"), path("log.1")), 0);
    put("log.1", "ae", "late\n");
    put("log", "we", "new\n");
    UNTIL(file_is("out", "a long first line\nshort\nlate\nnew\n"));
    stop(pid);
}

TEST(a_wrong_configuration_ends_it_with_2_and_a_clear_word)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"pth = x\n", "conf:1: unknown key \"pth\": write path, contains or match"},
        {"path = x\nmatch = (\n", "conf:2: match: \"(\" is not a regular expression"},
        {"path = x\npath = y\n", "conf:2: path stands twice"},
        {"path =\n", "conf:1: path has no value"},
        {"nonsense\n", "conf:1: \"nonsense\" is not `key = value`"},
        {"# nothing\n", "conf: path is missing"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        test_note("%s", cases[i].text);
        put("conf", "we", cases[i].text);
        EQ(ends(start()), 2);
        TRUE(says("err", cases[i].says));
    }
    EQ(unlink(path("conf")), 0);
    EQ(ends(start()), 2);
    TRUE(says("err", "No such file or directory: write a configuration file"));
}

TEST(a_wrong_configuration_on_hup_ends_it_too)
{
    config("");
    put("log", "we", "one\n");
    pid_t pid = start();
    UNTIL(file_is("out", "one\n"));
    put("conf", "we", "broken\n");
    EQ(kill(pid, SIGHUP), 0);
    EQ(ends(pid), 2);
    TRUE(says("err", "shipper: "));
}

#include "api/api.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <harness/test.h>

#include <base/cleanup.h>

static const char *token_path(void)
{
    static char path[256];

    snprintf(path, sizeof(path), "%s/admin-token", test_dir());
    return path;
}

static void write_token(const char *text)
{
    CLEANUP(fclosep) FILE *f = fopen(token_path(), "w");

    fputs(text, f);
}

TEST(a_token_is_made_once_for_its_owners_eyes)
{
    char token[FT_TOKEN_SIZE], again[FT_TOKEN_SIZE];
    struct ft_text_error error;
    struct stat st;

    umask(0);
    OK(ft_api_token(token_path(), token, &error));
    EQ(strlen(token), 64);
    EQ(strspn(token, "0123456789abcdef"), 64);
    OK(stat(token_path(), &st));
    EQ(st.st_mode & 07777, 0600);
    EQ(st.st_size, 65);
    OK(ft_api_token(token_path(), again, &error));
    STREQ(token, again);
    OK(unlink(token_path()));
    OK(ft_api_token(token_path(), again, &error));
    NE(strcmp(token, again), 0);
}

TEST(a_token_of_the_operators_own_is_taken)
{
    char token[FT_TOKEN_SIZE];
    struct ft_text_error error;

    write_token("0123456789abcdef\r\n");
    OK(ft_api_token(token_path(), token, &error));
    STREQ(token, "0123456789abcdef");
}

TEST(a_token_that_is_too_short_or_too_long_is_refused)
{
    char token[FT_TOKEN_SIZE], longest[2 * FT_TOKEN_SIZE];
    struct ft_text_error error;

    write_token("");
    ERR(ft_api_token(token_path(), token, &error), EINVAL);
    write_token("short\n");
    ERR(ft_api_token(token_path(), token, &error), EINVAL);
    TRUE(strstr(error.text, token_path()) != NULL);
    memset(longest, 'x', sizeof(longest));
    longest[sizeof(longest) - 1] = '\0';
    write_token(longest); /* cut, it would be another one */
    ERR(ft_api_token(token_path(), token, &error), EINVAL);
}

TEST(what_a_crash_left_half_done_does_not_matter)
{
    char token[FT_TOKEN_SIZE], half[300];
    struct ft_text_error error;

    snprintf(half, sizeof(half), "%s.new", token_path());
    CLEANUP(closep) int fd = open(half, O_WRONLY | O_CREAT, 0666);
    OK(fd);
    OK(ft_api_token(token_path(), token, &error));
    EQ(strlen(token), 64);
    TRUE(access(half, F_OK) < 0);
}

TEST(a_folder_that_cannot_be_written_is_told_with_its_path)
{
    char token[FT_TOKEN_SIZE];
    struct ft_text_error error;

    ERR(ft_api_token("/proc/nothing/admin-token", token, &error), ENOENT);
    TRUE(strstr(error.text, "/proc/nothing/admin-token") != NULL);
}

#include "exporter/testing.h"

#include <sys/stat.h>

#include "exporter/secret.h"

static const char *put(const char *text, size_t n)
{
    const char *path = rig_path("secret");
    FILE *f = fopen(path, "w");

    TRUE(f != NULL);
    EQ(fwrite(text, 1, n, f), n);
    (void)fclose(f);
    return path;
}

TEST(a_secret_is_read_without_the_blanks_around_it)
{
    struct ft_text_error e;
    char *secret;

    OK(ft_secret_read(put("  s3cr et\r\n\n", 12), &secret, &e));
    STREQ(secret, "s3cr et");
    (void)ft_secret_free(secret);
}

TEST(a_secret_that_cannot_be_read_names_its_file_and_what_to_do_and_none_of_its_contents)
{
    struct ft_text_error e;
    char *secret, big[FT_SECRET_MAX + 10];
    char wanted[700];

    (void)snprintf(wanted, sizeof(wanted),
                   "%s: No such file or directory: write the secret there, readable for fettled "
                   "and nobody else",
                   rig_path("secret"));
    ERR(ft_secret_read(rig_path("secret"), &secret, &e), EACCES);
    STREQ(e.text, wanted);
    ERR(ft_secret_read(test_dir(), &secret, &e), EACCES);
    TRUE(strstr(e.text, "Is a directory") != NULL);

    (void)snprintf(wanted, sizeof(wanted),
                   "%s: not a secret on one line: write the secret there and nothing else",
                   rig_path("secret"));
    ERR(ft_secret_read(put("", 0), &secret, &e), EACCES);
    STREQ(e.text, wanted);
    ERR(ft_secret_read(put(" \n\n", 3), &secret, &e), EACCES);
    ERR(ft_secret_read(put("one\ntwo\n", 8), &secret, &e), EACCES);
    STREQ(e.text, wanted);
    ERR(ft_secret_read(put("one\r\nX-Evil: 1", 14), &secret, &e), EACCES);

    memset(big, 'a', sizeof(big));
    ERR(ft_secret_read(put(big, sizeof(big)), &secret, &e), EACCES);
    TRUE(strstr(e.text, "too long for a secret") != NULL && strstr(e.text, "aaaa") == NULL);
    OK(ft_secret_read(put(big, FT_SECRET_MAX), &secret, &e));
    EQ(strlen(secret), FT_SECRET_MAX);
    (void)ft_secret_free(secret);
    EQ(ft_secret_free(NULL), NULL);
}

static const char *hidden(const char *text)
{
    static char out[FT_SHOWN_MAX + 1];
    static const char *const secrets[] = {"hunter2", NULL, "hunter2hunter2"};

    ft_secrets_hide(rn_slice_str(text), secrets, 3, out);
    return out;
}

TEST(what_people_see_has_no_secret_no_header_and_no_echo_of_the_request)
{
    STREQ(hidden(""), "");
    STREQ(hidden("all is well"), "all is well");
    STREQ(hidden("hunter2"), "***");
    STREQ(hidden("user hunter2: no, hunter2hunter2 neither"), "user ***: no, *** neither");
    STREQ(hidden("x\r\nAUTHORIZATION: Basic abcd\r\n\r\nrest"), "x Authorization: *** rest");
    STREQ(hidden("failed\n at [Source: (byte[])\"POST /_bulk\"; line: 1]"), "failed");
    STREQ(hidden("\x01 two\t\tblanks \x7f"), "two blanks");
}

TEST(what_people_see_is_bounded_and_cut_between_characters)
{
    char long_text[1000] = "";

    for (size_t i = 0; i < 300; i++)
        memcpy(long_text + 3 * i, "\xe2\x82\xac", 3);
    LE(strlen(hidden(long_text)), FT_SHOWN_MAX);
    EQ(strlen(hidden(long_text)) % 3, 0);
    STREQ(hidden(long_text) + strlen(hidden(long_text)) - 3, "...");
    memset(long_text, 0, sizeof(long_text));
    memset(long_text, 'x', FT_SHOWN_MAX - 5);
    memcpy(long_text + FT_SHOWN_MAX - 5, "hunter2",
           7); /* a secret across the end is never shown in part */
    TRUE(strstr(hidden(long_text), "hun") == NULL);
}

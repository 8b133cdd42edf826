#include "settings.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reader {
    const char *file;
    int line;
    char *why;
    size_t why_size;
};

__attribute__((format(printf, 2, 3))) static bool wrong(const struct reader *r, const char *format,
                                                        ...)
{
    va_list ap;
    int n = r->line ? snprintf(r->why, r->why_size, "%s:%d: ", r->file, r->line)
                    : snprintf(r->why, r->why_size, "%s: ", r->file);

    if (n > 0 && (size_t)n < r->why_size) {
        va_start(ap, format);
        (void)vsnprintf(r->why + n, r->why_size - (size_t)n, format, ap);
        va_end(ap);
    }
    return false;
}

static char *trim(char *s)
{
    char *end;

    while (isspace((unsigned char)*s))
        s++;
    end = s + strlen(s);
    while (end > s && isspace((unsigned char)end[-1]))
        *--end = '\0';
    return s;
}

static bool text_set(const struct reader *r, const char *key, char **field, const char *value)
{
    if (*field)
        return wrong(r, "%s stands twice: keep one", key);
    *field = strdup(value);
    return *field || wrong(r, "out of memory: free some");
}

static bool match_set(const struct reader *r, struct settings *s, const char *value)
{
    char why[128];
    int e;

    if (s->has_match)
        return wrong(r, "match stands twice: keep one");
    e = regcomp(&s->match, value, REG_EXTENDED | REG_NOSUB);
    if (e != 0) {
        (void)regerror(e, &s->match, why, sizeof(why));
        return wrong(r, "match: \"%.100s\" is not a regular expression (%s): correct it", value,
                     why);
    }
    s->has_match = true;
    return true;
}

static bool line_read(const struct reader *r, struct settings *s, char *line)
{
    char *text = trim(line), *value = strchr(text, '=');

    if (!*text || *text == '#')
        return true;
    if (!value)
        return wrong(r, "\"%.100s\" is not `key = value`: write it so", text);
    *value++ = '\0';
    text = trim(text);
    value = trim(value);
    if (!*value)
        return wrong(r, "%.100s has no value: give one or remove the line", text);
    if (strcmp(text, "path") == 0)
        return text_set(r, "path", &s->path, value);
    if (strcmp(text, "contains") == 0)
        return text_set(r, "contains", &s->contains, value);
    if (strcmp(text, "match") == 0)
        return match_set(r, s, value);
    return wrong(r, "unknown key \"%.100s\": write path, contains or match", text);
}

bool settings_read(const char *file, struct settings *ret, char *why, size_t why_size)
{
    struct reader r = {file, 0, why, why_size};
    struct settings s = {0};
    FILE *f = fopen(file, "re");
    char *line = NULL;
    size_t size = 0;
    bool ok = true;

    if (!f)
        return wrong(&r, "%s: write a configuration file", strerror(errno));
    for (r.line = 1; ok && getline(&line, &size, f) >= 0; r.line++)
        ok = line_read(&r, &s, line);
    r.line = 0;
    if (ok && ferror(f))
        ok = wrong(&r, "cannot be read: name a text file");
    if (ok && !s.path)
        ok = wrong(&r, "path is missing: name the file to follow");
    free(line);
    (void)fclose(f);
    if (ok)
        *ret = s;
    else
        settings_free(&s);
    return ok;
}

void settings_free(struct settings *s)
{
    free(s->path);
    free(s->contains);
    if (s->has_match)
        regfree(&s->match);
    *s = (struct settings){0};
}

bool settings_ship(const struct settings *s, const char *line)
{
    if (s->contains && !strstr(line, s->contains))
        return false;
    return !s->has_match || regexec(&s->match, line, 0, NULL, 0) == 0;
}

/* The agent's file, read and judged. Everything here lives as long as the settings do and does not
 * change. */
#pragma once

#include <limits.h>

#include <model/yaml.h>

struct ft_on_change {
    bool restart;
    int signal; /* if not restart */
};

enum ft_stdout_kind { FT_STDOUT_DISCARD, FT_STDOUT_INHERIT, FT_STDOUT_FILE };
struct ft_stdout {
    enum ft_stdout_kind kind;
    const char *path; /* FT_STDOUT_FILE */
};

enum ft_lines { FT_LINES_NONE, FT_LINES_STDOUT };

struct ft_process_settings {
    const char *name;
    struct ft_strings command;
    struct ft_pairs objects; /* object name -> path */
    struct ft_on_change on_change;
    struct ft_stdout stdout_to;
    int64_t start_grace_ns;
    int64_t window_ns;
    int lines; /* enum ft_lines */
    struct ft_mark mark;
};

struct ft_settings {
    const char *server;  /* the URL as given */
    const char *address; /* what rnet_dial() takes */
    const char *state;   /* folder */
    const char *folder;  /* of the agent's file: the working directory of the processes, absolute */
    struct ft_pairs labels;
    int64_t reconnect_base_ns, reconnect_max_ns;
    struct ft_items process_items;
    struct ft_yaml *yaml; /* owns all the above; counted */
};

/* Where settings come from: the agent's file, and the server that the command line names instead.
 */
struct ft_settings_source {
    const char *file, *server; /* server: NULL: the file's */
};

/* Read `path`; `server` (may be NULL) takes the place of the file's. On error *reterr is a whole
 * sentence. */
int ft_settings_read(const char *path, const char *server, struct ft_settings *ret,
                     struct ft_text_error *reterr);
void ft_settings_fini(struct ft_settings *s);
/* A second holder of the same settings: ft_settings_fini() each. */
void ft_settings_share(const struct ft_settings *s, struct ft_settings *ret);
/* Tell each key in which two differ; the processes are one. */
void ft_settings_diff(const struct ft_settings *a, const struct ft_settings *b,
                      ft_option_differs_fn *differs, void *arg);
/* Does the difference count only from the next start of the process on? */
bool ft_process_settings_need_life(const struct ft_process_settings *a,
                                   const struct ft_process_settings *b);

static inline size_t ft_settings_processes(const struct ft_settings *s,
                                           const struct ft_process_settings **ret)
{
    *ret = s->process_items.items;
    return s->process_items.n;
}

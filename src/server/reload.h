/* HUP: the settings are read again, and what may change while the server runs is changed.
 *
 *     read and judge all (on the pool) --wrong--> everything stays, one line says what and where
 *            |
 *            +--right--> each key that differs is applied, or named as one that needs a restart
 *
 * Judged are the settings as at a start, and the admin token. Settings are immutable and counted:
 * who still uses a text of the old ones holds them.
 */
#pragma once

#include <runnel/blocking.h>

#include "agents/sessions.h"
#include "api/api.h"
#include "settings.h"

struct ft_reload {
    /* set once; borrowed */
    const struct ft_settings_source *source;
    const struct ft_settings *started; /* what runs, as far as a restart is needed to change it */
    const char *token_path;
    struct ft_sessions *sessions;
    struct ft_api *api;
    struct ft_intake *intake;
    struct rn_class *files;

    /* the task that reloads */
    struct ft_settings current;
    char token[FT_TOKEN_SIZE]; /* in force */

    /* files that are being read, also by a job that was given up: its thread cannot be joined */
    _Atomic unsigned readings;

    /* who reloads writes, any thread reads */
    _Atomic rn_time apply_timeout;
};

/* Begin with what the server was started with. */
void ft_reload_init(struct ft_reload *r, const struct ft_settings *started);
void ft_reload_fini(struct ft_reload *r);

/* One HUP. What comes of it is logged. Suspends. 0; < 0: everything is as it was; -ECANCELED is not
 * logged. */
int ft_reload(struct ft_reload *r);

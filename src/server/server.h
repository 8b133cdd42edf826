/* fettled, put together: what is started in which order, and stopped in the other. */
#pragma once

#include <runnel/fd.h>

#include "settings.h"

struct ft_server;

/* Start everything that `settings` asks for; a HUP reads `source` again. Both are borrowed. From a
 * task. Suspends. 0; < 0 with the reason in *reterr: nothing is left then. */
int ft_server_start(const struct ft_settings *settings, const struct ft_settings_source *source,
                    struct ft_server **ret, struct ft_text_error *reterr);

/* The line that says where it listens: `listening agents=... api=... debug=...`. */
void ft_server_say_listening(const struct ft_server *s);

/* Wait until it should stop, reloading at each HUP: 0 after TERM or INT. Suspends. */
int ft_server_wait(struct ft_server *s);

/* Stop in order: accept nothing more, tell the agents, flush the lanes, save, close; within
 * stop_timeout, or at once on a second signal. Suspends. Returns 0, or -ETIMEDOUT when a
 * thread hangs in a call (an exporter's, a reading of the settings) and the process has to leave by
 * _exit(). */
int ft_server_stop(struct ft_server *s);

/* Composing what the agent says: one AgentToServer, as a frame. */
#pragma once

#include "agent.h"

struct ft_message_plan {
    unsigned parts; /* enum ft_part */
    bool metrics;   /* add unsent samples */
    bool goodbye;
};

/* Append a frame with the next sequence number. Suspends (files are read when FT_PART_EFFECTIVE is
 * in it). 0, -ECANCELED, -ENOMEM, -EMSGSIZE. */
int ft_compose(struct ft_agent *a, const struct ft_message_plan *plan, struct ft_buf *out);

/* What the server says: one decoded ServerToAgent. */
#pragma once

#include <proto/message.h>

#include "agent.h"

/* Act on it. 0, or why the connection has to end: -ECONNABORTED (an error_response). Suspends only
 * to keep a new identity. */
int ft_reply_take(struct ft_agent *a, const Opamp__Proto__ServerToAgent *msg);

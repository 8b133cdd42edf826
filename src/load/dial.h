/* Connections from several addresses of this machine, so that the ports of one don't run out. */
#pragma once

#include <rnet/addr.h>

/* Agents that one source address carries: well under the usual 28,000 ephemeral ports. */
#define FT_PER_SOURCE 20000
#define FT_SOURCES_MAX 250

/* The number of a connected socket that nobody owns yet. `source` picks one of 127.0.0.1,
 * 127.0.0.2, ... and only counts where the server is on such an address. From a task; suspends.
 * The number, or -ECONNREFUSED, -ETIMEDOUT, -EMFILE, -EADDRNOTAVAIL, ... */
int ft_dial(const struct rnet_addr *server, uint32_t source, rn_time deadline);

/* Let the process have as many descriptors as `n` connections need, if it may. 0, -EMFILE. */
int ft_dial_limit(uint64_t n);

/* The stored form of an agent's record: version, fixed part, then each blob as a 32-bit length and
 * its bytes. Pure. */
#pragma once

#include <proto/buf.h>

#include "agents/agent.h"

/* A longer one is stored without what the agent reported, which is asked for again then. */
#define FT_RECORD_BYTES_MAX ((size_t)16 << 20)

/* Append the record. 0, -E2BIG (over the buffer's maximum), -ENOMEM. */
int ft_record_encode(const struct ft_agent *a, struct ft_buf *out);
/* How long it is. */
size_t ft_record_size(const struct ft_agent *a);

/* A copy of what is stored of a record, with references of its own to the blobs; and their end. */
void ft_record_copy_locked(const struct ft_agent *a, struct ft_agent *ret);
void ft_record_fini(struct ft_agent *copy);
/* Drop from a copy what makes it long. */
void ft_record_slim(struct ft_agent *copy);

/* Fill an empty record (uid is set by the caller). On error nothing is left in it.
 * 0; -EBADMSG; -ENOTSUP (a version of a newer server); -ENOMEM. */
int ft_record_decode(struct ft_registry *r, struct rn_slice in, struct ft_agent *a);

/* The stored form of an agent's record: version, fixed part, then each blob as a 32-bit length and
 * its bytes. Pure. */
#pragma once

#include <proto/buf.h>

#include "agents/agent.h"

#define FT_RECORD_BYTES_MAX ((size_t)16 << 20)

/* Append the record. 0, -E2BIG, -ENOMEM. */
int ft_record_encode(const struct ft_agent *a, struct ft_buf *out);

/* Fill an empty record (uid is set by the caller). 0; -EBADMSG; -ENOTSUP (a version of a newer
 * server); -ENOMEM. */
int ft_record_decode(struct ft_registry *r, struct rn_slice in, struct ft_agent *a);

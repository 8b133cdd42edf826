/* The intake: where process metrics enter the pipeline, and where acknowledgements leave it.
 *
 * One call, ft_intake_offer(): it never waits, and no waiting variant exists. A message's samples become one batch, which goes to every
 * lane; the newest sample of each process is kept for the API.
 */
#pragma once

#include <runnel/slice.h>

#include <proto/scan.h>

#include <model/uuid.h>

struct ft_intake;

/* Offer the samples of one encoded ProcessMetrics message.
 * Returns: 0; -EBADMSG with *reterr (nothing was taken); -ENOMEM.  From: any task or callback; does not suspend. */
int ft_intake_offer(struct ft_intake *in, const struct ft_uuid *agent, struct rn_slice data, struct ft_fault *reterr);

/* Every sample of `boot` up to `seq` is decided in all required lanes: it grows with each call for the same boot. Called from any
 * task or callback of the runtime; must not wait. */
typedef void ft_ack_fn(void *arg, const struct ft_uuid *agent, const struct ft_uuid *boot, uint64_t seq);

/* The intake: where process metrics enter the pipeline, and where acknowledgements leave it.
 *
 *     session -> ft_intake_offer() -> acks (outstanding), latest, fanout -> lanes
 *     lanes ~> decided -> acks -> ft_ack_fn
 *
 * One call, ft_intake_offer(): it never waits, and no waiting variant exists. A message's samples
 * become one batch, which goes to every lane; the newest sample of each process is kept for the
 * API.
 */
#pragma once

#include <runnel/slice.h>

#include <proto/scan.h>

#include <model/text_error.h>
#include <model/uuid.h>

struct ft_intake;
struct ft_fanout;
struct ft_latest;
struct ft_fanout_options;

/* Every sample of `boot` up to `seq` is decided in all required lanes: it never shrinks for the
 * same boot. Called from any task or callback of the runtime; must not wait, and must not call into
 * the intake. */
typedef void ft_ack_fn(void *arg, const struct ft_uuid *agent, const struct ft_uuid *boot,
                       uint64_t seq);

/* Make the whole pipeline and start its lanes, from the task that will stop it. `options` without
 * `decided`, which is the intake's own. Returns: 0, -ENOMEM, ...  */
int ft_intake_new(const struct ft_fanout_options *options, ft_ack_fn *ack, void *ack_arg,
                  struct ft_intake **ret);

/* Offer the samples of one encoded ProcessMetrics message.
 * Returns: 0; -EBADMSG with *reterr, or -ENOMEM: nothing was taken. After -ENOMEM the connection
 * should be closed: the agent resends in order, while a later batch on the same connection would
 * let an ack pass over the lost one. From: any task or callback; does not suspend. */
int ft_intake_offer(struct ft_intake *in, const struct ft_uuid *agent, struct rn_slice data,
                    struct ft_fault *reterr);

/* Other exporters: ft_fanout_change(). */
int ft_intake_change(struct ft_intake *in, const struct ft_fanout_options *options,
                     rn_time drain_until, struct ft_text_list *ret_news);

/* Flush until `deadline` (ft_fanout_stop()), then nothing is taken any more. Suspends. 0,
 * -ETIMEDOUT. */
int ft_intake_stop(struct ft_intake *in, rn_time deadline);

/* Nobody may offer any more. Suspends. Returns NULL; NULL is fine. */
struct ft_intake *ft_intake_free(struct ft_intake *in);
void ft_intake_freep(struct ft_intake **in);

struct ft_fanout *ft_intake_fanout(struct ft_intake *in);
struct ft_latest *ft_intake_latest(struct ft_intake *in);

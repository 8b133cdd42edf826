/* Which agent a connection speaks for.
 *
 * The agent of its first message, until the connection ends. A message for a uid that is live on
 * another connection takes it over, and the other one is closed. Who comes as the third within a
 * minute is no agent that reconnects but a second one with the same uid: it gets a uid of its own,
 * as does who asks for one, and its next message comes with that.
 */
#include "agents/session.h"

#include <errno.h>

#include <base/cleanup.h>
#include <base/clock.h>
#include <base/log.h>

#include <proto/names.h>

#define TAKEOVER_WINDOW (60 * RN_S)
#define RENAMED_WAIT (120 * RN_S) /* for the first message under the new uid */

static bool is_ours_locked(const struct ft_session *s, const struct ft_agent *a)
{
    return rnet_conn_eq(a->conn, s->conn);
}

/* Two take-overs within the last minute, and now another? */
static bool is_clone_locked(const struct ft_agent *a, rn_time now)
{
    return a->takeovers[1] && now - a->takeovers[1] <= TAKEOVER_WINDOW;
}

static void note_takeover_locked(struct ft_agent *a, rn_time now)
{
    a->takeovers[1] = a->takeovers[0];
    a->takeovers[0] = now;
}

/* `address` is exchanged for the old one. */
static void bind_locked(struct ft_session *s, struct ft_agent *a, struct ft_blob **address)
{
    struct ft_blob *old = a->remote_address;

    s->agent = a;
    s->waits_until = 0;
    a->conn = s->conn;
    a->transport = (uint8_t)s->transport;
    a->connected_since_ms = wall_ms();
    a->bits &= ~(uint32_t)(FT_AGENT_CONFIG_KNOWN | FT_AGENT_SAYS_GOODBYE | FT_AGENT_OFFERED);
    a->bits |= FT_AGENT_DIRTY;
    a->remote_address = *address;
    *address = old;
}

static struct ft_blob *address_of(struct ft_session *s)
{
    char text[64] = "";
    struct ft_blob *blob = NULL;

    (void)rnet_conn_peer(s->conn, text, sizeof(text));
    /* Without memory it has no address, and that is all. */
    (void)ft_blob_intern(ft_registry_blobs(s->owner->registry), rn_slice_str(text), &blob);
    return blob;
}

/* Give the newcomer a uid of its own. */
static int rename_agent(struct ft_session *s, const struct ft_incoming *in)
{
    struct ft_uuid uid;
    char old_text[FT_UUID_TEXT_SIZE], new_text[FT_UUID_TEXT_SIZE];

    ft_session_unbind(s);
    if (ft_uuid_new(&uid) < 0) {
        ft_session_refuse_for_now(s, "no new instance_uid could be made", FT_RETRY_SHORT_NS,
                                  RNET_REASON_REFUSED);
        return -EAGAIN;
    }
    struct ft_outgoing out = {.uid = in->uid, .new_uid = &uid};
    ft_outbox_send(s, &out);
    s->waits_until = rn_loop_now() + RENAMED_WAIT;
    (void)rnet_server_timer(s->conn, s->waits_until);
    ft_uuid_format(&in->uid, old_text);
    ft_uuid_format(&uid, new_text);
    log_info("agent got a new instance_uid", LOG_STR("old", old_text), LOG_STR("new", new_text));
    return 1;
}

int ft_session_bind(struct ft_session *s, const struct ft_incoming *in, bool *ret_new)
{
    CLEANUP(ft_blob_unrefp) struct ft_blob *address = NULL;
    struct ft_registry *r = s->owner->registry;
    struct rnet_conn old = RNET_CONN_NONE;
    struct ft_agent *a;

    *ret_new = false;
    if (in->full && (in->full->flags & FT_AGENT_FLAG_REQUEST_INSTANCE_UID))
        return rename_agent(s, in);
    if (s->agent)
        return 0;
    address = address_of(s);
    if (ft_agent_lock_or_new(r, &in->uid, &a, ret_new) < 0) {
        ft_session_refuse_for_now(s, "the server is out of memory", FT_RETRY_SHORT_NS,
                                  RNET_REASON_MEMORY);
        return -ENOMEM;
    }
    rn_time now = rn_loop_now();
    bool taken = a->conn.gen != 0;
    bool clone = taken && is_clone_locked(a, now);
    if (taken && !clone) {
        old = a->conn;
        note_takeover_locked(a, now);
    }
    if (!clone)
        bind_locked(s, a, &address);
    ft_agent_unlock(r, a);
    if (clone)
        return rename_agent(s, in);
    if (old.gen)
        (void)rnet_conn_send_close(old, RNET_REASON_REPLACED);
    return 0;
}

bool ft_session_is_bound(struct ft_session *s)
{
    ft_agent_relock(s->owner->registry, s->agent);
    bool ours = is_ours_locked(s, s->agent);
    ft_agent_unlock(s->owner->registry, s->agent);
    return ours;
}

void ft_session_unbind(struct ft_session *s)
{
    struct ft_registry *r = s->owner->registry;
    struct ft_agent *a = s->agent;

    if (!a)
        return;
    ft_agent_relock(r, a);
    if (is_ours_locked(s, a)) {
        a->conn = RNET_CONN_NONE;
        if (a->liveness == FT_LIVENESS_ONLINE) {
            ft_agent_set_liveness_locked(r, a, FT_LIVENESS_STALE);
            ft_agent_publish_locked(r, a, FT_EVENT_agent_status);
        }
    }
    ft_agent_unlock(r, a);
    s->agent = NULL;
    s->waits_until = 0;
    s->bits &= ~(uint32_t)(FT_SESSION_FULL_WANTED | FT_SESSION_FULL_ASKED | FT_SESSION_ANNOUNCED);
    s->settings_offered = 0;
    s->full_at = 0;
}

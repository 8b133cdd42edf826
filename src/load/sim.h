/* One simulated agent: what it knows, says and takes.
 *
 *     IDLE --(its turn)--> DIALLING --> OPEN --(lost)--> IDLE
 *                             \--(refused)---------------/
 *
 * All of it belongs to one loop and its callbacks; but while it is DIALLING, `number` is the dial
 * task's, which posts the result. Each message is answered once; a message that comes while an answer is due is taken for it (the
 * protocol has no mark on answers), so a pushed configuration may stand for the answer that
 * follows it.
 */
#pragma once

#include <rnet/conn.h>

#include <runnel/loop.h>

#include <proto/message.h>

#include <model/uuid.h>

struct ft_fleet;

/* A configuration that agents run, decoded once for all that have it. */
struct ft_sim_config {
    unsigned                 refs;
    struct ft_server_message message; /* its remote_config is what is reported as effective */
};

enum ft_sim_state { FT_SIM_IDLE, FT_SIM_DIALLING, FT_SIM_OPEN };

enum ft_sim_bits {
    FT_SIM_INTRODUCED = 1 << 0, /* the server had the full state once */
    FT_SIM_GREETED = 1 << 1,    /* answered on this connection */
    FT_SIM_METRICS = 1 << 2,    /* the server announced that it takes samples */
    FT_SIM_APPLYING = 1 << 3,   /* APPLIED was sent and is not answered yet */
    FT_SIM_BEATING = 1 << 4,    /* a heartbeat was sent and is not answered yet */
    FT_SIM_LEAVING = 1 << 5,    /* goodbye was said */
};

struct ft_sim {
    struct ft_fleet      *fleet;
    struct ft_sim_config *config; /* NULL: it never had one */
    struct ft_uuid        uid;
    struct rnet_conn      conn;
    uint64_t sequence;    /* of the last message */
    uint64_t sample;      /* of the last sample of this boot */
    rn_time  sent_at;     /* the message whose answer is due; when it was meant to leave */
    rn_time  due;         /* IDLE: not to be dialled earlier; OPEN: the next heartbeat */
    uint32_t unanswered;  /* messages */
    uint32_t configs;     /* applied */
    uint32_t source;      /* address to dial from */
    uint8_t  state, bits;
    uint8_t  failures;    /* in a row */

    struct rn_post dialled;    /* of the dial task to the loop */
    rn_time        dial_began;
    int            number;     /* what it dialled, or the error */
};

extern const struct rnet_protocol ft_sim_protocol;

/* Send a heartbeat, with samples if there should be any; `meant_at` is when it should leave. */
void ft_sim_heartbeat(struct ft_sim *sim, rn_time meant_at);
/* Say goodbye, and close when it is out. */
void ft_sim_leave(struct ft_sim *sim);
/* Drop the connection without a word, as by a power cut. */
void ft_sim_drop(struct ft_sim *sim);

struct ft_sim_config *ft_sim_config_ref(struct ft_sim_config *c);
struct ft_sim_config *ft_sim_config_unref(struct ft_sim_config *c);

/* compose.c: append a frame to `out`; each counts up the sequence. 0, -E2BIG, -ENOMEM. */
int ft_compose_full(struct ft_sim *sim, struct ft_buf *out);
int ft_compose_return(struct ft_sim *sim, struct ft_buf *out);
int ft_compose_heartbeat(struct ft_sim *sim, struct ft_buf *out);
int ft_compose_goodbye(struct ft_sim *sim, struct ft_buf *out);
/* Of sim->config; with APPLIED goes the effective configuration. */
int ft_compose_status(struct ft_sim *sim, int status, struct ft_buf *out);

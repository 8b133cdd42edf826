/* A listener, for the two files that make it: listener.c (life, drain) and listener_accept.c
 * (accept, pause, check). */
#pragma once

#include "internal.h"

#include <runnel/chan.h>

struct rnet__socket {
    struct rnet_listener *listener;
    struct rn_fd          fd;
    struct rnet__bound    bound;
    bool                  open;
    const char           *why; /* it was lost */
    char                  address[RNET_ADDR_TEXT_MAX];
    uint64_t              inode, cookie;
};

struct rnet_listener {
    /* set once */
    struct rnet_listener_options options; /* name and addrs aren't kept here */
    struct rnet__loop           *home;    /* NULL once that has ended */
    struct rnet__entry          *entry;
    uint32_t                     n_sockets;

    /* home's thread */
    struct rnet_listener *next;
    struct rnet__socket   sockets[RNET_LISTENER_ADDRS_MAX];
    struct rn_timer       check_timer, pause_timer;
    struct rn_pause       pause;
    bool                  paused, draining;
    struct rn_tx drained; /* the loop's: closed when the last connection of a drain has gone */
    struct rn_post        stop_post;
    char                  name[RNET_LISTENER_NAME_MAX];

    /* any thread */
    _Atomic bool      cutting, stop_queued;
    _Atomic bool      waited_for; /* a drain has made the channel; others look now and then */
    _Atomic uint32_t  gone;      /* connections that ended on other loops, not yet subtracted */
    struct rn_post    gone_post; /* tells home of them */
    _Atomic uint32_t *connections; /* in the entry */
};

void rnet__listener_start(struct rnet_listener *ln);
void rnet__listener_stop_accepting(struct rnet_listener *ln);
void rnet__listener_publish(struct rnet_listener *ln);
int  rnet__socket_watch(struct rnet__socket *s);

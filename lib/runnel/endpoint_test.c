/* Who may use an end-point, how it moves, and what closes it. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "chan_testing.h"
#include "channel.h"

TASK_TEST(a_stale_handle_is_ebadf_for_ever)
{
    struct rn_tx old_tx, tx;
    struct rn_rx old_rx, rx;
    int v = 1;
    OK(rn_chan_open(sizeof(int), 1, &old_tx, &old_rx));
    OK(rn_tx_close(old_tx));
    OK(rn_rx_close(old_rx));
    OK(rn_chan_open(sizeof(int), 1, &tx, &rx));
    EQ(old_tx.slot == tx.slot || old_rx.slot == tx.slot, true); /* the slot is in use again */
    ERR(rn_tx_try_send(old_tx, &v), EBADF);
    ERR(rn_rx_try_recv(old_rx, &v), EBADF);
    ERR(rn_tx_close(old_tx), EBADF);
    ERR(rn_tx_dup(old_tx, &tx), EBADF);
    ERR(rn_chan_len(rn_end_tx(old_tx)), EBADF);
    ERR(rn_tx_try_send((struct rn_tx){0}, &v), EBADF);
    ERR(rn_tx_try_send((struct rn_tx){12345678, 1}, &v), EBADF);
    ERR(rn_tx_try_send((struct rn_tx){rx.slot, rx.gen}, &v), EBADF); /* a receiver is no sender */
}

TASK_TEST(a_slot_whose_generations_are_used_up_is_retired)
{
    struct rn_tx tx;
    struct rn_rx rx;
    OK(rn_chan_open(sizeof(int), 1, &tx, &rx));
    OK(rn_tx_close(tx));
    struct rn__end_rec *rec = rn__rec_find(rn__chans_self(), tx.slot);
    rec->last_gen = UINT32_MAX - 1;
    OK(rn_rx_dup(rx, &rx));
    EQ(rx.slot, tx.slot);
    EQ(rx.gen, UINT32_MAX);
    OK(rn_rx_close(rx));
    OK(rn_chan_open(sizeof(int), 1, &tx, &rx));
    TRUE(rn__rec_find(rn__chans_self(), tx.slot) != rec &&
         rn__rec_find(rn__chans_self(), rx.slot) != rec);
}

static struct rn_tx foreign;

static int foreign_use(void *arg)
{
    struct rn_tx *dup = arg;
    int v = 1;
    ERR(rn_tx_try_send(foreign, &v), EBADF);
    ERR(rn_tx_dup(foreign, dup), EBADF);
    return 0;
}

static void *foreign_thread(void *arg)
{
    EQ(rn_tx_try_send(foreign, arg), -EPERM); /* a plain thread owns nothing */
    OK(rn_run(NULL, foreign_use, arg));
    return NULL;
}

TASK_TEST(a_handle_of_another_runtime_is_ebadf)
{
    struct rn_rx rx;
    struct rn_tx dup;
    pthread_t thread;
    OK(rn_chan_open(sizeof(int), 1, &foreign, &rx));
    EQ(pthread_create(&thread, NULL, foreign_thread, &dup), 0);
    EQ(pthread_join(thread, NULL), 0);
    EQ(rn_chan_len(rn_end_rx(rx)), 0);
}

/* ---- Owners ---------------------------------------------------------------------------------- */

struct stranger {
    struct rn_tx tx;
    struct rn_rx rx;
};

static int stranger_tries(void *arg)
{
    const struct stranger *p = arg;
    struct rn_case c[] = {RN_CASE_SEND(p->tx, &(int){1})};
    struct rn_tx own;
    int v = 1;

    ERR(rn_tx_send(p->tx, &v, RN_FOREVER), EPERM);
    ERR(rn_tx_try_send(p->tx, &v), EPERM);
    ERR(rn_tx_push(p->tx, &v, &v), EPERM);
    ERR(rn_rx_recv(p->rx, &v, RN_FOREVER), EPERM);
    ERR(rn_rx_try_recv(p->rx, &v), EPERM);
    ERR(rn_tx_close(p->tx), EPERM);
    EQ(rn_select(c, 1, RN_FOREVER), 0);
    EQ(c[0].result, -EPERM);
    ERR(rn_end_to_scope((struct rn_end[]){rn_end_tx(p->tx)}, 1, rn_scope_self()), EPERM);

    OK(rn_tx_dup(p->tx, &own));
    OK(rn_tx_send(own, &v, RN_FOREVER));
    return 0; /* `own` is closed with the task */
}

TASK_TEST(a_stranger_gets_eperm_and_may_dup)
{
    struct stranger p;
    int got;
    SCOPE(s);
    OK(rn_chan_open(sizeof(int), 2, &p.tx, &p.rx));
    OK(GO0(s, stranger_tries, &p));
    OK(rn_scope_wait(s));
    EQ(ends_open(), 2);
    OK(rn_rx_try_recv(p.rx, &got));
    ERR(rn_rx_try_recv(p.rx, &got), EAGAIN);
}

static int task_that_just_ends(void *arg)
{
    (void)arg;
    return 0;
}

TASK_TEST(what_a_task_still_holds_is_closed_when_it_ends)
{
    struct rn_tx tx, mine;
    struct rn_rx rx;
    int got;
    SCOPE(s);
    OK(rn_chan_open(sizeof(int), 0, &tx, &rx));
    OK(GO(s, task_that_just_ends, NULL, rn_end_tx(tx)));
    ERR(rn_rx_recv(rx, &got, RN_FOREVER), EPIPE);
    ERR(rn_tx_close(tx), EBADF);
    OK(rn_scope_wait(s));

    OK(rn_chan_open(sizeof(int), 0, &mine, &rx));
    OK(GO(s, task_that_just_ends, NULL, rn_end_rx(rx)));
    ERR(rn_tx_send(mine, &got, RN_FOREVER), EPIPE);
}

TASK_TEST(rn_go_moves_all_or_none)
{
    struct rn_tx tx, closed;
    struct rn_rx rx, closed_rx;
    int v = 1;
    SCOPE(s);
    OK(rn_chan_open(sizeof(int), 4, &tx, &rx));
    OK(rn_chan_open(sizeof(int), 4, &closed, &closed_rx));
    OK(rn_tx_close(closed));

    ERR(GO(s, task_that_just_ends, NULL, rn_end_tx(tx), rn_end_rx(rx), rn_end_tx(closed)), EBADF);
    OK(rn_tx_send(tx, &v, RN_FOREVER));
    ERR(GO(s, task_that_just_ends, NULL, rn_end_tx(tx), rn_end_rx(rx), rn_end_tx(tx)),
        EPERM); /* twice */
    OK(rn_rx_recv(rx, &v, RN_FOREVER));
    OK(rn_scope_cancel(s));
    ERR(GO(s, task_that_just_ends, NULL, rn_end_tx(tx)), ECANCELED);
    OK(rn_tx_send(tx, &v, RN_FOREVER));
}

static int scope_user(void *arg)
{
    const struct stranger *p = arg;
    int v = 1;
    OK(rn_tx_send(p->tx, &v, RN_FOREVER));
    SCOPE(inner);
    return 0;
}

static int scope_user_inside(void *arg)
{
    SCOPE(inner);
    OK(GO0(inner, scope_user, arg));
    return rn_scope_wait(inner);
}

TASK_TEST(the_end_points_of_a_scope_serve_its_tasks_and_die_with_it)
{
    struct stranger p;
    int got;
    {
        SCOPE(s);
        OK(rn_chan_open(sizeof(int), 4, &p.tx, &p.rx));
        OK(rn_end_to_scope((struct rn_end[]){rn_end_tx(p.tx)}, 1, s));
        ERR(rn_tx_try_send(p.tx, &got), EPERM); /* the opener isn't in the scope */
        OK(GO0(s, scope_user, &p));
        OK(GO0(s, scope_user_inside, &p));
        OK(rn_scope_wait(s));
        OK(rn_rx_try_recv(p.rx, &got));
        OK(rn_rx_try_recv(p.rx, &got));
        ERR(rn_rx_try_recv(p.rx, &got), EAGAIN);
    }
    ERR(rn_rx_try_recv(p.rx, &got), EPIPE);
    OK(rn_rx_close(p.rx));
    EQ(ends_open(), 0);
}

static int shared_waiter(void *arg)
{
    const struct stranger *p = arg;
    int got;
    return rn_rx_recv(p->rx, &got, RN_FOREVER);
}

static int shared_selecter(void *arg)
{
    const struct stranger *p = arg;
    int got;
    struct rn_case c[] = {RN_CASE_RECV(p->rx, &got)};
    EQ(rn_select(c, 1, RN_FOREVER), 0);
    return c[0].result;
}

static int shared_closer(void *arg)
{
    const struct stranger *p = arg;
    return rn_rx_close(p->rx);
}

TASK_TEST(a_close_wakes_the_users_of_that_very_end_point_with_ebadf)
{
    struct stranger p;
    struct rn_rx other;
    int v = 1, (*const users[])(void *) = {shared_waiter, shared_selecter};
    for (int i = 0; i < 2; i++) {
        SCOPE(s);
        OK(rn_chan_open(sizeof(int), 0, &p.tx, &p.rx));
        OK(rn_rx_dup(p.rx, &other));
        OK(rn_end_to_scope((struct rn_end[]){rn_end_rx(p.rx)}, 1, s));
        OK(GO0(s, users[i], &p));
        TASK_UNTIL(tasks_parked() == 1);
        OK(GO0(s, shared_closer, &p));
        ERR(rn_scope_wait(s), EBADF);
        ERR(rn_tx_try_send(p.tx, &v), EAGAIN); /* the channel is as it was: `other` can receive */
    }
}

struct loop_post {
    struct rn_post post;
    struct rn_tx   tx;
    struct rn_rx   rx;
    int            got;
    _Atomic bool   done;
};

static void loop_callback(struct rn_post *post)
{
    struct loop_post *p = (struct loop_post *)post;
    int v = 8;
    OK(rn_rx_try_recv(p->rx, &p->got));
    EQ(rn_tx_push(p->tx, &v, NULL), 0);
    ERR(rn_rx_recv(p->rx, &v, RN_FOREVER), EPERM);
    rn_tx_closep(&p->tx);
    rn_rx_closep(&p->rx);
    p->done = true;
}

TASK_TEST(the_end_points_of_a_loop_serve_its_callbacks)
{
    struct loop_post p = {.post.fn = loop_callback};
    struct rn_tx tx;
    struct rn_rx rx;
    int v = 7, got;
    OK(rn_chan_open(sizeof(int), 1, &tx, &p.rx));
    OK(rn_chan_open(sizeof(int), 1, &p.tx, &rx));
    OK(rn_tx_send(tx, &v, RN_FOREVER));
    OK(rn_end_to_loop((struct rn_end[]){rn_end_tx(p.tx), rn_end_rx(p.rx)}, 2, rn_loop_self()));
    ERR(rn_tx_try_send(p.tx, &v), EPERM);
    OK(rn_loop_post(rn_loop_self(), &p.post));
    OK(rn_rx_recv(rx, &got, RN_FOREVER));
    EQ(got, 8);
    EQ(p.got, 7);
    TASK_UNTIL(p.done);
    ERR(rn_tx_send(tx, &v, RN_FOREVER), EPIPE);
}

/* ---- End-points inside values ---------------------------------------------------------------- */

struct request {
    int          number;
    struct rn_tx reply;
};
static const struct rn_elem request_elem = {
    .size = sizeof(struct request), .n_ends = 1, .ends = {offsetof(struct request, reply)}};

static int request_server(void *arg)
{
    struct rn_rx rx = *(struct rn_rx *)arg;
    struct request q;
    while (rn_rx_recv(rx, &q, RN_FOREVER) == 0) {
        q.number *= 2;
        OK(rn_tx_send(q.reply, &q.number, RN_FOREVER));
        OK(rn_tx_close(q.reply));
    }
    return 0;
}

TASK_TEST(end_points_travel_with_their_value)
{
    for (size_t cap = 0; cap < 3; cap++) {
        struct rn_tx tx;
        struct rn_rx rx, answers;
        int got;
        SCOPE(s);
        OK(rn_chan_open_elem(&request_elem, cap, &tx, &rx));
        OK(GO(s, request_server, &rx, rn_end_rx(rx)));
        for (int i = 0; i < 10; i++) {
            struct request q = {.number = i};
            OK(rn_chan_open(sizeof(int), 0, &q.reply, &answers));
            OK(rn_tx_send(tx, &q, RN_FOREVER));
            ERR(rn_tx_send(q.reply, &got, RN_FOREVER), EPERM); /* it is the server's now */
            OK(rn_rx_recv(answers, &got, RN_FOREVER));
            EQ(got, 2 * i);
            ERR(rn_rx_recv(answers, &got, RN_FOREVER), EPIPE);
            OK(rn_rx_close(answers));
        }
        OK(rn_tx_close(tx));
        OK(rn_scope_wait(s));
        EQ(ends_open(), 0);
    }
}

TASK_TEST(a_failed_send_has_moved_nothing)
{
    struct rn_tx tx;
    struct rn_rx rx, answers;
    struct request q = {.number = 1};
    int v = 5, got;
    OK(rn_chan_open_elem(&request_elem, 1, &tx, &rx));
    OK(rn_chan_open(sizeof(int), 1, &q.reply, &answers));

    OK(rn_tx_send(tx, &(struct request){.number = 0}, RN_FOREVER)); /* no end-point in it: fine */
    ERR(rn_tx_try_send(tx, &q), EAGAIN);
    ERR(rn_tx_send(tx, &q, rn_after(RN_MS)), ETIMEDOUT);
    OK(rn_tx_try_send(q.reply, &v));
    OK(rn_rx_close(rx));
    ERR(rn_tx_send(tx, &q, RN_FOREVER), EPIPE);
    OK(rn_rx_recv(answers, &got, RN_FOREVER));
    OK(rn_tx_try_send(q.reply, &v));
}

TASK_TEST(a_value_cannot_carry_what_its_sender_does_not_own)
{
    struct rn_tx tx;
    struct rn_rx rx, answers;
    struct request q = {.number = 1};
    SCOPE(s);
    OK(rn_chan_open_elem(&request_elem, 1, &tx, &rx));
    OK(rn_chan_open(sizeof(int), 1, &q.reply, &answers));
    OK(rn_end_to_scope((struct rn_end[]){rn_end_tx(q.reply)}, 1, s));
    ERR(rn_tx_send(tx, &q, RN_FOREVER), EPERM);
    q.reply.gen++;
    ERR(rn_tx_send(tx, &q, RN_FOREVER), EBADF);
    q.reply = (struct rn_tx){rx.slot, rx.gen}; /* the channel's own receiver would be lost in it */
    ERR(rn_tx_send(tx, &q, RN_FOREVER), EINVAL);
    EQ(rn_chan_len(rn_end_tx(tx)), 0);
}

TASK_TEST(a_value_cannot_carry_one_end_point_twice)
{
    static const struct rn_elem two = {
        .size = 2 * sizeof(struct rn_tx), .n_ends = 2, .ends = {0, sizeof(struct rn_tx)}};
    struct rn_tx tx, v[2];
    struct rn_rx rx, other;
    OK(rn_chan_open_elem(&two, 1, &tx, &rx));
    OK(rn_chan_open(0, 1, &v[0], &other));
    v[1] = v[0];
    ERR(rn_tx_send(tx, v, RN_FOREVER), EINVAL);
    OK(rn_tx_try_send(v[0], NULL));
    OK(rn_tx_dup(v[0], &v[1]));
    OK(rn_tx_send(tx, v, RN_FOREVER));
    ERR(rn_tx_try_send(v[1], NULL), EPERM);
}

TASK_TEST(what_dies_in_the_buffer_is_closed)
{
    struct rn_tx tx;
    struct rn_rx rx, answers[4];
    int got;
    OK(rn_chan_open_elem(&request_elem, 4, &tx, &rx));
    for (int i = 0; i < 4; i++) {
        struct request q = {.number = i};
        OK(rn_chan_open(sizeof(int), 0, &q.reply, &answers[i]));
        OK(rn_tx_send(tx, &q, RN_FOREVER));
    }
    EQ(ends_open(), 2 + 8);
    OK(rn_rx_close(rx));
    for (int i = 0; i < 4; i++)
        ERR(rn_rx_recv(answers[i], &got, RN_FOREVER), EPIPE);
    EQ(ends_open(), 1 + 4);
}

struct nested {
    struct rn_rx inner;
};
static const struct rn_elem nested_elem = {
    .size = sizeof(struct nested), .n_ends = 1, .ends = {offsetof(struct nested, inner)}};

/* Each channel is in the buffer of the next: one close ends them all, without a stack as deep as
 * they are many. */
TASK_TEST(receivers_buried_in_each_other_die_together)
{
    const size_t n = test_tasks(10000);
    struct nested v;
    struct rn_tx tx;
    struct rn_rx rx;
    OK(rn_chan_open_elem(&nested_elem, 1, &tx, &rx));
    for (size_t i = 0; i < n; i++) {
        v.inner = rx;
        OK(rn_tx_close(tx));
        OK(rn_chan_open_elem(&nested_elem, 1, &tx, &rx));
        OK(rn_tx_send(tx, &v, RN_FOREVER));
    }
    EQ(ends_open(), n + 2);
    OK(rn_rx_close(rx));
    EQ(ends_open(), 1);
}

static int destroyed[8], n_destroyed;

static void destroy_int(void *value)
{
    destroyed[n_destroyed++] = *(int *)value;
}
static const struct rn_elem destroyed_elem = {.size = sizeof(int), .destroy = destroy_int};

TASK_TEST(the_destructor_gets_each_value_that_nobody_will_receive)
{
    struct rn_tx tx;
    struct rn_rx rx;
    int got;
    OK(rn_chan_open_elem(&destroyed_elem, 3, &tx, &rx));
    for (int i = 0; i < 3; i++)
        OK(rn_tx_send(tx, &i, RN_FOREVER));
    OK(rn_rx_recv(rx, &got, RN_FOREVER)); /* 0 is the receiver's */
    OK(rn_rx_recv(rx, NULL, RN_FOREVER)); /* 1 is dropped */
    EQ(n_destroyed, 1);
    for (int i = 3; i < 6; i++)
        EQ(rn_tx_push(tx, &i, NULL), i < 5 ? 0 : 1); /* 2 has to go */
    EQ(n_destroyed, 2);
    OK(rn_tx_close(tx));
    EQ(n_destroyed, 2);
    OK(rn_rx_close(rx));
    const int want[] = {1, 2, 3, 4, 5};
    EQ(n_destroyed, 5);
    MEMEQ(destroyed, want, sizeof(want));
}

static int drop_receiver(void *arg)
{
    return rn_rx_recv(*(struct rn_rx *)arg, NULL, RN_FOREVER);
}

TASK_TEST(a_waiting_receiver_without_a_place_drops_the_value)
{
    struct rn_tx tx;
    struct rn_rx rx;
    int v = 77;
    SCOPE(s);
    OK(rn_chan_open_elem(&destroyed_elem, 0, &tx, &rx));
    OK(GO(s, drop_receiver, &rx, rn_end_rx(rx)));
    TASK_UNTIL(tasks_parked() == 1);
    OK(rn_tx_try_send(tx, &v));
    EQ(n_destroyed, 1);
    EQ(destroyed[0], 77);
    OK(rn_scope_wait(s));
}

TASK_TEST(an_evicted_value_brings_its_end_points_to_who_pushed)
{
    struct rn_tx tx;
    struct rn_rx rx, first_rx, second_rx;
    struct request first = {.number = 1}, second = {.number = 2}, evicted;
    int v = 3;
    OK(rn_chan_open_elem(&request_elem, 1, &tx, &rx));
    OK(rn_chan_open(sizeof(int), 1, &first.reply, &first_rx));
    OK(rn_chan_open(sizeof(int), 1, &second.reply, &second_rx));
    EQ(rn_tx_push(tx, &first, &evicted), 0);
    ERR(rn_tx_try_send(first.reply, &v), EPERM);
    EQ(rn_tx_push(tx, &second, &evicted), 1);
    EQ(evicted.number, 1);
    OK(rn_tx_try_send(evicted.reply, &v));
    OK(rn_tx_close(evicted.reply));
    EQ(rn_tx_push(tx, &(struct request){0}, NULL), 1);
    ERR(rn_rx_recv(second_rx, &v, RN_FOREVER), EPIPE);
}

static int leaves_in_root(void *arg)
{
    struct rn_tx tx;
    struct rn_rx rx;
    (void)arg;
    OK(rn_chan_open_elem(&destroyed_elem, 1, &tx, &rx));
    OK(rn_tx_send(tx, &(int){5}, RN_FOREVER));
    OK(rn_end_to_scope((struct rn_end[]){rn_end_tx(tx), rn_end_rx(rx)}, 2, rn_scope_self()));
    return 0;
}

TEST(the_end_of_a_runtime_closes_what_its_root_scope_holds)
{
    OK(rn_run(&(const struct rn_options){.workers = 1}, leaves_in_root, NULL));
    EQ(n_destroyed, 1);
    EQ(destroyed[0], 5);
}

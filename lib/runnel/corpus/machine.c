/* Runs a program of the corpus: reads its text, starts its tasks, looks twice, and compares.
 *
 * Everything happens in a simulation, so ten minutes cost nothing. The observer is the runtime's
 * first task; the program is a task of its own that opens the channels, gives each end-point to the
 * task that uses it, keeps none, and waits. Mutexes and their kind are its scope's. The first look
 * is when everything has settled, the second after leak_age, and the dead must be the same.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <base/assert.h>
#include <base/cleanup.h>
#include <runnel/runnel.h>

#include "corpus/corpus.h"

#define LETTERS 26
#define SETTLED (100 * RN_S)
#define AGED (SETTLED + 700 * RN_S) /* leak_age is 600 */
#define OK(expr) rn_assert((expr) >= 0)

struct machine;

/* One task. Its own, but for `ended`, which the observer reads when it has ended. */
struct actor {
    struct machine *m;
    unsigned number; /* of its script */
    struct rn_tx tx[LETTERS];
    struct rn_rx rx[LETTERS];
    struct rn_scope scope;
    struct rn_task task;
    bool started;
    _Atomic bool ended;
};

/* What is the whole program's, by letter; no letter is of two kinds. */
union thing {
    struct rn_mutex mutex;
    struct rn_sem sem;
    struct rn_group group;
    struct rn_oneshot shot;
};

struct script {
    char text[128];
    unsigned copies;
    bool deferred; /* started by another */
};

struct machine {
    const struct program *program;
    struct script scripts[PROGRAM_TASKS];
    unsigned n_scripts;
    union thing things[LETTERS];
    struct actor *actors; /* PROGRAM_COPIES for each script */
    struct outcome *outcome;
};

static struct actor *actor_at(const struct machine *m, unsigned script, unsigned copy)
{
    return &m->actors[script * PROGRAM_COPIES + copy];
}

/* ---- Reading --------------------------------------------------------------------------------- */

static void script_parse(struct script *s, const char *text, size_t len)
{
    while (len > 0 && *text == ' ')
        text++, len--;
    s->copies = 1;
    if (len > 0 && *text == '~') {
        s->deferred = true;
        text++, len--;
    }
    if (len > 0 && isdigit((unsigned char)*text)) {
        char *end;
        s->copies = (unsigned)strtoul(text, &end, 10);
        rn_assert(*end == ':' && s->copies <= PROGRAM_COPIES);
        len -= (size_t)(end + 1 - text);
        text = end + 1;
    }
    rn_assert(len < sizeof(s->text));
    memcpy(s->text, text, len);
    s->text[len] = '\0';
}

static void machine_parse(struct machine *m)
{
    const char *at = m->program->tasks;

    for (;;) {
        const size_t len = strcspn(at, "|");
        rn_assert(m->n_scripts < PROGRAM_TASKS);
        script_parse(&m->scripts[m->n_scripts++], at, len);
        if (at[len] == '\0')
            break;
        at += len + 1;
    }
    rn_assert(strlen(m->program->expected) == m->n_scripts);
}

/* Does a script use this channel's sender, its receiver? */
static void script_uses(const char *text, int letter, bool *ret_tx, bool *ret_rx)
{
    *ret_tx = *ret_rx = false;
    for (const char *c = text; *c && c[1]; c++) {
        if (c[1] != 'a' + letter)
            continue;
        *ret_tx |= strchr("!#>", *c) != NULL;
        *ret_rx |= strchr("?*<", *c) != NULL;
    }
}

static size_t capacity(const struct program *p, int letter)
{
    const char name[] = {'a' + (char)letter, '\0'};
    const char *cap = p->caps ? strstr(p->caps, name) : NULL;

    return cap ? strtoul(cap + 1, NULL, 10) : 0;
}

/* ---- Steps ----------------------------------------------------------------------------------- */

static rn_time span_parse(const char **at)
{
    char *end;
    rn_time seconds = **at == 'F' ? RN_FOREVER : strtol(*at, &end, 10);

    *at = **at == 'F' ? *at + 1 : end;
    return seconds == RN_FOREVER ? RN_FOREVER : rn_after(seconds * RN_S);
}

static int actor_start(struct rn_scope scope, struct actor *a);

static int child_start(struct actor *a, unsigned script)
{
    for (unsigned i = 0; i < PROGRAM_COPIES; i++) {
        struct actor *child = actor_at(a->m, script, i);
        if (!child->started)
            return actor_start(a->scope, child);
    }
    return -EAGAIN;
}

/* [case,case,...]: 1 if a case was chosen that ends the task. */
static int step_select(struct actor *a, const char **at, bool idle)
{
    struct rn_case c[8];
    bool last[8] = {false};
    size_t n = 0;
    rn_time deadline = RN_FOREVER;
    char sent = 1;

    for (; **at != ']'; *at += **at == ',') {
        const char op = **at;
        if (isdigit((unsigned char)op)) {
            deadline = span_parse(at);
            continue;
        }
        rn_assert(n < 8 && op && strchr("!?_", op));
        if (op == '_') {
            c[n++] = (struct rn_case){RN_OP_RECV, {0}, NULL, 0};
            *at += 1;
            continue;
        }
        const int letter = (*at)[1] - 'a';
        c[n] = op == '!' ? (struct rn_case)RN_CASE_SEND(a->tx[letter], &sent)
                         : (struct rn_case)RN_CASE_RECV(a->rx[letter], NULL);
        *at += 2;
        last[n] = **at == '^';
        *at += last[n++];
    }
    *at += 1;
    const int k = idle ? rn_select_at(RN_WAIT_IDLE(), c, n, deadline) : rn_select(c, n, deadline);
    if (k < 0)
        return k == -ETIMEDOUT ? 0 : k;
    return last[k] ? 1 : c[k].result;
}

static int step_channel(struct actor *a, char op, int letter, bool idle)
{
    const struct rn_tx tx = a->tx[letter];
    const struct rn_rx rx = a->rx[letter];
    char v = 1;
    int r = 0;

    switch (op) {
    case '!':
        return rn_tx_send(tx, &v, RN_FOREVER);
    case '?':
        return idle ? rn_rx_recv_at(RN_WAIT_IDLE(), rx, &v, RN_FOREVER)
                    : rn_rx_recv(rx, &v, RN_FOREVER);
    case '#':
        while (r == 0)
            r = rn_tx_send(tx, &v, RN_FOREVER);
        return r == -EPIPE ? 0 : r;
    case '*':
        while (r == 0)
            r = rn_rx_recv(rx, &v, RN_FOREVER);
        return r == -EPIPE ? 0 : r;
    case '>':
        return rn_tx_close(tx);
    default:
        rn_assert(op == '<');
        return rn_rx_close(rx);
    }
}

static const struct rn_site *wait_site(bool idle, const struct rn_site *busy)
{
    return idle ? RN_WAIT_IDLE() : busy;
}

/* What the letters of mutexes and their kind do. */
#define THINGS "+-()=.:$"

static int step_thing(const union thing *t, char op, bool idle)
{
    switch (op) {
    case '+':
        return rn_mutex_lock_at(wait_site(idle, RN_SITE()), t->mutex, RN_FOREVER);
    case '-':
        return rn_mutex_unlock(t->mutex);
    case '(':
        return rn_sem_take_at(wait_site(idle, RN_SITE()), t->sem, 1, RN_FOREVER);
    case ')':
        return rn_sem_give(t->sem, 1);
    case '=':
        return rn_group_wait_at(wait_site(idle, RN_SITE()), t->group, RN_FOREVER);
    case '.':
        return rn_group_done(t->group);
    case ':':
        return rn_oneshot_wait_at(wait_site(idle, RN_SITE()), t->shot, RN_FOREVER);
    default:
        rn_assert(op == '$');
        return rn_oneshot_set(t->shot);
    }
}

/* One step; *at moves behind it. 1: the task is to end. */
static int step(struct actor *a, const char **at)
{
    const bool idle = **at == 'i';
    char op;

    *at += idle;
    op = *(*at)++;
    switch (op) {
    case '[':
        return step_select(a, at, idle);
    case 'k':
        *at += 2;
        return 0;
    case 'z':
        return rn_sleep(span_parse(at));
    case 'y':
        return rn_yield();
    case '&':
        return child_start(a, (unsigned)(*(*at)++ - '0'));
    case 'W':
        return rn_scope_wait(a->scope);
    case 'C':
        return rn_scope_cancel(a->scope);
    case 'd':
        return rn_scope_deadline(a->scope, span_parse(at));
    default: {
        const int letter = *(*at)++ - 'a';
        rn_assert(letter >= 0 && letter < LETTERS);
        return strchr(THINGS, op) ? step_thing(&a->m->things[letter], op, idle)
                                  : step_channel(a, op, letter, idle);
    }
    }
}

static int actor_run(struct actor *a)
{
    const char *text = a->m->scripts[a->number].text, *at = text;
    int r = 0;

    while (r == 0 && *at) {
        if (*at == ' ')
            at++;
        else if (*at == '@')
            at = text;
        else
            r = step(a, &at);
    }
    return r;
}

static int actor_main(void *arg)
{
    struct actor *a = arg;

    if (strchr(a->m->scripts[a->number].text, '&'))
        OK(rn_scope_open(0, &a->scope));
    actor_run(a);
    rn_scope_closep(&a->scope);
    a->ended = true;
    return 0;
}

/* ---- The program ----------------------------------------------------------------------------- */

static size_t ends_of(struct actor *a, struct rn_end *ends)
{
    size_t n = 0;

    for (int i = 0; i < LETTERS; i++) {
        if (a->tx[i].gen)
            ends[n++] = rn_end_tx(a->tx[i]);
        if (a->rx[i].gen)
            ends[n++] = rn_end_rx(a->rx[i]);
    }
    return n;
}

/* A task gets its own end-points, and those of the tasks that it will start, and they. */
static size_t ends_gather(struct actor *a, struct rn_end *ends)
{
    const char *text = a->m->scripts[a->number].text;
    size_t n = ends_of(a, ends);

    for (const char *c = text; (c = strchr(c, '&')); c++) {
        const unsigned script = (unsigned)(c[1] - '0');
        const char again[] = {'&', c[1], '\0'};
        for (unsigned i = 0; strstr(text, again) == c && i < a->m->scripts[script].copies; i++)
            n += ends_gather(actor_at(a->m, script, i), ends + n);
    }
    return n;
}

static int actor_start(struct rn_scope scope, struct actor *a)
{
    const struct rn_task_options options = {.stack = RN_STACK_16K, .ret_task = &a->task};
    struct rn_end ends[2 * LETTERS * PROGRAM_TASKS];

    a->started = true;
    return rn_go_with(&options, scope, actor_main, a, ends, ends_gather(a, ends));
}

static void channel_deal(struct machine *m, int letter)
{
    struct rn_tx tx;
    struct rn_rx rx;
    bool sends, receives;

    OK(rn_chan_open(1, capacity(m->program, letter), &tx, &rx));
    for (unsigned s = 0; s < m->n_scripts; s++) {
        script_uses(m->scripts[s].text, letter, &sends, &receives);
        for (unsigned i = 0; i < m->scripts[s].copies; i++) {
            if (sends)
                OK(rn_tx_dup(tx, &actor_at(m, s, i)->tx[letter]));
            if (receives)
                OK(rn_rx_dup(rx, &actor_at(m, s, i)->rx[letter]));
        }
    }
    OK(rn_tx_close(tx));
    OK(rn_rx_close(rx));
}

static bool channel_used(const struct machine *m, int letter)
{
    bool sends, receives;

    for (unsigned s = 0; s < m->n_scripts; s++) {
        script_uses(m->scripts[s].text, letter, &sends, &receives);
        if (sends || receives)
            return true;
    }
    return false;
}

static bool thing_used(const struct machine *m, const char *ops, int letter)
{
    for (unsigned s = 0; s < m->n_scripts; s++) {
        for (const char *c = m->scripts[s].text; *c && c[1]; c++) {
            if (c[1] == 'a' + letter && strchr(ops, *c))
                return true;
        }
    }
    return false;
}

static void things_open(struct machine *m, struct rn_scope scope)
{
    for (int letter = 0; letter < LETTERS; letter++) {
        union thing *t = &m->things[letter];
        const uint32_t n = (uint32_t)capacity(m->program, letter);
        if (thing_used(m, "+-", letter))
            OK(rn_mutex_open(scope, &t->mutex));
        if (thing_used(m, "()", letter))
            OK(rn_sem_open(scope, n, &t->sem));
        if (thing_used(m, "=.", letter))
            OK(rn_group_open(scope, n, &t->group));
        if (thing_used(m, ":$", letter))
            OK(rn_oneshot_open(scope, &t->shot));
    }
}

static int program_main(void *arg)
{
    struct machine *m = arg;
    CLEANUP(rn_scope_closep) struct rn_scope scope = {0};

    OK(rn_scope_open(0, &scope));
    things_open(m, scope);
    for (int letter = 0; letter < LETTERS; letter++) {
        if (channel_used(m, letter))
            channel_deal(m, letter);
    }
    for (unsigned s = 0; s < m->n_scripts; s++) {
        for (unsigned i = 0; i < m->scripts[s].copies && !m->scripts[s].deferred; i++)
            OK(actor_start(scope, actor_at(m, s, i)));
    }
    (void)rn_scope_wait(scope); /* cancelled by the observer when it has seen enough */
    return 0;
}

/* ---- The observer ---------------------------------------------------------------------------- */

struct verdicts {
    const struct machine *m;
    bool aged;
};

static bool is_one_of(const struct actor *a, uint32_t id)
{
    return a->started && !a->ended && a->task.id == id;
}

static bool compare_one(void *arg, const struct rn_task_info *info)
{
    const struct verdicts *v = arg;
    struct outcome *o = v->m->outcome;

    for (unsigned s = 0; s < v->m->n_scripts; s++) {
        const char expected = v->m->program->expected[s];
        for (unsigned i = 0; i < v->m->scripts[s].copies; i++) {
            if (!is_one_of(actor_at(v->m, s, i), info->id))
                continue;
            o->dead += v->aged && info->dead;
            o->suspect += v->aged && info->suspect;
            o->missed += expected == 'd' && !info->dead;
            o->missed += expected == 's' && v->aged && !info->suspect;
            o->false_alarms += info->dead && expected != 'd';
            o->false_alarms += info->suspect && expected != 's';
        }
    }
    return true;
}

static void look(const struct machine *m, bool aged)
{
    struct verdicts v = {m, aged};
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);

    rn_assert(out);
    OK(rn_leak_check(rn_runtime_self(), out));
    fclose(out);
    rn_tasks_each(rn_runtime_self(), compare_one, &v);
    if (aged)
        snprintf(m->outcome->says, sizeof(m->outcome->says), "%s", text);
    free(text);
}

static void ends_compare(const struct machine *m)
{
    for (unsigned s = 0; s < m->n_scripts; s++) {
        const bool ends = m->program->expected[s] == 'e';
        for (unsigned i = 0; i < m->scripts[s].copies; i++)
            m->outcome->wrong += actor_at(m, s, i)->ended != ends;
    }
}

static int observer_main(void *arg)
{
    struct machine *m = arg;
    struct rn_scope scope;
    struct rn_stats stats;

    OK(rn_scope_open(0, &scope));
    OK(rn_go(scope, program_main, m, NULL, 0));
    OK(rn_sleep(SETTLED));
    look(m, false);
    OK(rn_sleep(AGED));
    look(m, true);
    ends_compare(m);
    OK(rn_scope_close(scope)); /* a cancel ends even the dead */
    rn_stats(rn_runtime_self(), &stats);
    m->outcome->wrong += stats.endpoints != 0 || stats.channels != 0 || stats.tasks_parked != 0;
    return 0;
}

void program_run(const struct program *program, unsigned long seed, struct outcome *ret_outcome)
{
    const struct rn_options options = {.sim = true, .seed = seed, .leaks = RN_LEAKS_IGNORE};
    struct machine m = {.program = program, .outcome = ret_outcome};

    *ret_outcome = (struct outcome){0};
    m.actors = calloc(PROGRAM_TASKS * PROGRAM_COPIES, sizeof(*m.actors));
    rn_assert(m.actors);
    machine_parse(&m);
    for (unsigned s = 0; s < m.n_scripts; s++) {
        for (unsigned i = 0; i < PROGRAM_COPIES; i++)
            *actor_at(&m, s, i) = (struct actor){.m = &m, .number = s};
    }
    OK(rn_run(&options, observer_main, &m));
    free(m.actors);
}

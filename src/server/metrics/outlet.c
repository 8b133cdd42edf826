#include "metrics/outlet.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <base/assert.h>
#include <base/cleanup.h>

#include "metrics/shipment.h"

static void outlet_unrefp(struct ft_outlet **o)
{
    *o = ft_outlet_unref(*o);
}

int ft_outlet_new(const struct ft_exporter_spec *spec, const char *data_dir, struct ft_outlet **ret)
{
    CLEANUP(outlet_unrefp) struct ft_outlet *o = calloc(1, sizeof(*o));
    int r;

    if (!o)
        return -ENOMEM;
    atomic_init(&o->refs, 1);
    o->type = spec->type;
    rn_assert(o->type->size >= o->type->settings_size &&
              o->type->settings_size >= sizeof(struct ft_exporter_head));
    o->self = calloc(1, o->type->size);
    if (!o->self)
        return -ENOMEM;
    o->yaml = ft_yaml_ref(spec->yaml);
    memcpy(o->self, spec->settings, o->type->settings_size);
    ((struct ft_exporter_head *)o->self)->data_dir = data_dir;

    /* one thread: the functions of an exporter never run at the same time */
    r = rn_class_open(o->type->name, 1, &o->class);
    if (r < 0)
        return r;
    *ret = TAKE(o);
    return 0;
}

static struct ft_outlet *outlet_ref(struct ft_outlet *o)
{
    atomic_fetch_add_explicit(&o->refs, 1, memory_order_relaxed);
    return o;
}

struct ft_outlet *ft_outlet_unref(struct ft_outlet *o)
{
    if (!o || atomic_fetch_sub_explicit(&o->refs, 1, memory_order_acq_rel) > 1)
        return NULL;
    if (o->opened)
        o->type->close(o->self);
    free(o->self);
    (void)ft_yaml_free(o->yaml);
    free(o);
    return NULL;
}

bool ft_outlet_hangs(const struct ft_outlet *o)
{
    return atomic_load_explicit(&o->refs, memory_order_acquire) > 1;
}

struct ft_outlet *ft_outlet_free(struct ft_outlet *o)
{
    /* the class of a call that hangs is left to the runtime, which waits for it at its end */
    if (o && !ft_outlet_hangs(o))
        rn_class_close(o->class);
    return ft_outlet_unref(o);
}

/* ---- calls ---------------------------------------------------------------------------------- */

struct call {
    struct ft_outlet *outlet;     /* a reference */
    struct ft_shipment *shipment; /* likewise; NULL but for a send */
    rn_time deadline;
    bool                 needs_people; /* open said so */
    rn_time pause; /* of a tend, with its result */
    int result;
    struct ft_text_error why;
};

static void call_free(void *arg)
{
    struct call *c = arg;

    (void)ft_shipment_unref(c->shipment);
    (void)ft_outlet_unref(c->outlet);
    free(c);
}

static void call_freep(struct call **c)
{
    if (*c)
        call_free(*c);
}

static struct call *call_new(struct ft_outlet *o)
{
    struct call *c = calloc(1, sizeof(*c));

    if (c)
        c->outlet = outlet_ref(o);
    return c;
}

/* Run it on the exporter's thread. 0: it ran, and *call is still ours; an error of the call: it is
 * not. */
static int call_run(struct call **call, int (*fn)(void *arg), rn_time deadline)
{
    struct call *c = TAKE(*call);
    int r = rn_blocking_owned(c->outlet->class, fn, c, call_free, deadline);

    if (r < 0)
        return r;
    *call = c;
    return 0;
}

/* What the exporter returns must not be mistaken for what happened to the call, so each fn returns
 * 0 and leaves its result in the call. */
static int open_fn(void *arg)
{
    struct call *c = arg;
    int r = c->outlet->type->open(c->outlet->self, &c->why);

    c->outlet->opened = r >= 0;
    c->needs_people = r == -EACCES;
    if (r < 0 && c->why.text[0] == 0)
        ft_text_error_set(&c->why, "cannot open: %s", strerrordesc_np(-r));
    return 0;
}

int ft_outlet_open(struct ft_outlet *o, struct ft_text_error *reterr)
{
    CLEANUP(call_freep) struct call *c = call_new(o);
    int r;

    if (!c)
        return -ENOMEM;
    r = call_run(&c, open_fn, RN_FOREVER);
    if (r < 0)
        return r;
    *reterr = c->why;
    return c->outlet->opened ? 0 : c->needs_people ? -EACCES : -EIO;
}

static int encode(const struct call *c, struct ft_shipment *s, const struct ft_rows *rows)
{
    int r;

    if (s->encoded || !c->outlet->type->encode)
        return 0;
    ft_buf_clear(&s->body);
    r = c->outlet->type->encode(c->outlet->self, rows, &s->body);
    s->encoded = r >= 0;
    return r;
}

static int send_fn(void *arg)
{
    struct call *c = arg;
    struct ft_shipment *s = c->shipment;
    const struct ft_rows rows = {.items = s->rows, .n = s->n_rows};
    int r;

    ft_answer_reset(&s->answer, s->n_rows);
    r = encode(c, s, &rows);
    if (r < 0) {
        ft_answer_all(&s->answer, FT_VERDICT_RETRY, "cannot encode: %s", strerrordesc_np(-r));
        return 0;
    }
    r = c->outlet->type->send(c->outlet->self, &rows, ft_buf_slice(&s->body), &s->answer,
                              c->deadline);
    if (r < 0)
        ft_answer_rest(&s->answer, FT_VERDICT_RETRY, "%s", strerrordesc_np(-r));
    return 0;
}

int ft_outlet_send(struct ft_outlet *o, struct ft_shipment *s, rn_time deadline)
{
    CLEANUP(call_freep) struct call *c = call_new(o);
    int r = -ENOMEM;

    if (c) {
        c->shipment = ft_shipment_ref(s);
        c->deadline = deadline;
        r = call_run(&c, send_fn, RN_FOREVER);
    }
    if (r != -ENOMEM)
        return r;
    ft_answer_reset(&s->answer, s->n_rows);
    ft_answer_all(&s->answer, FT_VERDICT_RETRY, "no memory");
    return 0;
}

static int tend_fn(void *arg)
{
    struct call *c = arg;

    c->result = c->outlet->type->tend(c->outlet->self, &c->pause, &c->why);
    return 0;
}

#define TEND_MEMORY_PAUSE (60 * RN_S)

int ft_outlet_tend(struct ft_outlet *o, rn_time *ret_pause, struct ft_text_error *reterr)
{
    *ret_pause = o->type->tend ? TEND_MEMORY_PAUSE : RN_FOREVER;
    if (!o->type->tend)
        return 0;
    CLEANUP(call_freep) struct call *c = call_new(o);
    int r = c ? call_run(&c, tend_fn, RN_FOREVER) : -ENOMEM;
    if (r < 0) {
        ft_text_error_set(reterr, "%s", strerrordesc_np(-r));
        return r;
    }
    *ret_pause = c->pause;
    *reterr = c->why;
    return c->result;
}

static int close_fn(void *arg)
{
    struct call *c = arg;

    if (c->outlet->opened)
        c->outlet->type->close(c->outlet->self);
    c->outlet->opened = false;
    return 0;
}

int ft_outlet_close(struct ft_outlet *o, rn_time deadline)
{
    CLEANUP(call_freep) struct call *c = call_new(o);

    return c ? call_run(&c, close_fn, deadline) : -ENOMEM;
}

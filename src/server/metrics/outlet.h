/* An exporter and the thread that its calls run on.
 *
 * A call that does not come back may be given up (its task was cancelled); the thread is still in
 * it then, so what it touches is counted: the outlet, and the shipment that is being sent. Whoever
 * lets go last closes and frees, on whatever thread that is.
 */
#pragma once

#include <runnel/blocking.h>

#include "exporter/exporter.h"

struct ft_shipment;

struct ft_outlet {
    /* set once */
    const struct ft_exporter_type *type;
    void *self; /* owned */
    struct ft_yaml *yaml; /* a reference: the texts in self's settings */
    struct rn_class *class;

    /* the class's thread; the last unref */
    bool opened;

    /* any thread */
    _Atomic uint32_t refs;
};

/* 0, -ENOMEM. From a task. */
int ft_outlet_new(const struct ft_exporter_spec *spec, const char *data_dir,
                  struct ft_outlet **ret);
struct ft_outlet *ft_outlet_unref(struct ft_outlet *o); /* returns NULL */

/* All suspend; -ECANCELED: given up. */
/* -EACCES: a person has to do something; -EIO: another failure. */
int ft_outlet_open(struct ft_outlet *o, struct ft_text_error *reterr);
/* 0: the shipment's answer tells; a failure of the call itself is in the answer too. -ECANCELED:
 * the shipment may only be let go of. */
int ft_outlet_send(struct ft_outlet *o, struct ft_shipment *s, rn_time deadline);
/* What the exporter's tend() said. *ret_pause is set also then; RN_FOREVER where there are no chores.
 */
int ft_outlet_tend(struct ft_outlet *o, rn_time *ret_pause, struct ft_text_error *reterr);
int ft_outlet_close(struct ft_outlet *o, rn_time deadline);

/* A call that was given up is still running. */
bool ft_outlet_hangs(const struct ft_outlet *o);

/* End with the outlet: its class is closed unless a call hangs in it. Suspends. Returns NULL. */
struct ft_outlet *ft_outlet_free(struct ft_outlet *o);

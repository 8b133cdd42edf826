/* For tests of who watches: a task that stands still inside of the library, with a channel's lock.
 */
#include <harness/test.h>

#include "channel.h"

void rn__testing_lock(struct rn_tx tx, bool hold);

void rn__testing_lock(struct rn_tx tx, bool hold)
{
    struct rn__end_rec *rec = rn__rec_find(rn__chans_self(), tx.slot);

    TRUE(rec != NULL);
    if (hold)
        OK(rn__end_lock(rn__chans_self(), rn_end_tx(tx), RN__TX, RN__ANYONE, &rec));
    else
        rn_lock_release(&atomic_load(&rec->chan)->lock);
}

/* Transactions, see transaction.h. */
#include "transaction.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <proto/utf8.h>

#include "fault.h"

#define IN_FORCE "transaction"
#define BUILDING "transaction.new"
#define ENDED "transaction.old"

#define PLAN_BYTES_MAX (16 * FT_MIB)
#define BODY_BYTES_MAX FT_MESSAGE_MAX_AGENT

static int path_in(const struct ft_txn *t, const char *folder, const char *name, char out[PATH_MAX])
{
    return ft_path_format(out, PATH_MAX, "%s/%s%s%s", t->store->folder, folder, *name ? "/" : "",
                          name);
}

static int part_write(const struct ft_txn *t, const char *folder, const char *name,
                      struct rn_slice body)
{
    char path[PATH_MAX];
    int r = path_in(t, folder, name, path);

    return r < 0 ? r : ft_file_write(path, body);
}

static int part_read(const struct ft_txn *t, const char *name, struct ft_buf *out)
{
    char path[PATH_MAX];
    int r = path_in(t, IN_FORCE, name, path);

    return r < 0 ? r : ft_file_read(path, out->max, out, NULL);
}

static int folder_sync(const struct ft_txn *t, const char *folder)
{
    char path[PATH_MAX];
    int r = path_in(t, folder, "", path);

    return r < 0 ? r : ft_dir_sync(path);
}

static int folder_remove(const struct ft_txn *t, const char *folder)
{
    char path[PATH_MAX];
    int r = path_in(t, folder, "", path);

    return r < 0 ? r : ft_dir_remove(path);
}

static int folder_rename(const struct ft_txn *t, const char *from, const char *to)
{
    char a[PATH_MAX], b[PATH_MAX];
    int r = path_in(t, from, "", a);

    if (r == 0)
        r = path_in(t, to, "", b);
    if (r < 0)
        return r;
    return rename(a, b) < 0 ? -errno : ft_dir_sync(t->store->folder);
}

static void old_name(size_t i, char out[32])
{
    (void)snprintf(out, 32, "old.%zu", i);
}

/* ---- begin ---- */

static int old_copy(const struct ft_txn *t, size_t i)
{
    CLEANUP(ft_buf_fini) struct ft_buf body = FT_BUF_INIT(BODY_BYTES_MAX);
    const struct ft_entry *e = &t->plan.entries[i];
    char name[32];
    int r;

    if (e->action == FT_ENTRY_KEEP || !e->old.exists)
        return 0;
    r = ft_file_read(e->path, FT_MESSAGE_MAX_AGENT, &body, NULL);
    if (r < 0)
        return r;
    old_name(i, name);
    return part_write(t, BUILDING, name, ft_buf_slice(&body));
}

static int journal_begin(const struct ft_txn *t)
{
    char path[PATH_MAX];
    int r = folder_remove(t, BUILDING);

    if (r == 0)
        r = path_in(t, BUILDING, "", path);
    if (r < 0)
        return r;
    if (mkdir(path, 0700) < 0)
        return -errno;
    FT_FAULT_POINT(JOURNAL_BEGUN);
    for (size_t i = 0; i < t->plan.n && r == 0; i++)
        r = old_copy(t, i);
    FT_FAULT_POINT(JOURNAL_OLD);
    return r;
}

static int journal_write(const struct ft_txn *t)
{
    CLEANUP(ft_buf_fini) struct ft_buf plan = FT_BUF_INIT(PLAN_BYTES_MAX);
    int r = journal_begin(t);

    if (r == 0)
        r = ft_plan_encode(&t->plan, &plan);
    if (r == 0)
        r = part_write(t, BUILDING, "plan", ft_buf_slice(&plan));
    if (r == 0)
        r = part_write(t, BUILDING, "offer", ft_offer_bytes(t->offer));
    if (r == 0)
        r = folder_sync(t, BUILDING);
    if (r < 0)
        return r;
    FT_FAULT_POINT(JOURNAL_WRITTEN);
    (void)folder_remove(t, IN_FORCE); /* one whose outcome is recorded, but which would not go */
    r = folder_rename(t, BUILDING, IN_FORCE);
    FT_FAULT_POINT(JOURNAL_IN_FORCE);
    return r;
}

int ft_txn_begin(struct ft_store *store, const struct ft_settings *settings,
                 struct ft_offer **offer, struct ft_txn *ret, struct ft_text_error *reterr)
{
    struct ft_txn t = {.store = store, .offer = *offer};
    int r = ft_plan_make(settings, store, *offer, &t.plan, reterr);

    if (r < 0)
        return r;
    r = journal_write(&t);
    if (r < 0) {
        ft_text_error_set(reterr, "%s: the journal cannot be written: %s", store->folder,
                          strerror(-r));
        (void)folder_remove(&t, BUILDING);
        (void)folder_remove(&t,
                            IN_FORCE); /* the rename may have happened before its fsync failed */
        ft_plan_fini(&t.plan);
        return r == -EINVAL ? -EIO : r;
    }
    (void)TAKE(*offer);
    *ret = t;
    return 0;
}

/* ---- an earlier life ---- */

static int offer_load(struct ft_txn *t)
{
    CLEANUP(ft_buf_fini) struct ft_buf bytes = FT_BUF_INIT(BODY_BYTES_MAX);
    int r = part_read(t, "offer", &bytes);

    return r < 0 ? r : ft_offer_from_bytes(ft_buf_slice(&bytes), &t->offer);
}

static int plan_load(struct ft_txn *t)
{
    CLEANUP(ft_buf_fini) struct ft_buf text = FT_BUF_INIT(PLAN_BYTES_MAX);
    int r = part_read(t, "plan", &text);

    if (r == 0)
        r = ft_plan_decode(ft_buf_slice(&text), &t->plan);
    for (size_t i = 0; r == 0 && i < t->plan.n; i++)
        if (t->plan.entries[i].action != FT_ENTRY_REMOVE &&
            !ft_objects_get(&t->offer->objects, rn_slice_str(t->plan.entries[i].object)))
            r = -EBADMSG;
    return r;
}

static int reason_load(struct ft_txn *t)
{
    CLEANUP(ft_buf_fini) struct ft_buf text = FT_BUF_INIT(FT_TEXT_MAX);
    int r = part_read(t, "failed", &text);

    if (r < 0)
        return r == -ENOENT ? 0 : r;
    t->failed = true;
    (void)ft_text_clean(ft_buf_slice(&text), t->reason, sizeof(t->reason));
    return 0;
}

int ft_txn_load(struct ft_store *store, struct ft_txn *ret, struct ft_text_error *reterr)
{
    CLEANUP(ft_txn_fini) struct ft_txn t = {.store = store};
    char path[PATH_MAX];
    int r = folder_remove(&t, BUILDING);

    if (r == 0)
        r = folder_remove(&t, ENDED);
    if (r == 0)
        r = path_in(&t, IN_FORCE, "", path);
    if (r == 0 && access(path, F_OK) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (r == 0)
        r = offer_load(&t);
    if (r == 0)
        r = plan_load(&t);
    if (r == 0)
        r = reason_load(&t);
    if (r < 0) {
        ft_text_error_set(reterr, "%s/" IN_FORCE ": %s: repair it, or remove it and push again",
                          store->folder, strerror(-r));
        return r;
    }
    *ret = t;
    t = (struct ft_txn){0};
    return 1;
}

/* ---- forwards ---- */

static void write_step(bool renamed)
{
    (void)renamed;
#ifdef FETTLE_FAULT_POINTS
    ft_fault_point_reached(renamed ? FT_POINT_FILE_RENAMED : FT_POINT_FILE_TEMPORARY);
#endif
}

static int entry_write(const struct ft_txn *t, const struct ft_entry *e)
{
    const struct ft_object *o = ft_objects_get(&t->offer->objects, rn_slice_str(e->object));

    switch (e->action) {
    case FT_ENTRY_WRITE:
        return ft_file_replace(e->path, o->body, &e->old, write_step);
    case FT_ENTRY_REMOVE:
        return ft_file_remove(e->path);
    default:
        return 0;
    }
}

int ft_txn_write(struct ft_txn *t, struct ft_text_error *reterr)
{
    for (size_t i = 0; i < t->plan.n; i++) {
        int r = entry_write(t, &t->plan.entries[i]);

        if (r < 0) {
            ft_text_error_set(reterr, "%s: cannot be %s: %s", t->plan.entries[i].path,
                              t->plan.entries[i].action == FT_ENTRY_REMOVE ? "removed" : "written",
                              strerror(-r));
            return r;
        }
    }
    FT_FAULT_POINT(FILES_WRITTEN);
    return 0;
}

/* ---- backwards ---- */

int ft_txn_fail(struct ft_txn *t, const char *reason)
{
    struct ft_file_attrs attrs = {.exists = true, .mode = 0600, .uid = geteuid(), .gid = getegid()};
    char path[PATH_MAX];
    int r;

    t->failed = true;
    (void)ft_text_clean(rn_slice_str(reason), t->reason, sizeof(t->reason));
    r = path_in(t, IN_FORCE, "failed", path);
    if (r == 0)
        r = ft_file_replace(path, rn_slice_str(t->reason), &attrs, NULL);
    FT_FAULT_POINT(FAILURE_RECORDED);
    return r;
}

static int entry_restore(const struct ft_txn *t, size_t i)
{
    CLEANUP(ft_buf_fini) struct ft_buf body = FT_BUF_INIT(BODY_BYTES_MAX);
    const struct ft_entry *e = &t->plan.entries[i];
    char name[32];
    int r;

    if (e->action == FT_ENTRY_KEEP)
        return 0;
    if (!e->old.exists)
        return ft_file_remove(e->path);
    old_name(i, name);
    r = part_read(t, name, &body);
    return r < 0 ? r : ft_file_replace(e->path, ft_buf_slice(&body), &e->old, NULL);
}

int ft_txn_restore(struct ft_txn *t, struct ft_text_error *reterr)
{
    int first = 0;

    for (size_t i = 0; i < t->plan.n; i++) {
        int r = entry_restore(t, i);

        if (r < 0 && first == 0) {
            ft_text_error_set(reterr, "%s: cannot be restored: %s", t->plan.entries[i].path,
                              strerror(-r));
            first = r;
        }
        FT_FAULT_POINT(FILE_RESTORED);
    }
    FT_FAULT_POINT(FILES_RESTORED);
    return first;
}

/* ---- the end ---- */

/* The paths that are fettle's from now on. Files of other agents' files (mappings that went away)
 * stay on the list. */
static size_t written_after(const struct ft_txn *t, const char **paths)
{
    size_t n = 0;

    for (size_t i = 0; i < t->store->n_written; i++) {
        bool removed = false;

        for (size_t j = 0; j < t->plan.n; j++)
            removed |= strcmp(t->plan.entries[j].path, t->store->written[i]) == 0;
        if (!removed)
            paths[n++] = t->store->written[i];
    }
    for (size_t j = 0; j < t->plan.n; j++) {
        const struct ft_entry *e = &t->plan.entries[j];

        if (e->action == FT_ENTRY_WRITE || (e->action == FT_ENTRY_KEEP && e->ours))
            paths[n++] = e->path;
    }
    return n;
}

/* The offer moves to the store only once all of the end has succeeded, so that the transaction can
 * still fail. */
static int applied_record(struct ft_txn *t)
{
    CLEANUP(freep) const char **paths = calloc(t->store->n_written + t->plan.n + 1, sizeof(*paths));
    CLEANUP(ft_offer_freep) struct ft_offer *copy = NULL;
    int r;

    if (!paths)
        return -ENOMEM;
    r = ft_offer_from_bytes(ft_offer_bytes(t->offer), &copy);
    if (r == 0)
        r = ft_store_set_outcome(t->store, t->offer->hash, FT_STATUS_APPLIED, "");
    FT_FAULT_POINT(STATUS_RECORDED);
    if (r == 0)
        r = ft_store_set_applied(t->store, &copy, paths, written_after(t, paths));
    FT_FAULT_POINT(APPLIED_RECORDED);
    return r;
}

int ft_txn_end(struct ft_txn *t)
{
    int r;

    if (t->failed) {
        (void)ft_store_set_outcome(t->store, t->offer->hash, FT_STATUS_FAILED, t->reason);
        FT_FAULT_POINT(STATUS_RECORDED);
    } else {
        r = applied_record(t);
        if (r < 0)
            return r;
    }
    (void)folder_remove(t, ENDED);
    if (folder_rename(t, IN_FORCE, ENDED) < 0)
        return 0; /* a next start repeats the application, to the same end */
    FT_FAULT_POINT(JOURNAL_ENDED);
    (void)folder_remove(t, ENDED);
    FT_FAULT_POINT(JOURNAL_REMOVED);
    return 0;
}

void ft_txn_fini(struct ft_txn *t)
{
    t->offer = ft_offer_free(t->offer);
    ft_plan_fini(&t->plan);
}

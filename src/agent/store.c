/* The state folder, see store.h. */
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <proto/message.h>
#include <proto/utf8.h>

#include "files.h"

#define WRITTEN_BYTES_MAX (4 * FT_MIB)

/* ---- the outcome ---- */

int ft_outcome_set(struct ft_outcome *o, struct rn_slice hash, enum ft_status status,
                   const char *error)
{
    uint8_t *copy = malloc(hash.len + 1);

    if (!copy)
        return -ENOMEM;
    if (hash.len)
        memcpy(copy, hash.data, hash.len);
    free(o->hash);
    o->hash = copy;
    o->hash_len = hash.len;
    o->status = status;
    (void)ft_text_clean(rn_slice_str(error), o->error, sizeof(o->error));
    return 0;
}

void ft_outcome_fini(struct ft_outcome *o)
{
    free(o->hash);
    o->hash = NULL;
    o->hash_len = 0;
}

static int outcome_encode(const struct ft_outcome *o, struct ft_buf *out)
{
    Opamp__Proto__RemoteConfigStatus msg = OPAMP__PROTO__REMOTE_CONFIG_STATUS__INIT;

    msg.last_remote_config_hash = (ProtobufCBinaryData){o->hash_len, o->hash};
    msg.status = (Opamp__Proto__RemoteConfigStatuses)o->status;
    msg.error_message = (char *)o->error;
    return ft_message_encode(&msg.base, FT_MESSAGE_MAX_DEFAULT, out);
}

static int outcome_decode(struct rn_slice bytes, struct ft_outcome *o)
{
    CLEANUP(ft_arena_fini) struct ft_arena arena = {0};
    const struct ft_limits limits = {.message_max = FT_MESSAGE_MAX_DEFAULT};
    const Opamp__Proto__RemoteConfigStatus *msg;
    ProtobufCMessage *base;
    int r = ft_message_decode(bytes, &opamp__proto__remote_config_status__descriptor, &limits,
                              &arena, &base, NULL);

    if (r < 0)
        return r;
    msg = (const Opamp__Proto__RemoteConfigStatus *)base;
    return ft_outcome_set(
        o, rn_slice(msg->last_remote_config_hash.data, msg->last_remote_config_hash.len),
        (enum ft_status)msg->status, msg->error_message);
}

/* ---- files of the folder ---- */

static int state_path(const struct ft_store *s, const char *name, char out[PATH_MAX])
{
    return ft_path_format(out, PATH_MAX, "%s/%s", s->folder, name);
}

static int state_write(const struct ft_store *s, const char *name, struct rn_slice body)
{
    struct ft_file_attrs attrs = {.exists = true, .mode = 0600, .uid = geteuid(), .gid = getegid()};
    char path[PATH_MAX];
    int r = state_path(s, name, path);

    return r < 0 ? r : ft_file_replace(path, body, &attrs, NULL);
}

/* A file that is not there reads as empty. */
static int state_read(const struct ft_store *s, const char *name, struct ft_buf *out)
{
    char path[PATH_MAX];
    int r = state_path(s, name, path);

    if (r == 0)
        r = ft_file_read(path, out->max, out, NULL);
    return r == -ENOENT ? 0 : r;
}

static void written_free(char **paths, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(paths[i]);
    free(paths);
}

static int written_copy(const char *const *paths, size_t n, char ***ret)
{
    char **copy = calloc(n + 1, sizeof(*copy));

    if (!copy)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        copy[i] = strdup(paths[i]);
        if (!copy[i]) {
            written_free(copy, i);
            return -ENOMEM;
        }
    }
    *ret = copy;
    return 0;
}

static int written_load(struct ft_store *s)
{
    CLEANUP(ft_buf_fini) struct ft_buf text = FT_BUF_INIT(WRITTEN_BYTES_MAX);
    size_t lines = 0;
    char *rest = NULL;
    int r = state_read(s, "written", &text);

    if (r == 0)
        r = ft_buf_add_byte(&text, '\0');
    if (r < 0)
        return r;
    for (size_t i = 0; i < text.len; i++)
        lines += text.data[i] == '\n';
    s->written = calloc(lines + 1, sizeof(*s->written));
    if (!s->written)
        return -ENOMEM;
    for (char *l = strtok_r((char *)text.data, "\n", &rest); l && s->n_written < lines;
         l = strtok_r(NULL, "\n", &rest)) {
        s->written[s->n_written] = strdup(l);
        if (!s->written[s->n_written])
            return -ENOMEM;
        s->n_written++;
    }
    return 0;
}

static int outcome_load(struct ft_store *s)
{
    CLEANUP(ft_buf_fini) struct ft_buf body = FT_BUF_INIT(64 * FT_KIB);
    int r = state_read(s, "status", &body);

    return r < 0 || body.len == 0 ? r : outcome_decode(ft_buf_slice(&body), &s->outcome);
}

static int applied_load(struct ft_store *s)
{
    CLEANUP(ft_buf_fini) struct ft_buf body = FT_BUF_INIT(FT_MESSAGE_MAX_AGENT);
    int r = state_read(s, "applied", &body);

    return r < 0 || body.len == 0 ? r : ft_offer_from_bytes(ft_buf_slice(&body), &s->applied);
}

static int uid_load(struct ft_store *s)
{
    CLEANUP(ft_buf_fini) struct ft_buf text = FT_BUF_INIT(FT_UUID_TEXT_SIZE + 1);
    struct ft_uuid uid;
    int r = state_read(s, "instance-uid", &text);

    if (r < 0)
        return r;
    if (text.len == 0) {
        r = ft_uuid_new(&uid);
        return r < 0 ? r : ft_store_set_uid(s, &uid);
    }
    while (text.len > 0 && text.data[text.len - 1] == '\n')
        text.len--;
    return ft_uuid_parse(ft_buf_slice(&text), &s->uid);
}

static int lock_take(struct ft_store *s)
{
    char path[PATH_MAX];
    int r = state_path(s, "lock", path);

    if (r < 0)
        return r;
    s->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (s->lock < 0)
        return -errno;
    return flock(s->lock, LOCK_EX | LOCK_NB) < 0 ? -errno : 0;
}

int ft_store_open(const char *folder, struct ft_store *ret, struct ft_text_error *reterr)
{
    CLEANUP(ft_store_close) struct ft_store s = {.folder = folder, .lock = -1};
    static const struct {
        const char *name;
        int (*load)(struct ft_store *);
    } loads[] = {{"lock", lock_take},
                 {"instance-uid", uid_load},
                 {"status", outcome_load},
                 {"applied", applied_load},
                 {"written", written_load}};
    int r = ft_dir_make(folder);

    if (r < 0) {
        ft_text_error_set(reterr, "%s: %s: make the state folder writable", folder, strerror(-r));
        return r;
    }
    for (size_t i = 0; i < sizeof(loads) / sizeof(*loads); i++) {
        r = loads[i].load(&s);
        if (r == 0)
            continue;
        if (r == -EWOULDBLOCK)
            ft_text_error_set(
                reterr,
                "%s: another fettle-agent runs on this state: stop it or name another folder",
                folder);
        else
            ft_text_error_set(reterr, "%s/%s: %s: repair or remove it", folder, loads[i].name,
                              strerror(-r));
        return r;
    }
    *ret = s;
    s = (struct ft_store){.lock = -1};
    return 0;
}

void ft_store_close(struct ft_store *s)
{
    ft_outcome_fini(&s->outcome);
    s->applied = ft_offer_free(s->applied);
    written_free(s->written, s->n_written);
    s->written = NULL;
    s->n_written = 0;
    closep(&s->lock);
    s->lock = -1;
}

/* ---- changes ---- */

int ft_store_set_uid(struct ft_store *s, const struct ft_uuid *uid)
{
    char text[FT_UUID_TEXT_SIZE + 1];
    int r;

    ft_uuid_format(uid, text);
    strcat(text, "\n");
    r = state_write(s, "instance-uid", rn_slice_str(text));
    if (r == 0)
        s->uid = *uid;
    return r;
}

static int written_save(struct ft_store *s, const char *const *paths, size_t n)
{
    CLEANUP(ft_buf_fini) struct ft_buf text = FT_BUF_INIT(WRITTEN_BYTES_MAX);
    int r;

    for (size_t i = 0; i < n; i++)
        (void)ft_buf_printf(&text, "%s\n", paths[i]);
    r = ft_buf_error(&text);
    return r < 0 ? r : state_write(s, "written", ft_buf_slice(&text));
}

int ft_store_set_applied(struct ft_store *s, struct ft_offer **offer, const char *const *written,
                         size_t n)
{
    char **copy;
    int r = written_copy(written, n, &copy);

    if (r < 0)
        return r;
    r = written_save(s, written, n);
    if (r == 0)
        r = state_write(s, "applied", ft_offer_bytes(*offer));
    if (r < 0) {
        written_free(copy, n);
        return r;
    }
    written_free(s->written, s->n_written);
    s->written = copy;
    s->n_written = n;
    (void)ft_offer_free(s->applied);
    s->applied = TAKE(*offer);
    return 0;
}

int ft_store_set_outcome(struct ft_store *s, struct rn_slice hash, enum ft_status status,
                         const char *error)
{
    CLEANUP(ft_buf_fini) struct ft_buf body = FT_BUF_INIT(64 * FT_KIB);
    int r = ft_outcome_set(&s->outcome, hash, status, error);

    if (r == 0)
        r = outcome_encode(&s->outcome, &body);
    return r < 0 ? r : state_write(s, "status", ft_buf_slice(&body));
}

bool ft_store_wrote(const struct ft_store *s, const char *path)
{
    for (size_t i = 0; i < s->n_written; i++)
        if (strcmp(s->written[i], path) == 0)
            return true;
    return false;
}

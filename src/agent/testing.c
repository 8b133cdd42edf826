#include "testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <proto/frame.h>
#include <proto/names.h>
#include <rnet/addr.h>

#include "files.h"

const char testing_program[] =
    "check() { if grep -q broken \"$1\" 2>/dev/null; then echo this is broken >&2; exit 2; fi; }\n"
    "f=$1; trap 'check \"$f\"' HUP; check \"$f\"; echo started\n"
    "while :; do sleep 0.02; done\n";

const char *testing_path(const char *text)
{
    static char texts[4][4096];
    static int turn;
    char *out = texts[turn++ % 4];
    size_t n = 0;

    for (; *text; text++) {
        if (*text != '@') {
            out[n++] = *text;
            continue;
        }
        n += (size_t)snprintf(out + n, sizeof(texts[0]) - n, "%s", test_dir());
    }
    out[n] = '\0';
    return out;
}

void testing_write(const char *path, const char *body)
{
    FILE *f = fopen(path, "we");

    TRUE(f != NULL);
    TRUE(fputs(body, f) >= 0);
    EQ(fclose(f), 0);
}

bool testing_file_is(const char *path, const char *body)
{
    CLEANUP(ft_buf_fini) struct ft_buf b = FT_BUF_INIT(1 << 20);
    int r = ft_file_read(path, 1 << 16, &b, NULL);

    if (!body)
        return r == -ENOENT;
    return r == 0 && rn_slice_eq_str(ft_buf_slice(&b), body);
}

void testing_settings(const char *text, struct ft_settings *ret)
{
    struct ft_text_error err = {""};

    testing_write(testing_path("@/agent.yaml"), testing_path(text));
    test_note("%s", testing_path(text));
    if (ft_settings_read(testing_path("@/agent.yaml"), NULL, ret, &err) < 0)
        FAIL("%s", err.text);
}

void fake_server_open(struct fake_server *f)
{
    *f = (struct fake_server){0};
    OK(rnet_listen("127.0.0.1:0", 16, &f->acceptor));
}

void fake_server_hang_up(struct fake_server *f)
{
    ft_agent_message_fini(&f->last);
    rnet_stream_closep(&f->stream);
    f->stream = NULL;
}

void fake_server_close(struct fake_server *f)
{
    fake_server_hang_up(f);
    rnet_acceptor_close(f->acceptor);
}

void fake_server_accept(struct fake_server *f)
{
    fake_server_hang_up(f);
    OK(rnet_accept(f->acceptor, RN_FOREVER, &f->stream));
}

int fake_server_read(struct fake_server *f)
{
    const struct ft_limits limits = {.message_max = FT_MESSAGE_MAX_AGENT};
    CLEANUP(freep) uint8_t *frame = NULL;
    struct ft_fault fault;
    struct rn_slice bytes;
    size_t len;
    int r = rnet_stream_read_frame(f->stream, FT_MESSAGE_MAX_AGENT, RN_FOREVER, &frame, &len);

    if (r <= 0)
        return r;
    ft_agent_message_fini(&f->last);
    f->last = (struct ft_agent_message){0};
    OK(ft_envelope_decode(rn_slice(frame, len), &bytes));
    OK(ft_opamp_decode_agent(bytes, &limits, &f->last, &fault));
    EQ(f->last.msg->instance_uid.len, 16);
    f->messages++;
    return 1;
}

void fake_server_say(struct fake_server *f, const Opamp__Proto__ServerToAgent *msg)
{
    CLEANUP(ft_buf_fini) struct ft_buf out = FT_BUF_INIT(FT_MESSAGE_MAX_AGENT);

    OK(ft_message_encode_frame(&msg->base, FT_MESSAGE_MAX_AGENT, &out));
    (void)rnet_stream_write(f->stream, out.data, out.len, RN_FOREVER); /* the agent may be dying */
}

void fake_server_reply(struct fake_server *f, bool metrics)
{
    Opamp__Proto__ServerToAgent msg = OPAMP__PROTO__SERVER_TO_AGENT__INIT;
    Opamp__Proto__CustomCapabilities custom = OPAMP__PROTO__CUSTOM_CAPABILITIES__INIT;
    char *names[] = {FT_CAPABILITY_PROCESS_METRICS};

    msg.instance_uid = f->last.msg->instance_uid;
    custom.n_capabilities = 1;
    custom.capabilities = names;
    if (metrics)
        msg.custom_capabilities = &custom;
    fake_server_say(f, &msg);
}

void fake_server_offer(struct fake_server *f, const char *hash, const char *object,
                       const char *body)
{
    Opamp__Proto__ServerToAgent msg = OPAMP__PROTO__SERVER_TO_AGENT__INIT;
    Opamp__Proto__AgentRemoteConfig config = OPAMP__PROTO__AGENT_REMOTE_CONFIG__INIT;
    Opamp__Proto__AgentConfigMap map = OPAMP__PROTO__AGENT_CONFIG_MAP__INIT;
    Opamp__Proto__AgentConfigMap__ConfigMapEntry entry =
        OPAMP__PROTO__AGENT_CONFIG_MAP__CONFIG_MAP_ENTRY__INIT;
    Opamp__Proto__AgentConfigMap__ConfigMapEntry *entries[] = {&entry};
    Opamp__Proto__AgentConfigObject file = OPAMP__PROTO__AGENT_CONFIG_OBJECT__INIT;

    file.body = (ProtobufCBinaryData){strlen(body), (uint8_t *)body};
    file.content_type = "text/plain";
    entry.key = (char *)object;
    entry.value = &file;
    map.n_config_map = 1;
    map.config_map = entries;
    config.config = &map;
    config.config_hash = (ProtobufCBinaryData){strlen(hash), (uint8_t *)hash};
    msg.instance_uid = f->last.msg->instance_uid;
    msg.remote_config = &config;
    fake_server_say(f, &msg);
}

int fake_server_outcome(struct fake_server *f, const char *hash)
{
    while (fake_server_read(f) > 0) {
        const Opamp__Proto__RemoteConfigStatus *s = f->last.msg->remote_config_status;

        fake_server_reply(f, false);
        if (s &&
            rn_slice_eq_str(
                rn_slice(s->last_remote_config_hash.data, s->last_remote_config_hash.len), hash) &&
            (s->status == (int)FT_STATUS_APPLIED || s->status == (int)FT_STATUS_FAILED))
            return (int)s->status;
    }
    return 0;
}

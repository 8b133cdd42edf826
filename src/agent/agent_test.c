/* The whole agent against a server that says what the test wants: in this process, and as the real
 * program that is killed at every step. */
#include "agent.h"

#include <semaphore.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <base/log.h>
#include <model/attrs.h>
#include <proto/names.h>
#include <runnel/blocking.h>
#include <runnel/signal.h>

#include "compose.h"
#include "fault.h"
#include "testing.h"

extern char **environ;

static const char file_text[] = "server: tcp://%s\nstate: @/state\nlabels: {env: dev}\nreconnect: "
                                "{base: 20ms, max: 100ms}\nprocesses:\n  - name: p\n"
                                "    command: [/bin/sh, ./program, ./file]\n    objects: {o: "
                                "./file}\n    on_change: signal HUP\n    start_grace: 100ms\n"
                                "    health: {window: 100ms}\n    lines: stdout\n";

struct world {
    struct fake_server server;
    struct ft_settings settings;
    struct ft_settings_source source;
    struct ft_agent *agent;
    struct rn_scope scope;
};

static void file_write(const struct fake_server *server)
{
    char text[1024];

    (void)snprintf(text, sizeof(text), file_text, rnet_acceptor_address(server->acceptor));
    testing_write(testing_path("@/program"), testing_program);
    testing_write(testing_path("@/agent.yaml"), testing_path(text));
}

static void agent_start(struct world *w)
{
    const struct rn_task_options options = {.name = "agent", .stack = RN_STACK_256K};
    struct ft_text_error err = {""};

    w->agent = calloc(1, sizeof(*w->agent));
    w->source = (struct ft_settings_source){.file = strdup(testing_path("@/agent.yaml"))};
    OK(ft_settings_read(w->source.file, NULL, &w->settings, &err));
    if (ft_agent_open(&w->source, &w->settings, w->agent, &err) < 0)
        FAIL("%s", err.text);
    OK(rn_scope_open(RN_SCOPE_WAIT_ALL, &w->scope));
    OK(rn_go_with(&options, w->scope, ft_agent_main, w->agent, NULL, 0));
}

static void agent_stop(struct world *w)
{
    OK(rn_scope_close(w->scope));
    ft_agent_close(w->agent);
    free(w->agent);
    ft_settings_fini(&w->settings);
    free((char *)(uintptr_t)w->source.file);
}

static void world_open(struct world *w)
{
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGCHLD);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGHUP);
    OK(rn_signals_block(&set));
    log_setup(LOG_TEXT, LOG_ERROR);
    fake_server_open(&w->server);
    file_write(&w->server);
    agent_start(w);
    fake_server_accept(&w->server);
    EQ(fake_server_read(&w->server), 1);
}

static void world_close(struct world *w)
{
    agent_stop(w);
    fake_server_close(&w->server);
}

static const Opamp__Proto__AgentToServer *last(const struct world *w)
{
    return w->server.last.msg;
}

TASK_TEST(the_first_message_says_everything)
{
    CLEANUP(ft_attrs_freep) struct ft_attrs *other = NULL;
    struct world w;

    world_open(&w);
    EQ(last(&w)->sequence_num, 1);
    TRUE(last(&w)->agent_description && last(&w)->health && last(&w)->effective_config &&
         last(&w)->remote_config_status);
    EQ(last(&w)->remote_config_status->status, 0);
    TRUE(last(&w)->custom_capabilities != NULL);
    FALSE(last(&w)->capabilities & FT_AGENT_ACCEPTS_RESTART_COMMAND);
    TRUE(last(&w)->capabilities & FT_AGENT_ACCEPTS_REMOTE_CONFIG);
    OK(ft_attrs_from_opamp(last(&w)->agent_description->non_identifying_attributes,
                           last(&w)->agent_description->n_non_identifying_attributes, &other));
    TRUE(rn_slice_eq_str(ft_attrs_get_label(other, rn_slice_str("env"))->text, "dev"));
    TRUE(ft_attrs_get(other, rn_slice_str("host.name")) != NULL);
    world_close(&w);
}

TASK_TEST(an_offer_becomes_a_file_and_is_reported_applied_with_what_is_effective)
{
    struct world w;

    world_open(&w);
    fake_server_offer(&w.server, "h1", "o", "good\n");
    EQ(fake_server_outcome(&w.server, "h1"), FT_STATUS_APPLIED);
    TRUE(testing_file_is(testing_path("@/file"), "good\n"));
    TRUE(last(&w)->effective_config != NULL);
    EQ(last(&w)->effective_config->config_map->n_config_map, 1);
    STREQ(last(&w)->effective_config->config_map->config_map[0]->value->content_type, "text/plain");
    TRUE(last(&w)->agent_description == NULL); /* nothing that didn't change */
    uint64_t life = FT_INSIDE(&w.agent->monitor, w.agent->supervisor.processes[0]->life);
    fake_server_offer(&w.server, "h1", "o", "good\n");
    EQ(fake_server_outcome(&w.server, "h1"), FT_STATUS_APPLIED); /* answered, not applied again */
    fake_server_offer(&w.server, "h2", "o", "good\n");
    EQ(fake_server_outcome(&w.server, "h2"), FT_STATUS_APPLIED); /* the same bytes: no signal */
    EQ(FT_INSIDE(&w.agent->monitor, w.agent->supervisor.processes[0]->life), life);
    world_close(&w);
}

TASK_TEST(an_offer_that_kills_the_process_fails_with_its_last_words_and_is_rolled_back)
{
    struct world w;

    world_open(&w);
    fake_server_offer(&w.server, "h1", "o", "good\n");
    EQ(fake_server_outcome(&w.server, "h1"), FT_STATUS_APPLIED);
    fake_server_offer(&w.server, "h2", "o", "broken\n");
    EQ(fake_server_outcome(&w.server, "h2"), FT_STATUS_FAILED);
    STREQ(last(&w)->remote_config_status->error_message,
          "process p exited with code 2: this is broken");
    TRUE(testing_file_is(testing_path("@/file"), "good\n"));
    TRUE(last(&w)->health && last(&w)->health->healthy);
    fake_server_offer(&w.server, "h1", "o", "good\n");
    EQ(fake_server_outcome(&w.server, "h1"), FT_STATUS_APPLIED);
    fake_server_offer(&w.server, "h3", "stranger", "x");
    EQ(fake_server_outcome(&w.server, "h3"), FT_STATUS_FAILED);
    TRUE(strstr(last(&w)->remote_config_status->error_message, "stranger") != NULL);
    world_close(&w);
}

TASK_TEST(without_a_last_good_one_both_reasons_are_told)
{
    struct world w;

    world_open(&w);
    testing_write(testing_path("@/file"), "broken too\n");
    fake_server_offer(&w.server, "h1", "o", "broken\n");
    EQ(fake_server_outcome(&w.server, "h1"), FT_STATUS_FAILED);
    TRUE(strstr(last(&w)->remote_config_status->error_message,
                "this is broken; the last good configuration fails too: process p exited with code "
                "2") != NULL);
    TRUE(testing_file_is(testing_path("@/file"), "broken too\n"));
    world_close(&w);
}

TASK_TEST(only_the_newest_offer_is_kept_during_an_application)
{
    struct world w;

    world_open(&w);
    fake_server_offer(&w.server, "h1", "o", "one\n");
    fake_server_offer(&w.server, "h2", "o", "two\n");
    fake_server_offer(&w.server, "h3", "o", "three\n");
    EQ(fake_server_outcome(&w.server, "h3"), FT_STATUS_APPLIED);
    TRUE(testing_file_is(testing_path("@/file"), "three\n"));
    EQ(FT_INSIDE(&w.agent->monitor, w.agent->supervisor.processes[0]->life), 1);
    world_close(&w);
}

TASK_TEST(an_offered_interval_is_applied_and_answered)
{
    Opamp__Proto__ServerToAgent msg = OPAMP__PROTO__SERVER_TO_AGENT__INIT;
    Opamp__Proto__ConnectionSettingsOffers offers = OPAMP__PROTO__CONNECTION_SETTINGS_OFFERS__INIT;
    Opamp__Proto__OpAMPConnectionSettings settings = OPAMP__PROTO__OP_AMPCONNECTION_SETTINGS__INIT;
    struct world w;

    world_open(&w);
    settings.heartbeat_interval_seconds = 7;
    offers.hash = (ProtobufCBinaryData){2, (uint8_t *)"i1"};
    offers.opamp = &settings;
    msg.connection_settings = &offers;
    fake_server_say(&w.server, &msg);
    do
        EQ(fake_server_read(&w.server), 1);
    while (!last(&w)->connection_settings_status);
    EQ(last(&w)->connection_settings_status->status, FT_STATUS_APPLIED);
    EQ(FT_INSIDE(&w.agent->monitor, w.agent->pulse.interval_ns), 7 * RN_S);
    settings.destination_endpoint = "tcp://elsewhere:1";
    fake_server_say(&w.server, &msg);
    do
        EQ(fake_server_read(&w.server), 1);
    while (!last(&w)->connection_settings_status);
    EQ(last(&w)->connection_settings_status->status, FT_STATUS_FAILED);
    world_close(&w);
}

static void metrics_await(struct world *w, struct ft_metrics *m)
{
    while (!last(w)->custom_message)
        EQ(fake_server_read(&w->server), 1);
    STREQ(last(w)->custom_message->type, FT_TYPE_PROCESS_METRICS);
    OK(ft_metrics_decode(
        rn_slice(last(w)->custom_message->data.data, last(w)->custom_message->data.len), m, NULL));
}

TASK_TEST(samples_go_out_at_once_and_again_after_a_reconnect_until_they_are_acknowledged)
{
    Opamp__Proto__ServerToAgent msg = OPAMP__PROTO__SERVER_TO_AGENT__INIT;
    Opamp__Proto__CustomMessage custom = OPAMP__PROTO__CUSTOM_MESSAGE__INIT;
    uint8_t bytes[FT_METRICS_ACK_LEN_MAX];
    struct ft_metrics_ack ack = {.seq = 1};
    struct ft_metrics m;
    struct ft_sample s;
    struct world w;

    world_open(&w);
    TRUE(last(&w)->custom_message == NULL); /* not before the server said that it takes them */
    TASK_UNTIL(FT_INSIDE(&w.agent->monitor, w.agent->supervisor.processes[0]->state) ==
               FT_PROCESS_RUNNING);
    fake_server_reply(&w.server, true);
    metrics_await(&w, &m);
    EQ(m.first_seq, 1);
    TRUE(ft_metrics_next(&m, &s));
    TRUE(rn_slice_eq_str(s.process_name, "p"));
    TRUE(rn_slice_eq_str(s.ip, "127.0.0.1"));
    FALSE(s.has_cpu_usage_rate);
    EQ(s.pid, FT_INSIDE(&w.agent->monitor, w.agent->supervisor.processes[0]->pid));

    fake_server_accept(&w.server); /* hangs up first */
    EQ(fake_server_read(&w.server), 1);
    TRUE(last(&w)->agent_description == NULL && last(&w)->remote_config_status != NULL);
    fake_server_reply(&w.server, true);
    metrics_await(&w, &m);
    EQ(m.first_seq, 1);
    memcpy(ack.boot_id, m.boot_id, sizeof(ack.boot_id));
    custom.capability = FT_CAPABILITY_PROCESS_METRICS;
    custom.type = FT_TYPE_METRICS_ACK;
    custom.data = (ProtobufCBinaryData){ft_metrics_ack_encode(&ack, bytes), bytes};
    msg.custom_message = &custom;
    fake_server_say(&w.server, &msg);
    TASK_UNTIL(FT_INSIDE(&w.agent->monitor, w.agent->samples.n) == 0);
    EQ(FT_INSIDE(&w.agent->monitor, w.agent->samples.dropped), 0);
    world_close(&w);
}

TASK_TEST(a_request_for_full_state_is_answered_with_it)
{
    Opamp__Proto__ServerToAgent msg = OPAMP__PROTO__SERVER_TO_AGENT__INIT;
    struct world w;

    world_open(&w);
    msg.flags = FT_SERVER_FLAG_REPORT_FULL_STATE;
    fake_server_say(&w.server, &msg);
    do
        EQ(fake_server_read(&w.server), 1);
    while (!last(&w)->agent_description);
    TRUE(last(&w)->effective_config && last(&w)->remote_config_status && last(&w)->health);
    world_close(&w);
}

TASK_TEST(a_new_identity_is_taken_and_kept)
{
    Opamp__Proto__ServerToAgent msg = OPAMP__PROTO__SERVER_TO_AGENT__INIT;
    Opamp__Proto__AgentIdentification id = OPAMP__PROTO__AGENT_IDENTIFICATION__INIT;
    uint8_t uid[16] = {1, 2, 3};
    struct world w;

    world_open(&w);
    id.new_instance_uid = (ProtobufCBinaryData){16, uid};
    msg.agent_identification = &id;
    fake_server_say(&w.server, &msg);
    do
        EQ(fake_server_read(&w.server), 1);
    while (memcmp(last(&w)->instance_uid.data, uid, 16) != 0);
    TRUE(last(&w)->agent_description != NULL);
    agent_stop(&w);
    agent_start(&w);
    fake_server_accept(&w.server);
    EQ(fake_server_read(&w.server), 1);
    MEMEQ(last(&w)->instance_uid.data, uid, 16);
    world_close(&w);
}

TASK_TEST(an_unavailable_server_names_the_time_of_the_next_try)
{
    Opamp__Proto__ServerToAgent msg = OPAMP__PROTO__SERVER_TO_AGENT__INIT;
    Opamp__Proto__ServerErrorResponse error = OPAMP__PROTO__SERVER_ERROR_RESPONSE__INIT;
    Opamp__Proto__RetryInfo retry = OPAMP__PROTO__RETRY_INFO__INIT;
    struct world w;
    rn_time before;

    world_open(&w);
    retry.retry_after_nanoseconds = 200 * RN_MS;
    error.type = OPAMP__PROTO__SERVER_ERROR_RESPONSE_TYPE__ServerErrorResponseType_Unavailable;
    error.details_case = OPAMP__PROTO__SERVER_ERROR_RESPONSE__DETAILS_RETRY_INFO;
    error.retry_info = &retry;
    msg.error_response = &error;
    before = rn_now();
    fake_server_say(&w.server, &msg);
    while (fake_server_read(&w.server) > 0)
        ;
    fake_server_accept(&w.server);
    GE(rn_now() - before, 200 * RN_MS);
    EQ(fake_server_read(&w.server), 1);
    world_close(&w);
}

TASK_TEST(a_stop_says_goodbye)
{
    struct world w;

    world_open(&w);
    OK(rn_scope_cancel(w.scope));
    do
        EQ(fake_server_read(&w.server), 1);
    while (!last(&w)->agent_disconnect);
    EQ(fake_server_read(&w.server), 0);
    fake_server_hang_up(&w.server);
    world_close(&w);
}

/* ---- a reload while something else is under way ---- */

/* Keep the thread of the files busy until told. */
struct hold {
    struct ft_agent *agent;
    sem_t gate;
    _Atomic bool holds;
};

static int hold_job(void *arg)
{
    struct hold *h = arg;

    atomic_store(&h->holds, true);
    while (sem_wait(&h->gate) < 0)
        ;
    return 0;
}

static int hold_task(void *arg)
{
    struct hold *h = arg;

    return rn_blocking(h->agent->files, hold_job, h);
}

struct composing {
    struct ft_agent *agent;
    struct ft_buf frame;
    _Atomic bool begun;
    int result;
};

static int composing_task(void *arg)
{
    static const struct ft_message_plan plan = {.parts = FT_PART_EFFECTIVE};
    struct composing *c = arg;

    ft_enter(&c->agent->monitor);
    atomic_store(&c->begun, true);
    c->result = ft_compose(c->agent, &plan, &c->frame);
    ft_leave(&c->agent->monitor);
    return 0;
}

static void reload_begin(struct world *w, const char *label)
{
    char text[1024], labels[64];

    (void)snprintf(text, sizeof(text), file_text, rnet_acceptor_address(w->server.acceptor));
    (void)snprintf(labels, sizeof(labels), "{env: %s}", label);
    char *at = strstr(text, "{env: dev}"), *rest = strdup(at + strlen("{env: dev}"));
    (void)snprintf(at, sizeof(text) - (size_t)(at - text), "%s%s", labels, rest);
    free(rest);
    testing_write(testing_path("@/agent.yaml"), testing_path(text));
    (void)FT_INSIDE(&w->agent->monitor, w->agent->reload.asked = true); /* its end is seen below */
    EQ(kill(getpid(), SIGHUP), 0);
    TASK_UNTIL(!FT_INSIDE(&w->agent->monitor, w->agent->reload.asked));
}

/* The settings in force are not those any more. */
static bool is_exchanged(struct world *w, const struct ft_yaml *yaml)
{
    return FT_INSIDE(&w->agent->monitor, w->agent->settings->yaml != yaml);
}

TASK_TEST(what_is_effective_is_told_by_the_settings_that_a_reload_has_just_replaced)
{
    const struct rn_task_options options = {.name = "composing", .stack = RN_STACK_256K};
    struct rn_scope scope;
    struct world w;

    test_heap_allow(8 * 1024); /* what glibc keeps for the thread that reads settings */
    world_open(&w);
    testing_write(testing_path("@/file"), "x");
    reload_begin(&w, "first"); /* nobody else holds what this one brings */
    TASK_UNTIL(is_exchanged(&w, w.settings.yaml));

    struct hold h = {.agent = w.agent};
    struct composing c = {.agent = w.agent, .frame = FT_BUF_INIT(65536)};
    OK(sem_init(&h.gate, 0, 0));
    OK(rn_scope_open(RN_SCOPE_WAIT_ALL, &scope));
    OK(rn_go(scope, hold_task, &h, NULL, 0));
    TASK_UNTIL(atomic_load(&h.holds));
    const struct ft_yaml *first = FT_INSIDE(&w.agent->monitor, w.agent->settings->yaml);
    reload_begin(&w, "second");
    OK(rn_go_with(&options, scope, composing_task, &c, NULL, 0));
    TASK_UNTIL(atomic_load(&c.begun));
    OK(sem_post(&h.gate));
    OK(rn_scope_wait(scope));
    TASK_UNTIL(is_exchanged(&w, first));
    OK(c.result);
    TRUE(c.frame.len > 0);
    ft_buf_fini(&c.frame);
    OK(rn_scope_close(scope));
    (void)sem_destroy(&h.gate);
    world_close(&w);
}

TEST(jitter_is_uniform_below_a_doubling_ceiling)
{
    EQ(ft_jitter(100, 1000, 0, 100), 100);
    EQ(ft_jitter(100, 1000, 0, 101), 0);
    EQ(ft_jitter(100, 1000, 2, 400), 400);
    EQ(ft_jitter(100, 1000, 60, 1000), 1000);
    EQ(ft_jitter(100, 1000, 60, 1001), 0);
}

/* ---- the real program, killed ---- */

#ifdef FETTLE_FAULT_POINTS
static pid_t program_start(const char *kill_at)
{
    const char *program = getenv("FETTLE_AGENT");
    char *argv[] = {(char *)program,       (char *)"--config", (char *)testing_path("@/agent.yaml"),
                    (char *)"--log-level", (char *)"error",    NULL};
    pid_t pid;

    if (kill_at)
        EQ(setenv("FETTLE_KILL_AT", kill_at, 1), 0);
    else
        EQ(unsetenv("FETTLE_KILL_AT"), 0);
    EQ(posix_spawn(&pid, program, NULL, NULL, argv, environ), 0);
    return pid;
}

/* Play the server until the agent hangs up (0) or reports an outcome of `hash` (its status): what
 * isn't the desired hash is offered. */
static int serve(struct fake_server *f, const char *hash, const char *body)
{
    while (fake_server_read(f) > 0) {
        const Opamp__Proto__RemoteConfigStatus *s = f->last.msg->remote_config_status;
        bool same = s && rn_slice_eq_str(rn_slice(s->last_remote_config_hash.data,
                                                  s->last_remote_config_hash.len),
                                         hash);

        if (same && (s->status == (int)FT_STATUS_APPLIED || s->status == (int)FT_STATUS_FAILED))
            return (int)s->status;
        if (s && !same)
            fake_server_offer(f, hash, "o", body);
        else
            fake_server_reply(f, false);
    }
    return 0;
}

static void killed_at(enum ft_fault_point point)
{
    bool backwards = point >= FT_POINT_FAILURE_RECORDED;
    const char *body = backwards ? "broken\n" : "new\n";
    struct fake_server f;
    int status, outcome;
    pid_t pid;

    if (!getenv("FETTLE_AGENT"))
        SKIP("FETTLE_AGENT does not name the program");
    test_note("killed at %s", ft_fault_point_name(point));
    fake_server_open(&f);
    file_write(&f);
    testing_write(testing_path("@/file"), "old\n");
    pid = program_start(ft_fault_point_name(point));
    fake_server_accept(&f);
    EQ(serve(&f, "h", body), 0);
    EQ(waitpid(pid, &status, 0), pid);
    TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    TRUE(testing_file_is(testing_path("@/file"), "old\n") ||
         testing_file_is(testing_path("@/file"), body));

    pid = program_start(NULL);
    do {
        fake_server_accept(&f);
        outcome = serve(&f, "h", body);
    } while (outcome == 0);
    EQ(outcome, backwards ? FT_STATUS_FAILED : FT_STATUS_APPLIED);
    TRUE(testing_file_is(testing_path("@/file"), backwards ? "old\n" : "new\n"));
    if (backwards)
        TRUE(strstr(f.last.msg->remote_config_status->error_message, "this is broken") != NULL);
    EQ(kill(pid, SIGTERM), 0);
    while (fake_server_read(&f) > 0)
        ;
    fake_server_hang_up(&f);
    EQ(waitpid(pid, &status, 0), pid);
    EQ(status, 0);
    fake_server_close(&f);
}

#define X(constant, name)                                                                          \
    TASK_TEST(an_agent_killed_at_##constant##_comes_to_an_end_all_the_same)                        \
    {                                                                                              \
        killed_at(FT_POINT_##constant);                                                            \
    }
#include "fault_points.tbl"
#undef X

/* ---- killed at any moment ---- */

struct killer {
    pid_t pid;
    rn_time after;
};

static int killer_task(void *arg)
{
    const struct killer *k = arg;

    OK(rn_sleep(rn_after(k->after)));
    EQ(kill(k->pid, SIGKILL), 0);
    return 0;
}

/* One life that is killed, one that comes to the end. */
static void kill_round(struct fake_server *f, int round, rn_time after, char good[32])
{
    bool broken = round % 3 == 2;
    char hash[32], body[32];
    struct rn_scope scope;
    struct killer k = {.after = after};
    int outcome, status;

    (void)snprintf(hash, sizeof(hash), "h%d", round);
    (void)snprintf(body, sizeof(body), broken ? "broken %d\n" : "good %d\n", round);
    k.pid = program_start(NULL);
    fake_server_accept(f);
    OK(rn_scope_open(RN_SCOPE_WAIT_ALL, &scope));
    OK(rn_go(scope, killer_task, &k, NULL, 0));
    (void)serve(f, hash, body);
    OK(rn_scope_wait(scope));
    OK(rn_scope_close(scope));
    EQ(waitpid(k.pid, &status, 0), k.pid);
    TRUE(testing_file_is(testing_path("@/file"), good) ||
         testing_file_is(testing_path("@/file"), body));

    k.pid = program_start(NULL);
    do {
        fake_server_accept(f);
        outcome = serve(f, hash, body);
    } while (outcome == 0);
    EQ(outcome, broken ? FT_STATUS_FAILED : FT_STATUS_APPLIED);
    if (!broken)
        (void)snprintf(good, 32, "%s", body);
    TRUE(testing_file_is(testing_path("@/file"), good));
    EQ(kill(k.pid, SIGKILL), 0); /* the next life finds a state that nobody tidied */
    EQ(waitpid(k.pid, &status, 0), k.pid);
}

TASK_TEST(an_agent_killed_at_any_moment_comes_to_an_end_all_the_same)
{
    const char *kills = getenv("TEST_KILLS"), *seed_text = getenv("TEST_SEED");
    unsigned seed = seed_text ? (unsigned)strtoul(seed_text, NULL, 10) : (unsigned)rn_now();
    struct fake_server f;
    char good[32] = "old\n";

    if (!getenv("FETTLE_AGENT"))
        SKIP("FETTLE_AGENT does not name the program");
    fake_server_open(&f);
    file_write(&f);
    testing_write(testing_path("@/file"), good);
    for (int round = 0, n = kills ? atoi(kills) : 15; round < n; round++) {
        rn_time after = (rn_time)(rand_r(&seed) % 300) * RN_MS;

        test_note("TEST_SEED=%u before round %d, killed after %lld ms", seed, round,
                  (long long)(after / RN_MS));
        kill_round(&f, round, after, good);
    }
    fake_server_close(&f);
}
#endif

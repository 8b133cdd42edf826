#include "describe.h"

#include <stdlib.h>
#include <string.h>

#include <harness/test.h>

#include <base/cleanup.h>

#include "table.h"

static json_t *parse(const char *text)
{
    json_error_t error;
    json_t *j = json_loads(text, 0, &error);

    if (!j)
        FAIL("%s: %s", text, error.text);
    return j;
}

static char *describe(const char *agent, const char *samples, const char *effective)
{
    CLEANUP(json_decrefp) json_t *a = parse(agent);
    CLEANUP(json_decrefp) json_t *s = parse(samples);
    CLEANUP(json_decrefp) json_t *e = parse(effective);
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);

    describe_print(&(struct description){a, s, e}, out);
    fclose(out);
    return text;
}

#define BARE                                                                                       \
    "\"instance_uid\":\"u-1\",\"status\":\"offline\",\"transport\":\"tcp\",\"remote_address\":\"\"," \
    "\"group\":\"default\",\"identifying_attributes\":{},\"non_identifying_attributes\":{},"       \
    "\"sequence_num\":0,\"last_seen\":null,\"connected_since\":null"

TEST(everything_about_an_agent_is_shown)
{
    CLEANUP(freep)
    char *text = describe(
        "{\"instance_uid\":\"u-1\",\"status\":\"online\",\"transport\":\"tcp\",\"remote_address\":"
        "\"127.0.0.1:9\",\"group\":\"web\",\"labels\":{\"env\":\"dev\"},\"identifying_attributes\":"
        "{\"service.name\":\"shipper\"},\"non_identifying_attributes\":{\"cpus\":4,\"tags\":[\"a\"]"
        "},\"capabilities\":[\"ReportsStatus\",\"ReportsHealth\"],\"sequence_num\":42,"
        "\"last_seen\":\"2026-11-21T10:00:00.000Z\",\"connected_since\":\"2026-11-21T09:00:00.000Z"
        "\",\"health\":{\"healthy\":false,\"status\":\"degraded\",\"components\":{\"shipper\":{"
        "\"healthy\":false,\"status\":\"exited\",\"last_error\":\"no disk\",\"components\":{}}}},"
        "\"config\":{\"name\":\"web\",\"version\":3,\"desired_hash\":\"d1\",\"applied_hash\":"
        "\"a1\",\"effective_hash\":null,\"status\":\"FAILED\",\"error\":\"it broke\"}}",
        "[{\"process_name\":\"shipper\",\"pid\":7,\"cpu_usage_rate\":0.5,\"mem_usage\":1024,"
        "\"send_lines\":9,\"seq\":3,\"cmd\":\"./shipper -x\"}]",
        "{\"a.yaml\":{\"content_type\":\"text/yaml\",\"body\":\"x\"}}");

    STREQ(text, "Instance UID:    u-1\n"
                "Status:          online\n"
                "Connection:      tcp from 127.0.0.1:9\n"
                "Connected since: 2026-11-21T09:00:00.000Z\n"
                "Last seen:       2026-11-21T10:00:00.000Z (message 42)\n"
                "Group:           web\n"
                "Labels:          env=dev\n"
                "Identity:        service.name=shipper\n"
                "Attributes:      cpus=4\n"
                "                 tags=[\"a\"]\n"
                "Capabilities:    ReportsStatus\n"
                "                 ReportsHealth\n"
                "Health:          not healthy, degraded\n"
                "                   shipper: not healthy, exited: no disk\n"
                "Configuration:   web v3, FAILED\n"
                "  desired:       d1\n"
                "  applied:       a1\n"
                "  effective:     -\n"
                "  error:         it broke\n"
                "Effective files: a.yaml (text/yaml)\n"
                "\n"
                "PROCESS  PID  CPU    MEMORY  LINES  SAMPLE  COMMAND\n"
                "shipper  7    0.500  1024    9      3       ./shipper -x\n");
}

TEST(what_is_not_known_is_said)
{
    CLEANUP(freep)
    char *text = describe("{" BARE ",\"labels\":{},\"capabilities\":[],\"health\":null,\"config\":{"
                          "\"name\":null,\"status\":\"UNSET\"}}",
                          "[]", "{}");

    TRUE(strstr(text, "Labels:          none\n"));
    TRUE(strstr(text, "Capabilities:    none\n"));
    TRUE(strstr(text, "Health:          unknown\n"));
    TRUE(strstr(text, "Configuration:   none\n"));
    TRUE(strstr(text, "Effective files: none\n"));
    TRUE(strstr(text, "Processes:       no samples yet\n"));
}

TEST(what_an_agent_says_has_no_power_over_the_terminal)
{
    CLEANUP(freep)
    char *text = describe("{" BARE ",\"labels\":{\"a\\u001b[2J\":\"b\\nGroup: root\"},"
                          "\"capabilities\":[],\"health\":null,\"config\":{}}",
                          "[{\"process_name\":\"\\u001b]0;x\\u0007\",\"cmd\":\"\\u009b1m \xc3\xa4\"}]",
                          "{}");

    TRUE(strstr(text, "Labels:          a?[2J=b?Group: root\n"));
    TRUE(strstr(text, "?]0;x?"));
    TRUE(strstr(text, "??1m \xc3\xa4\n"));
    TRUE(!strchr(text, 0x1b));
}

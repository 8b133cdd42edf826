#include "api/routes.h"

#define V1 "/api/v1"

#define PAGE                                                                                       \
    "limit integer: items of a page, 1 to 1000; 100 when absent",                                  \
        "cursor string: `next` of the page before"

const struct ft_route ft_routes[] = {
    {"GET", V1 "/agents", ft_handle_agents_list, 0, .id = "listAgents",
     .summary = "The agents, by instance_uid",
     .query = {"selector string: only agents that match, like env=prod,region!=eu",
               "status Liveness: only these", "group string: only agents of this group", PAGE},
     .answers = {{200, "AgentPage", "A page"}}, .problems = "400 503"},
    {"GET", V1 "/agents/{uid}", ft_handle_agent_get, RNET_HTTP_ON_LOOP, .id = "getAgent",
     .summary = "One agent", .answers = {{200, "Agent", "The agent"}}, .problems = "404"},
    {"GET", V1 "/agents/{uid}/effective-config", ft_handle_agent_effective, 0,
     .id = "getEffectiveConfig", .summary = "What the agent reported to run with",
     .answers = {{200, "EffectiveConfig", "Its objects"}}, .problems = "404 500 503"},
    {"GET", V1 "/agents/{uid}/metrics", ft_handle_agent_metrics, 0, .id = "getAgentMetrics",
     .summary = "The newest sample of each process",
     .answers = {{200, "SamplePage", "By process_name"}}, .problems = "404 503"},

    {"GET", V1 "/exporters", ft_handle_exporters_list, 0, .id = "listExporters",
     .summary = "The exporters with their books", .answers = {{200, "ExporterPage", "All"}}},
    {"GET", V1 "/exporters/{name}", ft_handle_exporter_get, 0, .id = "getExporter",
     .summary = "One exporter", .answers = {{200, "Exporter", "The exporter"}}, .problems = "404"},

    {"GET", V1 "/configurations", ft_handle_configurations_list, 0, .id = "listConfigurations",
     .summary = "The configurations, by name", .query = {PAGE},
     .answers = {{200, "ConfigurationPage", "A page"}}, .problems = "400 503"},
    {"POST", V1 "/configurations", ft_handle_configurations_post, 0, .id = "createConfiguration",
     .summary = "A new configuration, without versions", .body = "ConfigurationDraft",
     .answers = {{201, "Configuration", "It was made"}}, .problems = "400 409 413 503"},
    {"GET", V1 "/configurations/{name}", ft_handle_configuration_get, 0, .id = "getConfiguration",
     .summary = "One configuration", .answers = {{200, "Configuration", "With an ETag"}},
     .problems = "404 503"},
    {"GET", V1 "/configurations/{name}/versions", ft_handle_versions_list, 0, .id = "listVersions",
     .summary = "Its versions, the oldest first, without their objects", .query = {PAGE},
     .answers = {{200, "VersionPage", "A page"}}, .problems = "400 404 503"},
    {"POST", V1 "/configurations/{name}/versions", ft_handle_versions_post, 0,
     .id = "createVersion", .summary = "A new version, or the one with the same content",
     .body = "VersionDraft",
     .answers = {{200, "VersionHead", "It was there already"}, {201, "VersionHead", "It was made"}},
     .problems = "400 404 413 422 503"},
    {"GET", V1 "/configurations/{name}/versions/{n}", ft_handle_version_get, 0, .id = "getVersion",
     .summary = "One version with its objects", .answers = {{200, "Version", "The version"}},
     .problems = "404 503"},
    {"GET", V1 "/configurations/{name}/versions/{n}/diff", ft_handle_version_diff, 0,
     .id = "diffVersions", .summary = "What became different from another version on",
     .query = {"against* integer: the other version, the older one as a rule"},
     .answers = {{200, "VersionDiff", "A unified diff for each object that differs"}},
     .problems = "400 404 422 503"},

    {"GET", V1 "/agent-groups", ft_handle_groups_list, 0, .id = "listGroups",
     .summary = "The groups, by name", .query = {PAGE}, .answers = {{200, "GroupPage", "A page"}},
     .problems = "400 503"},
    {"GET", V1 "/agent-groups/{group}", ft_handle_group_get, 0, .id = "getGroup",
     .summary = "One group", .answers = {{200, "Group", "With an ETag"}}, .problems = "404"},
    {"PUT", V1 "/agent-groups/{group}", ft_handle_group_put, 0, .id = "putGroup",
     .summary = "Make or replace a group", .body = "GroupDraft", .if_match = true,
     .answers = {{200, "Group", "It was replaced"}, {201, "Group", "It was made"}},
     .problems = "400 409 412 413 422 503"},
    {"DELETE", V1 "/agent-groups/{group}", ft_handle_group_delete, 0, .id = "deleteGroup",
     .summary = "Delete a group", .if_match = true, .answers = {{204, NULL, "It is gone"}},
     .problems = "400 404 409 412 503"},
    {"PUT", V1 "/agent-groups/{group}/configuration", ft_handle_group_configuration_put, 0,
     .id = "putObject", .summary = "Replace one object of what the group runs",
     .body = FT_BODY_RAW, .body_text = "The object as it is, with its Content-Type",
     .if_match = true, .query = {"object string: its name; config.yaml when absent"},
     .answers = {{202, "Assigned", "It is stored and assigned; agents get it now"}},
     .problems = "400 404 412 413 422 503"},

    {"GET", V1 "/events", ft_handle_events, RNET_HTTP_STREAM | RNET_HTTP_ENDLESS,
     .id = "followEvents",
     .summary = "What happens, as server-sent events, from now on or from an id on",
     .query = {"types string: only these, like agent,config; agent, config, rollout, exporter"},
     .header = "Last-Event-ID string: the id of the last event that was seen; what came after it "
               "is sent first",
     .answers = {{200, "string",
                  "text/event-stream without an end. The data of an event is JSON: AgentEvent, "
                  "ConfigEvent or ExporterEvent, by its type; ResetEvent where events were lost",
                  "text/event-stream"}},
     .problems = "400 503"},

    {"GET", V1 "/openapi.json", ft_handle_openapi, RNET_HTTP_ON_LOOP, .id = "getOpenapi",
     .summary = "This document", .answers = {{200, "any", "OpenAPI 3.1"}}},
    {"GET", "/healthz", ft_handle_healthz, RNET_HTTP_ON_LOOP, .id = "getHealth",
     .summary = "Does the process answer?", .answers = {{200, "State", "Yes"}}},
    {"GET", "/readyz", ft_handle_readyz, RNET_HTTP_ON_LOOP, .id = "getReadiness",
     .summary = "Can it do its work?", .answers = {{200, "State", "Yes"}}, .problems = "503"},
};
const size_t ft_routes_count = sizeof(ft_routes) / sizeof(ft_routes[0]);

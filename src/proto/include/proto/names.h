/* Names of the protocol's bits and numbers, in both directions; tables in capabilities.tbl and
 * statuses.tbl. */
#pragma once

#include <runnel/slice.h>

enum ft_capability {
#define X(side, constant, bit, name) FT_##side##_##constant = (bit),
#include <proto/capabilities.tbl>
#undef X
};

/* FT_STATUS_UNSET, _APPLIED, _APPLYING, _FAILED: of a remote configuration and of connection
 * settings. */
enum ft_status {
#define X(constant, value) FT_STATUS_##constant = (value),
#include <proto/statuses.tbl>
#undef X
};

/* AgentToServer.flags and ServerToAgent.flags */
#define FT_AGENT_FLAG_REQUEST_INSTANCE_UID         UINT64_C(1)
#define FT_SERVER_FLAG_REPORT_FULL_STATE           UINT64_C(1)
#define FT_SERVER_FLAG_REPORT_AVAILABLE_COMPONENTS UINT64_C(2)

/* fettle's custom messages */
#define FT_CAPABILITY_PROCESS_METRICS "io.fettle.process-metrics/1"
#define FT_TYPE_PROCESS_METRICS       "ProcessMetrics"
#define FT_TYPE_METRICS_ACK           "MetricsAck"

/* Walk the known bits of `capabilities` from the lowest: start with *bit = 0; NULL at the end.
 *
 *     uint64_t bit = 0;
 *     for (const char *n; (n = ft_agent_capability_next(caps, &bit));)
 *         json_add(n);
 */
const char *ft_agent_capability_next(uint64_t capabilities, uint64_t *bit);
const char *ft_server_capability_next(uint64_t capabilities, uint64_t *bit);

/* The bit of a name, 0 when there is none. */
uint64_t ft_agent_capability_bit(struct rn_slice name);

/* "APPLYING"; a number from a newer peer reads "UNSET". */
const char *ft_status_name(int status);

/* Returns: the status, or -EINVAL. */
int ft_status_parse(struct rn_slice name);

/* The tables in both directions, and against the schema. */
#include <proto/names.h>

#include <errno.h>

#include <proto/opamp.pb-c.h>

#include "testing.h"

TEST(capabilities_are_named_from_the_lowest_bit)
{
    uint64_t bit = 0;

    STREQ(ft_agent_capability_next(
              FT_AGENT_REPORTS_HEALTH | FT_AGENT_REPORTS_STATUS | UINT64_C(1) << 40, &bit),
          "ReportsStatus");
    STREQ(ft_agent_capability_next(FT_AGENT_REPORTS_HEALTH | FT_AGENT_REPORTS_STATUS, &bit),
          "ReportsHealth");
    TRUE(!ft_agent_capability_next(FT_AGENT_REPORTS_HEALTH | FT_AGENT_REPORTS_STATUS, &bit));
    bit = 0;
    STREQ(ft_server_capability_next(FT_SERVER_OFFERS_REMOTE_CONFIG, &bit), "OffersRemoteConfig");
}

/* "AgentCapabilities_ReportsStatus" = 1 in the schema is "ReportsStatus" = 1 in the table. */
TEST(the_table_of_capabilities_is_the_schemas)
{
    const ProtobufCEnumDescriptor *d = &opamp__proto__agent_capabilities__descriptor;
    uint64_t                       bit = 0;

    for (unsigned i = 1; i < d->n_values; i++) {
        const char *name = ft_agent_capability_next(UINT64_MAX, &bit);

        TRUE(name);
        EQ(bit, d->values[i].value);
        STREQ(name, strchr(d->values[i].name, '_') + 1);
        EQ(ft_agent_capability_bit(rn_slice_str(name)), bit);
    }
    TRUE(!ft_agent_capability_next(UINT64_MAX, &bit));
    EQ(ft_agent_capability_bit(rn_slice_str("Nothing")), 0);
}

TEST(the_table_of_server_capabilities_is_the_schemas)
{
    const ProtobufCEnumDescriptor *d = &opamp__proto__server_capabilities__descriptor;
    uint64_t                       bit = 0;

    for (unsigned i = 1; i < d->n_values; i++) {
        const char *name = ft_server_capability_next(UINT64_MAX, &bit);

        TRUE(name);
        EQ(bit, d->values[i].value);
        STREQ(name, strchr(d->values[i].name, '_') + 1);
    }
    TRUE(!ft_server_capability_next(UINT64_MAX, &bit));
}

TEST(the_table_of_statuses_is_the_schemas)
{
    const ProtobufCEnumDescriptor *d = &opamp__proto__remote_config_statuses__descriptor;

    for (unsigned i = 0; i < d->n_values; i++) {
        STREQ(ft_status_name(d->values[i].value), strchr(d->values[i].name, '_') + 1);
        EQ(ft_status_parse(rn_slice_str(ft_status_name((int)i))), i);
    }
    STREQ(ft_status_name(99), "UNSET");
    STREQ(ft_status_name(-1), "UNSET");
    ERR(ft_status_parse(rn_slice_str("applied")), EINVAL);
}

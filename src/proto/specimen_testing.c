/* See specimen_testing.h. Parts that do not change are static; what holds pointers to locals is filled in
 * on the stack. */
#include "specimen_testing.h"

#include <stdlib.h>

#include <harness/test.h>
#include <proto/opamp.pb-c.h>

static uint8_t *pack(const ProtobufCMessage *m, size_t *ret_len)
{
    uint8_t *bytes = malloc(protobuf_c_message_get_packed_size(m));

    TRUE(bytes);
    *ret_len = protobuf_c_message_pack(m, bytes);
    return bytes;
}

#define BYTES(s) {.data = (uint8_t *)("" s), .len = sizeof(s) - 1}
#define TEXT(s) ((char *)("" s))

static Opamp__Proto__AnyValue string_value = {
    PROTOBUF_C_MESSAGE_INIT(&opamp__proto__any_value__descriptor),
    .value_case = OPAMP__PROTO__ANY_VALUE__VALUE_STRING_VALUE,
    .string_value = TEXT("shipper \xe2\x82\xac"),
};
static Opamp__Proto__AnyValue double_value = {
    PROTOBUF_C_MESSAGE_INIT(&opamp__proto__any_value__descriptor),
    .value_case = OPAMP__PROTO__ANY_VALUE__VALUE_DOUBLE_VALUE,
    .double_value = 0.25,
};
static Opamp__Proto__AnyValue  *values[] = {&string_value, &double_value};
static Opamp__Proto__ArrayValue array = {
    PROTOBUF_C_MESSAGE_INIT(&opamp__proto__array_value__descriptor), .n_values = 2,
    .values = values};
static Opamp__Proto__AnyValue array_value = {
    PROTOBUF_C_MESSAGE_INIT(&opamp__proto__any_value__descriptor),
    .value_case = OPAMP__PROTO__ANY_VALUE__VALUE_ARRAY_VALUE,
    .array_value = &array,
};
static Opamp__Proto__KeyValue name = {PROTOBUF_C_MESSAGE_INIT(&opamp__proto__key_value__descriptor),
                                      .key = TEXT("service.name"), .value = &string_value};
static Opamp__Proto__KeyValue tags = {PROTOBUF_C_MESSAGE_INIT(&opamp__proto__key_value__descriptor),
                                      .key = TEXT("tags"), .value = &array_value};
static Opamp__Proto__KeyValue *identifying[] = {&name}, *others[] = {&tags, &name};

static Opamp__Proto__AgentConfigObject object = {
    PROTOBUF_C_MESSAGE_INIT(&opamp__proto__agent_config_object__descriptor),
    .body = BYTES("rate: 5\n\0\xff"), .content_type = TEXT("text/yaml"), .role = TEXT("main")};
static Opamp__Proto__AgentConfigMap__ConfigMapEntry entry = {
    PROTOBUF_C_MESSAGE_INIT(&opamp__proto__agent_config_map__config_map_entry__descriptor),
    .key = TEXT("shipper.yaml"), .value = &object};
static Opamp__Proto__AgentConfigMap__ConfigMapEntry *entries[] = {&entry};
static Opamp__Proto__AgentConfigMap                  map = {
                     PROTOBUF_C_MESSAGE_INIT(&opamp__proto__agent_config_map__descriptor), .n_config_map = 1,
                     .config_map = entries};

uint8_t *specimen_report(size_t *ret_len)
{
    Opamp__Proto__AgentDescription description = OPAMP__PROTO__AGENT_DESCRIPTION__INIT;
    Opamp__Proto__ComponentHealth  part = OPAMP__PROTO__COMPONENT_HEALTH__INIT;
    Opamp__Proto__ComponentHealth__ComponentHealthMapEntry part_entry =
        OPAMP__PROTO__COMPONENT_HEALTH__COMPONENT_HEALTH_MAP_ENTRY__INIT;
    Opamp__Proto__ComponentHealth__ComponentHealthMapEntry *parts[] = {&part_entry};
    Opamp__Proto__ComponentHealth    health = OPAMP__PROTO__COMPONENT_HEALTH__INIT;
    Opamp__Proto__EffectiveConfig    effective = OPAMP__PROTO__EFFECTIVE_CONFIG__INIT;
    Opamp__Proto__RemoteConfigStatus status = OPAMP__PROTO__REMOTE_CONFIG_STATUS__INIT;
    Opamp__Proto__CustomCapabilities custom = OPAMP__PROTO__CUSTOM_CAPABILITIES__INIT;
    Opamp__Proto__CustomMessage      message = OPAMP__PROTO__CUSTOM_MESSAGE__INIT;
    Opamp__Proto__AgentDisconnect    goodbye = OPAMP__PROTO__AGENT_DISCONNECT__INIT;
    Opamp__Proto__AgentToServer      m = OPAMP__PROTO__AGENT_TO_SERVER__INIT;
    char                            *names[] = {TEXT("io.fettle.process-metrics/1"), TEXT("x")};

    description.identifying_attributes = identifying;
    description.n_identifying_attributes = 1;
    description.non_identifying_attributes = others;
    description.n_non_identifying_attributes = 2;
    part.healthy = 1;
    part.status = TEXT("running");
    part_entry.key = TEXT("worker");
    part_entry.value = &part;
    health.start_time_unix_nano = UINT64_C(1764000000000000000);
    health.last_error = TEXT("none");
    health.component_health_map = parts;
    health.n_component_health_map = 1;
    effective.config_map = &map;
    status.last_remote_config_hash = (ProtobufCBinaryData)BYTES("\1\2\3");
    status.status = OPAMP__PROTO__REMOTE_CONFIG_STATUSES__RemoteConfigStatuses_FAILED;
    status.error_message = TEXT("no such key");
    custom.capabilities = names;
    custom.n_capabilities = 2;
    message.capability = names[0];
    message.type = TEXT("ProcessMetrics");
    message.data = (ProtobufCBinaryData)BYTES("\x0a\0");

    m.instance_uid = (ProtobufCBinaryData)BYTES("0123456789abcdef");
    m.sequence_num = 7;
    m.agent_description = &description;
    m.capabilities = 0x3807;
    m.health = &health;
    m.effective_config = &effective;
    m.remote_config_status = &status;
    m.agent_disconnect = &goodbye;
    m.flags = 1;
    m.custom_capabilities = &custom;
    m.custom_message = &message;
    return pack(&m.base, ret_len);
}

uint8_t *specimen_answer(size_t *ret_len)
{
    Opamp__Proto__AgentRemoteConfig        remote = OPAMP__PROTO__AGENT_REMOTE_CONFIG__INIT;
    Opamp__Proto__OpAMPConnectionSettings  opamp = OPAMP__PROTO__OP_AMPCONNECTION_SETTINGS__INIT;
    Opamp__Proto__ConnectionSettingsOffers offers = OPAMP__PROTO__CONNECTION_SETTINGS_OFFERS__INIT;
    Opamp__Proto__AgentIdentification      identity = OPAMP__PROTO__AGENT_IDENTIFICATION__INIT;
    Opamp__Proto__RetryInfo                retry = OPAMP__PROTO__RETRY_INFO__INIT;
    Opamp__Proto__ServerErrorResponse      error = OPAMP__PROTO__SERVER_ERROR_RESPONSE__INIT;
    Opamp__Proto__ServerToAgent            m = OPAMP__PROTO__SERVER_TO_AGENT__INIT;

    remote.config = &map;
    remote.config_hash = (ProtobufCBinaryData)BYTES("hash");
    opamp.heartbeat_interval_seconds = 30;
    offers.opamp = &opamp;
    offers.hash = (ProtobufCBinaryData)BYTES("offer");
    identity.new_instance_uid = (ProtobufCBinaryData)BYTES("fedcba9876543210");
    retry.retry_after_nanoseconds = 30000000000;
    error.type = OPAMP__PROTO__SERVER_ERROR_RESPONSE_TYPE__ServerErrorResponseType_Unavailable;
    error.error_message = TEXT("later");
    error.details_case = OPAMP__PROTO__SERVER_ERROR_RESPONSE__DETAILS_RETRY_INFO;
    error.retry_info = &retry;

    m.instance_uid = (ProtobufCBinaryData)BYTES("0123456789abcdef");
    m.error_response = &error;
    m.remote_config = &remote;
    m.connection_settings = &offers;
    m.agent_identification = &identity;
    m.flags = 1;
    m.capabilities = 0x27;
    return pack(&m.base, ret_len);
}

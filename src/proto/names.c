/* The tables, in the three shapes that are asked for. */
#include <proto/names.h>

#include <errno.h>

struct name {
    uint64_t    bit;
    const char *name;
};

#define X_AGENT(bit, name) {bit, name},
#define X_SERVER(bit, name)

static const struct name agent_names[] = {
#define X(side, constant, bit, name) X_##side(bit, name)
#include <proto/capabilities.tbl>
#undef X
};

#undef X_AGENT
#undef X_SERVER
#define X_AGENT(bit, name)
#define X_SERVER(bit, name) {bit, name},

static const struct name server_names[] = {
#define X(side, constant, bit, name) X_##side(bit, name)
#include <proto/capabilities.tbl>
#undef X
};

static const char *const status_names[] = {
#define X(constant, value) [value] = #constant,
#include <proto/statuses.tbl>
#undef X
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Both tables ascend. */
static const char *name_next(const struct name *names, size_t n, uint64_t capabilities,
                             uint64_t *bit)
{
    for (size_t i = 0; i < n; i++) {
        if (names[i].bit <= *bit || !(capabilities & names[i].bit))
            continue;
        *bit = names[i].bit;
        return names[i].name;
    }
    return NULL;
}

const char *ft_agent_capability_next(uint64_t capabilities, uint64_t *bit)
{
    return name_next(agent_names, COUNT(agent_names), capabilities, bit);
}

const char *ft_server_capability_next(uint64_t capabilities, uint64_t *bit)
{
    return name_next(server_names, COUNT(server_names), capabilities, bit);
}

uint64_t ft_agent_capability_bit(struct rn_slice name)
{
    for (size_t i = 0; i < COUNT(agent_names); i++) {
        if (rn_slice_eq_str(name, agent_names[i].name))
            return agent_names[i].bit;
    }
    return 0;
}

const char *ft_status_name(int status)
{
    if (status < 0 || (size_t)status >= COUNT(status_names))
        return status_names[FT_STATUS_UNSET];
    return status_names[status];
}

int ft_status_parse(struct rn_slice name)
{
    for (size_t i = 0; i < COUNT(status_names); i++) {
        if (rn_slice_eq_str(name, status_names[i]))
            return (int)i;
    }
    return -EINVAL;
}

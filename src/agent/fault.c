/* Fault points, see fault.h. The environment is read each time, so that a test may set it after
 * fork. */
#include "fault.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[FT_POINT_COUNT] = {
#define X(constant, name) [FT_POINT_##constant] = name,
#include "fault_points.tbl"
#undef X
};

const char *ft_fault_point_name(enum ft_fault_point point)
{
    return names[point];
}

void ft_fault_point_reached(enum ft_fault_point point)
{
    const char *at = getenv("FETTLE_KILL_AT");

    if (at && strcmp(at, names[point]) == 0)
        (void)raise(SIGKILL);
}

/* Fault points: a test build kills itself (SIGKILL) at the named step, to prove that every step can
 * be the last.
 *
 *     FT_FAULT_POINT(FILE_RENAMED);
 *
 * Without FETTLE_FAULT_POINTS (the meson option `fault_points`) nothing is compiled in. */
#pragma once

enum ft_fault_point {
#define X(constant, name) FT_POINT_##constant,
#include "fault_points.tbl"
#undef X
    FT_POINT_COUNT
};

const char *ft_fault_point_name(enum ft_fault_point point);
void ft_fault_point_reached(enum ft_fault_point point);

#ifdef FETTLE_FAULT_POINTS
#define FT_FAULT_POINT(constant) ft_fault_point_reached(FT_POINT_##constant)
#else
#define FT_FAULT_POINT(constant) ((void)0)
#endif

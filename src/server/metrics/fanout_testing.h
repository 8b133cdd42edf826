/* A fanout with up to two fake exporters, and who counts what it decides. */
#pragma once

#include "metrics/testing.h"

struct fixture {
    struct fake fakes[2];
    struct fake_settings settings[2];
    struct ft_exporter_spec specs[2];
    struct ft_fanout_options options;
    struct ft_fanout *fanout;
    _Atomic uint64_t decided;      /* batches */
    _Atomic uint64_t decided_last; /* their highest number */
};

/* `n` fakes called a and b; tests change what they like, then start. */
struct fixture *fixture_new(size_t n);
void fixture_start(struct fixture *x);
/* Stop, look at the books, and free. */
void fixture_finish(struct fixture *x);
struct ft_lane_info fixture_info(struct fixture *x, size_t i);
/* Has lane `i` nothing left? */
bool fixture_idle(struct fixture *x, size_t i);

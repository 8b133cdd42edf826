/* One hex digit, for the parsers of this folder. */
#pragma once

#include <stdint.h>

/* 0 to 15, or -1. */
static inline int ft__hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Specimens: a report and an answer that use every kind of field, to be decoded, compared and
 * mutated by tests. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Encoded, malloc'ed: the caller frees. */
uint8_t *specimen_report(size_t *ret_len);
uint8_t *specimen_answer(size_t *ret_len);

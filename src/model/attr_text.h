/* The text of an attribute's value, for attrs.c. */
#pragma once

#include <proto/buf.h>

#include <model/attrs.h>

/* Append the text of `v` (NULL: no value) and tell its kind. Recurses into arrays and maps, whose
 * depth the scan of the message has bounded. Returns: 0, -E2BIG, -ENOMEM. */
int ft__attr_text(const Opamp__Proto__AnyValue *v, struct ft_buf *out, enum ft_attr_kind *ret_kind);

/* HTTP/1.1 as a protocol of a connection. Its first `data` is the server. */
#pragma once

#include "http_internal.h"

extern const struct rnet_protocol rnet__http_protocol;

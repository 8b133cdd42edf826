/* The byte buffer is at home one floor below; who builds on the model finds it here. */
#pragma once

#include <proto/buf.h>

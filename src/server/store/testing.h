/* What the tests of the server's folders share. */
#pragma once

#include <harness/task_test.h>

#include <runnel/slice.h>

#include <model/object.h>

#include "store/store.h"

#define S(text) rn_slice_str(text)

/* SQLite and libcrypto keep tables for the life of the process (130 KiB); LeakSanitizer watches
 * over the rest. */
#define ALLOW_LIBRARIES() test_heap_allow(160 * 1024)

static inline struct ft_store *testing_store_in(const char *dir)
{
    struct ft_text_error e = {0};
    struct ft_store     *s = NULL;
    const int            r = ft_store_open(dir, &s, &e);

    if (r < 0)
        FAIL("the store does not open: %d, %s", r, e.text);
    return s;
}

static inline struct ft_store *testing_store(void)
{
    ALLOW_LIBRARIES();
    return testing_store_in(test_dir());
}

static inline struct ft_object testing_object(const char *name, const char *body)
{
    return (struct ft_object){.name = S(name), .content_type = S("text/plain"), .body = S(body)};
}

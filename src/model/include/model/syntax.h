/* What is wrong with a text that a person wrote, and where. Used by selectors and templates. */
#pragma once

#include <stddef.h>

struct ft_syntax_error {
    size_t   offset;    /* byte of the text, from 0 */
    unsigned line;      /* from 1 */
    unsigned column;    /* byte of its line, from 1 */
    char     text[640]; /* an object's name, a line and a reason fit */
};

/* Errors of the command line: `fettle: what is wrong: what to do`, on stderr. */
#pragma once

void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

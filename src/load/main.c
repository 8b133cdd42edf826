/* fettle-load: load for servers. Two commands, each with its own options. */
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "say.h"

static const char usage[] =
    "usage: fettle-load COMMAND [OPTION]...\n"
    "\n"
    "  agents           simulated agents by the thousand, against fettled\n"
    "  flood            clients that write frames as fast as they can, and check the answers\n"
    "  COMMAND --help   more about one\n"
    "\n"
    "      --help       this text\n"
    "      --version    print the version\n";

int main(int argc, char *argv[])
{
    const char *command = argc > 1 ? argv[1] : "";

    if (strcmp(command, "agents") == 0)
        return command_agents(argc - 1, argv + 1);
    if (strcmp(command, "flood") == 0)
        return command_flood(argc - 1, argv + 1);
    if (strcmp(command, "--help") == 0) {
        fputs(usage, stdout);
        return EXIT_DONE;
    }
    if (strcmp(command, "--version") == 0) {
        puts("fettle-load " FETTLE_VERSION);
        return EXIT_DONE;
    }
    if (*command)
        say("there is no command %s: see fettle-load --help", command);
    else
        fputs(usage, stderr);
    return EXIT_USAGE;
}

/* fettle: the operator's command line. Talks HTTP to fettled, nothing else. */
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "say.h"

static const char usage[] = "usage: fettle COMMAND ...\n"
                            "\n"
                            "  get agents          list the agents\n"
                            "  get exporters       list the exporters with their books\n"
                            "  describe agent UID  everything about one agent\n"
    "  push FILE           push a file to the agents of a group\n"
                            "  COMMAND --help      more about one\n"
                            "\n"
                            "      --help          this text\n"
                            "      --version       print the version\n"
                            "\n"
                            "environment: FETTLE_SERVER (default http://127.0.0.1:4321), "
                            "FETTLE_TOKEN or FETTLE_TOKEN_FILE\n";

int main(int argc, char *argv[])
{
    const char *command = argc > 1 ? argv[1] : "";

    if (strcmp(command, "get") == 0)
        return command_get(argc - 1, argv + 1);
    if (strcmp(command, "describe") == 0)
        return command_describe(argc - 1, argv + 1);
    if (strcmp(command, "push") == 0)
        return command_push(argc - 1, argv + 1);
    if (strcmp(command, "--help") == 0) {
        fputs(usage, stdout);
        return EXIT_DONE;
    }
    if (strcmp(command, "--version") == 0) {
        puts("fettle " FETTLE_VERSION);
        return EXIT_DONE;
    }
    if (*command)
        say("there is no command %s: see fettle --help", command);
    else
        fputs(usage, stderr);
    return EXIT_USAGE;
}

/* Each gets its own name as argv[0] and returns the exit status. */
#pragma once

int command_agents(int argc, char *argv[]);
int command_flood(int argc, char *argv[]);

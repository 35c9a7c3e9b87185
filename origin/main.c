/* lockstep-origin: serves one database to one replica over stdin and stdout; or, by other commands, many to many. */
#include <signal.h>

#include "origin/commands.h"

int main(int argc, char **argv)
{
    const struct origin_command *command = origin_command_find(argc > 1 ? argv[1] : NULL);
    int first = command->name != NULL ? 2 : 1;

    /* A file that may not grow is an error of the write, to be told and undone, as a full disk is. */
    signal(SIGXFSZ, SIG_IGN);
    return command->run(argc > first ? argc - first : 0, argv + (argc < first ? argc : first));
}

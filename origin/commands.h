/* commands: what lockstep-origin does beside --stdio. Each takes the words behind its own name, and returns the exit status. */
#ifndef LOCKSTEP_ORIGIN_COMMANDS_H
#define LOCKSTEP_ORIGIN_COMMANDS_H

int command_serve(int argc, char **argv);  /* the daemon */
int command_keygen(int argc, char **argv); /* certificates */
int command_token(int argc, char **argv);  /* a token and its hash */

#endif

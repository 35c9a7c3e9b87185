/*
 * link_stdio: a link over this process's own stdin and stdout: the side that ssh or another process
 * started.
 */
#ifndef LOCKSTEP_LINK_LINK_STDIO_H
#define LOCKSTEP_LINK_LINK_STDIO_H

#include <uv.h>

struct error;
struct link;
struct link_callbacks;

/*
 * Make a link of stdin and stdout: pipes, sockets or files. *out is the link, which frees itself
 * after on_close. callbacks are copied. The two descriptors are moved away: afterwards 0 reads
 * /dev/null and 1 leads to stderr, so that a stray print cannot break into the protocol. SIGPIPE is
 * ignored from then on.
 *
 * ERR_USAGE where one of them is a terminal (somebody typed the command by hand), ERR_IO or
 * ERR_INTERNAL where moving them failed: then there is no link, and the descriptors may have been
 * moved all the same.
 */
int link_stdio_new(uv_loop_t *loop, const struct link_callbacks *callbacks, void *user,
                   struct link **out, struct error *error);

#endif

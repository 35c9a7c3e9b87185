/*
 * ssh_passphrase: asks a person for a passphrase, as ssh(1) does: with the program SSH_ASKPASS
 * where SSH_ASKPASS_REQUIRE says so or there is a display and no terminal, else on the terminal,
 * without echo.
 *
 * It waits on one of libuv's threads, so that the loop goes on.
 */
#ifndef LOCKSTEP_LINK_SSH_PASSPHRASE_H
#define LOCKSTEP_LINK_SSH_PASSPHRASE_H

#include <uv.h>

#include "protocol/base/error.h"
#include "protocol/base/limits.h"

struct ssh_passphrase;

/* error->code is ERR_NONE where answer holds what was typed; ERR_AUTH where nobody could or would
 * answer. */
typedef void ssh_passphrase_cb(struct ssh_passphrase *ask, const struct error *error);

struct ssh_passphrase {
    void *user;
    uv_work_t work;
    int cancel_fd; /* an eventfd that ends the waiting */
    char prompt[512];
    char answer[LIMIT_SSH_PASSPHRASE]; /* wipe it (ssh_passphrase_wipe) after use */
    struct error error;
    ssh_passphrase_cb *on_done;
};

/* Ask. on_done comes once, later; the struct must stay until then. ERR_INTERNAL where that cannot
 * begin. */
int ssh_passphrase_ask(struct ssh_passphrase *ask, uv_loop_t *loop, const char *prompt,
                       ssh_passphrase_cb *on_done, void *user, struct error *error);

/* Do not wait any longer: on_done comes soon, with ERR_AUTH. */
void ssh_passphrase_cancel(struct ssh_passphrase *ask);

void ssh_passphrase_wipe(struct ssh_passphrase *ask);

#endif

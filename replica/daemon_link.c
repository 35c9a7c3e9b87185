#include "replica/daemon_link.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol/base/buffer.h"
#include "protocol/base/error.h"
#include "protocol/base/limits.h"
#include "protocol/link/link.h"
#include "protocol/link/link_tls.h"
#include "protocol/wire/message.h"

/* Read the token, the first line of the file, into out (out_size bytes). */
static int read_token(const char *path, char *out, size_t out_size, struct error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd >= 0 ? read(fd, out, out_size - 1) : -1;
    int failure = errno;
    size_t end;

    if (fd >= 0)
        close(fd);
    if (len < 0)
        return error_set_errno(error, ERR_IO, failure, "reading the token in %s", path);
    out[len] = '\0';
    end = strcspn(out, "\r\n");
    if (end == 0 || end == out_size - 1)
        return error_set(error, ERR_USAGE, "the first line of %s is no token: it has %s", path,
                         end == 0 ? "no character" : "more than 255 characters");
    explicit_bzero(out + end, out_size - end);
    return 0;
}

/* Write OPEN to the link, which sends it when the server has shown who it is. */
static int send_open(struct link *link, const struct daemon_link_options *options, struct error *error)
{
    struct message message = {.type = MESSAGE_OPEN, .open = {.protocol = PROTOCOL_VERSION}};
    struct message_open *open = &message.open;
    struct buffer bytes;
    uint8_t *data;
    size_t len;
    int rc = 0;

    buffer_init(&bytes, LIMIT_FRAME);
    if (strlen(options->database) >= sizeof(open->name))
        rc = error_set(error, ERR_USAGE, "the name of a database has at most %zu bytes", sizeof(open->name) - 1);
    snprintf(open->software, sizeof(open->software), "lockstep %s", LOCKSTEP_VERSION);
    snprintf(open->name, sizeof(open->name), "%s", options->database);
    snprintf(open->instance, sizeof(open->instance), "%s", options->instance != NULL ? options->instance : "");
    open->flags = options->is_line ? OPEN_LINE : 0;
    open->waited = options->waited_ms;
    if (rc == 0 && options->token_file != NULL)
        rc = read_token(options->token_file, open->token, sizeof(open->token), error);
    if (rc == 0)
        rc = message_encode(&message, &bytes, error);
    explicit_bzero(&message, sizeof(message));
    if (rc != 0)
        return rc;
    data = buffer_detach(&bytes, &len);
    link_write_take(link, data, len);
    return 0;
}

/* For as long as the process lives: one process speaks to one daemon. */
static int get_context(const struct tls_client_options *options, struct tls_context **out, struct error *error)
{
    static struct tls_context *context;
    static struct tls_client_options made_of;
    int rc = 0;

    if (context == NULL || memcmp(&made_of, options, sizeof(made_of)) != 0) {
        tls_context_free(context);
        context = NULL;
        rc = tls_context_new_client(&context, options, error);
        made_of = *options;
    }
    *out = context;
    return rc;
}

/* Nobody is told of a link that could not be made good use of. */
static void ignore_bytes(void *user, const uint8_t *data, size_t len)
{
    (void)user;
    (void)data;
    (void)len;
}

static void ignore_close(void *user, const struct error *error)
{
    (void)user;
    (void)error;
}

int daemon_link_new(struct uv_loop_s *loop, const struct link_callbacks *callbacks, void *user,
                    const struct daemon_link_options *options, struct link **link, struct error *error)
{
    struct link_tls_options tls = {.host = options->host, .port = options->port, .timeout_ms = options->timeout_ms};
    int rc = get_context(&options->tls, &tls.context, error);

    *link = NULL;
    if (rc == 0)
        rc = link_tls_connect(loop, callbacks, user, &tls, link, error);
    if (rc != 0)
        return rc;
    rc = send_open(*link, options, error);
    if (rc != 0) {
        (*link)->callbacks = (struct link_callbacks){.on_bytes = ignore_bytes, .on_close = ignore_close};
        link_close(*link);
        *link = NULL;
    }
    return rc;
}

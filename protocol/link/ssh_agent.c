#include "protocol/link/ssh_agent.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/base/log.h"
#include "protocol/link/ssh_blob.h"

/* Numbers of messages (draft-ietf-sshm-ssh-agent, section 6.1). */
#define AGENT_REQUEST_IDENTITIES 11
#define AGENT_IDENTITIES_ANSWER  12
#define AGENT_SIGN_REQUEST       13
#define AGENT_SIGN_RESPONSE      14

#define LIST_TIMEOUT_MS 10000
#define SIGN_TIMEOUT_MS 60000 /* somebody may have to confirm, or to touch a token */

static void start_request(struct ssh_agent *agent, uint64_t timeout_ms);
static void connect_cb(uv_connect_t *request, int status);
static void write_cb(uv_write_t *request, int status);
static void alloc_cb(uv_handle_t *handle, size_t suggested, uv_buf_t *buf);
static void read_cb(uv_stream_t *stream, ssize_t count, const uv_buf_t *buf);
static void timeout_cb(uv_timer_t *timer);

void ssh_agent_init(struct ssh_agent *agent, uv_loop_t *loop, const char *path,
                    ssh_agent_done_cb *on_done, void *user)
{
    memset(agent, 0, sizeof(*agent));
    agent->user = user;
    agent->on_done = on_done;
    buffer_init(&agent->out, LIMIT_SSH_AGENT_MESSAGE);
    buffer_init(&agent->in, LIMIT_SSH_AGENT_MESSAGE);
    uv_timer_init(loop, &agent->timer);
    uv_pipe_init(loop, &agent->pipe, 0);
    agent->timer.data = agent->pipe.data = agent->connect.data = agent->write.data = agent;
    uv_pipe_connect(&agent->connect, &agent->pipe, path, connect_cb);
}

static void end_request(struct ssh_agent *agent, const struct error *error)
{
    agent->is_busy = 0;
    uv_timer_stop(&agent->timer);
    agent->on_done(agent, error);
}

static void fail(struct ssh_agent *agent, int status, const char *what)
{
    struct error error;

    error_set(&error, ERR_AUTH, "%s%s%s", what, status != 0 ? ": " : "",
              status != 0 ? uv_strerror(status) : "");
    end_request(agent, &error);
}

/* ---- requests ---- */

static void append_u32(struct ssh_agent *agent, uint32_t value, int *rc)
{
    uint8_t bytes[4];

    ssh_put_u32(bytes, value);
    *rc |= buffer_append(&agent->out, bytes, 4, NULL);
}

static void append_string(struct ssh_agent *agent, const uint8_t *data, size_t len, int *rc)
{
    append_u32(agent, (uint32_t)len, rc);
    *rc |= buffer_append(&agent->out, data, len, NULL);
}

void ssh_agent_list(struct ssh_agent *agent)
{
    static const uint8_t type = AGENT_REQUEST_IDENTITIES;
    int rc = 0;

    agent->wants_keys = 1;
    buffer_release(&agent->out);
    append_string(agent, &type, 1, &rc);
    start_request(agent, LIST_TIMEOUT_MS);
}

void ssh_agent_sign(struct ssh_agent *agent, const struct ssh_agent_key *key, const uint8_t *data,
                    size_t data_len, uint32_t flags)
{
    static const uint8_t type = AGENT_SIGN_REQUEST;
    int rc = 0;

    agent->wants_keys = 0;
    free(agent->signature);
    agent->signature = NULL;
    buffer_release(&agent->out);
    append_u32(agent, (uint32_t)(1 + 4 + key->blob_len + 4 + data_len + 4), &rc);
    rc |= buffer_append(&agent->out, &type, 1, NULL);
    append_string(agent, key->blob, key->blob_len, &rc);
    append_string(agent, data, data_len, &rc);
    append_u32(agent, flags, &rc);
    /* Too large to be sent: the agent will not answer what is cut, and the time-out says so. */
    if (rc != 0)
        buffer_release(&agent->out);
    start_request(agent, SIGN_TIMEOUT_MS);
}

static void send_request(struct ssh_agent *agent)
{
    uv_buf_t buf = uv_buf_init((char *)agent->out.data, (unsigned)agent->out.len);

    agent->is_writing = agent->out.len > 0;
    if (agent->is_writing)
        uv_write(&agent->write, (uv_stream_t *)&agent->pipe, &buf, 1, write_cb);
}

static void start_request(struct ssh_agent *agent, uint64_t timeout_ms)
{
    agent->is_busy = 1;
    buffer_release(&agent->in);
    uv_timer_start(&agent->timer, timeout_cb, timeout_ms, 0);
    if (agent->is_connected)
        send_request(agent);
}

static void connect_cb(uv_connect_t *request, int status)
{
    struct ssh_agent *agent = request->data;

    if (status == UV_ECANCELED || agent->on_closed != NULL)
        return;
    if (status != 0) {
        agent->is_dead = 1;
        if (agent->is_busy)
            fail(agent, status, "the agent cannot be reached");
        return;
    }
    agent->is_connected = 1;
    uv_read_start((uv_stream_t *)&agent->pipe, alloc_cb, read_cb);
    if (agent->is_busy)
        send_request(agent);
}

static void write_cb(uv_write_t *request, int status)
{
    struct ssh_agent *agent = request->data;

    agent->is_writing = 0;
    if (status != 0 && status != UV_ECANCELED && agent->is_busy && agent->on_closed == NULL)
        fail(agent, status, "writing to the agent");
}

static void timeout_cb(uv_timer_t *timer)
{
    struct ssh_agent *agent = timer->data;

    agent->is_dead = 1;
    fail(agent, 0, "the agent did not answer in time");
}

/* ---- answers ---- */

static void alloc_cb(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct ssh_agent *agent = handle->data;

    (void)suggested;
    *buf = uv_buf_init((char *)agent->chunk, sizeof(agent->chunk));
}

static void drop_keys(struct ssh_agent *agent)
{
    for (size_t i = 0; i < agent->key_count; i++)
        free(agent->keys[i].blob);
    agent->key_count = 0;
}

/* A count, then for each key its blob and a comment. Keys beyond LIMIT_SSH_AGENT_KEYS are passed
 * over. */
static int parse_keys(struct ssh_agent *agent, struct ssh_reader reader)
{
    uint32_t count;

    drop_keys(agent);
    if (ssh_read_u32(&reader, &count) != 0)
        return -1;
    for (uint32_t i = 0; i < count && agent->key_count < LIMIT_SSH_AGENT_KEYS; i++) {
        struct ssh_agent_key *key = &agent->keys[agent->key_count];
        const uint8_t *blob;
        const uint8_t *comment;
        size_t comment_len;

        if (ssh_read_string(&reader, &blob, &key->blob_len) != 0 ||
            ssh_read_string(&reader, &comment, &comment_len) != 0)
            return -1;
        key->blob = malloc(key->blob_len + 1);
        if (key->blob == NULL)
            return -1;
        memcpy(key->blob, blob, key->blob_len);
        ssh_key_type(blob, key->blob_len, key->type, sizeof(key->type));
        log_sanitize((const char *)comment, comment_len, key->comment, sizeof(key->comment));
        agent->key_count++;
    }
    return 0;
}

/* A string that holds two: the algorithm's name and the signature itself. */
static int parse_signature(struct ssh_agent *agent, struct ssh_reader reader)
{
    struct ssh_reader inner;
    const uint8_t *name;
    const uint8_t *signature;
    size_t name_len;

    if (ssh_read_string(&reader, &inner.data, &inner.len) != 0 ||
        ssh_read_string(&inner, &name, &name_len) != 0 ||
        ssh_read_string(&inner, &signature, &agent->signature_len) != 0)
        return -1;
    agent->signature = malloc(agent->signature_len + 1);
    if (agent->signature == NULL)
        return -1;
    memcpy(agent->signature, signature, agent->signature_len);
    return 0;
}

static void take_answer(struct ssh_agent *agent, struct ssh_reader answer)
{
    static const struct error none = {.code = ERR_NONE};
    uint8_t type = answer.len > 0 ? answer.data[0] : 0;
    struct ssh_reader rest = {answer.data + 1, answer.len - 1};
    int rc = -1;

    if (agent->wants_keys && type == AGENT_IDENTITIES_ANSWER)
        rc = parse_keys(agent, rest);
    else if (!agent->wants_keys && type == AGENT_SIGN_RESPONSE)
        rc = parse_signature(agent, rest);
    buffer_release(&agent->in);
    if (rc == 0)
        end_request(agent, &none);
    else
        fail(agent, 0,
             agent->wants_keys ? "the agent did not list its keys" : "the agent refused to sign");
}

static void read_cb(uv_stream_t *stream, ssize_t count, const uv_buf_t *buf)
{
    struct ssh_agent *agent = stream->data;
    struct ssh_reader reader;
    uint32_t len;

    if (count < 0) {
        uv_read_stop(stream);
        agent->is_dead = 1;
        if (agent->is_busy)
            fail(agent, (int)count, "reading from the agent");
        return;
    }
    if (count == 0 || !agent->is_busy)
        return;
    /* An answer to what was not asked yet; the request's bytes are still needed. */
    if (agent->is_writing) {
        agent->is_dead = 1;
        fail(agent, 0, "the agent answered before it was asked");
        return;
    }
    if (buffer_append(&agent->in, buf->base, (size_t)count, NULL) != 0) {
        agent->is_dead = 1;
        fail(agent, 0, "the agent's answer is too large");
        return;
    }
    reader = (struct ssh_reader){agent->in.data, agent->in.len};
    if (ssh_read_u32(&reader, &len) == 0 && len > 0 && len <= reader.len)
        take_answer(agent, (struct ssh_reader){reader.data, len});
}

/* ---- the end ---- */

static void handle_closed_cb(uv_handle_t *handle)
{
    struct ssh_agent *agent = handle->data;

    if (--agent->handles > 0)
        return;
    drop_keys(agent);
    free(agent->signature);
    agent->signature = NULL;
    buffer_release(&agent->out);
    buffer_release(&agent->in);
    agent->on_closed(agent);
}

void ssh_agent_close(struct ssh_agent *agent, ssh_agent_closed_cb *on_closed)
{
    agent->is_busy = 0;
    agent->on_closed = on_closed;
    agent->handles = 2;
    uv_close((uv_handle_t *)&agent->pipe, handle_closed_cb);
    uv_close((uv_handle_t *)&agent->timer, handle_closed_cb);
}

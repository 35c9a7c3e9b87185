/*
 * http: an HTTP/1.1 client on a libuv loop: libcurl's multi-socket interface.
 *
 * It sends one request and reports one answer. It follows no redirects, sends nothing twice (but
 * for a GET whose kept-alive connection turns out closed), knows nothing of S3, and bounds
 * everything: time, the answer's body, its headers. Connections are kept open between requests.
 * Proxies are found as curl finds them (https_proxy, no_proxy, …).
 */
#ifndef LOCKSTEP_LOCKSTORE_HTTP_H
#define LOCKSTEP_LOCKSTORE_HTTP_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/base/error.h"
#include "protocol/base/limits.h"

struct http_client;
struct http_call;
struct uv_loop_s;

/* How far a request came. */
enum http_reach {
    HTTP_ANSWERED,  /* a whole answer is there; status says what kind */
    HTTP_CUT,       /* the answer's body was longer than allowed: status, headers and the first part
                       of the body are there */
    HTTP_NOT_SENT,  /* no name, no connection: the server cannot have seen the request */
    HTTP_UNTRUSTED, /* TLS: the server could not prove who it is; nothing was sent */
    HTTP_BROKEN,    /* it may have reached the server; no answer, or half of one */
    HTTP_INVALID    /* libcurl refuses the URL or a setting: trying again is of no use */
};

struct http_request {
    const char *method;         /* GET, PUT, POST or DELETE */
    const char *url;            /* http: or https:, sent exactly as it stands */
    const char *const *headers; /* "Name: value", header_count of them */
    size_t header_count;
    const void *body; /* PUT and POST; may be NULL when body_len is 0 */
    size_t body_len;
    const char *ca_bundle;       /* PEM file of trusted CAs; NULL or "": the system's */
    uint32_t connect_timeout_ms; /* until a connection stands, TLS included */
    uint32_t timeout_ms;         /* for the whole */
    size_t body_max;             /* bytes of answer */
    int direct;                  /* without any proxy: for addresses of the machine's own network */
};

/* What came back. All of it is good during the callback only. */
struct http_answer {
    enum http_reach reach;
    int status;       /* 0 where none came */
    const char *body; /* body_len bytes, and a NUL behind them */
    size_t body_len;
    char etag[LIMIT_HTTP_HEADER];          /* headers: "" where absent or longer than allowed */
    char request_id[LIMIT_HTTP_HEADER];    /* x-amz-request-id */
    char bucket_region[LIMIT_HTTP_HEADER]; /* x-amz-bucket-region */
    char server[LIMIT_HTTP_HEADER];
    int64_t date;            /* seconds since 1970; -1 where absent or not a date */
    int64_t last_modified;   /* the same */
    uint32_t retry_after_ms; /* at most LIMIT_HTTP_RETRY_AFTER_MS; 0 where absent */
    struct error error;      /* unless HTTP_ANSWERED: what happened */
};

typedef void http_callback(void *arg, const struct http_answer *answer);

/* A client on loop. ERR_INTERNAL when memory ran out. */
int http_client_new(struct http_client **client, struct uv_loop_s *loop, struct error *error);

/*
 * Send a request; done comes once, never from inside this call. Everything in request is copied,
 * and the copies of headers and body are wiped afterwards. *call is good until done came or
 * http_abort. ERR_INTERNAL when memory ran out; done then does not come.
 */
int http_start(struct http_client *client, const struct http_request *request, http_callback *done,
               void *arg, struct http_call **call, struct error *error);

/* Forget a request; its done does not come any more. The server may have seen it. */
void http_abort(struct http_call *call);

/* Abort all, close the connections, free the client, then call closed. */
void http_client_close(struct http_client *client, void (*closed)(void *arg), void *arg);

#endif

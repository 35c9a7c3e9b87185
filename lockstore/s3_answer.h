/*
 * s3_answer: what an S3 store's answer means for the lock. Pure.
 *
 * Sources: "Error responses" and "How to prevent object overwrites with conditional writes" in the
 * S3 documentation, and what stores were seen to do (the table at the head of s3_answer.c).
 */
#ifndef LOCKSTEP_LOCKSTORE_S3_ANSWER_H
#define LOCKSTEP_LOCKSTORE_S3_ANSWER_H

#include <stdint.h>

#include "lockstore/store.h"

struct http_answer;

enum s3_operation { S3_GET, S3_PUT_IF_ABSENT, S3_PUT_IF_MATCH, S3_DELETE };

/* What may make the same request succeed, before the outcome is taken as it is. */
enum s3_remedy {
    S3_REMEDY_NONE,
    S3_REMEDY_CLOCK,      /* sign with the store's time */
    S3_REMEDY_REGION,     /* sign for, and on AWS go to, another region */
    S3_REMEDY_CREDENTIALS /* they have expired: fetch them anew */
};

struct s3_verdict {
    enum store_outcome outcome; /* if there is no remedy, or it was tried already */
    enum s3_remedy remedy;
    char code[64];      /* the error's code, sanitized; "" for none */
    char region[64];    /* the bucket's, valid as a region; "" where not told */
    struct error error; /* for STORE_UNKNOWN and STORE_REFUSED; names the store */
};

/* What the store at host, reached at bucket, answered to operation. */
void s3_answer_judge(const struct http_answer *answer, enum s3_operation operation,
                     const char *host, const char *bucket, struct s3_verdict *verdict);

#endif

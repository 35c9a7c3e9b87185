/* s3_variables: the environment variables that the S3 store reads, for who shows what is in force. docs/s3.md explains them. */
#ifndef LOCKSTEP_LOCKSTORE_S3_VARIABLES_H
#define LOCKSTEP_LOCKSTORE_S3_VARIABLES_H

struct s3_variable {
    const char *name;
    int is_secret; /* its value is shown to nobody */
};

#define S3_VARIABLES_MAX 32

/* Ends with a row without a name. */
extern const struct s3_variable s3_variables[];

#endif

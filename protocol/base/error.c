#include "protocol/base/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    int status;
    const char *meaning;
} errors[ERR_COUNT] = {[ERR_NONE] = {"NONE", 0, "no error"},
#define X(name, status, meaning) [ERR_##name] = {#name, status, meaning},
                       ERROR_MAP(X)
#undef X
};

void error_init(struct error *error)
{
    error->code = ERR_NONE;
    error->text[0] = '\0';
}

int error_set(struct error *error, int code, const char *format, ...)
{
    va_list args;

    if (error == NULL)
        return code;
    error->code = code;
    va_start(args, format);
    vsnprintf(error->text, sizeof(error->text), format, args);
    va_end(args);
    return code;
}

/* What a person can do about it, where the system's own words do not say. */
static const char *advise(int errno_value)
{
    switch (errno_value) {
    case ENOSPC:
        return "; make room on that file system, then run the same command again";
    case EDQUOT:
        return "; delete files or have the quota raised, then run the same command again";
    case EFBIG:
        return "; the file is larger than may be written here: see `ulimit -f`, and what the file system can hold";
    case EACCES:
    case EPERM:
        return "; see who owns it and what its permissions are";
    case EROFS:
        return "; the file system is mounted read-only";
    case ENOTDIR:
        return "; a part of the path is a file: is it the right path?";
    case EMFILE:
    case ENFILE:
        return "; see `ulimit -n`, and what else has files open";
    case EIO:
        return "; the disk may be failing: see the kernel's log (dmesg)";
    default:
        return "";
    }
}

int error_set_errno(struct error *error, int code, int errno_value, const char *format, ...)
{
    va_list args;
    size_t used;

    if (errno_value == ENOSPC || errno_value == EDQUOT)
        code = ERR_DISK_FULL;
    if (error == NULL)
        return code;
    error->code = code;
    va_start(args, format);
    vsnprintf(error->text, sizeof(error->text), format, args);
    va_end(args);
    used = strlen(error->text);
    snprintf(error->text + used, sizeof(error->text) - used, ": %s%s", strerror(errno_value), advise(errno_value));
    return code;
}

int error_wrap(struct error *error, const char *format, ...)
{
    char inner[sizeof(error->text)];
    va_list args;
    size_t used;

    if (error == NULL)
        return ERR_INTERNAL;
    memcpy(inner, error->text, sizeof(inner));
    va_start(args, format);
    vsnprintf(error->text, sizeof(error->text), format, args);
    va_end(args);
    used = strlen(error->text);
    /* Two boundaries may say the same: "reading x: reading x: …" tells nothing more. */
    if (strncmp(inner, error->text, used) == 0 && inner[used] == ':')
        memcpy(error->text, inner, sizeof(inner));
    else
        snprintf(error->text + used, sizeof(error->text) - used, ": %s", inner);
    return error->code;
}

const char *error_name(int code)
{
    return code >= 0 && code < ERR_COUNT ? errors[code].name : errors[ERR_INTERNAL].name;
}

int error_from_name(const char *name, size_t name_len)
{
    for (int code = 1; code < ERR_COUNT; code++) {
        if (strlen(errors[code].name) == name_len && memcmp(errors[code].name, name, name_len) == 0)
            return code;
    }
    return ERR_INTERNAL;
}

int error_exit_status(int code)
{
    return code >= 0 && code < ERR_COUNT ? errors[code].status : errors[ERR_INTERNAL].status;
}

const char *error_meaning(int code)
{
    return code >= 0 && code < ERR_COUNT ? errors[code].meaning : errors[ERR_INTERNAL].meaning;
}

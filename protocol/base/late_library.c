#include "protocol/base/late_library.h"

#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

#include "protocol/base/error.h"

int late_library_load(const char *file_name, const struct late_symbol *symbols, struct error *error)
{
    void *library = dlopen(file_name, RTLD_NOW | RTLD_LOCAL);

    if (library == NULL)
        return error_set(
            error, ERR_INTERNAL,
            "loading a library that is needed for this: %s; install the package that has it",
            dlerror());
    for (; symbols->name != NULL; symbols++) {
        void *function = dlsym(library, symbols->name);
        if (function == NULL)
            return error_set(error, ERR_INTERNAL, "loading %s: it has no %s: it is too old",
                             file_name, symbols->name);
        /* As POSIX has it for dlsym: a function's pointer by way of its bytes. */
        memcpy(symbols->pointer, &function, sizeof(function));
    }
    return 0;
}

/*
 * late_library: shared libraries that are loaded when they are first needed, and not when the program starts.
 *
 * For those that most runs do without, and that bring many others: libcurl (with LDAP, Kerberos and RTMP) and libmicrohttpd
 * (with GnuTLS) took 6 of the 9 ms between the start of a program and its first line, twice in each sync, one side after the other.
 *
 * Who needs one writes the functions that it calls as a list of names, has a struct of pointers made of it, and fills that here:
 *
 *     #define CALLS(X) X(curl_easy_init) X(curl_easy_cleanup)
 *     static struct { CALLS(LATE_FUNCTION) } lib;
 *     static const struct late_symbol symbols[] = {CALLS(LATE_SYMBOL){NULL, NULL}};
 *     rc = late_library_load("libcurl.so.4", symbols, error);
 *     lib.curl_easy_init()
 */
#ifndef LOCKSTEP_BASE_LATE_LIBRARY_H
#define LOCKSTEP_BASE_LATE_LIBRARY_H

struct error;

/* A function of the library, and where the pointer to it goes. */
struct late_symbol {
    const char *name; /* NULL ends the array */
    void *pointer;    /* to a pointer to the function */
};

/* A member of a struct `lib`, of the type that the library's header gives the function; and its entry in the array. */
#define LATE_FUNCTION(name) __typeof__(name) *name;
#define LATE_SYMBOL(name)   {#name, (void *)&lib.name},

/*
 * Load the library with that file name (soname), searched for as the loader does, and set the pointers. It stays until the process ends.
 * Any number of times, but not from two threads at once. ERR_INTERNAL: it is not there, or lacks a function.
 */
int late_library_load(const char *file_name, const struct late_symbol *symbols, struct error *error);

#endif

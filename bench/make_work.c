/*
 * bench_make_work: makes the bench's database, changes it, and tells how far two of them are apart.
 *
 *   bench_make_work create PATH [--scale S] [--seed N]
 *   bench_make_work apply PATH WORKLOAD
 *   bench_make_work differ PATH PATH        prints "DIFFERING PAGES PAGES"
 */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/differing_pages.h"
#include "bench/work_database.h"
#include "bench/workload.h"
#include "protocol/base/error.h"

static const char USAGE[] = "usage: bench_make_work create PATH [--scale S] [--seed N]\n"
                            "       bench_make_work apply PATH WORKLOAD\n"
                            "       bench_make_work differ PATH PATH\n"
                            "S is 1 for 400,000 contacts (456 MB). WORKLOAD is one of:\n";

static int create(const char *path, double scale, uint64_t seed, struct error *error)
{
    double contacts = round(WORK_CONTACTS * scale);

    if (!(contacts >= 1 && contacts <= 1e9))
        return error_set(error, ERR_USAGE, "a scale of %g makes no database", scale);
    if (access(path, F_OK) == 0)
        return error_set(error, ERR_USAGE, "the file is there already");
    return work_database_create(path, (int64_t)contacts, seed, error);
}

static int differ(const char *one, const char *other, struct error *error)
{
    const char *paths[2] = {one, other};
    struct page_difference difference;
    int err = differing_pages(paths, &difference, error);

    if (!err)
        printf("%lld %lld %lld\n", (long long)difference.differing, (long long)difference.pages[0],
               (long long)difference.pages[1]);
    return err;
}

int main(int argc, char **argv)
{
    static const struct option OPTIONS[] = {
        {"scale", required_argument, NULL, 's'}, {"seed", required_argument, NULL, 'r'}, {0}};
    struct error error = {0};
    double scale = 1;
    uint64_t seed = 7;
    char **words;
    int option, err;

    while ((option = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1) {
        if (option == 's')
            scale = strtod(optarg, NULL);
        else if (option == 'r')
            seed = strtoull(optarg, NULL, 10);
        else
            return error_exit_status(ERR_USAGE);
    }
    words = argv + optind;
    if (argc - optind == 2 && strcmp(words[0], "create") == 0) {
        err = create(words[1], scale, seed, &error);
    } else if (argc - optind == 3 && strcmp(words[0], "apply") == 0) {
        err = workload_apply(words[1], words[2], &error);
    } else if (argc - optind == 3 && strcmp(words[0], "differ") == 0) {
        err = differ(words[1], words[2], &error);
    } else {
        fprintf(stderr, "%s  %s\n", USAGE, WORKLOAD_NAMES);
        return error_exit_status(ERR_USAGE);
    }
    if (err) {
        error_wrap(&error, "%s", words[1]);
        fprintf(stderr, "bench_make_work: %s\n", error.text);
    }
    return error_exit_status(err);
}

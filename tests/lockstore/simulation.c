/*
 * simulation: many seeds of sim_world.h, with the lease as it is and sabotaged.
 *
 *   simulation [SEEDS [FIRST]]        default 100,000 from 1 on; then every sabotage must be found
 *   simulation --trace SEED [SABOTAGE] tell everything that happens in one
 *
 * A violation ends the run with the seed to trace.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/lockstore/sim_world.h"

#define SEEDS_DEFAULT  100000
#define SABOTAGE_SEEDS 20000 /* within so many seeds each sabotage must be found */

static int run_sound(unsigned long seeds, unsigned long first);
static int run_sabotaged(enum sim_sabotage sabotage, const char *name, const char *violation);
static int trace_one(unsigned long seed, enum sim_sabotage sabotage);

/* What each sabotage must lead to. */
static const struct {
    const char *name;
    const char *violation;
} sabotages[SIM_SABOTAGES] = {
    [SIM_NO_REV] = {"without rev", "two believe"},
    [SIM_LEASE_ID_UNCHECKED] = {"lease id unchecked after a 412", "two believe"},
    [SIM_FENCE_BY_TOKEN] = {"lease id unchecked by the fence", "one token from two leases"},
    [SIM_NO_EARLY_FENCE] = {"fence with the push only", "lost update"},
    [SIM_DELETE_ON_RELEASE] = {"delete on release", "two believe"},
    [SIM_LATE_DEADLINE] = {"lease counted from the answer", "past its deadline"},
    [SIM_NO_FENCE] = {"no fence", "lost update"},
};

int main(int argc, char **argv)
{
    unsigned long seeds = SEEDS_DEFAULT, first = 1;

    if (argc > 2 && strcmp(argv[1], "--trace") == 0)
        return trace_one(strtoul(argv[2], NULL, 10),
                         argc > 3 ? (enum sim_sabotage)atoi(argv[3]) : SIM_SOUND);
    if (argc > 1)
        seeds = strtoul(argv[1], NULL, 10);
    if (argc > 2)
        first = strtoul(argv[2], NULL, 10);
    if (seeds == 0 || run_sound(seeds, first) != 0)
        return 1;
    for (int i = SIM_SOUND + 1; i < SIM_SABOTAGES; i++) {
        if (run_sabotaged((enum sim_sabotage)i, sabotages[i].name, sabotages[i].violation) != 0)
            return 1;
    }
    return 0;
}

/* Every seed without a violation, and the seeds worth something: locks taken, commits made. */
static int run_sound(unsigned long seeds, unsigned long first)
{
    unsigned long long steps = 0, commits = 0, acquired = 0, wild = 0;
    struct sim_result result;
    clock_t start = clock();

    for (unsigned long seed = first; seed < first + seeds; seed++) {
        sim_world_run(seed, SIM_SOUND, NULL, &result);
        if (result.violation != NULL) {
            printf("seed %lu, at %llu ms: %s\nsee it: simulation --trace %lu\n", seed,
                   (unsigned long long)result.at, result.violation, seed);
            return 1;
        }
        steps += result.steps;
        commits += result.commits;
        acquired += result.acquired;
        wild += (unsigned)result.wild;
    }
    printf("%lu seeds (%llu wild), %llu steps, %llu times acquired, %llu commits, no violation; "
           "%.1f s of CPU\n",
           seeds, wild, steps, acquired, commits,
           (double)(clock() - start) / (double)CLOCKS_PER_SEC);
    return acquired >= seeds && commits >= seeds ? 0 : 1;
}

static int run_sabotaged(enum sim_sabotage sabotage, const char *name, const char *violation)
{
    struct sim_result result;

    for (unsigned long seed = 1; seed <= SABOTAGE_SEEDS; seed++) {
        sim_world_run(seed, sabotage, NULL, &result);
        if (result.violation != NULL && strstr(result.violation, violation) != NULL) {
            printf("%s: found at seed %lu (%s)\n", name, seed, result.violation);
            return 0;
        }
    }
    printf("%s: not found in %d seeds: the checker is blind\n", name, SABOTAGE_SEEDS);
    return 1;
}

static int trace_one(unsigned long seed, enum sim_sabotage sabotage)
{
    struct sim_result result;

    sim_world_run(seed, sabotage, stdout, &result);
    printf("%s seed %lu: %s\n", result.wild ? "wild" : "calm", seed,
           result.violation != NULL ? result.violation : "no violation");
    return result.violation != NULL;
}

#include "origin/memory_budget.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "protocol/base/error.h"

struct holder {
    memory_budget_oldest *oldest;
    memory_budget_drop *drop;
    void *arg;
};

struct memory_budget {
    uint64_t max;
    atomic_uint_least64_t used;
    atomic_uint_least64_t clock;
    struct holder holders[MEMORY_BUDGET_HOLDERS];
    unsigned holder_count;
};

struct memory_budget *memory_budget_new(uint64_t max)
{
    struct memory_budget *budget = calloc(1, sizeof(*budget));

    if (budget != NULL)
        budget->max = max;
    return budget;
}

void memory_budget_free(struct memory_budget *budget)
{
    free(budget);
}

void memory_budget_add_holder(struct memory_budget *budget, memory_budget_oldest *oldest,
                              memory_budget_drop *drop, void *arg)
{
    assert(budget->holder_count < MEMORY_BUDGET_HOLDERS);
    budget->holders[budget->holder_count++] = (struct holder){oldest, drop, arg};
}

uint64_t memory_budget_now(struct memory_budget *budget)
{
    return atomic_fetch_add(&budget->clock, 1) + 1;
}

/* Have the least recently used thing of all dropped. Returns whether there was one. */
static int drop_oldest(struct memory_budget *budget)
{
    const struct holder *whose = NULL;
    uint64_t oldest = UINT64_MAX;

    for (unsigned i = 0; i < budget->holder_count; i++) {
        const struct holder *holder = &budget->holders[i];
        uint64_t used = holder->oldest(holder->arg);

        if (used < oldest) {
            oldest = used;
            whose = holder;
        }
    }
    return whose != NULL && whose->drop(whose->arg);
}

int memory_budget_take(struct memory_budget *budget, uint64_t bytes, const char *what,
                       struct error *error)
{
    uint64_t used = atomic_fetch_add(&budget->used, bytes) + bytes;

    while (used > budget->max) {
        if (!drop_oldest(budget)) {
            atomic_fetch_sub(&budget->used, bytes);
            return error_set(error, ERR_TRY_LATER,
                             "the origin needs %llu KiB of memory for %s, and what it is at work "
                             "on leaves no room in the %llu KiB of "
                             "its --max-memory; try again later",
                             (unsigned long long)bytes / 1024 + 1, what,
                             (unsigned long long)budget->max / 1024);
        }
        used = atomic_load(&budget->used);
    }
    return 0;
}

void memory_budget_give(struct memory_budget *budget, uint64_t bytes)
{
    atomic_fetch_sub(&budget->used, bytes);
}

uint64_t memory_budget_used(struct memory_budget *budget)
{
    return atomic_load(&budget->used);
}

uint64_t memory_budget_max(const struct memory_budget *budget)
{
    return budget->max;
}

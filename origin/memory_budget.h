/*
 * memory_budget: counts the large things that a daemon holds, page hashes and streams, against a maximum, and has the least recently used ones
 * dropped to make room.
 *
 * All functions may be called on any thread.
 */
#ifndef LOCKSTEP_ORIGIN_MEMORY_BUDGET_H
#define LOCKSTEP_ORIGIN_MEMORY_BUDGET_H

#include <stddef.h>
#include <stdint.h>

struct error;
struct memory_budget;

/* Who can drop something. At most MEMORY_BUDGET_HOLDERS are added, before the budget is used by several threads. */
#define MEMORY_BUDGET_HOLDERS 2

/* When the least recently used thing that nobody needs was used (memory_budget_now); UINT64_MAX: there is none. */
typedef uint64_t memory_budget_oldest(void *arg);

/* Drop it. Returns whether there was one. What it gives back is given by memory_budget_give. */
typedef int memory_budget_drop(void *arg);

/* NULL: memory ran out. */
struct memory_budget *memory_budget_new(uint64_t max);
void memory_budget_free(struct memory_budget *budget);

void memory_budget_add_holder(struct memory_budget *budget, memory_budget_oldest *oldest, memory_budget_drop *drop, void *arg);

/* A number that is larger each time: for who was used when. */
uint64_t memory_budget_now(struct memory_budget *budget);

/*
 * Count bytes, making room if need be. The caller holds no lock that a holder's functions take. ERR_TRY_LATER: those that are in use leave
 * no room, and nothing was counted; `what` says for what, as in "the page hashes of PATH".
 */
int memory_budget_take(struct memory_budget *budget, uint64_t bytes, const char *what, struct error *error);

void memory_budget_give(struct memory_budget *budget, uint64_t bytes);

uint64_t memory_budget_used(struct memory_budget *budget);
uint64_t memory_budget_max(const struct memory_budget *budget);

#endif

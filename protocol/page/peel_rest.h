/*
 * peel_rest: what peeling (peel.h) leaves, where that is little.
 *
 * Most often it is two pages that share all their cells (with 300 pages in the first flight, once
 * in 500 times). Only pages that have no empty cell can be meant, the suspects. Where these are
 * few, the cells are a small system of linear equations for them; that there is one solution, and
 * one only, is checked. The anchors of the gauge are what is left of it when all pages but those
 * are known.
 */
#ifndef LOCKSTEP_PAGE_PEEL_REST_H
#define LOCKSTEP_PAGE_PEEL_REST_H

struct error;
struct peel;

/* Find pages in what is left, if that can be done; *is_changed tells if there were any. Costs a
 * pass over all pages. */
int peel_rest(struct peel *peel, int *is_changed, struct error *error);

/* All pages but the anchors are known (peel_take): find these, from the first tier. */
int peel_anchors(struct peel *peel, struct error *error);

#endif

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

/* Peel, and solve what that leaves: as far as the cells go. ERR_PROTOCOL as by peel_run. */
int peel_solve(struct peel *peel, struct error *error);

/* All pages but the anchors are known (peel_take): find these, from the first tier. */
int peel_anchors(struct peel *peel, struct error *error);

#endif

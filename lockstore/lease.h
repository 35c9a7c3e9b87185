/*
 * lease: the lock's state machine, pure: what happened goes in, what to do comes out. No clock, no
 * store, no randomness of its own; the driver (lock.h) has those.
 *
 * (The states, the moves, and why they are safe are drawn at the head of lease.c.)
 */
#ifndef LOCKSTEP_LOCKSTORE_LEASE_H
#define LOCKSTEP_LOCKSTORE_LEASE_H
#endif

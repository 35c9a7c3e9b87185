/* roster: how many guests of each name a daemon has, and whom the lists of now let in. Any thread may ask. */
#ifndef LOCKSTEP_ORIGIN_ROSTER_H
#define LOCKSTEP_ORIGIN_ROSTER_H

struct access;
struct error;
struct roster;
struct tls_peer;

/* What a guest of a database may do. */
struct roster_entry {
    struct roster_entry *next;
    char who[129]; /* the name that stands for the guest in logs and in the count */
    int is_in;
    int is_place;  /* it stands in the line of runs, and does nothing else */
    int may_pull;
    int may_push;
};

/*
 * per_client: guests of one name at a time; places: in line, of all names together. Those in line are counted apart, because who has the
 * lock must get in with his push however many wait for it. access is taken. NULL: memory ran out.
 */
struct roster *roster_new(struct access *access, unsigned per_client, unsigned places);

/* Everybody has left. NULL is allowed. */
void roster_free(struct roster *roster);

/* New lists, for those who come from now on; taken. */
void roster_replace_take(struct roster *roster, struct access *access);

/*
 * Let somebody in who has shown peer and token: find out who he is, in *peer and entry->who. ERR_AUTH: nobody knows; tell him
 * nothing. ERR_TRY_LATER: too many of that name, or in line. Until roster_leave, entry belongs to the roster.
 */
int roster_enter(struct roster *roster, struct roster_entry *entry, struct tls_peer *peer, const char *token,
                 int is_place, struct error *error);

/* Fill in what he may do with the database. ERR_NOT_ALLOWED: nothing. */
int roster_permit(struct roster *roster, struct roster_entry *entry, const struct tls_peer *peer, const char *database,
                  struct error *error);

/* Harmless when repeated. */
void roster_leave(struct roster *roster, struct roster_entry *entry);

#endif

#include "origin/roster.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h>

#include "origin/access.h"
#include "protocol/base/error.h"
#include "protocol/link/tls_certificate.h"

struct roster {
    uv_mutex_t mutex;
    struct access *access; /* owned */
    struct roster_entry *first;
    unsigned per_client;
    unsigned places;
};

struct roster *roster_new(struct access *access, unsigned per_client, unsigned places)
{
    struct roster *roster = calloc(1, sizeof(*roster));

    if (roster == NULL)
        return NULL;
    uv_mutex_init(&roster->mutex);
    roster->access = access;
    roster->per_client = per_client;
    roster->places = places;
    return roster;
}

void roster_free(struct roster *roster)
{
    if (roster == NULL)
        return;
    assert(roster->first == NULL);
    access_free(roster->access);
    uv_mutex_destroy(&roster->mutex);
    free(roster);
}

void roster_replace_take(struct roster *roster, struct access *access)
{
    uv_mutex_lock(&roster->mutex);
    access_free(roster->access);
    roster->access = access;
    uv_mutex_unlock(&roster->mutex);
}

/* Guests of that name that do not stand in line. */
static unsigned count_guests(const struct roster *roster, const char *who)
{
    unsigned found = 0;

    for (const struct roster_entry *entry = roster->first; entry != NULL; entry = entry->next)
        found += !entry->is_place && strcmp(entry->who, who) == 0;
    return found;
}

/* Those of all names that do. */
static unsigned count_places(const struct roster *roster)
{
    unsigned found = 0;

    for (const struct roster_entry *entry = roster->first; entry != NULL; entry = entry->next)
        found += entry->is_place;
    return found;
}

static int check_room(const struct roster *roster, const struct roster_entry *entry, struct error *error)
{
    if (entry->is_place && count_places(roster) >= roster->places)
        return error_set(error, ERR_TRY_LATER, "%u runs stand in line at this origin already, which is all it has room for; try again later", roster->places);
    if (!entry->is_place && count_guests(roster, entry->who) >= roster->per_client)
        return error_set(error, ERR_TRY_LATER, "%s has %u connections to this origin already: end some, or raise --max-per-client there", entry->who, roster->per_client);
    return 0;
}

int roster_enter(struct roster *roster, struct roster_entry *entry, struct tls_peer *peer, const char *token,
                 int is_place, struct error *error)
{
    int rc;

    uv_mutex_lock(&roster->mutex);
    rc = access_identify(roster->access, token, peer, error);
    if (rc == 0) {
        snprintf(entry->who, sizeof(entry->who), "%s", peer->names[0]);
        entry->is_place = is_place;
        rc = check_room(roster, entry, error);
    }
    if (rc == 0) {
        entry->next = roster->first;
        roster->first = entry;
        entry->is_in = 1;
    }
    uv_mutex_unlock(&roster->mutex);
    return rc;
}

int roster_permit(struct roster *roster, struct roster_entry *entry, const struct tls_peer *peer, const char *database,
                  struct error *error)
{
    uv_mutex_lock(&roster->mutex);
    access_rights(roster->access, peer, database, &entry->may_pull, &entry->may_push);
    uv_mutex_unlock(&roster->mutex);
    if (entry->may_pull || entry->may_push)
        return 0;
    return error_set(error, ERR_NOT_ALLOWED, "%s may neither pull nor push %s; the origin's --allow says who may", entry->who,
                     database);
}

void roster_leave(struct roster *roster, struct roster_entry *entry)
{
    struct roster_entry **spot;

    uv_mutex_lock(&roster->mutex);
    for (spot = &roster->first; entry->is_in && *spot != entry; spot = &(*spot)->next)
        ;
    if (entry->is_in)
        *spot = entry->next;
    entry->is_in = 0;
    uv_mutex_unlock(&roster->mutex);
}

#include "replica/version_list.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/base/error.h"
#include "protocol/sync/party.h"
#include "replica/greeting.h"

struct version_list {
    struct party party;
    struct message_hello hello;
    int is_greeted;
    uint32_t max;
    uint32_t count;
    struct message_entry *entries; /* room for max */
};

static int hear_hello(struct version_list *list, const struct message_hello *hello, struct buffer *out, struct error *error)
{
    struct message message = {.type = MESSAGE_HISTORY, .history = {.count = list->max}};
    int rc = greeting_check_protocol(hello, error);

    list->hello = *hello;
    list->is_greeted = 1;
    return rc != 0 ? rc : message_encode(&message, out, error);
}

static int hear_entry(struct version_list *list, const struct message_entry *entry, struct error *error)
{
    if (entry->kind == ENTRY_NONE) {
        list->party.status = PARTY_DONE;
        return 0;
    }
    if (list->count == list->max)
        return error_set(error, ERR_PROTOCOL, "the origin told more versions than were asked for");
    list->entries[list->count++] = *entry;
    if (entry->left == 0)
        list->party.status = PARTY_DONE;
    return 0;
}

static int hear(struct party *party, const struct message *message, struct buffer *out, struct error *error)
{
    struct version_list *list = (struct version_list *)party;

    if (message->type == MESSAGE_HELLO && !list->is_greeted)
        return hear_hello(list, &message->hello, out, error);
    if (message->type == MESSAGE_ENTRY && list->is_greeted)
        return hear_entry(list, &message->entry, error);
    return error_set(error, ERR_PROTOCOL, "%s came at a time when it means nothing", message_name(message->type));
}

static int speak(struct party *party, struct buffer *out, struct error *error)
{
    (void)party;
    (void)out;
    return error_set(error, ERR_INTERNAL, "who asks for the history has nothing to say");
}

int version_list_new(struct version_list **list, uint32_t max, struct error *error)
{
    static const struct party_methods methods = {hear, speak, NULL};
    struct version_list *new = calloc(1, sizeof(*new));

    *list = NULL;
    if (new == NULL || (new->entries = calloc(max, sizeof(*new->entries))) == NULL) {
        free(new);
        return error_set(error, ERR_INTERNAL, "out of memory");
    }
    new->party = (struct party){.methods = &methods, .status = PARTY_LISTENS};
    new->max = max;
    *list = new;
    return 0;
}

void version_list_free(struct version_list *list)
{
    if (list == NULL)
        return;
    explicit_bzero(&list->hello, sizeof(list->hello));
    free(list->entries);
    free(list);
}

struct party *version_list_party(struct version_list *list)
{
    return &list->party;
}

const struct message_hello *version_list_hello(const struct version_list *list)
{
    return &list->hello;
}

const struct message_entry *version_list_entries(const struct version_list *list, uint32_t *count)
{
    *count = list->count;
    return list->entries;
}

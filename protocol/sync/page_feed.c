/*
 * A ring of pages goes from the thread to the sender. Each side wakes the other only when the ring
 * is half full or half empty, since waking a thread takes longer than reading a page.
 */
#include "protocol/sync/page_feed.h"

#include <pthread.h>
#include <stdlib.h>

#include "protocol/base/error.h"

#define RING_BYTES 524288u
#define RING_MAX   64u
#define RING_MIN   4u

/* A page of the ring, and what was there before. */
struct slot {
    uint32_t pgno;
    enum fed_old has_old;
    int code;      /* of error; the last slot's */
    uint8_t *page; /* both in the feed's memory */
    uint8_t *old;
};

struct page_feed {
    struct page_feed_source source;
    pthread_t thread;
    pthread_mutex_t source_mutex; /* held while the source is at work */
    pthread_mutex_t mutex;        /* over what follows, up to ring */
    pthread_cond_t changed;
    uint64_t made;  /* slots that were filled, all in all */
    uint64_t taken; /* of them, those that the sender is through with */
    int wants_old;
    int ended;          /* the thread is to stop, or has made the last slot */
    struct error error; /* of the last slot */
    unsigned slots;     /* in the ring */
    struct slot ring[RING_MAX];
    int is_out;      /* the sender has the slot `taken` */
    uint8_t *memory; /* owned; all pages of the ring */
};

/* Fill a slot. Returns whether it is the last. */
static int fill(struct page_feed *feed, struct slot *slot, int wants_old, struct error *error)
{
    const struct page_feed_source *source = &feed->source;
    int known = 0;

    pthread_mutex_lock(&feed->source_mutex);
    slot->code = 0;
    slot->has_old = FED_OLD_NOT_READ;
    slot->pgno = source->next(source->arg);
    if (slot->pgno != 0)
        slot->code = source->read(source->arg, slot->pgno, slot->page, error);
    if (slot->pgno != 0 && slot->code == 0 && wants_old) {
        slot->code =
            source->read_old(source->arg, slot->pgno, slot->page, slot->old, &known, error);
        slot->has_old = known ? FED_OLD_KNOWN : FED_OLD_UNKNOWN;
    }
    pthread_mutex_unlock(&feed->source_mutex);
    return slot->pgno == 0 || slot->code != 0;
}

static void *run(void *arg)
{
    struct page_feed *feed = arg;
    struct error error = {0};

    pthread_mutex_lock(&feed->mutex);
    while (!feed->ended) {
        struct slot *slot = &feed->ring[feed->made % feed->slots];
        int wants_old = feed->wants_old, is_last;

        if (feed->made - feed->taken == feed->slots) {
            pthread_cond_wait(&feed->changed, &feed->mutex);
            continue;
        }
        pthread_mutex_unlock(&feed->mutex);
        is_last = fill(feed, slot, wants_old, &error);
        pthread_mutex_lock(&feed->mutex);
        feed->made++;
        if (is_last) {
            feed->error = error;
            feed->ended = 1;
        }
        if (is_last || feed->made - feed->taken == feed->slots / 2)
            pthread_cond_signal(&feed->changed);
    }
    pthread_mutex_unlock(&feed->mutex);
    return NULL;
}

int page_feed_new(struct page_feed **feed, uint32_t page_size,
                  const struct page_feed_source *source, int wants_old, struct error *error)
{
    struct page_feed *new = calloc(1, sizeof(*new));
    size_t slot_size = (size_t)2 * page_size;
    unsigned slots = (unsigned)(RING_BYTES / slot_size);

    *feed = NULL;
    if (new == NULL)
        return error_set(error, ERR_INTERNAL, "out of memory");
    new->source = *source;
    new->wants_old = wants_old;
    new->slots = slots < RING_MIN ? RING_MIN : slots > RING_MAX ? RING_MAX : slots;
    new->memory = malloc(slot_size * new->slots);
    if (new->memory == NULL) {
        free(new);
        return error_set(error, ERR_INTERNAL, "out of memory");
    }
    for (unsigned i = 0; i < new->slots; i++) {
        new->ring[i].page = &new->memory[slot_size * i];
        new->ring[i].old = new->ring[i].page + page_size;
    }
    pthread_mutex_init(&new->source_mutex, NULL);
    pthread_mutex_init(&new->mutex, NULL);
    pthread_cond_init(&new->changed, NULL);
    if (pthread_create(&new->thread, NULL, run, new) != 0) {
        new->slots = 0;
        page_feed_free(new);
        return error_set(error, ERR_INTERNAL, "no thread could be started to read pages");
    }
    *feed = new;
    return 0;
}

void page_feed_free(struct page_feed *feed)
{
    if (feed == NULL)
        return;
    if (feed->slots > 0) {
        pthread_mutex_lock(&feed->mutex);
        feed->ended = 1;
        pthread_cond_signal(&feed->changed);
        pthread_mutex_unlock(&feed->mutex);
        pthread_join(feed->thread, NULL);
    }
    pthread_cond_destroy(&feed->changed);
    pthread_mutex_destroy(&feed->mutex);
    pthread_mutex_destroy(&feed->source_mutex);
    free(feed->memory);
    free(feed);
}

int page_feed_next(struct page_feed *feed, struct fed_page *page, struct error *error)
{
    const struct slot *slot;

    pthread_mutex_lock(&feed->mutex);
    if (feed->is_out) {
        feed->taken++;
        if (feed->made - feed->taken == feed->slots / 2)
            pthread_cond_signal(&feed->changed);
    }
    /* The last slot is not given back: it stays the answer. */
    while (feed->made == feed->taken && !feed->ended)
        pthread_cond_wait(&feed->changed, &feed->mutex);
    slot = &feed->ring[feed->taken % feed->slots];
    feed->is_out = slot->pgno != 0 && slot->code == 0;
    pthread_mutex_unlock(&feed->mutex);
    *page = (struct fed_page){
        .pgno = slot->pgno, .page = slot->page, .has_old = slot->has_old, .old = slot->old};
    return slot->code == 0 ? 0 : error_set(error, slot->code, "%s", feed->error.text);
}

void page_feed_want_old(struct page_feed *feed, int wanted)
{
    pthread_mutex_lock(&feed->mutex);
    feed->wants_old = wanted;
    pthread_mutex_unlock(&feed->mutex);
}

void page_feed_lock(struct page_feed *feed)
{
    pthread_mutex_lock(&feed->source_mutex);
}

void page_feed_unlock(struct page_feed *feed)
{
    pthread_mutex_unlock(&feed->source_mutex);
}

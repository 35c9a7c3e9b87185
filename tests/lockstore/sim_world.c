#include "tests/lockstore/sim_world.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "lockstore/lease.h"
#include "tests/lockstore/sim_origin.h"
#include "tests/lockstore/sim_store.h"

#define ACTORS_MAX    4
#define EVENTS_MAX    256
#define CHAOS_MS      30000u
#define END_MS        180000u /* somebody must have committed by then */
#define STORE_TIMEOUT 700u    /* what a store operation may take */
#define LEASE_MS      3000u
#define PPM           1000000

enum event_kind {
    EVENT_WAKE,         /* an actor's timer */
    EVENT_STORE,        /* a request gets to the store */
    EVENT_STORE_ANSWER, /* its answer, or the time-out, gets to the actor */
    EVENT_ORIGIN,       /* a request gets to the origin */
    EVENT_ORIGIN_ANSWER,
    EVENT_START, /* the actor begins a run */
    EVENT_MISHAP /* something happens to the world */
};

enum origin_request { ORIGIN_FENCE, ORIGIN_PULL, ORIGIN_PUSH };

struct event {
    uint64_t at;    /* simulated milliseconds */
    uint64_t order; /* of creation, for equal times */
    enum event_kind kind;
    int actor;
    unsigned life;   /* of the actor; an event for an earlier life is void */
    uint64_t number; /* of the wake-up, or of the request */
    /* EVENT_STORE, EVENT_STORE_ANSWER */
    struct sim_request request;
    struct sim_answer answer;
    uint64_t sent_local; /* the sender's clock when it was sent */
    int answer_lost;
    uint64_t answer_delay;
    /* EVENT_ORIGIN, EVENT_ORIGIN_ANSWER */
    enum origin_request origin;
    uint64_t token;
    uint8_t lease_id[RECORD_LEASE_ID_SIZE];
    uint64_t value; /* base of a push, value of a pull, fence of a refusal */
    uint64_t push_id;
    int accepted;
};

enum phase {
    PHASE_IDLE,
    PHASE_LOCK,
    PHASE_FENCE,
    PHASE_PULL,
    PHASE_WORK,
    PHASE_PUSH,
    PHASE_RELEASE
};

struct actor {
    struct lease lease;
    unsigned life;         /* one more after each crash and each new lease */
    uint64_t store_number; /* of the store request whose answer is awaited */
    uint64_t run_number;   /* of the origin request, or of the step, that is awaited */
    uint64_t wake_at;      /* simulated time of the next wake-up that is in the heap */
    uint64_t paused_until; /* stopped: nothing is processed before */
    enum phase phase;
    uint64_t pulled;
    uint64_t push_id;
    /* Its clock: local time was clock_local at clock_at, and runs at rate millionths. */
    uint64_t clock_at, clock_local;
    uint64_t rate;
    /* For the checks. */
    uint64_t applied_sent; /* local time at which its latest applied record was sent; 0: none */
    uint64_t last_get;     /* local time of its last GET while acquiring; 0: none */
};

struct world {
    uint64_t now;
    uint64_t random;
    uint64_t order;
    uint64_t requests;
    enum sim_sabotage sabotage;
    FILE *trace;
    int wild;
    int calm_network; /* chaos is over */
    unsigned trouble; /* in 256: how often a request meets a fault */
    struct sim_store store;
    struct sim_origin origin;
    struct actor actors[ACTORS_MAX];
    int actor_count;
    unsigned heap[EVENTS_MAX]; /* indices into events; the next one first */
    unsigned heap_len;
    unsigned free_slots[EVENTS_MAX];
    unsigned free_len;
    struct event events[EVENTS_MAX];
    const char *violation;
    uint64_t acquired;
};

static void world_init(struct world *world, uint64_t seed, enum sim_sabotage sabotage);
static void step(struct world *world, struct event *event);
static void end_chaos(struct world *world);
static void check(struct world *world);
static void start_run(struct world *world, int index);
static void crash(struct world *world, int index);
static void pump(struct world *world, int index);
static void wake_at(struct world *world, int index, uint64_t local);
static void told(struct world *world, int index, enum lease_action_kind kind);
static void send_store(struct world *world, int index, int is_put);
static void at_store(struct world *world, struct event *event);
static void store_answered(struct world *world, struct event *event);
static void send_origin(struct world *world, int index, enum origin_request request);
static void at_origin(struct world *world, struct event *event);
static void origin_answered(struct world *world, struct event *event);
static void release(struct world *world, int index);
static void mishap(struct world *world);
static void mishap_by_hand(struct world *world);
static void set_clock(struct world *world, int index, uint64_t jump, uint64_t rate);
static uint64_t local_now(const struct world *world, const struct actor *actor);
static struct event *event_new(struct world *world, enum event_kind kind, int index,
                               uint64_t delay);
static int event_next(struct world *world, struct event *event);
static int event_before(const struct world *world, unsigned a, unsigned b);
static uint64_t dice(struct world *world);
static uint64_t below(struct world *world, uint64_t bound);
static int chance(struct world *world, unsigned in_256);
static void tell(const struct world *world, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

void sim_world_run(uint64_t seed, enum sim_sabotage sabotage, FILE *trace,
                   struct sim_result *result)
{
    static struct world world; /* 200 kB: not for the stack */
    struct event event;
    uint64_t chaos_commits = 0;

    world_init(&world, seed, sabotage);
    world.trace = trace;
    memset(result, 0, sizeof(*result));
    result->wild = world.wild;
    while (world.violation == NULL && event_next(&world, &event)) {
        if (!world.calm_network && world.now >= CHAOS_MS) {
            end_chaos(&world);
            chaos_commits = world.origin.commits;
        }
        if (world.calm_network && world.origin.commits > chaos_commits)
            break;
        if (world.now > END_MS) {
            world.violation = "nobody got the lock and committed, though all was well again";
            break;
        }
        step(&world, &event);
        check(&world);
        result->steps++;
    }
    result->violation = world.violation;
    result->at = world.now;
    result->commits = world.origin.commits;
    result->acquired = world.acquired;
}

static void world_init(struct world *world, uint64_t seed, enum sim_sabotage sabotage)
{
    memset(world, 0, offsetof(struct world, heap));
    world->heap_len = 0;
    world->violation = NULL;
    world->acquired = 0;
    world->free_len = EVENTS_MAX;
    for (unsigned i = 0; i < EVENTS_MAX; i++)
        world->free_slots[i] = i;
    world->now = 1000;
    world->random = seed * 0x9e3779b97f4a7c15u + 1;
    world->sabotage = sabotage;
    world->wild = below(world, 3) == 0;
    world->trouble = (unsigned)below(world, 100);
    world->origin.lease_unchecked = sabotage == SIM_FENCE_BY_TOKEN;
    if (world->wild && chance(world, 128))
        world->store.lies = (unsigned)below(world, 8);
    world->actor_count = 2 + (int)below(world, ACTORS_MAX - 1);
    for (int i = 0; i < world->actor_count; i++) {
        world->actors[i].clock_local = 1 + below(world, 1000000);
        world->actors[i].rate = PPM - 5000 + below(world, 10001); /* half a per cent */
        event_new(world, EVENT_START, i, below(world, 3000));
    }
    for (unsigned i = 0; i < 8; i++)
        event_new(world, EVENT_MISHAP, 0, below(world, CHAOS_MS));
    event_new(world, EVENT_MISHAP, 0, CHAOS_MS); /* so that chaos ends though all clocks stand */
}

/* One event. What is for a paused actor waits; what is for one that has crashed since is void. */
static void step(struct world *world, struct event *event)
{
    struct actor *actor = &world->actors[event->actor];

    if (event->kind == EVENT_MISHAP) {
        mishap(world);
        return;
    }
    if (event->kind == EVENT_STORE) {
        at_store(world, event);
        return;
    }
    if (event->kind == EVENT_ORIGIN) {
        at_origin(world, event);
        return;
    }
    if (event->kind != EVENT_START && event->life != actor->life)
        return;
    if (world->now < actor->paused_until) {
        struct event *later =
            event_new(world, event->kind, event->actor, actor->paused_until - world->now);
        uint64_t at = later->at, order = later->order;

        *later = *event;
        later->at = at;
        later->order = order;
        return;
    }
    if (!world->calm_network && event->kind != EVENT_START && chance(world, 2)) {
        crash(world, event->actor);
        return;
    }
    switch (event->kind) {
    case EVENT_START:
        start_run(world, event->actor);
        break;
    case EVENT_WAKE:
        if (event->at == actor->wake_at)
            actor->wake_at = 0;
        if (event->number == actor->run_number && actor->phase == PHASE_WORK) {
            if (lease_is_held(&actor->lease, local_now(world, actor)))
                send_origin(world, event->actor, ORIGIN_PUSH);
            else
                release(world, event->actor);
        }
        if (actor->lease.state == LEASE_RESTING && chance(world, 128))
            lease_try_now(&actor->lease, local_now(world, actor));
        pump(world, event->actor);
        break;
    case EVENT_STORE_ANSWER:
        store_answered(world, event);
        break;
    default:
        origin_answered(world, event);
    }
}

/* From here on all goes well: what is late arrives in the next seconds. */
static void end_chaos(struct world *world)
{
    tell(world, "chaos ends");
    world->calm_network = 1;
    world->store.lies = 0;
    for (int i = 0; i < world->actor_count; i++) {
        set_clock(world, i, 0, PPM);
        pump(world, i);
    }
}

static void check(struct world *world)
{
    int believers = 0;

    if (world->origin.violation != NULL)
        world->violation = world->origin.violation;
    for (int i = 0; i < world->actor_count; i++) {
        const struct actor *actor = &world->actors[i];
        uint64_t local = local_now(world, actor);

        if (actor->phase == PHASE_IDLE || !lease_is_held(&actor->lease, local))
            continue;
        believers++;
        if (actor->applied_sent == 0 || local >= actor->applied_sent + LEASE_MS)
            world->violation = "a holder believes past its deadline";
    }
    if (believers > 1 && !world->wild)
        world->violation = "two believe to hold the lock at one time";
}

/* Take up a new lease, or go on with the released one, and acquire. */
static void start_run(struct world *world, int index)
{
    struct actor *actor = &world->actors[index];
    struct lease_options options = {.instance = "actor", .host = "host", .timeout_ms = LEASE_MS};
    static const uint64_t waits[] = {0, 4000, 60000};
    uint64_t id[2] = {(uint64_t)index + 1, ++world->requests};

    if (actor->phase != PHASE_IDLE)
        return;
    if (actor->lease.state != LEASE_RELEASED || chance(world, 128)) {
        actor->life++;
        actor->wake_at = 0;
        memcpy(options.lease_id, id, sizeof(id));
        options.wait_ms = waits[below(world, 3)];
        options.seed = dice(world);
        options.pid = index;
        lease_init(&actor->lease, &options);
        actor->applied_sent = 0;
    }
    actor->last_get = 0;
    actor->phase = PHASE_LOCK;
    if (world->wild && !world->calm_network && chance(world, 16)) {
        tell(world, "%d breaks the lock", index);
        lease_break(&actor->lease, local_now(world, actor));
    } else {
        lease_acquire(&actor->lease, local_now(world, actor));
    }
    if (chance(world, 64)) {
        tell(world, "%d stands in a line", index);
        lease_rest(&actor->lease);
        for (int i = 0; i < 3; i++)
            event_new(world, EVENT_WAKE, index, below(world, 10000))->number = 0;
    }
    pump(world, index);
}

/* The process is gone; what it had sent is not. */
static void crash(struct world *world, int index)
{
    struct actor *actor = &world->actors[index];

    tell(world, "%d crashes", index);
    actor->life++;
    actor->wake_at = 0;
    actor->phase = PHASE_IDLE;
    actor->lease.state = LEASE_FAILED;
    event_new(world, EVENT_START, index, 100 + below(world, 5000));
}

/* What the driver, lock.c, does. */
static void pump(struct world *world, int index)
{
    struct actor *actor = &world->actors[index];
    struct lease_action action;
    uint64_t local = local_now(world, actor);

    while (actor->phase != PHASE_IDLE) {
        lease_tick(&actor->lease, local, 0, &action); /* a wall clock that has stopped */
        switch (action.kind) {
        case LEASE_WAIT:
            wake_at(world, index, action.until);
            return;
        case LEASE_GET:
        case LEASE_PUT:
            send_store(world, index, action.kind == LEASE_PUT);
            break;
        default:
            told(world, index, action.kind);
        }
    }
}

/* Wake up when the local clock says local, unless a wake-up before that is on the way. */
static void wake_at(struct world *world, int index, uint64_t local)
{
    struct actor *actor = &world->actors[index];
    uint64_t wait = local - local_now(world, actor);
    struct event *event;

    if (local == UINT64_MAX || actor->rate == 0)
        return;
    wait = wait * PPM / actor->rate + 1;
    if (actor->wake_at > world->now && actor->wake_at <= world->now + wait)
        return;
    event = event_new(world, EVENT_WAKE, index, wait);
    event->number = 0;
    actor->wake_at = event->at;
}

static void told(struct world *world, int index, enum lease_action_kind kind)
{
    struct actor *actor = &world->actors[index];

    switch (kind) {
    case LEASE_TELL_ACQUIRED:
        tell(world, "%d has it, token %llu", index, (unsigned long long)actor->lease.token);
        world->acquired++;
        send_origin(world, index,
                    world->sabotage == SIM_NO_EARLY_FENCE || world->sabotage == SIM_NO_FENCE
                        ? ORIGIN_PULL
                        : ORIGIN_FENCE);
        break;
    case LEASE_TELL_FAILED:
    case LEASE_TELL_RELEASED:
        tell(world, "%d ends: %s", index,
             actor->lease.error.code != 0 ? actor->lease.error.text : "released");
        actor->phase = PHASE_IDLE;
        event_new(world, EVENT_START, index, below(world, 3000));
        break;
    default:
        break;
    }
}

/* Send lease->put, or a GET, into a network that may do anything to it. */
static void send_store(struct world *world, int index, int is_put)
{
    struct actor *actor = &world->actors[index];
    struct lease *lease = &actor->lease;
    uint64_t local = local_now(world, actor);
    uint64_t there = 1 + below(world, 60);
    struct event *event;
    int lost = 0;

    if (!is_put && (lease->state == LEASE_LOOKING || lease->state == LEASE_WAITING ||
                    lease->state == LEASE_CLAIMING)) {
        if (actor->last_get != 0 && local < actor->last_get + 1000)
            world->violation = "two reads within a second";
        actor->last_get = local;
    }
    if (is_put && world->sabotage == SIM_NO_REV)
        lease->rev = lease->put.rev = 0;
    actor->store_number = ++world->requests;
    event = event_new(world, EVENT_STORE_ANSWER, index, STORE_TIMEOUT);
    event->number = actor->store_number;
    event->answer.outcome = STORE_UNKNOWN;
    event->answer.retry_after_ms = 0;
    if (!world->calm_network && chance(world, world->trouble)) {
        lost = (int)below(world, 3);
        if (lost == 0)
            return; /* on the way there */
        if (lost == 1)
            there = below(world, CHAOS_MS / 2); /* late, maybe past anything */
    }
    event = event_new(world, EVENT_STORE, index, there);
    event->number = actor->store_number;
    event->sent_local = local;
    event->answer_lost = lost == 2;
    event->answer_delay = 1 + below(world, 60);
    event->request.kind = is_put ? SIM_PUT : SIM_GET;
    if (!is_put)
        return;
    event->request.condition = lease->put_condition;
    event->request.etag = strtoull(lease->put_etag, NULL, 16);
    event->request.record = lease->put;
    if (world->sabotage == SIM_DELETE_ON_RELEASE && lease->state == LEASE_RELEASING)
        event->request.kind = SIM_DELETE;
}

/* The request is there. Some answers are not the truth: 5xx after applying it, or instead. */
static void at_store(struct world *world, struct event *event)
{
    struct actor *actor = &world->actors[event->actor];
    struct event *back;
    struct sim_answer answer;
    unsigned fault = !world->calm_network && chance(world, world->trouble / 2)
                         ? 1 + (unsigned)below(world, 3)
                         : 0;

    if (fault == 1) {
        answer.outcome = STORE_CONFLICT; /* 409: not applied */
    } else if (fault == 2) {
        answer.outcome = STORE_UNKNOWN; /* 503: not applied, but who knows */
        answer.retry_after_ms = (uint32_t)below(world, 3000);
    } else {
        sim_store_apply(&world->store, world->now, &event->request, dice(world), &answer);
        if (answer.outcome == STORE_OK && event->request.kind == SIM_PUT &&
            event->request.record.held && event->life == actor->life &&
            event->sent_local > actor->applied_sent)
            actor->applied_sent = event->sent_local;
        if (fault == 3)
            answer.outcome = STORE_UNKNOWN; /* 500, or garbage */
    }
    tell(world, "  %s of %d (token %llu, rev %llu, %s): %d", event->request.kind ? "PUT" : "GET",
         event->actor, (unsigned long long)event->request.record.token,
         (unsigned long long)event->request.record.rev,
         event->request.record.held ? "held" : "released", (int)answer.outcome);
    if (fault != 2)
        answer.retry_after_ms = 0;
    if (event->answer_lost)
        return;
    back = event_new(world, EVENT_STORE_ANSWER, event->actor, event->answer_delay);
    back->life = event->life;
    back->number = event->number;
    back->answer = answer;
}

static void store_answered(struct world *world, struct event *event)
{
    struct actor *actor = &world->actors[event->actor];
    struct lease *lease = &actor->lease;
    uint64_t local = local_now(world, actor);
    char etag[20];
    struct lease_answer answer = {.outcome = event->answer.outcome,
                                  .etag = etag,
                                  .record = &event->answer.record,
                                  .age_ms = event->answer.age_ms,
                                  .retry_after_ms = event->answer.retry_after_ms,
                                  .why = "lost"};
    int was_put = lease->io == LEASE_IO_PUT_SENT;

    if (event->number != actor->store_number)
        return; /* its time-out came first */
    actor->store_number = 0;
    if (answer.outcome == STORE_OK)
        snprintf(etag, sizeof(etag), "%llx", (unsigned long long)event->answer.etag);
    if (world->sabotage == SIM_LEASE_ID_UNCHECKED && !was_put && answer.outcome == STORE_OK &&
        lease->state >= LEASE_CLAIMING && event->answer.record.kind == RECORD_LEASE) {
        memcpy(event->answer.record.lease_id, lease->put.lease_id, RECORD_LEASE_ID_SIZE);
    }
    lease_answer(lease, local, &answer);
    if (world->sabotage == SIM_LATE_DEADLINE && was_put && answer.outcome == STORE_OK &&
        lease->state == LEASE_HELD)
        lease->deadline = local + LEASE_MS;
    pump(world, event->actor);
}

/* Every request to the origin is repeated until it is answered, and may arrive late or twice. */
static void send_origin(struct world *world, int index, enum origin_request request)
{
    static const enum phase phases[] = {PHASE_FENCE, PHASE_PULL, PHASE_PUSH};
    struct actor *actor = &world->actors[index];
    struct event *event;
    uint64_t there = 1 + below(world, 60);

    if (actor->phase != phases[request]) {
        actor->phase = phases[request];
        actor->push_id = ++world->requests;
    }
    actor->run_number = ++world->requests;
    event = event_new(world, EVENT_ORIGIN_ANSWER, index, 1000); /* the time-out, if nothing else */
    event->number = actor->run_number;
    event->origin = request;
    event->accepted = -1;
    if (!world->calm_network && chance(world, world->trouble)) {
        if (chance(world, 100))
            return;
        there = below(world, CHAOS_MS / 3);
    }
    event = event_new(world, EVENT_ORIGIN, index, there);
    event->number = actor->run_number;
    event->origin = request;
    event->token = actor->lease.token;
    memcpy(event->lease_id, actor->lease.me.lease_id, RECORD_LEASE_ID_SIZE);
    event->value = actor->pulled;
    event->push_id = actor->push_id;
    event->answer_lost = !world->calm_network && chance(world, world->trouble / 2);
}

static void at_origin(struct world *world, struct event *event)
{
    struct event *back;
    uint64_t value = event->value;
    int accepted = 1;

    switch (event->origin) {
    case ORIGIN_FENCE:
        accepted = sim_origin_fence(&world->origin, event->token, event->lease_id);
        value = world->origin.fence_token;
        break;
    case ORIGIN_PULL:
        value = world->origin.value;
        break;
    default:
        if (world->sabotage == SIM_NO_FENCE)
            world->origin.fence_token = 0;
        accepted = sim_origin_push(&world->origin, event->token, event->lease_id, event->value,
                                   event->push_id);
    }
    tell(world, "  origin: %s of %d, token %llu: %s",
         event->origin == ORIGIN_FENCE  ? "fence"
         : event->origin == ORIGIN_PULL ? "pull"
                                        : "push",
         event->actor, (unsigned long long)event->token, accepted ? "yes" : "refused");
    if (event->answer_lost)
        return;
    back = event_new(world, EVENT_ORIGIN_ANSWER, event->actor, 1 + below(world, 60));
    back->life = event->life;
    back->number = event->number;
    back->origin = event->origin;
    back->value = value;
    back->accepted = accepted;
}

static void origin_answered(struct world *world, struct event *event)
{
    struct actor *actor = &world->actors[event->actor];
    uint64_t local = local_now(world, actor);

    if (event->number != actor->run_number || actor->phase == PHASE_IDLE ||
        actor->phase == PHASE_RELEASE || actor->phase == PHASE_LOCK)
        return;
    if (event->accepted < 0) {
        send_origin(world, event->actor, event->origin); /* no answer: once more */
    } else if (event->origin == ORIGIN_FENCE && !event->accepted) {
        actor->phase = PHASE_LOCK;
        if (lease_is_held(&actor->lease, local))
            lease_raise(&actor->lease, event->value, local);
        else
            release(world, event->actor);
    } else if (event->origin == ORIGIN_FENCE) {
        send_origin(world, event->actor, ORIGIN_PULL);
    } else if (event->origin == ORIGIN_PULL) {
        actor->pulled = event->value;
        actor->phase = PHASE_WORK;
        actor->run_number = ++world->requests;
        event_new(world, EVENT_WAKE, event->actor, below(world, 2 * LEASE_MS))->number =
            actor->run_number;
    } else {
        release(world, event->actor); /* a receipt, or a refusal */
    }
    pump(world, event->actor);
}

static void release(struct world *world, int index)
{
    struct actor *actor = &world->actors[index];

    actor->phase = PHASE_RELEASE;
    lease_release(&actor->lease, local_now(world, actor));
}

/* Something outside the protocol. */
static void mishap(struct world *world)
{
    int index = (int)below(world, (uint64_t)world->actor_count);

    if (world->calm_network)
        return;
    if (!world->wild || chance(world, 64)) {
        tell(world, "%d is stopped", index);
        world->actors[index].paused_until = world->now + below(world, 3 * LEASE_MS);
        return;
    }
    switch (below(world, 4)) {
    case 0:
        tell(world, "%d's clock jumps", index);
        set_clock(world, index, below(world, 4 * LEASE_MS), world->actors[index].rate);
        break;
    case 1:
        tell(world, "%d's clock changes its rate", index);
        set_clock(world, index, 0, chance(world, 128) ? 0 : below(world, 3 * PPM));
        break;
    case 2:
        tell(world, "the store's clock jumps");
        world->store.clock_offset = (int64_t)below(world, 4 * LEASE_MS);
        break;
    default:
        mishap_by_hand(world);
    }
    pump(world, index);
}

static void mishap_by_hand(struct world *world)
{
    struct record record = {.held = 1, .timeout_ms = 1000 + below(world, 5000)};

    record.rev = ++world->requests;
    switch (below(world, 4)) {
    case 0:
        record.kind = RECORD_FOREIGN;
        tell(world, "a script writes its record");
        sim_store_force(&world->store, world->now, &record);
        break;
    case 1:
        record.kind = RECORD_UNKNOWN;
        tell(world, "somebody writes garbage");
        sim_store_force(&world->store, world->now, &record);
        break;
    default:
        tell(world, "somebody deletes the object");
        sim_store_force(&world->store, world->now, NULL);
    }
}

static void set_clock(struct world *world, int index, uint64_t jump, uint64_t rate)
{
    struct actor *actor = &world->actors[index];

    actor->clock_local = local_now(world, actor) + jump;
    actor->clock_at = world->now;
    actor->rate = rate;
}

static uint64_t local_now(const struct world *world, const struct actor *actor)
{
    return actor->clock_local + (world->now - actor->clock_at) * actor->rate / PPM;
}

/* A new event, delay from now, in the heap. Its other fields are for the caller to fill. */
static struct event *event_new(struct world *world, enum event_kind kind, int index, uint64_t delay)
{
    unsigned slot, at = world->heap_len++;
    struct event *event;

    if (world->free_len == 0)
        abort();
    slot = world->free_slots[--world->free_len];
    event = &world->events[slot];
    event->kind = kind;
    event->actor = index;
    event->life = world->actors[index].life;
    event->at = world->now + delay;
    event->order = ++world->order;
    while (at > 0 && event_before(world, slot, world->heap[(at - 1) / 2])) {
        world->heap[at] = world->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    world->heap[at] = slot;
    return event;
}

/* Take the next event out, and set the time to its. */
static int event_next(struct world *world, struct event *event)
{
    unsigned first, last, at = 0, child;

    if (world->heap_len == 0)
        return 0;
    first = world->heap[0];
    last = world->heap[--world->heap_len];
    while ((child = 2 * at + 1) < world->heap_len) {
        if (child + 1 < world->heap_len &&
            event_before(world, world->heap[child + 1], world->heap[child]))
            child++;
        if (!event_before(world, world->heap[child], last))
            break;
        world->heap[at] = world->heap[child];
        at = child;
    }
    world->heap[at] = last;
    *event = world->events[first];
    world->free_slots[world->free_len++] = first;
    world->now = event->at;
    return 1;
}

static int event_before(const struct world *world, unsigned a, unsigned b)
{
    const struct event *x = &world->events[a], *y = &world->events[b];

    return x->at != y->at ? x->at < y->at : x->order < y->order;
}

/* splitmix64, Steele et al. 2014. */
static uint64_t dice(struct world *world)
{
    uint64_t z = world->random += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static uint64_t below(struct world *world, uint64_t bound)
{
    return dice(world) % bound;
}

static int chance(struct world *world, unsigned in_256)
{
    return below(world, 256) < in_256;
}

static void tell(const struct world *world, const char *format, ...)
{
    va_list args;

    if (world->trace == NULL)
        return;
    fprintf(world->trace, "%6llu ", (unsigned long long)world->now);
    va_start(args, format);
    vfprintf(world->trace, format, args);
    va_end(args);
    fputc('\n', world->trace);
}

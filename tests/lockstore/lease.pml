/*
 * lease: the states of lockstore/lease.c with time, for SPIN: two never believe to hold the lock at
 * once, as long as their clocks run at one speed and the store keeps its conditions.
 *
 * Time is counted in ticks. A PUT is applied at any moment after it was sent, or never; its answer
 * may get lost; a copy of it may be applied long after the holder went on. The same PUT is sent again until there is a
 * definite answer. A lease lasts LEASE ticks from the sending of a PUT that was applied; others take
 * it over when the store's clock, or one and the same ETag watched on their own clock, say that it is
 * older than that.
 *
 * Sabotage, each of which must be found: NO_REV (a renewal writes the same bytes, so the same ETag),
 * LATE_DEADLINE (the lease counted from the answer), DELETE_ON_RELEASE (remove the object instead of
 * writing it as released), NO_CHECK (after a 412 any record counts as our own).
 */
#define HOLDERS 2
#define LEASE   2
#define END     4 /* ticks that are looked at */
#define WRITES  4 /* contents that are written */
#define FREE    255
#define NOBODY  255

mtype = { CLAIM, RENEW, RELEASE };

byte now = 0;

/* The object: etag is its content, as a number that no other content has. */
bool exists = false, held = false;
byte owner = NOBODY, etag = 0, written = 0;
byte contents = 0; /* the last number given to a content */

/* The PUT of each holder, and the copy of an older one that the network still has. */
typedef request { mtype kind; bool live; byte condition; byte content };
request put[HOLDERS], ghost;
byte ghost_of = 0; /* who sent it */
bool answered[HOLDERS]; /* it was applied after its last attempt was sent, so an OK may come */
bool mismatch[HOLDERS]; /* a 412 may come */

byte deadline[HOLDERS]; /* belief ends there; 0: none */

#define BELIEVES(i) (now < deadline[i])

active proctype clock()
{
    do
    :: now < END -> now++
    :: else -> break
    od
}

inline apply(i, r, is_ghost)
{
    if
#ifdef DELETE_ON_RELEASE
    :: r.kind == RELEASE -> exists = false; held = false;
        if
        :: !is_ghost -> answered[i] = true
        :: else
        fi
    :: r.kind != RELEASE && ((r.condition == FREE && !exists) || (exists && r.condition == etag)) ->
#else
    :: (r.condition == FREE && !exists) || (exists && r.condition == etag) ->
#endif
        exists = true;
        held = (r.kind != RELEASE);
        owner = i;
        etag = r.content;
        written = (held -> now : 0);
        if
        :: !is_ghost -> answered[i] = true
        :: else
        fi
    :: else ->
        if
        :: !is_ghost -> mismatch[i] = true
        :: else
        fi
    fi
}

/* What is of no consequence any more is zeroed, so that there are fewer states. */
inline forget(r)
{
    r.kind = 0;
    r.condition = 0;
    r.content = 0;
    r.live = false
}

active proctype network()
{
end:
    do
    :: atomic { put[0].live && !answered[0] && !mismatch[0] -> apply(0, put[0], false) }
    :: atomic { put[1].live && !answered[1] && !mismatch[1] -> apply(1, put[1], false) }
    :: atomic { ghost.live -> apply(ghost_of, ghost, true); forget(ghost); ghost_of = 0 }
    od
}

inline send(i, k, c)
{
    seen = 0;
    seen_since = 0;
    put[i].kind = k;
    put[i].condition = c;
    put[i].live = true;
    answered[i] = false;
    mismatch[i] = false;
    first_sent = now;
    sent = now;
#ifdef NO_REV
    if
    :: k == RENEW -> put[i].content = c
    :: else -> contents++; put[i].content = contents
    fi
#else
    contents++;
    put[i].content = contents
#endif
}

/* A definite answer has come; the network may keep a copy of what was sent. */
inline settled(i)
{
    if
    :: !ghost.live ->
        ghost_of = i;
        ghost.kind = put[i].kind;
        ghost.condition = put[i].condition;
        ghost.content = put[i].content;
        ghost.live = true
    :: true
    fi;
    put[i].live = false;
    answered[i] = false;
    mismatch[i] = false
}

inline believe(i, since)
{
    own = put[i].content;
    forget(put[i]);
    first_sent = 0;
#ifdef LATE_DEADLINE
    deadline[i] = now + LEASE;
#else
    deadline[i] = since + LEASE;
#endif
    assert(!(BELIEVES(0) && BELIEVES(1)))
}

proctype holder(byte i)
{
    byte own = 0;        /* the content that we last got through */
    byte seen = 0;       /* the ETag that is watched */
    byte seen_since = 0; /* since when */
    byte first_sent, sent;

looking:
    atomic { deadline[i] = 0; own = 0; first_sent = 0; sent = 0; forget(put[i]) }
    do
    :: now == END || contents >= WRITES -> goto out
    :: now < END && contents < WRITES ->
        atomic { /* GET */
            if
            :: !exists && (i == 0 || contents > 0) -> send(i, CLAIM, FREE); break
            :: !exists && i != 0 && contents == 0 -> skip /* by symmetry, the first is holder 0 */
            :: exists && (!held || owner == i) -> send(i, CLAIM, etag); break
            :: exists && held && now - written > LEASE -> send(i, CLAIM, etag); break
            :: exists && held && seen == etag && now - seen_since > LEASE ->
                send(i, CLAIM, etag);
                break
            :: exists && held && seen != etag -> seen = etag; seen_since = now
            :: exists && held && seen == etag -> skip
            fi
        }
    od;

waiting:
    do
    :: atomic { answered[i] -> /* OK */
        settled(i);
        if
        :: put[i].kind == RELEASE -> goto looking
        :: put[i].kind == CLAIM || BELIEVES(i) -> believe(i, sent); goto holding
        :: else -> goto looking /* the deadline came before the answer: lost */
        fi }
    :: atomic { mismatch[i] -> /* 412, and a GET */
        settled(i);
        if
#ifdef NO_CHECK
        :: exists && put[i].kind != RELEASE ->
#else
        :: exists && put[i].kind != RELEASE && owner == i && etag == put[i].content ->
#endif
            if
            :: put[i].kind == CLAIM || BELIEVES(i) -> believe(i, first_sent); goto holding
            :: else -> goto looking
            fi
        :: else -> goto looking
        fi }
    :: atomic { now < END && now > sent -> /* no answer: the same again */
        sent = now;
        answered[i] = false;
        mismatch[i] = false }
    :: now == END -> goto out
    od;

holding:
    do
    :: atomic { BELIEVES(i) && now > sent && contents < WRITES -> send(i, RENEW, own); goto waiting }
    :: atomic { BELIEVES(i) && contents < WRITES -> deadline[i] = 0; send(i, RELEASE, own); goto waiting }
    :: !BELIEVES(i) -> goto looking
    :: now == END -> break
    od;
out:
    skip
}

init
{
    atomic { run holder(0); run holder(1) }
}

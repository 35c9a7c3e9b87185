/*
 * fence: what the origin's fence guarantees when nothing else can be trusted, for SPIN.
 *
 * There is no time in this model: anybody may find the lock stale at any moment, which stands for
 * every clock there could be. Requests to the store and to the origin are delivered at any moment,
 * any number of times, however long ago their sender went on or died. Somebody may delete the
 * object once. The push has no base guard. Checked: the origin accepts a token from one lease alone,
 * committed tokens never fall, no update is lost.
 *
 * Sabotage, each of which must be found: TOKEN_ONLY (an equal token is enough), LATE_FENCE (fence
 * with the push instead of before the pull), NO_FENCE. LIAR is no sabotage: a store that ignores its
 * conditions must not cost an update either.
 */
#define LEASES 3
#define FREE   255 /* condition of a PUT: there is no object */

/* The object. Its version is its ETag: no content comes back, thanks to rev. */
bool exists = false;
byte token = 0, version = 0;
bool may_delete = true;

/* Requests that are on the way, by lease: a message is never used up. */
bool claim_sent[LEASES], fence_sent[LEASES], push_sent[LEASES];
byte claim_condition[LEASES], claim_token[LEASES];
/* What came of them. */
bool claimed[LEASES], fenced[LEASES], refused[LEASES], committed[LEASES];

/* The origin. lease ids are 1 and up. */
byte fence_token = 0, fence_lease = 0;
byte value = 0, committed_token = 0;
byte pulled[LEASES], taken_by[16];

inline origin_fence(l, ok)
{
    if
    :: claim_token[l] > fence_token -> ok = true
#ifdef TOKEN_ONLY
    :: claim_token[l] == fence_token -> ok = true
#else
    :: claim_token[l] == fence_token && fence_lease == l + 1 -> ok = true
#endif
#ifdef NO_FENCE
    :: claim_token[l] < fence_token -> ok = true
#endif
    :: else -> ok = false
    fi;
    if
    :: ok ->
        fence_token = claim_token[l];
        fence_lease = l + 1;
        assert(taken_by[fence_token] == 0 || taken_by[fence_token] == l + 1);
        taken_by[fence_token] = l + 1
    :: else
    fi
}

/* The two networks: deliver what was sent, whenever. */
active proctype network()
{
    byte l;
    bool ok;

end:
    do
    :: atomic {
        select(l : 0 .. LEASES - 1);
        if
        :: claim_sent[l] ->
            if
#ifdef LIAR
            :: true ->
#else
            :: (claim_condition[l] == FREE && !exists) ||
               (exists && claim_condition[l] == version) ->
#endif
                exists = true;
                token = claim_token[l];
                version = (claimed[l] -> version : version + 1);
                claimed[l] = true
            :: true /* lost on the way, or the condition is false */
            fi
        :: fence_sent[l] ->
            origin_fence(l, ok);
            if
            :: ok -> fenced[l] = true
            :: else -> refused[l] = true
            fi
        :: push_sent[l] && !committed[l] -> /* a push id that is known changes nothing */
            origin_fence(l, ok);
            if
            :: ok ->
                assert(committed_token <= claim_token[l]);
                assert(pulled[l] == value);
                committed_token = claim_token[l];
                value++;
                committed[l] = true
            :: else -> refused[l] = true
            fi
        :: may_delete && exists -> exists = false; may_delete = false
        :: else
        fi;
        ok = false; l = 0 }
    od
}

/* One run, as `lockstep run` does it. Dying is standing still: what was sent is delivered all the
 * same. */
proctype holder(byte l)
{
    byte floor = 0;

    atomic { /* GET; held, released or stale makes no difference here */
        claim_condition[l] = (exists -> version : FREE);
        claim_token[l] = (exists -> token : 0) + 1;
        claim_sent[l] = true
    }
    claimed[l]; /* an answer, or a GET that shows our lease id */
#if !defined(LATE_FENCE) && !defined(NO_FENCE)
fence:
    fence_sent[l] = true;
    if
    :: fenced[l]
    :: refused[l] && !fenced[l] && floor == 0 && claim_token[l] <= fence_token ->
        /* Raise, by compare-and-swap on our own record; if it is not there any more, the lock is lost. */
        atomic {
            fence_sent[l] = false;
            claim_sent[l] = false; /* its condition is false for ever */
            refused[l] = false;
            floor = fence_token;
            if
            :: exists && token == claim_token[l] ->
                claim_token[l] = floor + 1;
                token = floor + 1;
                version++
            :: else -> goto lost
            fi
        }
        goto fence
    fi;
#endif
    pulled[l] = value;
    push_sent[l] = true;
lost:
    skip
}

init
{
    byte l;

    atomic {
        for (l : 0 .. LEASES - 1) {
            run holder(l)
        }
    }
}

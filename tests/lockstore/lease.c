/*
 * lease: traces of events and what the machine must do at each, as tables of text.
 *
 * An event: acquire, break, raise N, release, back N (lease_give_back), rest, try, tick, or the answer
 * to what is under way: get ETAG WHO STATE TOKEN rREV AGE     WHO: me, other, third, script, garbage; AGE
 * in ms, -1: not told get absent | get unknown | get refused put ETAG | put 412 | put 409 | put 404
 * | put unknown [RETRY_AFTER] | put refused Expected: all that lease_tick gives until it waits:
 * GET, PUT CONDITION STATE TOKEN rREV, WAITING WHO, ACQUIRED TOKEN, DOUBTFUL, FAILED CODE, RELEASED
 * CODE, and until when it waits ("-": for an answer alone; "pause": for a jittered time). The event
 * `pause` ticks at that time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lockstore/lease.h"
#include "protocol/base/limits.h"

/* With a lease of 60 s: a third, two thirds, and the age from which on a record is stale. */
#define STALE 63875

struct step {
    uint64_t at; /* ms since the trace began; with `pause` ignored */
    const char *event;
    const char *expect;
};

struct trace {
    const char *name;
    uint64_t wait_ms;
    struct step steps[16];
};

static const struct trace traces[] = {
    {"nobody has it: create, then renew each third",
     0,
     {{0, "acquire", "GET, -"},
      {10, "get absent", "PUT absent held 1 r1, -"},
      {30, "put e1", "ACQUIRED 1, 20010"},
      {20009, "tick", "20010"},
      {20010, "tick", "PUT e1 held 1 r2, 40010"},
      {20050, "put e2", "40010"},
      {40010, "tick", "PUT e2 held 1 r3, 60010"},
      {40050, "put e3", "60010"}}},
    {"released: compare-and-swap, token one more",
     0,
     {{0, "acquire", "GET, -"},
      {10, "get e0 other released 7 r9 5", "PUT e0 held 8 r1, -"},
      {30, "put e1", "ACQUIRED 8, 20010"}}},
    {"held, and not to wait",
     0,
     {{0, "acquire", "GET, -"}, {10, "get e0 other held 7 r9 5", "FAILED LOCK_HELD, -"}}},
    {"waiting: a read a second, told once, and again when it is another",
     300000,
     {{0, "acquire", "GET, -"},
      {10, "get e0 other held 7 r9 5", "WAITING other, 1000"},
      {1000, "tick", "GET, -"},
      {1010, "get e1 other held 7 r10 5", "2000"},
      {2000, "tick", "GET, -"},
      {2010, "get e2 third held 8 r1 5", "WAITING third, 3000"},
      {3000, "tick", "GET, -"},
      {3010, "get e3 third released 8 r2 5", "PUT e3 held 9 r1, -"},
      {3030, "put e4", "ACQUIRED 9, 23010"}}},
    {"the wait is over",
     2500,
     {{0, "acquire", "GET, -"},
      {10, "get e0 other held 7 r9 5", "WAITING other, 1000"},
      {1000, "tick", "GET, -"},
      {1010, "get e0 other held 7 r9 1005", "2000"},
      {2000, "tick", "GET, -"},
      {2010, "get e0 other held 7 r9 2005", "2500"},
      {2500, "tick", "FAILED LOCK_HELD, -"}}},
    {"stale by the store's clock, not before",
     300000,
     {{0, "acquire", "GET, -"},
      {10, "get e0 other held 7 r9 63875", "WAITING other, 1000"},
      {1000, "tick", "GET, -"},
      {1010, "get e0 other held 7 r9 63876", "PUT e0 held 8 r1, -"}}},
    {"stale by watching one ETag on our own clock; another ETag begins anew",
     300000,
     {{0, "acquire", "GET, -"},
      {10, "get e0 other held 7 r9 -1", "WAITING other, 1000"},
      {1000, "tick", "GET, -"},
      {1010, "get e1 other held 7 r10 -1", "2000"},
      {63900, "tick", "GET, -"},
      {63900, "get e1 other held 7 r10 -1", "64900"},
      {64900, "tick", "GET, -"},
      {64885, "get e1 other held 7 r10 -1", "65900"},
      {65900, "tick", "GET, -"},
      {64886, "get e1 other held 7 r10 -1", "PUT e1 held 8 r1, -"}}},
    {"the answer to the create was lost: the same again, 412, and it was ours, from the first on",
     0,
     {{0, "acquire", "GET, -"},
      {10, "get absent", "PUT absent held 1 r1, -"},
      {5010, "put unknown", "pause"},
      {0, "pause", "PUT absent held 1 r1, -"},
      {5200, "put 412", "GET, -"},
      {5210, "get e1 me held 1 r1 5000", "ACQUIRED 1, 20010"}}},
    {"the same, but the second attempt is what was applied: from the second on",
     0,
     {{0, "acquire", "GET, -"},
      {10, "get absent", "PUT absent held 1 r1, -"},
      {5000, "put unknown 500", "5500"},
      {5500, "tick", "PUT absent held 1 r1, -"},
      {5600, "put e1", "ACQUIRED 1, 25500"}}},
    {"a lost race: looked at a second after the last look, then waited for",
     300000,
     {{0, "acquire", "GET, -"},
      {10, "get absent", "PUT absent held 1 r1, -"},
      {30, "put 412", "1000"},
      {1000, "tick", "GET, -"},
      {1010, "get e1 other held 1 r1 900", "WAITING other, 2000"}}},
    {"409: the same again",
     0,
     {{0, "acquire", "GET, -"},
      {10, "get e0 other released 7 r9 5", "PUT e0 held 8 r1, -"},
      {30, "put 409", "pause"},
      {0, "pause", "PUT e0 held 8 r1, -"},
      {400, "put 404", "1000"},
      {1000, "tick", "GET, -"},
      {1010, "get absent", "PUT absent held 1 r2, -"}}},
    {"a claim whose answer comes after two thirds of the lease is claimed again",
     0,
     {{0, "acquire", "GET, -"},
      {10, "get absent", "PUT absent held 1 r1, -"},
      {40010, "put e1", "PUT e1 held 2 r2, -"},
      {40020, "put e2", "ACQUIRED 2, 60010"}}},
    {"a record of ours that we had given up: taken over at once",
     0,
     {{0, "acquire", "GET, -"},
      {10, "get e5 me held 3 r77 5", "PUT e5 held 4 r1, -"},
      {20, "put e6", "ACQUIRED 4, 20010"}}},
    {"a renewal's answer was lost",
     0,
     {{0, "acquire", "GET, -"},
      {10, "get absent", "PUT absent held 1 r1, -"},
      {30, "put e1", "ACQUIRED 1, 20010"},
      {20010, "tick", "PUT e1 held 1 r2, 40010"},
      {21010, "put unknown", "pause"},
      {0, "pause", "PUT e1 held 1 r2, 40010"},
      {22000, "put 412", "GET, 40010"},
      {22010, "get e2 me held 1 r2 900", "40010"},
      {40010, "tick", "PUT e2 held 1 r3, 60010"}}},
    {"a renewal finds another's record: lost",
     0,
     {{0, "acquire", "GET, -"},
      {10, "get absent", "PUT absent held 1 r1, -"},
      {30, "put e1", "ACQUIRED 1, 20010"},
      {20010, "tick", "PUT e1 held 1 r2, 40010"},
      {20030, "put 412", "GET, 40010"},
      {20050, "get e2 other held 2 r1 900", "FAILED LOCK_LOST, -"}}},
    {"a renewal finds our lease id with a rev that we never got through: lost",
     0,
     {{0, "acquire", "GET, -"},
      {10, "get absent", "PUT absent held 1 r1, -"},
      {30, "put e1", "ACQUIRED 1, 20010"},
      {20010, "tick", "PUT e1 held 1 r2, 40010"},
      {20030, "put 412", "GET, 40010"},
      {20050, "get e2 me held 1 r9 900", "FAILED LOCK_LOST, -"}}},
    {"404 to a renewal: lost",
     0,
     {{0, "acquire", "GET, -"},
      {10, "get absent", "PUT absent held 1 r1, -"},
      {30, "put e1", "ACQUIRED 1, 20010"},
      {20010, "tick", "PUT e1 held 1 r2, 40010"},
      {20030, "put 404", "FAILED LOCK_LOST, -"}}},
    {"412 to a renewal because the object is gone: lost",
     0,
     {{0, "acquire", "GET, -"},
      {10, "get absent", "PUT absent held 1 r1, -"},
      {30, "put e1", "ACQUIRED 1, 20010"},
      {20010, "tick", "PUT e1 held 1 r2, 40010"},
      {20030, "put 412", "GET, 40010"},
      {20040, "get unknown", "pause"},
      {0, "pause", "GET, 40010"},
      {21000, "get absent", "FAILED LOCK_LOST, -"}}},
    {"412 to a renewal, but our own last record is still there under another ETag: not a loss",
     0,
     {{0, "acquire", "GET, -"},
      {10, "get absent", "PUT absent held 1 r1, -"},
      {30, "put e1", "ACQUIRED 1, 20010"},
      {20010, "tick", "PUT e1 held 1 r2, 40010"},
      {20030, "put 412", "GET, 40010"},
      {20050, "get e7 me held 1 r1 900", "pause"},
      {0, "pause", "PUT e7 held 1 r2, 40010"},
      {20500, "put e8", "40109"}}},
    {"no answer any more: doubtful at two thirds, lost at the full",
     0,
     {{0, "acquire", "GET, -"},
      {10, "get absent", "PUT absent held 1 r1, -"},
      {30, "put e1", "ACQUIRED 1, 20010"},
      {20010, "tick", "PUT e1 held 1 r2, 40010"},
      {30000, "put unknown", "pause"},
      {0, "pause", "PUT e1 held 1 r2, 40010"},
      {40010, "tick", "DOUBTFUL, 60010"},
      {40020, "tick", "60010"},
      {60009, "tick", "60010"},
      {60010, "tick", "FAILED LOCK_LOST, -"},
      {60020, "put e2", "-"}}},
    {"doubt ends with a renewal, and may come back",
     0,
     {{0, "acquire", "GET, -"},
      {10, "get absent", "PUT absent held 1 r1, -"},
      {30, "put e1", "ACQUIRED 1, 20010"},
      {30010, "tick", "PUT e1 held 1 r2, 40010"},
      {40010, "tick", "DOUBTFUL, 60010"},
      {40020, "put e2", "50010"},
      {70010, "tick", "DOUBTFUL, PUT e2 held 1 r3, 90010"}}},
    {"a renewal's OK that comes after the deadline is a loss",
     0,
     {{0, "acquire", "GET, -"},
      {10, "get absent", "PUT absent held 1 r1, -"},
      {30, "put e1", "ACQUIRED 1, 20010"},
      {59000, "tick", "DOUBTFUL, PUT e1 held 1 r2, 60010"},
      {60010, "put e2", "FAILED LOCK_LOST, -"}}},
    {"refused while held: tried on until the deadline",
     0,
     {{0, "acquire", "GET, -"},
      {10, "get absent", "PUT absent held 1 r1, -"},
      {30, "put e1", "ACQUIRED 1, 20010"},
      {20010, "tick", "PUT e1 held 1 r2, 40010"},
      {20030, "put refused", "pause"},
      {0, "pause", "PUT e1 held 1 r2, 40010"},
      {21000, "put e2", "40089"}}},
    {"refused while acquiring: the store is unusable",
     300000,
     {{0, "acquire", "GET, -"}, {10, "get refused", "FAILED STORE_UNUSABLE, -"}}},
    {"no definite answer for half a minute: the store is unusable",
     0,
     {{0, "acquire", "GET, -"},
      {10000, "get unknown", "pause"},
      {0, "pause", "GET, -"},
      {39999, "get unknown", "pause"},
      {0, "pause", "FAILED STORE_UNUSABLE, -"}}},
    {"release",
     0,
     {{0, "acquire", "GET, -"},
      {10, "get absent", "PUT absent held 1 r1, -"},
      {30, "put e1", "ACQUIRED 1, 20010"},
      {500, "release", "PUT e1 released 1 r2, 30500"},
      {520, "put e2", "RELEASED NONE, -"},
      {600, "acquire", "PUT e2 held 2 r3, -"},
      {620, "put e3", "ACQUIRED 2, 20600"}}},
    {"release, its answer lost",
     0,
     {{0, "acquire", "GET, -"},
      {10, "get absent", "PUT absent held 1 r1, -"},
      {30, "put e1", "ACQUIRED 1, 20010"},
      {500, "release", "PUT e1 released 1 r2, 30500"},
      {520, "put unknown", "pause"},
      {0, "pause", "PUT e1 released 1 r2, 30500"},
      {800, "put 412", "GET, 30500"},
      {820, "get e2 me released 1 r2 900", "RELEASED NONE, -"}}},
    {"release of what somebody has taken",
     0,
     {{0, "acquire", "GET, -"},
      {10, "get absent", "PUT absent held 1 r1, -"},
      {30, "put e1", "ACQUIRED 1, 20010"},
      {500, "release", "PUT e1 released 1 r2, 30500"},
      {520, "put 412", "GET, 30500"},
      {820, "get e2 other held 2 r1 900", "RELEASED LOCK_LOST, -"}}},
    {"release of what somebody has deleted",
     0,
     {{0, "acquire", "GET, -"},
      {10, "get absent", "PUT absent held 1 r1, -"},
      {30, "put e1", "ACQUIRED 1, 20010"},
      {500, "release", "PUT e1 released 1 r2, 30500"},
      {520, "put 404", "GET, 30500"},
      {820, "get absent", "RELEASED NONE, -"},
      {900, "acquire", "PUT absent held 2 r3, -"}}}, /* never token 1 again */
    {"release that does not get through: given up after half a minute",
     0,
     {{0, "acquire", "GET, -"},
      {10, "get absent", "PUT absent held 1 r1, -"},
      {30, "put e1", "ACQUIRED 1, 20010"},
      {500, "release", "PUT e1 released 1 r2, 30500"},
      {30500, "tick", "-"},
      {30600, "put unknown", "RELEASED STORE_UNUSABLE, -"},
      {30700, "acquire", "GET, -"}}},
    {"release during a renewal: first its answer",
     0,
     {{0, "acquire", "GET, -"},
      {10, "get absent", "PUT absent held 1 r1, -"},
      {30, "put e1", "ACQUIRED 1, 20010"},
      {20010, "tick", "PUT e1 held 1 r2, 40010"},
      {20020, "release", "40010"},
      {20030, "put e2", "PUT e2 released 1 r3, 50020"},
      {20040, "put e3", "RELEASED NONE, -"}}},
    {"release during a claim: first its answer, which nobody is told",
     0,
     {{0, "acquire", "GET, -"},
      {10, "get absent", "PUT absent held 1 r1, -"},
      {20, "release", "30020"},
      {1010, "put unknown", "pause"},
      {0, "pause", "PUT absent held 1 r1, 30020"},
      {1500, "put 412", "GET, 30020"},
      {1510, "get e1 me held 1 r1 900", "PUT e1 released 1 r2, 30020"},
      {1600, "put e2", "RELEASED NONE, -"}}},
    {"release during a claim that another won",
     0,
     {{0, "acquire", "GET, -"},
      {10, "get absent", "PUT absent held 1 r1, -"},
      {20, "release", "30020"},
      {1010, "put 412", "GET, 30020"},
      {1510, "get e1 other held 1 r1 900", "RELEASED NONE, -"}}},
    {"release while waiting",
     300000,
     {{0, "acquire", "GET, -"},
      {10, "get e0 other held 7 r9 5", "WAITING other, 1000"},
      {20, "release", "RELEASED NONE, -"}}},
    {"release during a look: after its answer",
     300000,
     {{0, "acquire", "GET, -"}, {20, "release", "30020"}, {30, "get absent", "RELEASED NONE, -"}}},
    {"release of a lost lease says so",
     0,
     {{0, "acquire", "GET, -"},
      {10, "get absent", "PUT absent held 1 r1, -"},
      {30, "put e1", "ACQUIRED 1, 20010"},
      {59000, "tick", "DOUBTFUL, PUT e1 held 1 r2, 60010"},
      {59500, "release", "60010"},
      {60010, "tick", "-"},
      {60020, "put unknown", "RELEASED LOCK_LOST, -"}}},
    {"break: taken from a holder",
     0,
     {{0, "break", "GET, -"},
      {10, "get e0 other held 7 r9 5", "PUT e0 held 8 r1, -"},
      {20, "put 412", "1000"},
      {1000, "tick", "GET, -"},
      {1010, "get e1 other held 7 r10 5", "PUT e1 held 8 r2, -"},
      {1030, "put e2", "ACQUIRED 8, 21010"}}},
    {"release of an earlier process's lease: one read, one write, whatever else is stale by now",
     0,
     {{0, "back 7", "GET, -"},
      {10, "get e1 me held 7 r3 900000", "PUT e1 released 7 r4, 30010"},
      {20, "put e2", "RELEASED NONE, -"},
      {30, "acquire", "PUT e2 held 8 r5, -"}}},
    {"the same, its answer lost",
     0,
     {{0, "back 7", "GET, -"},
      {10, "get e1 me held 7 r3 5", "PUT e1 released 7 r4, 30010"},
      {20, "put unknown", "pause"},
      {0, "pause", "PUT e1 released 7 r4, 30010"},
      {300, "put 412", "GET, 30010"},
      {310, "get e2 me released 7 r4 5", "RELEASED NONE, -"}}},
    {"the same, and somebody was faster",
     0,
     {{0, "back 7", "GET, -"},
      {10, "get e1 me held 7 r3 5", "PUT e1 released 7 r4, 30010"},
      {20, "put 412", "GET, 30010"},
      {310, "get e2 other held 8 r1 5", "RELEASED LOCK_LOST, -"}}},
    {"an earlier process's lease that was released already",
     0,
     {{0, "back 7", "GET, -"}, {10, "get e1 me released 7 r3 5", "RELEASED NONE, -"}}},
    {"an earlier process's lease that somebody has taken since",
     0,
     {{0, "back 7", "GET, -"}, {10, "get e1 other held 8 r1 5", "FAILED LOCK_LOST, -"}}},
    {"an earlier process's lease with another token",
     0,
     {{0, "back 7", "GET, -"}, {10, "get e1 me held 8 r1 5", "FAILED LOCK_LOST, -"}}},
    {"an earlier process's lease that was deleted since",
     0,
     {{0, "back 7", "GET, -"}, {10, "get absent", "FAILED LOCK_LOST, -"}}},
    {"raise above what the origin has seen",
     0,
     {{0, "acquire", "GET, -"},
      {10, "get absent", "PUT absent held 1 r1, -"},
      {30, "put e1", "ACQUIRED 1, 20010"},
      {40, "raise 41", "PUT e1 held 42 r2, 40010"},
      {60, "put e2", "ACQUIRED 42, 20040"}}},
    {"raise with an equal token, which is another's; its answer lost",
     0,
     {{0, "acquire", "GET, -"},
      {10, "get absent", "PUT absent held 1 r1, -"},
      {30, "put e1", "ACQUIRED 1, 20010"},
      {40, "raise 1", "PUT e1 held 2 r2, 40010"},
      {60, "put unknown", "pause"},
      {0, "pause", "PUT e1 held 2 r2, 40010"},
      {500, "put 412", "GET, 40010"},
      {600, "get e2 me held 2 r2 5", "ACQUIRED 2, 20040"}}},
    {"raise to less than we have: nothing to do",
     0,
     {{0, "acquire", "GET, -"},
      {10, "get e0 other released 7 r9 5", "PUT e0 held 8 r1, -"},
      {30, "put e1", "ACQUIRED 8, 20010"},
      {40, "raise 7", "20010"}}},
    {"raise during a renewal: after its answer",
     0,
     {{0, "acquire", "GET, -"},
      {10, "get absent", "PUT absent held 1 r1, -"},
      {30, "put e1", "ACQUIRED 1, 20010"},
      {20010, "tick", "PUT e1 held 1 r2, 40010"},
      {20020, "raise 5", "40010"},
      {20030, "put e2", "PUT e2 held 6 r3, 60010"},
      {20040, "put e3", "ACQUIRED 6, 40030"}}},
    {"a raise that somebody was faster than: lost",
     0,
     {{0, "acquire", "GET, -"},
      {10, "get absent", "PUT absent held 1 r1, -"},
      {30, "put e1", "ACQUIRED 1, 20010"},
      {40, "raise 41", "PUT e1 held 42 r2, 40010"},
      {60, "put 412", "GET, 40010"},
      {70, "get e2 other held 2 r1 5", "FAILED LOCK_LOST, -"}}},
    {"a floor that is known before goes into the first token",
     0,
     {{0, "raise 9", "-"},
      {0, "acquire", "GET, -"},
      {10, "get e0 other released 7 r9 5", "PUT e0 held 10 r1, -"}}},
    {"resting: the store is not asked before its turn, then at once and each second",
     300000,
     {{0, "rest", "-"},
      {0, "acquire", "300000"},
      {70000, "try", "GET, -"},
      {70010, "get e0 other held 7 r9 5", "WAITING other, 71000"},
      {70020, "try", "71000"},
      {71000, "tick", "GET, -"},
      {71010, "get e1 other released 7 r10 5", "PUT e1 held 8 r1, -"},
      {71030, "put e2", "ACQUIRED 8, 91010"},
      {71040, "rest", "91010"}}},
    {"to rest while waiting; a turn within a second of the last look",
     300000,
     {{100, "acquire", "GET, -"},
      {110, "get e0 other held 7 r9 5", "WAITING other, 1100"},
      {120, "rest", "300100"},
      {130, "try", "1100"},
      {1100, "tick", "GET, -"},
      {1110, "get absent", "PUT absent held 1 r1, -"}}},
    {"to rest during a look: it is finished, and others go first",
     300000,
     {{0, "acquire", "GET, -"},
      {5, "rest", "-"},
      {10, "get e0 other released 7 r9 5", "300000"},
      {5000, "try", "GET, -"},
      {5010, "get unknown", "6000"},
      {5020, "rest", "300000"},
      {5030, "try", "6000"},
      {6000, "tick", "GET, -"},
      {6010, "rest", "-"},
      {6020, "get unknown", "300000"},
      {6030, "release", "RELEASED NONE, -"}}},
    {"to rest during a claim: it is brought to its end",
     300000,
     {{0, "acquire", "GET, -"},
      {10, "get absent", "PUT absent held 1 r1, -"},
      {20, "rest", "-"},
      {30, "put unknown", "pause"},
      {0, "pause", "PUT absent held 1 r1, -"},
      {200, "put 412", "1000"},
      {1000, "tick", "GET, -"},
      {1010, "get unknown", "2000"},
      {2000, "tick", "GET, -"},
      {2300, "get e1 other held 1 r1 5", "300000"}}},
    {"the time to wait ends while resting: one look, and a free lock is taken",
     2000,
     {{0, "rest", "-"},
      {0, "acquire", "2000"},
      {2000, "tick", "GET, -"},
      {2010, "get absent", "PUT absent held 1 r1, -"}}},
    {"the same, and it is not free; no time to wait at all",
     0,
     {{0, "rest", "-"},
      {0, "acquire", "GET, -"},
      {10, "get e0 other held 7 r9 5", "FAILED LOCK_HELD, -"}}},
    {"a script's record, fresh and then stale",
     300000,
     {{0, "acquire", "GET, -"},
      {10, "get e0 script held 0 r0 63875", "WAITING script, 1000"},
      {1000, "tick", "GET, -"},
      {1010, "get e0 script held 0 r0 64000", "PUT e0 held 1 r1, -"}}},
    {"garbage is somebody's until it is stale",
     300000,
     {{0, "acquire", "GET, -"},
      {10, "get e0 garbage held 0 r0 311375", "WAITING , 1000"},
      {1000, "tick", "GET, -"},
      {1010, "get e0 garbage held 0 r0 312000", "PUT e0 held 1 r1, -"}}},
    {"the last token is taken",
     0,
     {{0, "acquire", "GET, -"},
      {10, "get e0 other released 9007199254740991 r9 5", "FAILED STORE_UNUSABLE, -"}}},
};

static const uint8_t my_id[RECORD_LEASE_ID_SIZE] = {1, 2, 3};

static void make_record(struct record *record, const char *who, const char *state, uint64_t token,
                        uint64_t rev)
{
    memset(record, 0, sizeof(*record));
    record->kind = strcmp(who, "script") == 0    ? RECORD_FOREIGN
                   : strcmp(who, "garbage") == 0 ? RECORD_UNKNOWN
                                                 : RECORD_LEASE;
    record->stamp = strcmp(who, "script") == 0 ? RECORD_STAMP_EPOCH : RECORD_STAMP_ISO;
    record->held = strcmp(state, "held") == 0;
    record->token = token;
    record->rev = rev;
    record->timeout_ms = record->kind == RECORD_UNKNOWN ? RECORD_UNKNOWN_TIMEOUT_MS : 60000;
    if (record->kind != RECORD_UNKNOWN)
        snprintf(record->instance, sizeof(record->instance), "%s", who);
    if (strcmp(who, "me") == 0)
        memcpy(record->lease_id, my_id, sizeof(my_id));
    else if (record->kind == RECORD_LEASE)
        record->lease_id[0] = (uint8_t)who[0];
}

static void give_answer(struct lease *lease, uint64_t now, const char *event)
{
    char what[32] = "", who[16] = "other", state[16] = "held";
    unsigned long long token = 0, rev = 0;
    long long age = -1;
    struct record record;
    struct lease_answer answer = {.record = &record, .why = "reset", .age_ms = -1};

    sscanf(event + 4, "%31s %15s %15s %llu r%llu %lld", what, who, state, &token, &rev, &age);
    make_record(&record, who, state, token, rev);
    answer.etag = what;
    answer.age_ms = age;
    answer.outcome = strcmp(what, "absent") == 0 || strcmp(what, "404") == 0 ? STORE_ABSENT
                     : strcmp(what, "unknown") == 0                          ? STORE_UNKNOWN
                     : strcmp(what, "refused") == 0                          ? STORE_REFUSED
                     : strcmp(what, "412") == 0                              ? STORE_MISMATCH
                     : strcmp(what, "409") == 0                              ? STORE_CONFLICT
                                                                             : STORE_OK;
    if (answer.outcome == STORE_UNKNOWN)
        sscanf(who, "%" SCNu32, &answer.retry_after_ms);
    assert_int_equal(lease->io, event[0] == 'g' ? LEASE_IO_GET_SENT : LEASE_IO_PUT_SENT);
    lease_answer(lease, now, &answer);
}

/* Tick until it waits; what it did goes to out. */
static void collect(struct lease *lease, uint64_t now, char *out, size_t size)
{
    struct lease_action action;
    size_t len = 0;

    do {
        lease_tick(lease, now, 1795291446, &action);
        switch (action.kind) {
        case LEASE_GET:
            len += (size_t)snprintf(out + len, size - len, "GET, ");
            break;
        case LEASE_PUT:
            len += (size_t)snprintf(
                out + len, size - len, "PUT %s %s %" PRIu64 " r%" PRIu64 ", ",
                lease->put_condition == STORE_IF_ABSENT ? "absent" : lease->put_etag,
                lease->put.held ? "held" : "released", lease->put.token, lease->put.rev);
            break;
        case LEASE_TELL_WAITING:
            len += (size_t)snprintf(out + len, size - len, "WAITING %s, ", lease->told.instance);
            break;
        case LEASE_TELL_ACQUIRED:
            len += (size_t)snprintf(out + len, size - len, "ACQUIRED %" PRIu64 ", ", lease->token);
            assert_true(lease_is_held(lease, now));
            break;
        case LEASE_TELL_DOUBTFUL:
            len += (size_t)snprintf(out + len, size - len, "DOUBTFUL, ");
            break;
        case LEASE_TELL_FAILED:
        case LEASE_TELL_RELEASED:
            len += (size_t)snprintf(out + len, size - len, "%s %s, ",
                                    action.kind == LEASE_TELL_FAILED ? "FAILED" : "RELEASED",
                                    error_name(lease->error.code));
            assert_false(lease_is_held(lease, now));
            break;
        case LEASE_WAIT:
            if (action.until == UINT64_MAX)
                len += (size_t)snprintf(out + len, size - len, "-");
            else if (lease->attempts > 0 && action.until == lease->io_due &&
                     (lease->io == LEASE_IO_GET_DUE || lease->io == LEASE_IO_PUT_DUE) &&
                     action.until % 100 != 0)
                len += (size_t)snprintf(out + len, size - len, "pause");
            else
                len += (size_t)snprintf(out + len, size - len, "%" PRIu64, action.until);
        }
        assert_true(len < size);
    } while (action.kind != LEASE_WAIT);
}

static void run_trace(const struct trace *trace)
{
    struct lease_options options = {.instance = "me",
                                    .host = "host",
                                    .timeout_ms = 60000,
                                    .wait_ms = trace->wait_ms,
                                    .seed = 1};
    struct lease lease;
    unsigned long long number;
    uint64_t now = 0;
    char got[512];

    memcpy(options.lease_id, my_id, sizeof(my_id));
    lease_init(&lease, &options);
    for (const struct step *step = trace->steps; step->event != NULL; step++) {
        now = strcmp(step->event, "pause") == 0 ? lease.io_due : step->at;
        if (strcmp(step->event, "acquire") == 0)
            lease_acquire(&lease, now);
        else if (strcmp(step->event, "break") == 0)
            lease_break(&lease, now);
        else if (strcmp(step->event, "release") == 0)
            lease_release(&lease, now);
        else if (sscanf(step->event, "back %llu", &number) == 1)
            lease_give_back(&lease, number, now);
        else if (strcmp(step->event, "rest") == 0)
            lease_rest(&lease);
        else if (strcmp(step->event, "try") == 0)
            lease_try_now(&lease, now);
        else if (sscanf(step->event, "raise %llu", &number) == 1)
            lease_raise(&lease, number, now);
        else if (strncmp(step->event, "get ", 4) == 0 || strncmp(step->event, "put ", 4) == 0)
            give_answer(&lease, now, step->event);
        collect(&lease, now, got, sizeof(got));
        if (strcmp(got, step->expect) != 0)
            fail_msg("%s\nat %llu, %s:\n  expected %s\n  got      %s", trace->name,
                     (unsigned long long)now, step->event, step->expect, got);
    }
}

static void test_traces(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(traces) / sizeof(traces[0]); i++)
        run_trace(&traces[i]);
}

/* What the records have that the traces do not show. */
static void test_record_written(void **state)
{
    struct lease_options options = {
        .instance = "me\033[31m\nx", .host = "host", .pid = 12, .timeout_ms = 1500};
    struct lease lease;
    char got[512];

    (void)state;
    memcpy(options.lease_id, my_id, sizeof(my_id));
    lease_init(&lease, &options);
    assert_int_equal(lease.timeout_ms, 2000);
    lease_acquire(&lease, 0);
    collect(&lease, 0, got, sizeof(got));
    give_answer(&lease, 10, "get e0 script held 0 r0 70000");
    collect(&lease, 10, got, sizeof(got));
    assert_int_equal(lease.put.kind, RECORD_LEASE);
    assert_int_equal(lease.put.stamp, RECORD_STAMP_EPOCH); /* as the script there writes it */
    assert_int_equal(lease.put.timestamp, 1795291446);
    assert_int_equal(lease.put.timeout_ms, 2000);
    assert_int_equal(lease.put.pid, 12);
    assert_string_equal(lease.put.host, "host");
    assert_null(strchr(lease.put.instance, '\033'));
    assert_memory_equal(lease.put.lease_id, my_id, sizeof(my_id));
}

/* Pauses double to five seconds, are jittered by half, and keep to what a holder has time for. */
static void test_pauses(void **state)
{
    struct lease_options options = {
        .instance = "me", .host = "", .timeout_ms = 12000, .seed = 5, .wait_ms = 3600000};
    static const uint64_t most[] = {100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000};
    struct lease lease;
    uint64_t now = 0;
    char got[512];
    int different = 0;

    (void)state;
    lease_init(&lease, &options);
    lease_acquire(&lease, 0);
    collect(&lease, 0, got, sizeof(got));
    give_answer(&lease, now, "get absent");
    collect(&lease, now, got, sizeof(got));
    for (size_t i = 0; i < sizeof(most) / sizeof(most[0]); i++) {
        give_answer(&lease, now, "put unknown");
        assert_in_range(lease.io_due - now, most[i] / 2, most[i]);
        different += lease.io_due - now != most[i] / 2;
        now = lease.io_due;
        collect(&lease, now, got, sizeof(got));
    }
    assert_true(different > 0);
    give_answer(&lease, now, "put unknown 30000");
    assert_int_equal(lease.io_due - now, 30000);
    collect(&lease, now = lease.io_due, got, sizeof(got));
    give_answer(&lease, now, "put e1");
    collect(&lease, now, got, sizeof(got));
    now = lease.renew_at;
    collect(&lease, now, got, sizeof(got));
    give_answer(&lease, now, "put unknown 30000");
    assert_in_range(lease.io_due - now, 500, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_traces),
        cmocka_unit_test(test_record_written),
        cmocka_unit_test(test_pauses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The telling half of metrics.h. */
#include "origin/metrics_state.h"
#include "origin/metrics_text.h"

static const char *const kind_names[] = {"pages", "sketch", "other"};
static const char *const queue_names[] = {"push", "run"};

static void tell_process(const struct metrics *metrics, const struct metrics_now *now,
                         struct metrics_text *text)
{
    metrics_family(text, "lockstep_build_info", "gauge", "The version of lockstep-origin.");
    metrics_sample(text, "", 1, "version", LOCKSTEP_VERSION, NULL);
    metrics_family(text, "lockstep_start_time_seconds", "gauge",
                   "When the daemon started, since 1970.");
    metrics_sample(text, "", (double)metrics->started, NULL);
    metrics_family(text, "lockstep_healthy", "gauge", "1 where /healthz answers 200, else 0.");
    metrics_sample(text, "", now->is_healthy, NULL);
    if (metrics->loop.turns == 0)
        return;
    metrics_family(text, "lockstep_loop_turn_max_seconds", "gauge",
                   "The longest turn of the event loop, by the wall clock and by its thread's "
                   "processor time.");
    metrics_sample(text, "", (double)metrics->loop.longest_ns / 1e9, "clock", "wall", NULL);
    metrics_sample(text, "", (double)metrics->loop.longest_cpu_ns / 1e9, "clock", "cpu", NULL);
    metrics_family(text, "lockstep_loop_long_turns_total", "counter",
                   "Turns of the event loop that took more than 10 ms.");
    metrics_sample(text, "", (double)metrics->loop.long_turns, "clock", "wall", NULL);
    metrics_sample(text, "", (double)metrics->loop.long_cpu_turns, "clock", "cpu", NULL);
    metrics_family(text, "lockstep_loop_busy_seconds_total", "counter",
                   "Time that the event loop was not asleep.");
    metrics_sample(text, "", (double)metrics->loop.busy_ns / 1e9, NULL);
}

static void tell_scans(const struct metrics_now *now, struct metrics_text *text)
{
    metrics_family(text, "lockstep_scan_seconds", "summary",
                   "Scans of all pages of a database, and the time that they took.");
    metrics_sample(text, "_sum", now->scans.scan_seconds, NULL);
    metrics_sample(text, "_count", (double)now->scans.scans, NULL);
    metrics_family(text, "lockstep_scans_spared_total", "counter",
                   "Times that an earlier scan still held, so that none was made.");
    metrics_sample(text, "", (double)now->scans.shared, NULL);
    metrics_family(text, "lockstep_shared_memory_bytes", "gauge",
                   "Memory for page hashes and streams that sessions share.");
    metrics_sample(text, "", (double)now->memory_used, NULL);
    metrics_family(text, "lockstep_shared_memory_max_bytes", "gauge",
                   "How much of that there may be: --max-memory.");
    metrics_sample(text, "", (double)now->memory_max, NULL);
}

static void tell_streams(const struct metrics_now *now, struct metrics_text *text)
{
    metrics_family(text, "lockstep_streams_total", "counter",
                   "Page streams that were made for pulls to share.");
    metrics_sample(text, "", (double)now->streams.made, NULL);
    metrics_family(text, "lockstep_streams_spared_total", "counter",
                   "Pulls that a stream served which another one had begun.");
    metrics_sample(text, "", (double)now->streams.shared, NULL);
    metrics_family(text, "lockstep_spool_bytes", "gauge",
                   "Space in files that the shared streams take, or may come to take.");
    metrics_sample(text, "", (double)now->streams.spool_bytes, NULL);
}

static void tell_connections(const struct metrics *metrics, struct metrics_text *text)
{
    uint64_t closed = 0;

    for (int code = 0; code < ERR_COUNT; code++)
        closed += metrics->closed[code];
    metrics_family(text, "lockstep_connections", "gauge", "Connections that are open now.");
    metrics_sample(text, "", (double)(metrics->opened - closed), NULL);
    metrics_family(text, "lockstep_connections_opened_total", "counter",
                   "Connections that were taken.");
    metrics_sample(text, "", (double)metrics->opened, NULL);
    metrics_family(text, "lockstep_connections_closed_total", "counter",
                   "Connections that ended, by outcome: NONE, or the name of an error.");
    for (int code = 0; code < ERR_COUNT; code++) {
        if (code == ERR_NONE || metrics->closed[code] > 0)
            metrics_sample(text, "", (double)metrics->closed[code], "outcome", error_name(code),
                           NULL);
    }
    metrics_family(text, "lockstep_sent_bytes_total", "counter",
                   "Bytes of the protocol that were sent, without TLS: pages, sketch (what "
                   "describes pages), other.");
    for (int kind = 0; kind < METRICS_KINDS; kind++)
        metrics_sample(text, "", (double)metrics->bytes[METRICS_SENT][kind], "kind",
                       kind_names[kind], NULL);
    metrics_family(text, "lockstep_received_bytes_total", "counter",
                   "Bytes of the protocol that were received; other: at the end of a connection.");
    for (int kind = 0; kind < METRICS_KINDS; kind++)
        metrics_sample(text, "", (double)metrics->bytes[METRICS_RECEIVED][kind], "kind",
                       kind_names[kind], NULL);
}

static void tell_deeds(const struct metrics *metrics, struct metrics_text *text)
{
    static const struct {
        const char *name;
        const char *help;
    } families[METRICS_DEEDS] = {
        [METRICS_PULL] = {"lockstep_pulls_total",
                          "Pulls that ended, by outcome: NONE, or why they broke."},
        [METRICS_PUSH] = {"lockstep_pushes_total", "Pushes that ended, by outcome: NONE for those "
                                                   "that were accepted, or why they were refused."},
        [METRICS_VERIFY] = {"lockstep_verifications_total",
                            "Verifications that ended, by outcome."}};

    for (int deed = 0; deed < METRICS_DEEDS; deed++) {
        metrics_family(text, families[deed].name, "counter", families[deed].help);
        for (unsigned i = 0; i < metrics->database_count; i++) {
            const struct metrics_database *database = metrics->databases[i];

            for (int code = 0; code < ERR_COUNT; code++) {
                if (code == ERR_NONE || database->deeds[deed][code] > 0)
                    metrics_sample(text, "", (double)database->deeds[deed][code], "database",
                                   database->name, "outcome", error_name(code), NULL);
            }
        }
    }
}

static void tell_databases(const struct metrics *metrics, struct metrics_text *text)
{
    metrics_family(text, "lockstep_database_version", "gauge",
                   "The version of a database's content, as last seen.");
    for (unsigned i = 0; i < metrics->database_count; i++) {
        if (metrics->databases[i]->version > 0)
            metrics_sample(text, "", (double)metrics->databases[i]->version, "database",
                           metrics->databases[i]->name, NULL);
    }
    metrics_family(text, "lockstep_waiting", "gauge", "Replicas that wait for their turn.");
    for (unsigned i = 0; i < metrics->database_count; i++) {
        for (int queue = 0; queue < METRICS_QUEUES; queue++)
            metrics_sample(text, "", metrics->databases[i]->waiting[queue], "database",
                           metrics->databases[i]->name, "queue", queue_names[queue], NULL);
    }
    metrics_family(text, "lockstep_fence_token", "gauge",
                   "The highest fencing token that was seen, and who came with it.");
    for (unsigned i = 0; i < metrics->database_count; i++) {
        if (metrics->databases[i]->fence_token > 0)
            metrics_sample(text, "", (double)metrics->databases[i]->fence_token, "database",
                           metrics->databases[i]->name, "holder",
                           metrics->databases[i]->fence_holder, NULL);
    }
    metrics_family(
        text, "lockstep_lease_token", "gauge",
        "The token of the lock in the store when it was last read, its state and holder.");
    for (unsigned i = 0; i < metrics->database_count; i++) {
        const struct metrics_database *database = metrics->databases[i];

        if (database->lease_state[0] != '\0')
            metrics_sample(text, "", (double)database->lease_token, "database", database->name,
                           "state", database->lease_state, "holder", database->lease_holder, NULL);
    }
}

static double lag_of(const struct metrics_replica *replica)
{
    uint64_t current = replica->database->version;

    return current > replica->version ? (double)(current - replica->version) : 0;
}

static double version_of(const struct metrics_replica *replica)
{
    return (double)replica->version;
}

static double seen_of(const struct metrics_replica *replica)
{
    return (double)replica->seen;
}

static void tell_replicas(const struct metrics *metrics, struct metrics_text *text)
{
    static const struct {
        const char *name;
        const char *help;
        double (*value)(const struct metrics_replica *replica);
    } families[] = {
        {"lockstep_replica_version", "The version that a replica was last known to hold.",
         version_of},
        {"lockstep_replica_lag_versions", "How many versions behind the database that is.", lag_of},
        {"lockstep_replica_seen_time_seconds", "When that was learned, since 1970.", seen_of}};

    for (size_t family = 0; family < sizeof(families) / sizeof(families[0]); family++) {
        metrics_family(text, families[family].name, "gauge", families[family].help);
        for (unsigned i = 0; i < metrics->replica_count; i++) {
            const struct metrics_replica *replica = metrics->replicas[i];

            metrics_sample(text, "", families[family].value(replica), "database",
                           replica->database->name, "instance", replica->instance, "region",
                           replica->region, NULL);
        }
    }
}

int metrics_render(struct metrics *metrics, const struct metrics_now *now, struct buffer *out,
                   struct error *error)
{
    struct metrics_text text = {.out = out};

    uv_mutex_lock(&metrics->mutex);
    tell_process(metrics, now, &text);
    tell_scans(now, &text);
    tell_streams(now, &text);
    tell_connections(metrics, &text);
    tell_databases(metrics, &text);
    tell_deeds(metrics, &text);
    tell_replicas(metrics, &text);
    uv_mutex_unlock(&metrics->mutex);
    return text.has_failed ? error_set(error, ERR_INTERNAL, "the metrics do not fit into memory")
                           : 0;
}

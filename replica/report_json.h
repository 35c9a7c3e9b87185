/*
 * report_json: the objects that --json prints on stdout, one for each command, each on a line of its own. docs/json.md describes them for
 * people, docs/json.schema.json for programs; a test holds both against what is printed.
 */
#ifndef LOCKSTEP_REPLICA_REPORT_JSON_H
#define LOCKSTEP_REPLICA_REPORT_JSON_H

#include <stdint.h>

#include "lockstore/lock.h"
#include "replica/report.h"

/* Of all objects: it grows where a field goes or changes its meaning. */
#define REPORT_JSON_VERSION 1

void report_json_error(const struct error *error);
void report_json_sync(const char *verb, const struct transfer_outcome *outcome);
void report_json_run(const struct run_summary *summary);
void report_json_status(const char *state, const struct transfer_outcome *outcome);
void report_json_digests(const struct transfer_outcome *outcome);
void report_json_resolution(const struct resolution *resolution);
void report_json_diff(const struct transfer_outcome *outcome);
void report_json_history(const struct transfer_outcome *outcome);
void report_json_holder(const struct lock_holder *holder);
void report_json_lease(uint64_t token, const uint8_t lease_id[LOCK_LEASE_ID_SIZE]);
void report_json_break(const struct lock_holder *former, uint64_t token);
void report_json_release(uint64_t token);
void report_json_doctor(const struct doctor_report *report);

#endif

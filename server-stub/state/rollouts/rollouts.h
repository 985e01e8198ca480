/* Rollouts in memory: found, started, stepped, written. */
#ifndef FLOTILLA_SERVER_STATE_ROLLOUTS_ROLLOUTS_H
#define FLOTILLA_SERVER_STATE_ROLLOUTS_ROLLOUTS_H

#include <flotilla/base.h>
#include <flotilla/proto.h>

#include "base/host/json.h"

#include "server-stub/core/member/member.h"
#include "server-stub/core/rollout/rollout.h"
#include "server-stub/core/spec/spec.h"
#include "server-stub/state/rollouts/words.h"
#include "server-stub/state/text_list.h"
#include "server-stub/store/fleet.h"

struct flo_controller;

#define FLO_ACCOUNT_TEXT 72

/* In memory: all that are under way, and some that ended, for reading and for
 * devices that come back late.  Fewer may be under way: a limit for those that
 * are started, and one that includes rollouts taken back after their end. */
#define FLO_ROLLOUTS_MAX 64
#define FLO_ROLLOUTS_STARTED_MAX 48
#define FLO_ROLLOUTS_ACTIVE_MAX 56

/* Who asks: the name that people see, and the account behind it.  A person has
 * one account for all tokens; a token of nobody is one of its own. */
struct flo_actor {
    const char *name;
    const char *account; /* "user:mira", "token:t-0001" */
};

struct flo_observe_study;
struct flo_rollout_own;
/* A rollout in memory: the core's struct and the facts that orders need. */
struct flo_rollout_entry {
    struct flo_rollout core;
    char group[FLO_NAME_MAX + 1];
    char model[FLO_NAME_MAX + 1];
    char version[FLO_NAME_MAX + 1];
    struct flo_digest release;
    uint64_t release_bytes;
    struct flo_spec wish;        /* its specification, read */
    uint64_t lift;               /* denials up to this number do not count */
    struct flo_rollout_own *own; /* what the room alone knows of it */
};

/* The labels of its members go with a study; none: they are not known now. */
FLO_MUST_USE int flo_rollouts_slices_ask(struct flo_controller *controller,
                                         struct flo_rollout_entry *entry,
                                         struct flo_observe_study *study, struct flo_err *err);
/* Names of the slices and probes of its answer.  *out, new: [2 x members], of
 * each member a bit for each row, and behind those of all a bit for each probe;
 * NULL: there is none. */
FLO_MUST_USE int flo_rollouts_slices_name(const struct flo_rollout_entry *entry,
                                          const struct flo_observe_study *study,
                                          struct flo_study_evidence *evidence, uint8_t **out,
                                          struct flo_err *err);
/* Read the labels of all members now, for a plan.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_rollouts_labels_read(struct flo_controller *controller,
                                          struct flo_rollout_entry *entry, struct flo_err *err);
/* `scans`: each label with its values, and what is left out; the same as a note
 * of each of `gates` that is scanned.  Nothing, while labels are not read. */
void flo_rollouts_show_scans(const struct flo_rollout_entry *entry, json_t *json);

/* The slices that were found, with their devices: new reference. */
FLO_MUST_USE int flo_rollouts_found_show(const struct flo_controller *controller,
                                         const struct flo_rollout_entry *entry, json_t **out,
                                         struct flo_err *err);
/* Slices that were found, by their end: a person looks at the first two. */
enum flo_found {
    FLO_FOUND_HELD,  /* devices there keep the release */
    FLO_FOUND_ASKED, /* likewise, and a person is asked */
    FLO_FOUND_BACK,  /* none of them does any more */
    FLO_FOUND_TOLD,
    FLO_FOUND_CHANGED, /* the site changed, not the release */
    FLO_FOUND_PROBED,
    FLO_FOUND_COUNT
};
void flo_rollouts_found_count(const struct flo_rollout_entry *entry,
                              size_t counts[FLO_FOUND_COUNT]);
/* All of them, without their devices: new reference. */
json_t *flo_rollouts_found_view(const struct flo_rollout_entry *entry);
/* The first slice that is held or went back, as a sentence; nothing: none is.
 */
void flo_rollouts_found_text(const struct flo_rollout_entry *entry, struct flo_buf *out);

/* Take the bytes of an execution's `detail` over to its member; NULL: nothing
 * was said. */
void flo_rollouts_carried(struct flo_rollout *rollout, const char *device, const json_t *detail);

struct flo_rollouts;
struct flo_update_counts;
extern const struct flo_transaction_part flo_rollouts_part;
/* None is in memory; NULL: no memory. */
struct flo_rollouts *flo_rollouts_new(void);
void flo_rollouts_free(struct flo_rollouts *rollouts);
size_t flo_rollouts_count(const struct flo_rollouts *rollouts);
/* Those in memory, the oldest first: `place` is below the count. */
struct flo_rollout_entry *flo_rollouts_at(const struct flo_rollouts *rollouts, size_t place);
/* Updates that ended since the start. */
const struct flo_update_counts *flo_rollouts_updates(const struct flo_rollouts *rollouts);
/* Facts for people that the next event brings along, written with its member:
 * JSON of an error and a detail, or NULL. */
void flo_rollouts_say(struct flo_rollouts *rollouts, const char *device, const char *error,
                      const char *detail);
/* ... no more; true: no member was written with them. */
bool flo_rollouts_unsay(struct flo_rollouts *rollouts);
/* Is evidence to be asked for, with no answer under way?  Then not again for
 * `pause_ms`. */
bool flo_rollouts_begin_evidence(struct flo_rollouts *rollouts, uint64_t now_ms, uint64_t pause_ms);
/* A question is under way (1), or was answered (-1). */
void flo_rollouts_count_evidence(struct flo_rollouts *rollouts, int change);

/* Read the store's rollouts that still matter. */
FLO_MUST_USE int flo_rollouts_load(struct flo_controller *controller, struct flo_err *err);
void flo_rollouts_forget(struct flo_controller *controller);
/* FLO_E_ROLLOUT_ABSENT. */
FLO_MUST_USE int flo_rollouts_find(struct flo_controller *controller, const char *id,
                                   struct flo_rollout_entry **out, struct flo_err *err);
/* FLO_E_FROZEN while the fleet is frozen: devices would take nothing up. */
FLO_MUST_USE int flo_rollouts_may_go_on(struct flo_controller *controller, struct flo_err *err);
/* From a POSTed body to a rollout: dry (a plan, nothing stored) or started. */
FLO_MUST_USE int flo_rollouts_create(struct flo_controller *controller, json_t *spec,
                                     const struct flo_actor *by, bool dry,
                                     struct flo_rollout_entry **out, struct flo_err *err);
/* Other words for one that was made: members of its specification; null takes
 * one out.  *out is the rollout as it would be asked, new, for
 * flo_rollouts_edit.  `names` holds FLO_SPEC_NAMES_MAX: what changes; empty:
 * nothing does.  Errors as flo_spec_merge and flo_spec_read. */
FLO_MUST_USE int flo_rollouts_read_edit(struct flo_controller *controller,
                                        const struct flo_rollout_entry *entry, const json_t *change,
                                        struct flo_rollout_entry **out, char *names,
                                        struct flo_err *err);
/* Change it so; the caller frees `wanted`.
 *
 * FLO_E_REST_MEANING: phases that began would change their devices.
 * FLO_E_ROLLOUT_APPROVAL: others agreed to the old words.
 * FLO_E_GATE_UNDECIDABLE as at its start. */
FLO_MUST_USE int flo_rollouts_edit(struct flo_controller *controller,
                                   struct flo_rollout_entry *entry,
                                   struct flo_rollout_entry *wanted, const char *by,
                                   const char *names, struct flo_err *err);
/* The word of another person: the last one that is needed begins it, or
 * schedules it.  FLO_E_ROLLOUT_APPROVER. */
FLO_MUST_USE int flo_rollouts_approve(struct flo_controller *controller,
                                      struct flo_rollout_entry *entry, const struct flo_actor *by,
                                      const char *note, struct flo_err *err);
/* FLO_E_CHANGE_FREEZE: one is on, *until_ms says for how long. */
FLO_MUST_USE int flo_rollouts_check_bars(struct flo_controller *controller,
                                         struct flo_rollout_entry *entry, uint64_t *until_ms,
                                         struct flo_err *err);
/* The release is published, there is room, and no rollout of its model and
 * group runs, but for one that is superseded.  FLO_E_ROLLOUT_RUNNING. */
FLO_MUST_USE int flo_rollouts_may_start(struct flo_controller *controller,
                                        const struct flo_rollout_entry *entry, struct flo_err *err);
/* The newest completed one of its model and group that is newer than it: what
 * went wrong in this one is over.  NULL: none. */
const struct flo_rollout_entry *flo_rollouts_follower(const struct flo_controller *controller,
                                                      const struct flo_rollout_entry *entry);
/* Neither approvals nor a time come before its begin. */
bool flo_rollouts_begins_now(const struct flo_rollout_entry *entry);
/* Before each tick: begin those whose time came, look at change freezes. */
FLO_MUST_USE int flo_rollouts_calendar(struct flo_controller *controller, struct flo_err *err);
void flo_rollouts_entry_free(struct flo_rollout_entry *entry);
/* Other releases of its model, which waiting devices may run: *count of them,
 * at most FLO_EVIDENCE_RELEASES_MAX, the newest. */
FLO_MUST_USE int flo_rollouts_others(struct flo_controller *controller,
                                     struct flo_rollout_entry *entry, struct flo_digest *out,
                                     size_t *count, struct flo_err *err);
/* A release of the model came: rollouts list its releases again. */
void flo_rollouts_release_added(struct flo_controller *controller, const char *model);
/* A step with its actions carried out. */
FLO_MUST_USE int flo_rollouts_step(struct flo_controller *controller,
                                   struct flo_rollout_entry *entry, struct flo_rollout_event event,
                                   struct flo_err *err);
/* The decisions and their reasons:
 * {"id","state","reason","created_at_ms","cut_bytes", "trace":[line,…]}; new
 * reference. */
json_t *flo_rollouts_explained(const struct flo_controller *controller,
                               const struct flo_rollout_entry *entry);
/* FLO_E_GATE_UNDECIDABLE: a gate can never decide with the members that there
 * are, and nobody said that a person will. */
FLO_MUST_USE int flo_rollouts_check_gates(struct flo_controller *controller,
                                          struct flo_rollout_entry *entry, struct flo_err *err);
/* A text of its core as people read it, with names of devices for their ids;
 * new reference. */
json_t *flo_rollouts_named(const struct flo_controller *controller,
                           const struct flo_rollout *rollout, const char *text, size_t chars);
/* The devices that keep the release of a rollout that is partly-back, and the
 * step that helps: `remaining`, `remedy`. */
void flo_rollouts_show_remaining(const struct flo_controller *controller,
                                 const struct flo_rollout_entry *entry, json_t *json);
/* Devices of it for people, `limit` at most: those that failed, those under
 * way, then the others, each by name, 2 before 10.  New reference. */
FLO_MUST_USE int flo_rollouts_show_first(struct flo_controller *controller,
                                         const struct flo_rollout_entry *entry, size_t limit,
                                         json_t **out, struct flo_err *err);
/* A page of them in the order of their ids. */
enum flo_members {
    FLO_MEMBERS_ALL,
    FLO_MEMBERS_FAILED,  /* also silent, and overdue */
    FLO_MEMBERS_NOT_DONE /* members that did not end well, or not yet */
};
struct flo_members_page {
    const char *after; /* the last id of the page before; "": the first page */
    size_t limit;
    enum flo_members which;
    const struct flo_selector *where; /* NULL: all; else no retired ones */
};
FLO_MUST_USE int flo_rollouts_show_page(struct flo_controller *controller,
                                        const struct flo_rollout_entry *entry,
                                        const struct flo_members_page *page, json_t **out,
                                        bool *has_more, struct flo_err *err);
/* Why members that are under way do not get on, as their devices say it:
 * `reason` of at most 200 of the views in `members`. */
FLO_MUST_USE int flo_rollouts_show_why(struct flo_controller *controller, const char *rollout,
                                       json_t *members, struct flo_err *err);
/* The same event to every rollout in memory that it can concern. */
FLO_MUST_USE int flo_rollouts_step_all(struct flo_controller *controller,
                                       struct flo_rollout_event event, struct flo_err *err);
/* Only to those that run. */
FLO_MUST_USE int flo_rollouts_step_running(struct flo_controller *controller,
                                           struct flo_rollout_event event, struct flo_err *err);
/* Why a device of its group is no member; of both only facts are read. */
enum flo_excuse flo_rollouts_excuse(const struct flo_rollout_entry *entry,
                                    const struct flo_select_device *device);
/* Something about a device changed: maintenance, pins, groups, or it came for
 * the first time.  Rollouts that it has not begun let it go where they must,
 * and it joins those that it belongs to. */
FLO_MUST_USE int flo_rollouts_reconsider(struct flo_controller *controller, const char *device,
                                         struct flo_err *err);
/* The labels of a device changed.  Its site and its zone are those of now, also
 * for a snapshot: limits and windows are about the place where it stands.  So
 * are its slices: it is compared there, and one that is held holds it. */
FLO_MUST_USE int flo_rollouts_relabelled(struct flo_controller *controller, const char *device,
                                         struct flo_err *err);
/* A device came to its groups. */
FLO_MUST_USE int flo_rollouts_join(struct flo_controller *controller, const char *device,
                                   struct flo_err *err);
/* A device reported: its zone, perhaps, which nobody knew. */
FLO_MUST_USE int flo_rollouts_reported(struct flo_controller *controller, const char *device,
                                       struct flo_err *err);
/* Members that ended well, and run another release by their report. */
void flo_rollouts_holders_reported(struct flo_controller *controller, const char *device);
/* Rows of members of large rollouts are made in slices: the next ones, in a
 * transaction of their own.  true: there are more. */
bool flo_rollouts_drafted_turn(struct flo_controller *controller);
/* How many members have one. */
size_t flo_rollouts_made(const struct flo_rollout_entry *entry);
/* Write the rows of rollouts that device events changed: once a transaction,
 * before its commit. */
FLO_MUST_USE int flo_rollouts_write(struct flo_controller *controller, struct flo_err *err);
bool flo_rollouts_any_active(const struct flo_controller *controller);

#endif

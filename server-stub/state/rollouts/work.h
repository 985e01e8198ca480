/* Rollouts in memory, and the work on one; not for others. */
#ifndef FLOTILLA_SERVER_STATE_ROLLOUTS_WORK_H
#define FLOTILLA_SERVER_STATE_ROLLOUTS_WORK_H

#include "server-stub/core/member/member.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/rollouts/rollouts.h"
#include "server-stub/state/rollouts/updates.h"

struct flo_rule_freeze;
struct flo_zone;

struct flo_rollout_labels;
/* A rollout's facts that no other room needs. */
struct flo_rollout_own {
    uint64_t removal;          /* number of the last one before it began; 0: none */
    struct flo_digest *others; /* other releases of the model, the newest of
                                  them; NULL: not listed yet; owned */
    size_t other_count;
    char by[65];                    /* who started it */
    char account[FLO_ACCOUNT_TEXT]; /* ... and the account */
    json_t *approvals;              /* [{"by","account","at_ms"}] */
    uint64_t rules_seen;            /* revision of the rules of the last look */
    uint64_t bars_at_ms;            /* look at change freezes, not before */
    /* Device events of this transaction are not in its row. */
    bool is_unwritten;
    bool is_drafted; /* some of its members have no row yet: drafted.c */
    size_t made;     /* up to this member all have one: a hint */
    json_t *spec;    /* as asked */
    /* Devices of its group that were no members at the start. */
    uint32_t excused[FLO_EXCUSE_COUNT];
    struct flo_text_list above; /* groups that outrank it: above.c */
    json_t *overlaps;           /* at its start; NULL: read from the store since */
    /* Evidence of the newest verdicts, in the order of the gates; null where
     * none came; NULL: none at all. */
    json_t *evidence;
    /* Words behind the numbers of members' places. */
    struct flo_word_set strata, values, zone_names;
    struct flo_zone *zones[FLO_ZONES_MAX]; /* NULL: not known here */
    uint64_t zones_at_ms;                  /* look at offsets, not before */
    /* Labels of its slices; NULL: not numbered. */
    struct flo_rollout_labels *labels;
    json_t *slices;       /* that were found: found.c; NULL: none */
    struct flo_buf trace; /* lines, the newest last: explain.c */
    uint64_t trace_cut;   /* bytes that fell out of it */
    uint64_t used;        /* uses when it was last looked for */
};
void flo_rollouts_labels_free(struct flo_rollout_labels *labels);

/* Facts for people that an event brings along, written with the member. */
struct flo_said {
    const char *device; /* NULL: nothing, or it is written */
    const char *error;
    const char *detail;
};

struct flo_rollouts {
    struct flo_rollout_entry *items[FLO_ROLLOUTS_MAX]; /* the oldest first */
    size_t count;
    uint64_t uses;
    bool has_changed;        /* in the present transaction */
    bool is_stale;           /* ... which was taken back */
    struct flo_said said;    /* by the device whose event is carried out */
    uint64_t evidence_at_ms; /* asked of the telemetry lane, not before */
    size_t evidence_asked;   /* answers that are under way */
    uint64_t turn_at_ms;     /* rows of members, not before */
    struct flo_update_counts updates;
};

/* drafted.c.  Members without a row become one text, if they are many: these
 * are dirty no more. */
FLO_MUST_USE int flo_rollouts_draft(struct flo_controller *controller,
                                    struct flo_rollout_entry *entry, struct flo_err *err);
/* Members of the text that have no row, after those that have one: `load` adds
 * each. */
typedef int (*flo_rollouts_load_fn)(void *context, const struct flo_rollout_member *member);
FLO_MUST_USE int flo_rollouts_drafted_read(struct flo_controller *controller,
                                           struct flo_rollout_entry *entry,
                                           flo_rollouts_load_fn load, void *context,
                                           struct flo_err *err);
/* rows.c.  The row of one member; of all that changed. */
FLO_MUST_USE int flo_rollouts_store_member(struct flo_controller *controller,
                                           struct flo_rollout_entry *entry, size_t index,
                                           struct flo_err *err);
FLO_MUST_USE int flo_rollouts_store_members(struct flo_controller *controller,
                                            struct flo_rollout_entry *entry, struct flo_err *err);
/* The device is no member any more. */
FLO_MUST_USE int flo_rollouts_forget_member(struct flo_controller *controller,
                                            struct flo_rollout_entry *entry, const char *device,
                                            struct flo_err *err);
/* The next rows of those that have none, `count` at most. */
FLO_MUST_USE int flo_rollouts_make_rows(struct flo_controller *controller,
                                        struct flo_rollout_entry *entry, size_t count,
                                        struct flo_err *err);
/* Room for as many members as there are devices, where all of them are asked
 * for: to grow step by step would move them. */
FLO_MUST_USE int flo_rollouts_reserve(struct flo_controller *controller,
                                      struct flo_rollout_entry *entry, struct flo_err *err);
/* Room for one member more. */
FLO_MUST_USE int flo_rollouts_grow(struct flo_rollout_entry *entry, struct flo_err *err);
/* Approvals that it needs: of its own wish, and by the rules of groups. */
FLO_MUST_USE int flo_rollouts_people_needed(struct flo_controller *controller,
                                            struct flo_rollout_entry *entry, uint32_t *out,
                                            struct flo_err *err);
/* The change freeze that lasts longest; *until_ms 0: none is on. */
FLO_MUST_USE int flo_rollouts_bar_of(struct flo_controller *controller,
                                     struct flo_rollout_entry *entry, uint64_t wall_ms,
                                     const struct flo_rule_freeze **which, uint64_t *until_ms,
                                     struct flo_err *err);
/* "change freeze audit until 2027-...". */
void flo_rollouts_bar_text(const struct flo_rule_freeze *freeze, uint64_t until_ms, char *out,
                           size_t bytes);
/* The one of its model and group that it supersedes; NULL: none. */
struct flo_rollout_entry *flo_rollouts_ended_by(const struct flo_controller *controller,
                                                const struct flo_rollout_entry *entry);
/* The number up to which denials do not count, as of now. */
FLO_MUST_USE int flo_rollouts_settle_lift(struct flo_controller *controller,
                                          struct flo_rollout_entry *entry, struct flo_err *err);
bool flo_rollouts_is_online(const struct flo_select_device *device);
/* Checksum of the label `site`; 0: there is none. */
uint32_t flo_rollouts_site(const struct flo_select_device *device);
/* The numbers of a device's labels and zone. */
void flo_rollouts_place(struct flo_rollout_entry *entry, const struct flo_select_device *device,
                        struct flo_rollout_place *out);
/* The same for all members, after loading. */
FLO_MUST_USE int flo_rollouts_place_all(struct flo_controller *controller,
                                        struct flo_rollout_entry *entry, struct flo_err *err);
/* The label that the phases of a preset cover: the one that was given, `site`,
 * or `hw`; none where members have at most one value of both. */
FLO_MUST_USE int flo_rollouts_choose_cover(struct flo_controller *controller,
                                           struct flo_rollout_entry *entry, struct flo_err *err);
/* Order the members over that label: they change buckets with each other. */
struct flo_rollout_cover {
    uint32_t hold_out; /* as given, or more: two of each larger value */
    uint32_t wave;     /* the first devices that bring each such value one */
};
FLO_MUST_USE int flo_rollouts_order_members(struct flo_rollout_entry *entry, uint32_t hold_out,
                                            struct flo_rollout_cover *out, struct flo_err *err);
/* Phases of a preset for so many members, new reference. */
json_t *flo_rollouts_preset_phases(const struct flo_study_rules *rules, uint32_t members,
                                   const struct flo_rollout_cover *cover);
/* Slices of its list that a device is of, a bit each, apart from those that go
 * on; all, when nobody knows the device. */
uint8_t flo_rollouts_slices_of(const struct flo_rollout_entry *entry,
                               const struct flo_select_device *device);
/* A member's labels changed: its place is that of now. */
void flo_rollouts_place_again(struct flo_controller *controller, struct flo_rollout_entry *entry,
                              const struct flo_select_device *device);
/* ... and its slices are read again. */
void flo_rollouts_slices_forget(struct flo_rollout_entry *entry, const char *device);
/* Clocks change: now and then before a step. */
void flo_rollouts_look_at_zones(struct flo_rollout_entry *entry);
void flo_rollouts_places_clear(struct flo_rollout_entry *entry);
/* Sign an order of the rollout for its buckets, or for single devices and
 * their desired (orders.c). */
FLO_MUST_USE int flo_rollouts_order(struct flo_controller *controller,
                                    struct flo_rollout_entry *entry,
                                    const struct flo_rollout_action *action, struct flo_err *err);
FLO_MUST_USE int flo_rollouts_order_each(struct flo_controller *controller,
                                         struct flo_rollout_entry *entry,
                                         const struct flo_rollout_action *action,
                                         struct flo_err *err);
/* The newest order of a phase for all of its devices whose clocks are as this
 * member's; signed when there is none, or when its number is below `held`. */
FLO_MUST_USE int flo_rollouts_order_for(struct flo_controller *controller,
                                        struct flo_rollout_entry *entry, enum flo_order_op op,
                                        uint32_t phase, const struct flo_rollout_member *member,
                                        uint64_t held, char *id, struct flo_err *err);
/* A member that an action is about, and whose desired it may write. */
struct flo_rollouts_meant {
    size_t index;
    uint64_t held; /* number of the order that its desired holds, where that is
                      about the model; else 0 */
    bool is_left_out;
};
/* All of them in the order of their ids; *out is new, for free(). */
FLO_MUST_USE int flo_rollouts_meant(struct flo_controller *controller,
                                    const struct flo_rollout_entry *entry,
                                    const struct flo_rollout_action *action,
                                    struct flo_rollouts_meant **out, size_t *count,
                                    struct flo_err *err);
/* Keep and log a step and its reasons. */
void flo_rollouts_explain(struct flo_rollout_entry *entry, const struct flo_rollout_event *event,
                          const struct flo_rollout_actions *actions);
/* A text of its core with names of devices for their ids (named.c). */
void flo_rollouts_name(const struct flo_controller *controller, const struct flo_rollout *rollout,
                       const char *text, size_t chars, struct flo_buf *out);
/* FLO_E_REST_LIMIT: so many rollouts have members without a row that a new one
 * has to wait.  One that is there may always go back. */
FLO_MUST_USE int flo_rollouts_check_drafted(const struct flo_controller *controller,
                                            struct flo_err *err);
/* FLO_E_REST_LIMIT: `max` rollouts are under way. */
FLO_MUST_USE int flo_rollouts_check_room(const struct flo_controller *controller, size_t max,
                                         struct flo_err *err);
/* After loading: as their newest reports say. */
void flo_rollouts_holders_read(struct flo_controller *controller, struct flo_rollout_entry *entry);
/* Takes the entry, also when it fails. */
FLO_MUST_USE int flo_rollouts_keep(struct flo_controller *controller,
                                   struct flo_rollout_entry *entry, struct flo_err *err);
FLO_MUST_USE int flo_rollouts_put(struct flo_controller *controller,
                                  const struct flo_rollout_entry *entry, struct flo_err *err);
/* From a specification to a draft without members.  Takes `spec` when it
 * succeeds. */
FLO_MUST_USE int flo_rollouts_read_spec(struct flo_controller *controller, json_t *spec,
                                        struct flo_rollout_entry **out, struct flo_err *err);
/* Older rollouts of the same model that still hold devices of this one:
 * [{"rollout","release","state","devices"}], and "ends" true for the one that
 * it aborts; new reference. */
json_t *flo_rollouts_overlaps(const struct flo_controller *controller,
                              const struct flo_rollout_entry *entry);
/* Which groups outrank it for its model: into entry->own->above (above.c). */
FLO_MUST_USE int flo_rollouts_look_above(struct flo_controller *controller,
                                         struct flo_rollout_entry *entry, struct flo_err *err);
bool flo_rollouts_is_outranked(const struct flo_rollout_entry *entry,
                               const struct flo_select_device *device);
/* Ids of rollouts, the one with the most say last (claims.c). */
FLO_MUST_USE int flo_rollouts_sort(struct flo_controller *controller, struct flo_text_list *ids,
                                   struct flo_err *err);
/* The device holds an order of a rollout that has less say than one of these,
 * sorted as above: it is ordered once more. */
FLO_MUST_USE int flo_rollouts_return(struct flo_controller *controller,
                                     const struct flo_text_list *ids, const char *device,
                                     struct flo_err *err);
/* Was the model taken away from its group since it began? */
FLO_MUST_USE int flo_rollouts_is_taken_away(struct flo_controller *controller,
                                            const struct flo_rollout_entry *entry, bool *out,
                                            struct flo_err *err);
/* An order of its own for a member of a completed rollout. */
FLO_MUST_USE int flo_rollouts_order_again(struct flo_controller *controller,
                                          struct flo_rollout_entry *entry, const char *device,
                                          struct flo_err *err);
/* A device as this rollout sees it. */
FLO_MUST_USE int flo_rollouts_look(struct flo_controller *controller,
                                   struct flo_rollout_entry *entry, const char *device,
                                   enum flo_excuse *excuse, bool *is_in_group, struct flo_err *err);
/* The device's desired says nothing of the rollout any more. */
FLO_MUST_USE int flo_rollouts_forget_order(struct flo_controller *controller,
                                           const struct flo_rollout_entry *entry,
                                           const char *device, struct flo_err *err);
/* They let those go that have not begun; the one that it may end is aborted. */
FLO_MUST_USE int flo_rollouts_supersede(struct flo_controller *controller,
                                        const struct flo_rollout_entry *entry, struct flo_err *err);
/* Carry out one action of a step: orders, desired documents, rows, audit. */
FLO_MUST_USE int flo_rollouts_carry_out(struct flo_controller *controller,
                                        struct flo_rollout_entry *entry,
                                        const struct flo_rollout_event *event,
                                        const struct flo_rollout_action *action,
                                        struct flo_err *err);
/* split.c: what the release's document says of a share of another model's
 * requests.  FLO_E_REST_MEANING: an experiment without anything to compare
 * with. */
FLO_MUST_USE int flo_rollouts_settle_split(struct flo_controller *controller,
                                           struct flo_rollout_entry *entry, struct flo_err *err);
/* The standard gates and phases, and the members' segments: when all have
 * joined, before it starts. */
FLO_MUST_USE int flo_rollouts_settle(struct flo_controller *controller,
                                     struct flo_rollout_entry *entry, struct flo_err *err);
FLO_MUST_USE int flo_rollouts_segment(struct flo_controller *controller,
                                      struct flo_rollout_entry *entry, struct flo_err *err);
/* Hardware class by the device's profile: FLO_HARDWARE_TEXT bytes. */
void flo_rollouts_hardware(const struct flo_select_device *device, char *out);
/* The segment of a device that joins later. */
FLO_MUST_USE int flo_rollouts_segment_late(struct flo_controller *controller,
                                           struct flo_rollout_entry *entry, const char *device,
                                           uint8_t *out, struct flo_err *err);
/* Slices of a rollout that are held, by their names: new reference (view.c). */
json_t *flo_object_slices(const struct flo_rollout *core, enum flo_slice_hold as);
/* The study as it is kept with its rollout, new reference; NULL: none. */
json_t *flo_rollouts_study_json(const struct flo_rollout *core);
void flo_rollouts_study_read(struct flo_rollout *core, const json_t *json);
/* Store an evaluation, and audit the verdicts that changed. */
FLO_MUST_USE int flo_rollouts_record(struct flo_controller *controller,
                                     struct flo_rollout_entry *entry,
                                     const struct flo_rollout_study *of, struct flo_err *err);
/* The slices of a new record; and those that were stored, new reference. */
void flo_rollouts_found_keep(const struct flo_controller *controller,
                             struct flo_rollout_entry *entry, const json_t *record);
json_t *flo_rollouts_found_read(const json_t *stored);
/* The name of a device, or its id: new reference. */
json_t *flo_rollouts_device_name(const struct flo_controller *controller, const char *device);
/* The rollout whose order this is; "" for one of none. */
FLO_MUST_USE int flo_rollouts_of_order(struct flo_controller *controller, const char *order,
                                       char *rollout, struct flo_err *err);

#endif

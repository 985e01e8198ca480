/* The device: configuration, clock, persistent records. */
#ifndef FLOTILLA_AGENT_DEVICE_DEVICE_H
#define FLOTILLA_AGENT_DEVICE_DEVICE_H

#include "agent/shell/shell.h"

/* config.c */
/* The default place of a device's configuration. */
#define FLO_CONFIG_PATH "/etc/flotilla/agent.yaml"
/* The `state_dir` of the file at `path` (NULL: FLO_CONFIG_PATH), nothing else.
 */
FLO_MUST_USE int flo_settings_folder(const char *path, char out[4096], struct flo_err *err);
/* Where the agent of this configuration serves its local API, for a command of
 * any user: "unix:PATH" or HOST:PORT, and the file of its token (empty: none is
 * named).  A socket goes before a port. */
struct flo_settings_door {
    char address[4200];
    char token_file[4096];
};
FLO_MUST_USE int flo_settings_find_door(const char *path, const char *state_dir,
                                        struct flo_settings_door *out, struct flo_err *err);
/* Without a path and a state_dir FLO_CONFIG_PATH is read.
 * The process goes on as the owner of state_dir: see flo_process_as_owner. */
FLO_MUST_USE int flo_settings_load(const char *path, const char *state_dir,
                                   struct flo_settings *out, struct flo_err *err);
void flo_settings_deinit(struct flo_settings *settings);

/* wishes.c: `models` and `tokens` of the configuration.  FLO_E_CFG_KEY,
 * FLO_E_CFG_TYPE, FLO_E_CFG_RANGE, and a token file's errors. */
/* After the wishes.  FLO_E_CFG_TYPE, FLO_E_CFG_RANGE. */
FLO_MUST_USE int flo_pipelines_read(struct flo_settings *settings, struct flo_err *err);
FLO_MUST_USE int flo_wishes_read(struct flo_settings *settings, struct flo_err *err);
/* NULL: nothing is said about the model. */
const struct flo_model_wish *flo_wish_of(const struct flo_settings *settings, const char *model);

/* profile.c */
void flo_machine_look(const struct flo_settings *settings, struct flo_machine *out);
uint64_t flo_machine_memory_free(void);
/* The tightest memory.max of the control groups that we are in; 0: none. */
#define FLO_CGROUP "/sys/fs/cgroup"
/* Hottest zone in m°C; false: the machine has none. */
#define FLO_THERMAL "/sys/class/thermal"
bool flo_machine_temperature(const char *folder, int64_t *out);
/* The machine's "bench". */
json_t *flo_machine_bench_json(const struct flo_bench *bench);
/* The profile object of reported, enrolment and updater jobs; settings NULL:
 * without runtimes. */
json_t *flo_machine_json(const struct flo_settings *settings, const struct flo_machine *machine,
                         uint64_t disk_free_bytes);

/* note.c */
void flo_shell_note(struct flo_shell *shell, const char *type, const struct flo_err *err);
/* A disk or the memory does not take what the device is told.  The first error
 * of its kind is a note (true); report, status and doctor have it until a
 * heartbeat finds that records are taken again (run.c). */
bool flo_shell_degrade(struct flo_shell *shell, const struct flo_err *err);
/* An error of flo_trouble_is_read(): an engine, or a load (`is_whole`), was not
 * given the bytes of its files. */
void flo_shell_unread(struct flo_shell *shell, const struct flo_err *err, bool is_whole);
/* Does the disk take a record now? */
bool flo_shell_writes(struct flo_shell *shell);
/* clock.c: what time it is taken to be. */
/* Was it set since the last call?  Orders that it refused may hold now. */
bool flo_shell_clock_was_set(struct flo_shell *shell);
void flo_shell_clock_look(const struct flo_shell *shell, struct flo_agent_time *out);
/* The time now: the clock's, or the trusted time if that is later. */
uint64_t flo_shell_clock_ms(const struct flo_shell *shell);
/* The same for people, where each moment counts once: a clock that was found
 * late goes on from the time that it should have said. */
uint64_t flo_shell_clock_told_ms(const struct flo_shell *shell);
/* An order that was verified and is taken says that it is that late.  true: the
 * device record has changed. */
bool flo_shell_clock_claim(struct flo_shell *shell, uint64_t at_ms);
/* At the start, before each connection, and when one stands: TLS gets the
 * trusted time, and gives the dates of its peer's certificate. */
void flo_shell_clock_start(struct flo_shell *shell);
void flo_shell_clock_tell(const struct flo_shell *shell);
void flo_shell_clock_peer(struct flo_shell *shell);

/* persist.c */
/* The trusted keys changed, or the record was read: compare the two. */
void flo_shell_trust_hold(struct flo_shell *shell);
/* Read the device record; a damaged one is replaced by an empty one.  A record
 * that cannot be read may say more than is known here.  It is not written over,
 * no order is taken, and updates wait as in a freeze. */
FLO_MUST_USE int flo_shell_device_read(struct flo_shell *shell, struct flo_err *err);
/* Freezes of another fleet than this one (value "fleet") end, now or when the
 * record is read.  This fleet's controller sends its own again. */
void flo_shell_device_move(struct flo_shell *shell);
void flo_shell_device_write(struct flo_shell *shell);
/* The same, for callers that must know whether it is on the disk. */
FLO_MUST_USE int flo_shell_device_keep(struct flo_shell *shell, struct flo_err *err);
/* Write the model's record where it has changed; a failed write is tried
 * again. */
void flo_shell_model_write(struct flo_shell *shell, uint32_t model);
/* The same for all records. */
void flo_shell_records_write(struct flo_shell *shell);
/* The place of a model here; FLO_NO_MODEL: it has none. */
uint32_t flo_shell_model(const struct flo_shell *shell, const char *name);
/* The model's place, or a free one that is the model's from then on.
 * FLO_E_TARGET_LIMIT: no place is free. */
FLO_MUST_USE int flo_shell_model_take(struct flo_shell *shell, const char *name, uint32_t *out,
                                      struct flo_err *err);
/* The one that an operator means.  An empty name: the only one that has
 * something here, or place 0.  FLO_E_ABSENT, FLO_E_USAGE. */
FLO_MUST_USE int flo_shell_model_asked(const struct flo_shell *shell, const char *name,
                                       uint32_t *out, struct flo_err *err);
/* Nothing of the model is here any more. */
void flo_shell_model_free(struct flo_shell *shell, uint32_t model);
/* The record of a model: in its place, or `shell->other`, good until the next
 * call. */
FLO_MUST_USE int flo_shell_record(struct flo_shell *shell, const char *name, struct flo_slots **out,
                                  struct flo_err *err);
/* Write such a record.  With too many models, the one with the oldest statement
 * is forgotten. */
FLO_MUST_USE int flo_shell_record_keep(struct flo_shell *shell, struct flo_slots *record,
                                       struct flo_err *err);
/* The outcome of the newest statement about the model. */
void flo_shell_stated_end(struct flo_shell *shell, uint32_t model,
                          const struct flo_agent_execution *execution);
void flo_shell_stated_acked(struct flo_shell *shell, uint32_t model, const char *order,
                            const char *word);

/* denials.c */
void flo_shell_deny(struct flo_shell *shell, const struct flo_agent_action *action);
/* Why this release may not run here; code 0: it may. */
void flo_shell_refusal(const struct flo_trust *trust, const struct flo_slots *slots,
                       const struct flo_digest *release, uint64_t number,
                       struct flo_agent_error *out);
/* A person at the device is newer than any order so far; but a fault stays. */
void flo_shell_allow_by_hand(struct flo_shell *shell, uint32_t model,
                             const struct flo_digest *release);
/* Is the envelope of this release still signed by a trusted key? FLO_E_SIG_...,
 * FLO_E_TARGET_REVOKED, FLO_E_TRUST_NUMBER (the statement was lost). */
FLO_MUST_USE int flo_shell_check_signature(const struct flo_shell *shell,
                                           const struct flo_digest *release, struct flo_err *err);
/* Tell that the list of denials is full: releases of low numbers are denied as
 * one. */
void flo_shell_tell_folded(struct flo_shell *shell, const struct flo_slots *slots);

/* A part of `hang`, and at least so long: how long a helper may stand still.  A
 * machine on which engines get much time is a slow one. */
uint64_t flo_shell_hang_part_ms(const struct flo_shell *shell, uint64_t parts, uint64_t least_ms);

#endif

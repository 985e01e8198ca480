/* Device: reads the configuration, and keeps the clock and the stored records
 * of this device. */
#ifndef FLOTILLA_AGENT_DEVICE_DEVICE_H
#define FLOTILLA_AGENT_DEVICE_DEVICE_H

#include "agent/shell/shell.h"

/* config.c */
/* Default path of the device's configuration. */
#define FLO_CONFIG_PATH "/etc/flotilla/agent.yaml"
/* Reads only `state_dir` from the file at `path` (NULL: FLO_CONFIG_PATH). */
FLO_MUST_USE int flo_settings_folder(const char *path, char out[4096], struct flo_err *err);
/* Address of the agent's local API, for a command of any user: "unix:PATH" or
 * HOST:PORT.  If both are configured, the socket is given.  `token_file` is
 * empty where none is named. */
struct flo_settings_door {
    char address[4200];
    char token_file[4096];
};
FLO_MUST_USE int flo_settings_find_door(const char *path, const char *state_dir,
                                        struct flo_settings_door *out, struct flo_err *err);
/* Loads the configuration.  FLO_CONFIG_PATH is read where neither a path nor a
 * state_dir is given.  The process continues as the owner of state_dir: see
 * flo_process_as_owner. */
FLO_MUST_USE int flo_settings_load(const char *path, const char *state_dir,
                                   struct flo_settings *out, struct flo_err *err);
void flo_settings_deinit(struct flo_settings *settings);

/* specs.c: reads `models` and `tokens` of the configuration.  FLO_E_CFG_KEY,
 * FLO_E_CFG_TYPE, FLO_E_CFG_RANGE, and the errors of a token file. */
/* To be called after flo_specs_read().  FLO_E_CFG_TYPE, FLO_E_CFG_RANGE. */
FLO_MUST_USE int flo_pipelines_read(struct flo_settings *settings, struct flo_err *err);
FLO_MUST_USE int flo_specs_read(struct flo_settings *settings, struct flo_err *err);
/* Returns the options of a model; NULL: the configuration has none. */
const struct flo_model_spec *flo_spec_of(const struct flo_settings *settings, const char *model);

/* profile.c */
void flo_machine_look(const struct flo_settings *settings, struct flo_machine *out);
uint64_t flo_machine_memory_free(void);
/* Reads the smallest memory.max of this process's control groups; 0: there is
 * no limit. */
#define FLO_CGROUP "/sys/fs/cgroup"
/* Reads the temperature of the hottest zone in m°C; false: the machine has no
 * sensor. */
#define FLO_THERMAL "/sys/class/thermal"
bool flo_machine_temperature(const char *folder, int64_t *out);
/* The machine's "bench". */
json_t *flo_machine_bench_json(const struct flo_bench *bench);
/* Makes the machine's profile, as in the reported document, the enrolment and
 * updater jobs. settings NULL: without runtimes. */
json_t *flo_machine_json(const struct flo_settings *settings, const struct flo_machine *machine,
                         uint64_t disk_free_bytes);

/* note.c */
void flo_shell_note(struct flo_shell *shell, const char *type, const struct flo_err *err);
/* Notes that the disk or the memory cannot keep what the controller sends.
 * true: this error is the first of its kind, and an event is sent.  Report,
 * status and doctor show the error until a heartbeat finds that records can be
 * written again. */
bool flo_shell_degrade(struct flo_shell *shell, const struct flo_err *err);
/* Notes a read error, as of flo_trouble_is_read(): the disk did not give the
 * bytes of a file to an engine or, with `is_whole`, to a load. */
void flo_shell_unread(struct flo_shell *shell, const struct flo_err *err, bool is_whole);
/* Tests whether the disk takes a record now. */
bool flo_shell_writes(struct flo_shell *shell);
/* The functions of clock.c keep the time that the device uses. */
/* Tests whether the clock was set since the last call.  Orders that were
 * refused because of the time may be valid now. */
bool flo_shell_clock_was_set(struct flo_shell *shell);
void flo_shell_clock_look(const struct flo_shell *shell, struct flo_agent_time *out);
/* Returns the time now: that of the clock, or the trusted time if that is
 * later. */
uint64_t flo_shell_clock_ms(const struct flo_shell *shell);
/* Returns the time for people.  It does not stand still at the trusted time: a
 * clock that is late is corrected by a fixed offset. */
uint64_t flo_shell_clock_told_ms(const struct flo_shell *shell);
/* Takes the time of a verified order as proof that it is at least that late.
 * true: the device record has changed. */
bool flo_shell_clock_claim(struct flo_shell *shell, uint64_t at_ms);
/* Called at the start, before each connection, and once connected: TLS gets the
 * trusted time, and reports the dates of its peer's certificate. */
void flo_shell_clock_start(struct flo_shell *shell);
void flo_shell_clock_tell(const struct flo_shell *shell);
void flo_shell_clock_peer(struct flo_shell *shell);

/* persist.c */
/* Compares the trusted keys with the device record.  To be called when either
 * was read or has changed. */
void flo_shell_trust_hold(struct flo_shell *shell);
/* Reads the device record; a damaged one is replaced by an empty one.
 *
 * A record that cannot be read may hold more than is known here.  It is not
 * overwritten, no order is taken, and updates wait as in a freeze. */
FLO_MUST_USE int flo_shell_device_read(struct flo_shell *shell, struct flo_err *err);
/* Ends the freezes of a former fleet, now or when the record is read.  The
 * value "fleet" names the present one, whose controller sends its own freezes
 * again. */
void flo_shell_device_move(struct flo_shell *shell);
void flo_shell_device_write(struct flo_shell *shell);
/* Writes the device record, for callers that must know whether it is on the
 * disk. */
FLO_MUST_USE int flo_shell_device_keep(struct flo_shell *shell, struct flo_err *err);
/* Writes the model's record if it has changed; a failed write is tried again.
 */
void flo_shell_model_write(struct flo_shell *shell, uint32_t model);
/* Writes all records that have changed. */
void flo_shell_records_write(struct flo_shell *shell);
/* Returns the index of a model in shell->models; FLO_NO_MODEL: not there. */
uint32_t flo_shell_model(const struct flo_shell *shell, const char *name);
/* Returns the model's place, or assigns a free one to it.  FLO_E_TARGET_LIMIT:
 * no place is free. */
FLO_MUST_USE int flo_shell_model_take(struct flo_shell *shell, const char *name, uint32_t *out,
                                      struct flo_err *err);
/* Finds the model that an operator names.  An empty name: the only model that
 * has something on the device, or place 0.  FLO_E_ABSENT, FLO_E_USAGE. */
FLO_MUST_USE int flo_shell_model_asked(const struct flo_shell *shell, const char *name,
                                       uint32_t *out, struct flo_err *err);
/* Frees the place of a model that has nothing on the device any more. */
void flo_shell_model_free(struct flo_shell *shell, uint32_t model);
/* Finds the record of a model: in its place, or read into `shell->other`, where
 * it is valid until the next call. */
FLO_MUST_USE int flo_shell_record(struct flo_shell *shell, const char *name, struct flo_slots **out,
                                  struct flo_err *err);
/* Writes a record from flo_shell_record().  With too many models, the record
 * with the oldest statement is removed. */
FLO_MUST_USE int flo_shell_record_keep(struct flo_shell *shell, struct flo_slots *record,
                                       struct flo_err *err);
/* Records how the newest order about the model ended. */
void flo_shell_stated_end(struct flo_shell *shell, uint32_t model,
                          const struct flo_agent_execution *execution);
void flo_shell_stated_acked(struct flo_shell *shell, uint32_t model, const char *order,
                            const char *word);

/* denials.c */
void flo_shell_deny(struct flo_shell *shell, const struct flo_agent_action *action);
/* Gives the reason why this release may not run here; code 0: it may run. */
void flo_shell_refusal(const struct flo_trust *trust, const struct flo_slots *slots,
                       const struct flo_digest *release, uint64_t number,
                       struct flo_agent_error *out);
/* Lifts the blocks of a release that a person at the device installs, as a
 * newer decision than any order.  A block after a fault stays. */
void flo_shell_allow_by_hand(struct flo_shell *shell, uint32_t model,
                             const struct flo_digest *release);
/* Verifies that a trusted key still signs the envelope of this release.
 * FLO_E_SIG_..., FLO_E_TARGET_REVOKED, FLO_E_TRUST_NUMBER (the statement was
 * lost). */
FLO_MUST_USE int flo_shell_check_signature(const struct flo_shell *shell,
                                           const struct flo_digest *release, struct flo_err *err);
/* Reports that the list of blocked releases is full: the lowest release numbers
 * are now blocked as one range. */
void flo_shell_tell_folded(struct flo_shell *shell, const struct flo_slots *slots);

/* Returns the time for which a helper may make no progress: `hang` divided by
 * `parts`, at least `least_ms`.  A slow machine has a longer `hang`, configured
 * for its engines. */
uint64_t flo_shell_hang_part_ms(const struct flo_shell *shell, uint64_t parts, uint64_t least_ms);

#endif

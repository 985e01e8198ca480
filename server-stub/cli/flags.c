/* The flags of each command, as one table to read. */
#include "server-stub/cli/flags.h"

#define FLAGS(name) const struct flo_flag flo_flags_##name[]
#define END                                                                    \
    {                                                                          \
        NULL, NULL, NULL                                                       \
    }

FLAGS(login) = {{"name", "CONTEXT", "remember it under this name"}, END};
FLAGS(context_view) = {END};
FLAGS(device_list) = {{"group", "G", "members of a group only"},
                      {"state", "online|offline", "connected or not"},
                      END};
FLAGS(device_get) = {{"timeline", NULL, "what happened, oldest first"}, END};
FLAGS(device_delete) = {END};
FLAGS(model_import) = {END};
FLAGS(release_list) = {END};
FLAGS(release_get) = {END};
FLAGS(release_create) = {
    {"model-file", "GGUF", "the model"},
    {"golden", "JSON",
     "golden prompts that are there (docs/reference/golden.md)"},
    {"prompts", "TEXT",
     "else: make them of these, one a line (default: a built-in set)"},
    {"skip-play", NULL, "sign --golden though nobody played it (drills)"},
    {"sign-with", "KEY", "private key file of a publisher"},
    {"delta-from", "A,B",
     "bases of deltas; auto (the two newest), none; memory: 5 x the model"},
    {"label", "TEXT", "a word for people"},
    {"license", "SPDX", "the model's licence"},
    {"context", "N", "tokens of context on the device"},
    {"memory", "BYTES", "memory that the model needs"},
    {"speed-ratio", "R", "most ms/token against the running release"},
    {"skip-scan", NULL, "do not look for NaN (drills: devices refuse it)"},
    {"publish", NULL, "publish at once"},
    {"to", "DIR", "keep document and artifacts here"},
    END};
FLAGS(release_sign) = {{"key", "KEY", "private key file"},
                       {"to", "FILE", "where the signed document goes"},
                       END};
FLAGS(release_publish) = {END};
FLAGS(release_yank) = {{"reason", "TEXT", "why, for the audit"}, END};
FLAGS(release_unyank) = {{"reason", "TEXT", "why, for the audit"}, END};
FLAGS(rollout_list) = {END};
FLAGS(rollout_get) = {END};
FLAGS(rollout_start) = {
    {"group", "G", "devices of this group (all)"},
    {"phase", "N|N%",
     "devices or share up to here; several times (1 1% 10% 100%)"},
    {"soak", "DURATION", "time a device serves on trial (15m)"},
    {"soak-requests", "N",
     "answers it must give on trial (vectors do not count)"},
    {"on-fail", "halt|rollback|pause",
     "when a gate fails (halt: who failed goes back; rollback: all do)"},
    {"max-failed", "PERCENT", "of the devices may fail, beyond chance (2)"},
    {"silence", "DURATION",
     "a device silent with the release counts as failed after (1h)"},
    {"starts-per-s", "N", "devices told in a second (20)"},
    {"rate", "BYTES", "download bytes per second and device"},
    {"probe-timeout", "DURATION", "for all golden prompts (60s)"},
    {"reason", "TEXT", "why, for the audit"},
    {"below-floor", NULL, "though devices ran a newer release before"},
    {"lift", NULL, "also where it was too slow, too large or taken back"},
    {"dry-run", NULL, "show the plan, change nothing"},
    {"wait", NULL, "wait for its end (or until --timeout)"},
    END};
FLAGS(rollout_watch) = {END};
FLAGS(rollout_wait) = {{"for", "STATE", "the state to wait for (completed)"},
                       END};
FLAGS(rollout_pause) = {END};
FLAGS(rollout_resume) = {END};
FLAGS(rollout_promote) = {END};
FLAGS(rollout_abort) = {END};
FLAGS(rollout_rollback) = {
    {"release", "MODEL@VERSION", "take this release back everywhere"},
    {"everywhere", NULL, "with --release: in the whole fleet"},
    {"group", "G", "with --release: in this group only"},
    {"device", "D", "with --release: on this device only"},
    {"to", "MODEL@VERSION",
     "with --release: go to this one; who does not keep it downloads it"},
    {"yank", NULL, "nobody takes the release again (standard: --everywhere)"},
    {"keep", NULL, "it may be rolled out again (standard: --group, --device)"},
    {"dry-run", NULL, "with --release: show the plan, change nothing"},
    {"reason", "TEXT", "why, for the audit"},
    {"wait", NULL, "wait until every online device is back"},
    END};
FLAGS(rollout_freeze) = {{"reason", "TEXT", "why, for the audit"}, END};
FLAGS(rollout_unfreeze) = {{"reason", "TEXT", "why, for the audit"}, END};
FLAGS(order_list) = {END};
FLAGS(order_get) = {END};
FLAGS(order_wait) = {END};
FLAGS(telemetry_query) = {
    {"by", "release|hardware|device", "one series for each"},
    {"since", "DURATION", "how far back (10m)"},
    {"step", "DURATION", "width of a point (10s; 5m by device)"},
    END};
FLAGS(token_create) = {{"kind", "enroll|access", "for devices or people"},
                       {"group", "G", "devices land in this group"},
                       {"role", "viewer|operator|releaser|admin", "of people"},
                       {"name", "NAME", "whose it is"},
                       {"uses", "N", "devices that may enrol with it (1)"},
                       {"ttl", "DURATION", "valid for (24h)"},
                       {"to", "FILE", "write the secret there, mode 0600"},
                       END};
FLAGS(token_list) = {END};
FLAGS(token_delete) = {END};
FLAGS(key_create) = {{"to", "DIR", "folder of NAME.key and NAME.pub (.)"}, END};
FLAGS(key_trust) = {END};
FLAGS(bundle_create) = {{"to", "FILE", "the bundle"},
                        {"compress", NULL, "tar.zst instead of tar"},
                        END};
FLAGS(audit_list) = {{"limit", "N", "records, the newest first (50)"},
                     {"all", NULL, "every record, the oldest first"},
                     END};
FLAGS(audit_verify) = {END};
FLAGS(explain) = {END};
FLAGS(version) = {END};

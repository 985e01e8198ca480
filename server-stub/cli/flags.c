/* Flags: the flags of each command, in one table. */
#include "server-stub/cli/cli.h"

#define FLAGS(name) const struct flo_flag flo_flags_##name[]
#define END FLO_FLAGS_END

/* Flags that several commands have in common. */
#define FLAG(name, value, help, ...)                                                               \
    {                                                                                              \
        name, value, help, FLO_ASKED, __VA_ARGS__                                                  \
    }
#define OPTIONAL .is_needed = false
#define NEEDED .is_needed = true
#define REASON FLAG("reason", "TEXT", "why, for the audit", OPTIONAL)
#define SELECTOR FLAG("selector", "SELECTOR", "the same", .letter = 'l')
#define HELD FLAG("from", "FILE", "what devices hold now (else the controller is asked)", OPTIONAL)
#define WATCH                                                                                      \
    FLAG("watch", NULL, "show it again when something changes, until Ctrl-C; json: a line each",   \
         .letter = 'w')
#define DRAFT FLAG("to", "DRAFT", "the draft; one without signatures is gone on with", NEEDED)
#define GATES                                                                                      \
    FLAG("gate", "METRIC[,MEMBER=VALUE]…",                                                         \
         "compare updated with waiting devices, as ttft_us,margin=1.3; repeatable", OPTIONAL),     \
        FLAG("max-failed", "PERCENT", "of the devices may fail, beyond chance (2)", OPTIONAL),     \
        FLAG("silence", "DURATION",                                                                \
             "a device silent with the release counts as failed after (1h)", OPTIONAL)
#define EMERGENCY                                                                                  \
    FLAG("key", "KEY", "private emergency key file", NEEDED),                                      \
        FLAG("to", "FILE", "the orders; others in it that still hold stay", NEEDED), HELD,         \
        FLAG("group", "G", "members of this group only", OPTIONAL),                                \
        FLAG("device", "ID", "this device only, by its id", OPTIONAL),                             \
        FLAG("ttl", "DURATION", "devices take it for so long (72h)", OPTIONAL),                    \
        FLAG("publish", NULL, "the controller carries it", OPTIONAL)
#define TAKEN_BACK                                                                                 \
    FLAG("model", "M", "the model", NEEDED),                                                       \
        FLAG("release", "DIGEST|MODEL@VERSION", "a release that is meant (repeatable)", NEEDED)

const struct flo_flag flo_global_flags[] = {
    {"output", "table|wide|json|jsonl|yaml|csv|name",
     "how answers are printed; wide and csv: all columns", FLO_ASKED, .letter = 'o'},
    {"json", NULL, "the same as --output json", FLO_ASKED},
    {"fields", "NAME,…", "these fields alone, as name,serving.version", FLO_ASKED},
    {"sort", "NAME,…", "order of a list, -NAME: downward", FLO_ASKED},
    {"color", "auto|always|never", "colours (auto: on a terminal, unless NO_COLOR is set)",
     FLO_ASKED},
    {"ascii", NULL, "no symbols in tables and views (data stays as it is)", FLO_ASKED},
    {"verbose", NULL, "each request and its answer's status on stderr", FLO_ASKED, .letter = 'v'},
    {"debug-http", NULL, "the same with headers and sizes, without bodies and secrets", FLO_ASKED},
    {"controller", "URL", "use this controller", FLO_ASKED},
    {"token-file", "FILE", "use the token in this file", FLO_ASKED},
    {"ca", "FILE", "trust this authority alone (its pki/ca.pem)", FLO_ASKED},
    {"fingerprint", "HEX", "trust the authority with this SHA-256, as the controller prints it",
     FLO_ASKED},
    {"context", "NAME", "use this remembered controller", FLO_ASKED},
    {"confirm", "NAME", "the typed name, for scripts", FLO_ASKED},
    {"timeout", "DURATION", "give up waiting after so long", FLO_ASKED},
    {"quiet", NULL, "no progress on stderr", FLO_ASKED, .letter = 'q'},
    {"no-headers", NULL, "no head line in tables", FLO_ASKED},
    END};

FLAGS(login) = {
    {"name", "CONTEXT", "remember it under this name", FLO_ASKED},
    {"token", NULL, "ask for a token, also where an identity provider is", FLO_ASKED},
    {"port", "N", "port of 127.0.0.1 to which the browser comes back (a free one)", FLO_ASKED},
    END};
FLAGS(logout) = {END};
FLAGS(context_view) = {END};
FLAGS(device_list) = {
    {"group", "G", "members of a group only", FLO_ASKED},
    {"state", "online|offline", "connected or not", FLO_ASKED},
    {"model", "M", "that have this model; its row alone", FLO_ASKED},
    {"where", "SELECTOR",
     "which devices, as 'hw=rpi5 and last_seen<10m' (docs/reference/fields.md)", FLO_ASKED},
    {"selector", "SELECTOR", "the same; both given: both must fit", FLO_ASKED, .letter = 'l'},
    {"sort", "FIELD,…", "order by fields or labels, -FIELD: downward (by name)", FLO_ASKED},
    {"limit", "N", "at most so many, and the cursor of the next", FLO_ASKED},
    {"cursor", "CURSOR", "behind the last one of the page before", FLO_ASKED},
    WATCH,
    END};
#define FIT                                                                                        \
    {"speed", "N", "a release fits if it generates so many tokens/s (5)", FLO_ASKED},              \
        {"right", "PERCENT", "and so many golden answers are right (95)", FLO_ASKED},              \
    {                                                                                              \
        "page", "FILE", "the results as an HTML page with pictures", FLO_ASKED                     \
    }
FLAGS(device_benchmark) = {
    {"release", "MODEL@VERSION", "what is measured (the release that serves)", FLO_ASKED},
    {"model", "M", "what serves of this model, on devices with several", FLO_ASKED},
    {"for", "DURATION", "the benchmark ends after this time at the latest (5m)", FLO_ASKED},
    {"no-wait", NULL, "only send the orders; `device benchmarks` shows the results", FLO_ASKED},
    FIT,
    REASON,
    END};
FLAGS(device_benchmarks) = {{"model", "M", "of this model only", FLO_ASKED}, FIT, END};
FLAGS(device_label) = {
    {"where", "SELECTOR", "all devices that fit", FLO_ASKED},
    SELECTOR,
    {"file", "CSV", "a column `name` and one for each label; - takes a label away", FLO_ASKED},
    {"dry-run", NULL, "show what would change, change nothing", FLO_ASKED},
    END};
FLAGS(device_set) = {{"name", "NAME", "its new name", FLO_ASKED},
                     {"note", "TEXT", "for people; an empty one takes it away", FLO_ASKED},
                     {"maintenance", "on|off|WHY", "it takes no rollout meanwhile", FLO_ASKED},
                     {"pin", "MODEL@VERSION", "it stays at this release (repeatable)", FLO_ASKED},
                     {"unpin", "MODEL", "it follows its groups again (repeatable)", FLO_ASKED},
                     END};
FLAGS(device_pin) = {{"where", "SELECTOR", "all devices that fit", FLO_ASKED}, END};
FLAGS(device_unpin) = {{"where", "SELECTOR", "all devices that fit", FLO_ASKED}, END};
FLAGS(device_get) = {{"profile", NULL, "its hardware, speed, runtimes and power", FLO_ASKED},
                     {"timeline", NULL, "what happened, oldest first", FLO_ASKED},
                     END};
FLAGS(device_delete) = {END};
FLAGS(device_replace) = {REASON, END};
FLAGS(device_split) = {
    {"keep", "MACHINE", "it keeps the identity: its boot, address or host", FLO_ASKED},
    REASON,
    END};
FLAGS(group_create) = {
    {"where", "SELECTOR", "whoever fits is a member (docs/reference/fields.md)", FLO_ASKED},
    SELECTOR,
    {"priority", "N", "where two groups disagree the higher wins (100)", FLO_ASKED},
    {"note", "TEXT", "for people", FLO_ASKED},
    REASON,
    END};
FLAGS(claim_import) = {END};
FLAGS(group_get) = {END};
FLAGS(group_set) = {{"where", "SELECTOR", "the new selector of a group that has one", FLO_ASKED},
                    SELECTOR,
                    {"priority", "N", "where two groups disagree the higher wins", FLO_ASKED},
                    {"note", "TEXT", "for people; an empty one takes it away", FLO_ASKED},
                    REASON,
                    END};
FLAGS(group_add) = {{"where", "SELECTOR", "all devices that fit now", FLO_ASKED},
                    SELECTOR,
                    {"file", "CSV", "a column `name`; -: standard input", FLO_ASKED},
                    {"dry-run", NULL, "say how many would, change nothing", FLO_ASKED},
                    REASON,
                    END};
FLAGS(group_remove) = {{"where", "SELECTOR", "all devices that fit now", FLO_ASKED},
                       SELECTOR,
                       {"file", "CSV", "a column `name`; -: standard input", FLO_ASKED},
                       {"dry-run", NULL, "say how many would, change nothing", FLO_ASKED},
                       REASON,
                       END};
FLAGS(group_delete) = {REASON, END};
FLAGS(model_import) = {END};
FLAGS(model_build) = {
    {"work", "DIR",
     "folder of the results; the same command goes on there (the file's name with .work)",
     FLO_ASKED},
    {"dry-run", NULL, "show the steps and which results are there, change nothing", FLO_ASKED},
    END};
FLAGS(model_remove) = {{"everywhere", NULL, "in the whole fleet", FLO_ASKED},
                       {"group", "G", "in this group only", FLO_ASKED},
                       {"device", "D", "on this device only", FLO_ASKED},
                       {"keep-files", NULL, "its files stay until the disk is short", FLO_ASKED},
                       {"dry-run", NULL, "show the plan, change nothing", FLO_ASKED},
                       REASON,
                       {"wait", NULL, "wait until every online device answered", FLO_ASKED},
                       END};
FLAGS(release_list) = {{"model", "M", "of this model only", FLO_ASKED}, WATCH, END};
FLAGS(release_get) = {END};
FLAGS(release_create) = {
    {"model-file", "GGUF", "the model; or its folder from Hugging Face", FLO_ASKED},
    {"type", "TYPE", "of a folder's weights: q4_k_m, q8_0 (default: as the folder has them)",
     FLO_ASKED},
    {"calibrate", "TEXT|builtin", "weigh errors by this text (flotilla-model quantize)", FLO_ASKED},
    {"fit", "SIZE", "choose types by tensor, for a file of at most this size", FLO_ASKED},
    {"loss", "PERCENT", "choose few bytes that raise the perplexity by at most this", FLO_ASKED},
    {"suite", "SUITE", "cases for the table of --fit and --loss", FLO_ASKED},
    {"page", "FILE", "that table as an HTML page with pictures", FLO_ASKED},
    {"golden", "JSON", "golden prompts that are there (docs/reference/golden.md)", FLO_ASKED},
    {"prompts", "TEXT", "else: make them of these, one a line (default: a built-in set)",
     FLO_ASKED},
    {"skip-play", NULL, "sign --golden though nobody played it (drills), or without golden prompts",
     FLO_ASKED},
    {"accept-inexact", NULL,
     "play or make them also with a model that llama.cpp's version is known to compute wrongly",
     FLO_ASKED},
    {"sign-with", "KEY", "private key file of a publisher", FLO_ASKED},
    {"delta-from", "A,B", "bases of deltas; auto (the two newest, the most used), none", FLO_ASKED},
#define FLO_RELEASE_TEXT(name, bytes, value, meaning) {#name, value, meaning, FLO_ASKED},
#include "proto/release.def"
    {"allow-licence", "LIST", "licences that the models may have, as SPDX ids: apache-2.0,mit",
     FLO_ASKED},
    {"context", "N", "tokens of context on the device", FLO_ASKED},
    {"memory", "BYTES", "memory that the model needs", FLO_ASKED},
    {"speed-ratio", "R", "most ms/token against the running release", FLO_ASKED},
    {"file", "NAME=PATH[:ROLE]",
     "one more file: tokenizer, config, asset (default), golden; repeated", FLO_ASKED},
    {"draft", "FILE",
     "guesses next tokens, for faster answers: a table of flotilla-model draft, or a smaller GGUF",
     FLO_ASKED},
    {"base", "MODEL@VERSION", "release whose model the adapter is for", FLO_ASKED},
    {"adapter", "FILE[:SCALE]", "LoRA adapter as GGUF, in place of a model", FLO_ASKED},
    {"runtime", "NAME",
     "program of the device that serves it (native); auto[:NAME]: GPU, engine or NAME (llamacpp)",
     FLO_ASKED},
    {"entry", "FILE", "the file that is served, by its name in the release", FLO_ASKED},
    {"variant", "NAME=FILE,FILE", "files of a variant, the best one first", FLO_ASKED},
    {"needs", "[VARIANT:]KEY=VALUE", "runtime"
#define FLO_RELEASE_WORDS(name, meaning) " " #name
#define FLO_RELEASE_NEED(name, type, most, key, meaning) " " key
#include "proto/release.def"
     ,
     FLO_ASKED},
    {"serve", "KEY=VALUE",
     "context sessions cache system (or @FILE), or sampling as "
     "temperature_ppm=200000",
     FLO_ASKED},
    {"split-of", "MODEL=N%",
     "so many of 100 requests for another model go to this release, which "
     "stands next to it",
     FLO_ASKED},
    {"floor", "NUMBER", "after it no release below this number", FLO_ASKED},
    {"skip-scan", NULL, "do not look for NaN (drills: devices refuse it)", FLO_ASKED},
    {"publish", NULL, "publish at once", FLO_ASKED},
    {"to", "DIR", "keep document and artifacts here", FLO_ASKED},
    END};
FLAGS(release_sign) = {
    {"key", "KEY", "private key file", FLO_ASKED, .is_needed = true},
    {"to", "FILE", "where the signed document goes", FLO_ASKED, .is_needed = true},
    END};
FLAGS(release_resign) = {{"key", "KEY", "private key file", FLO_ASKED, .is_needed = true}, END};
FLAGS(release_publish) = {END};
FLAGS(release_yank) = {REASON, END};
FLAGS(release_unyank) = {REASON, END};
FLAGS(release_collect) = {
    {"dry-run", NULL, "show what would go, change nothing", FLO_ASKED}, REASON, END};
FLAGS(rollout_list) = {{"model", "M", "of this model only", FLO_ASKED},
                       {"limit", "N", "so many (56)", FLO_ASKED},
                       {"all", NULL, "each there ever was", FLO_ASKED},
                       WATCH,
                       END};
FLAGS(rollout_get) = {{"output", "table|wide|json|jsonl|yaml|csv|name",
                       "how it is printed; yaml: as a file for `rollout start -f`", FLO_ASKED,
                       .letter = 'o'},
                      END};
FLAGS(rollout_explain) = {
    {"devices", NULL, "where it is worse: each label=value that was found, with its devices",
     FLO_ASKED},
    {"all", NULL, "the steps of each device, and what was ignored", FLO_ASKED},
    END};
FLAGS(rollout_init) = {{"group", "G", "devices of this group (all)", FLO_ASKED}, END};
FLAGS(rollout_start) = {
    {"file", "FILE", "rollout.yaml (-: standard input); flags overrule it", FLO_ASKED,
     .letter = 'f'},
    {"phase", "N|N%[,MEMBER=VALUE]…",
     "devices or share up to here, as 10%,soak=2h; several times (1 1% 10% "
     "100%)",
     FLO_ASKED},
#define FLO_SPEC_FLAG(part, name, kind, member, least, most, standard, possible, flag, value,      \
                      meaning, change)                                                             \
    {flag, value, meaning, FLO_ASKED},
#include "server-stub/core/spec/spec.def"
    {"soak-requests", "N", "answers it must give on trial (vectors do not count)", FLO_ASKED},
    GATES,
    {"rate", "BYTES", "download bytes per second and device", FLO_ASKED},
    {"wait-for", "WORDS", "devices wait for: mains,cool,idle,unmetered", FLO_ASKED},
    {"urgent", NULL, "devices wait for nothing, a low battery included", FLO_ASKED},
    {"probe-timeout", "DURATION", "for all golden prompts (60s)", FLO_ASKED},
    {"dry-run", NULL, "show the plan, change nothing", FLO_ASKED},
    {"wait", NULL, "wait for its end (or until --timeout)", FLO_ASKED},
    END};
FLAGS(rollout_edit) = {{"file", "FILE",
                        "a rollout.yaml, whole if it names its release, else members of one (-: "
                        "standard input); flags overrule it",
                        FLO_ASKED, .letter = 'f'},
                       {"phase", "N|N%[,MEMBER=VALUE]…",
                        "all phases again; those that began keep their devices", FLO_ASKED},
#define IF_EDIT(flag, value, meaning) {flag, value, meaning, FLO_ASKED},
#define IF_FIXED(flag, value, meaning)
#define FLO_SPEC_FLAG(part, name, kind, member, least, most, standard, possible, flag, value,      \
                      meaning, change)                                                             \
    IF_##change(flag, value, meaning)
#include "server-stub/core/spec/spec.def"
                       GATES,
                       REASON,
                       {"dry-run", NULL, "show what would change, change nothing", FLO_ASKED},
                       END};
FLAGS(experiment_start) = {
    {"file", "FILE", "rollout.yaml (-: standard input); flags overrule it", FLO_ASKED,
     .letter = 'f'},
    {"share", "N|N%",
     "devices or share of the group that get it (50%, all for a release made "
     "with --split-of)",
     FLO_ASKED},
#define FLO_SPEC_FLAG(part, name, kind, member, least, most, standard, possible, flag, value,      \
                      meaning, change)                                                             \
    {flag, value, meaning, FLO_ASKED},
#include "server-stub/core/spec/spec.def"
    {"dry-run", NULL, "show the plan, change nothing", FLO_ASKED},
    END};
FLAGS(experiment_list) = {END};
FLAGS(experiment_get) = {END};
FLAGS(experiment_promote) = {END};
FLAGS(experiment_stop) = {
    REASON, {"wait", NULL, "wait until every online device is back", FLO_ASKED}, END};
FLAGS(rollout_watch) = {END};
FLAGS(rollout_wait) = {{"for", "STATE", "the state to wait for (completed)", FLO_ASKED}, END};
FLAGS(rollout_approve) = {REASON, END};
FLAGS(rollout_pause) = {END};
FLAGS(rollout_resume) = {END};
FLAGS(rollout_promote) = {
    {"slice", "LABEL=VALUE", "goes on at this slice, which waits for a person", FLO_ASKED}, END};
FLAGS(rollout_abort) = {END};
FLAGS(rollout_rollback) = {
    {"slice", "LABEL=VALUE", "take it back at this slice alone, which waits for a person",
     FLO_ASKED},
    {"release", "MODEL@VERSION", "take this release back everywhere", FLO_ASKED},
    {"everywhere", NULL, "with --release: in the whole fleet", FLO_ASKED},
    {"group", "G", "with --release: in this group only", FLO_ASKED},
    {"device", "D", "with --release: on this device only", FLO_ASKED},
    {"to", "MODEL@VERSION", "with --release: go to this one; who does not keep it downloads it",
     FLO_ASKED},
    {"yank", NULL, "nobody takes the release again (standard: --everywhere)", FLO_ASKED},
    {"keep", NULL, "it may be rolled out again (standard: --group, --device)", FLO_ASKED},
    {"dry-run", NULL, "show the plan, change nothing", FLO_ASKED},
    REASON,
    {"wait", NULL, "wait until every online device is back", FLO_ASKED},
    END};
FLAGS(rollout_freeze) = {REASON, END};
FLAGS(rollout_unfreeze) = {REASON, END};
FLAGS(prompts_stay) = {REASON, END};
FLAGS(prompts_go) = {REASON, END};
FLAGS(order_list) = {{"limit", "N", "so many (50)", FLO_ASKED},
                     {"all", NULL, "each there ever was", FLO_ASKED},
                     WATCH,
                     END};
FLAGS(order_get) = {END};
FLAGS(order_report) = {END};
FLAGS(order_wait) = {END};
FLAGS(telemetry_query) = {
    {"by", "release|model|variant|hardware|device", "one series for each", FLO_ASKED},
    {"model", "M",
     "of this model alone; without it `hardware` and `device` count all models "
     "together",
     FLO_ASKED},
    {"since", "DURATION", "how far back (10m)", FLO_ASKED},
    {"step", "DURATION", "width of a point (10s; 5m by device)", FLO_ASKED},
    END};
FLAGS(telemetry_away) = {
    {"by", "release|model|variant|hardware|device", "one row for each", FLO_ASKED},
    {"model", "M", "of this model alone", FLO_ASKED},
    {"since", "DURATION", "how far back (10m)", FLO_ASKED},
    END};
FLAGS(token_create) = {{"kind", "enroll|access", "for devices or people", FLO_ASKED},
                       {"group", "G", "devices land in this group", FLO_ASKED},
                       {"role", "ROLE[:GROUP],…",
                        "viewer, operator, releaser, admin, auditor; operator:G for one group",
                        FLO_ASKED},
                       {"user", "USER", "whose it is; it has that role, or --role", FLO_ASKED},
                       {"name", "NAME", "a word for people", FLO_ASKED},
                       {"uses", "N", "devices that may enrol with it (1)", FLO_ASKED},
                       {"ttl", "DURATION", "valid for (24h)", FLO_ASKED},
                       {"to", "FILE", "write the secret there, mode 0600", FLO_ASKED},
                       END};
FLAGS(user_get) = {END};
FLAGS(user_create) = {
    {"role", "ROLE[:GROUP],…", "viewer (standard), operator, releaser, admin, auditor", FLO_ASKED},
    END};
FLAGS(user_set) = {{"role", "ROLE[:GROUP],…", "the new role; tokens that may more go", FLO_ASKED},
                   {"disable", NULL, "refuse it and delete its tokens", FLO_ASKED},
                   {"enable", NULL, "take it again", FLO_ASKED},
                   END};
FLAGS(key_create) = {{"to", "DIR", "folder of NAME.key and NAME.pub (.)", FLO_ASKED}, END};
FLAGS(key_trust) = {
    {"root", "ROOT.key", "the root key (root.key in FILE's folder)", FLO_ASKED},
    {"sign-with", "KEY", "the publisher whom devices of an older fleet know (FILE.key)", FLO_ASKED},
    END};
FLAGS(key_move) = {{"to", "DIR", "where it goes: a stick", FLO_ASKED, .is_needed = true}, END};
FLAGS(key_list) = {HELD, END};
FLAGS(key_rotate) = {DRAFT,
                     HELD,
                     {"old", "KEYID", "the key that goes (the only one of that role)", FLO_ASKED},
                     {"keep", NULL, "the old key stays next to the new one for now", FLO_ASKED},
                     {"threshold", "M", "so many root keys sign each later statement", FLO_ASKED},
                     END};
FLAGS(key_revoke) = {DRAFT,
                     HELD,
                     {"floor", "MODEL=NUMBER",
                      "releases of a model below this number never run again (repeatable)",
                      FLO_ASKED},
                     END};
FLAGS(trust_require) = {DRAFT, HELD, END};
FLAGS(trust_init) = {
    DRAFT,
    HELD,
    {"root", "FILE.pub", "a root key; its private half is kept offline", FLO_ASKED,
     .is_needed = true},
    {"threshold", "M", "so many root keys sign each later statement (1)", FLO_ASKED},
    {"release", "FILE.pub", "one more key that signs releases (repeatable)", FLO_ASKED},
    {"emergency", "FILE.pub",
     "a key that freezes and takes back without the controller (repeatable)", FLO_ASKED},
    {"authority", "FILE", "certificate of a CA that devices trust (repeatable)", FLO_ASKED},
    END};
FLAGS(trust_show) = {HELD, END};
FLAGS(trust_sign) = {{"key", "ROOT.key", "private key file", FLO_ASKED, .is_needed = true}, END};
FLAGS(trust_verify) = {HELD, END};
FLAGS(trust_publish) = {END};
FLAGS(trust_status) = {END};
FLAGS(emergency_freeze) = {EMERGENCY, END};
FLAGS(emergency_unfreeze) = {EMERGENCY, END};
FLAGS(emergency_prompts) = {EMERGENCY, END};
FLAGS(emergency_rollback) = {
    TAKEN_BACK,
    {"back-to", "DIGEST|MODEL@VERSION", "go to this one (previous)", FLO_ASKED},
    {"reason", "TEXT", "why, in the order", FLO_ASKED},
    EMERGENCY,
    END};
FLAGS(emergency_allow) = {TAKEN_BACK, EMERGENCY, END};
FLAGS(emergency_account) = {
    {"to", "DIR", "folder of account.key, account.pem, ca.pem", FLO_ASKED, .is_needed = true}, END};
FLAGS(ca_status) = {END};
FLAGS(ca_rotate) = {END};
FLAGS(ca_retire) = {END};
FLAGS(ca_show) = {{"revoked", NULL, "the list of revoked certificates instead", FLO_ASKED}, END};
FLAGS(bundle_create) = {
    {"to", "FILE", "the bundle", FLO_ASKED, .is_needed = true},
    {"variant", "NAME", "the files of this variant alone", FLO_ASKED},
    {"without", "FILE", "not this file: devices have it (repeatable)", FLO_ASKED},
    {"compress", NULL, "tar.zst instead of tar", FLO_ASKED},
    {"days", "N", "devices refuse it after so many days (30); 0: of any age", FLO_ASKED},
    END};
FLAGS(alert_list) = {{"all", NULL, "also those that are over, for seven days", FLO_ASKED}, END};
FLAGS(alert_silence) = {{"for", "DURATION", "so long, up to 30d (2h)", FLO_ASKED},
                        {"end", NULL, "it tells again", FLO_ASKED},
                        {"reason", "TEXT", "why, for others", FLO_ASKED, .is_needed = true},
                        END};
FLAGS(webhook_deliveries) = {
    {"limit", "N", "at most so many (50)", FLO_ASKED}, {"all", NULL, "every one", FLO_ASKED}, END};
FLAGS(audit_list) = {{"limit", "N", "records, the newest first (50)", FLO_ASKED},
                     {"all", NULL, "every record, the oldest first", FLO_ASKED},
                     WATCH,
                     END};
FLAGS(audit_verify) = {{"witness", "FILE",
                        "compare with what was kept: lines of audit.head, an older answer, a "
                        "device's `status -o json`",
                        FLO_ASKED},
                       END};
FLAGS(controller_list) = {END};
FLAGS(controller_admit) = {END};
FLAGS(controller_dismiss) = {END};
FLAGS(doctor) = {END};
FLAGS(top) = {{"once", NULL, "print it once, also on a terminal: for scripts", FLO_ASKED}, END};
FLAGS(completion) = {END};
FLAGS(explain) = {END};
FLAGS(version) = {END};

/* Flags of the plain verbs, from plain.def. */
#define FLO_PLAIN_NOUN(...)
#define FLO_PLAIN_SOME(...)
#define FLO_PLAIN_LIST(function, ...) FLAGS(function) = {END};
#define FLO_PLAIN_CALL(function, ...) FLAGS(function) = {
#define FLO_PLAIN_ASK FLO_PLAIN_CALL
#define FLO_PLAIN_TEXT(flag, value, help) {flag, value, help, FLO_ASKED},
#define FLO_PLAIN_NEEDED(flag, value, help) {flag, value, help, FLO_ASKED, .is_needed = true},
#define FLO_PLAIN_WORD(member)
#define FLO_PLAIN_SWITCH(flag, member, help) {flag, NULL, help, FLO_ASKED},
#define FLO_PLAIN_COUNT(flag, min, max, standard, help) {flag, "N", help, FLO_ASKED},
#define FLO_PLAIN_SHARE(flag, member, value, help) {flag, value, help, FLO_ASKED},
#define FLO_PLAIN_SPAN(flag, member, help) {flag, "DURATION", help, FLO_ASKED},
#define FLO_PLAIN_TIME(flag, member, help) {flag, "TIME", help, FLO_ASKED},
#define FLO_PLAIN_FROM(flag, member, other, help)                                                  \
    {flag, "TIME", help, FLO_ASKED, .is_needed = true, .unless = other},
#define FLO_PLAIN_PAIRS(flag, help) {flag, "LABEL=VALUE", help, FLO_ASKED},
#define FLO_PLAIN_VALUES
#define FLO_PLAIN_END                                                                              \
    END                                                                                            \
    }                                                                                              \
    ;
#include "server-stub/cli/plain/plain.def"

/* Doctor: checks every link from this machine to the devices, and prints what
 * to do. */
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <flotilla/plural.h>

#include "base/host/crypto.h"
#include "server-stub/cli/live/live.h"

#define SKEW_MS 5000
#define DAY_MS (UINT64_C(24) * 3600 * 1000)
#define SOON_MS (7 * DAY_MS)
#define SLOW_MS 1000
#define DISK_BYTES (UINT64_C(1) << 30)

enum level { GOOD, ODD, BAD };

struct doctor {
    struct flo_cli *cli;
    json_t *findings;
    json_t *version, *ready;
    uint64_t took_ms;
    int exit; /* exit code of the command, by the first failed check */
};

/* Prints the result of a check.  `next` is the command or step that helps; ""
 * if all is well. */
static void tell(struct doctor *doctor, enum level level, const char *check, const char *next,
                 const char *format, ...) FLO_PRINTF(5, 6);

static void tell(struct doctor *doctor, enum level level, const char *check, const char *next,
                 const char *format, ...)
{
    static const char *const words[] = {"ok", "warning", "failed"};
    char found[320];
    va_list args;

    va_start(args, format);
    vsnprintf(found, sizeof(found), format, args);
    va_end(args);
    json_array_append_new(doctor->findings, json_pack("{s:s,s:s,s:s,s:s}", "level", words[level],
                                                      "check", check, "found", found, "do", next));
    if (level == BAD && doctor->exit == 0) {
        doctor->exit = FLO_EXIT_OTHER;
    }
}

/* Reports a failed call as the result of a check. */
static void tell_error(struct doctor *doctor, const char *check, const struct flo_err *err)
{
    tell(doctor, BAD, check, err->fix[0] != '\0' ? err->fix : flo_error_fix(err->code), "%s: %s",
         flo_error_id(err->code), err->what);
    if (doctor->exit <= FLO_EXIT_OTHER) {
        doctor->exit = (int)flo_error_exit(err->code);
    }
}

/* ---- checks ---- */

static void check_login(struct doctor *doctor)
{
    const struct flo_cli *cli = doctor->cli;
    const char *known = cli->fingerprint[0] != '\0' ? "a fingerprint"
                        : cli->ca_file[0] != '\0'   ? cli->ca_file
                                                    : "the system's CAs";

    if (strncmp(cli->controller, "https:", 6) == 0) {
        tell(doctor, GOOD, "login", "", "%s, known by %s", cli->controller, known);
    } else {
        tell(doctor, GOOD, "login", "", "%s, on this machine", cli->controller);
    }
}

static bool check_controller(struct doctor *doctor)
{
    struct flo_err err = {0};
    uint64_t begin = flo_now_ms();

    if (flo_api_get(doctor->cli, "/v1/version", &doctor->version, &err) < 0) {
        tell_error(doctor, "controller", &err);
        return false;
    }
    doctor->took_ms = flo_now_ms() - begin;
    const char *version = flo_out_text(doctor->version, "version", "?");
    const char *slow = "look at the load of the controller's machine and at "
                       "/metrics";
    tell(doctor, doctor->took_ms > SLOW_MS ? ODD : GOOD, "controller",
         doctor->took_ms > SLOW_MS ? slow : "", "%s, fleet %s, %llu ms", version,
         flo_out_text(doctor->version, "fleet", "?"), (unsigned long long)doctor->took_ms);
    if (strcmp(version, FLO_VERSION) != 0) {
        tell(doctor, ODD, "version", "install the same version when you can",
             "this command is %s, the controller %s", FLO_VERSION, version);
    }
    return true;
}

static void check_clock(struct doctor *doctor)
{
    uint64_t there = flo_out_u64(doctor->version, "now_ms");
    uint64_t here = flo_wall_ms() - doctor->took_ms / 2;
    uint64_t skew = there > here ? there - here : here - there;

    if (there == 0) {
        return; /* an older controller */
    }
    if (skew > SKEW_MS + doctor->took_ms) {
        tell(doctor, ODD, "clock",
             "timedatectl on both machines: certificates and orders have "
             "times",
             "%.1f s %s the controller's", (double)skew / 1000,
             there > here ? "behind" : "ahead of");
    } else {
        tell(doctor, GOOD, "clock", "", "%.1f s from the controller's", (double)skew / 1000);
    }
}

static bool check_token(struct doctor *doctor)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *me = NULL;
    struct flo_err err = {0};
    char left[32];

    if (flo_api_get(doctor->cli, "/v1/me", &me, &err) < 0) {
        tell_error(doctor, "token", &err);
        return false;
    }
    uint64_t ends = flo_out_u64(me, "expires_at_ms");
    uint64_t now = flo_wall_ms();
    flo_out_ms(ends > now ? ends - now : 0, left);
    bool is_soon = ends > 0 && ends < now + SOON_MS;
    tell(doctor, is_soon ? ODD : GOOD, "token",
         is_soon ? "flotilla token create --kind access --ttl 90d --to FILE, "
                   "then flotilla login"
                 : "",
         "%s, role %s, %s%s", flo_out_text(me, "name", "?"), flo_out_text(me, "role", "?"),
         ends > 0 ? "valid for " : "no end", ends > 0 ? left : "");
    return true;
}

static void check_ready(struct doctor *doctor)
{
    struct flo_err err = {0};

    if (flo_api_read(doctor->cli, "/readyz", &doctor->ready, &err) < 0) {
        tell_error(doctor, "ready", &err);
        return;
    }
    const json_t *ready = doctor->ready;
    const char *database = flo_out_text(ready, "database", "ok");
    if (strcmp(database, "ok") != 0) {
        tell(doctor, BAD, "database",
             "nothing is stored: docs/runbook.md, the controller's machine", "it fails: %s",
             database);
    }
    if (strcmp(flo_out_text(ready, "clock", "ok"), "ok") != 0) {
        tell(doctor, BAD, "clock", "set it, or if it is right: flotilla clock confirm YYYY-MM-DD",
             "the controller's clock has leapt, and it signs nothing");
    }
    bool is_up = json_is_true(json_object_get(ready, "broker"));
    tell(doctor, is_up ? GOOD : BAD, "broker",
         is_up ? "" : "the controller's log names the cause (docs/runbook.md)",
         is_up ? "connected, %llu device%s online" : "not connected%.0llu%.0s",
         (unsigned long long)flo_out_u64(ready, "devices_online"),
         flo_s(flo_out_u64(ready, "devices_online")));
    uint64_t unproved = flo_out_u64(ready, "devices_unproved");
    tell(doctor, unproved > 0 ? ODD : GOOD, "proofs",
         unproved > 0 ? "newer agents there, then --unproved refuse "
                        "(docs/install.md, Upgrade)"
                      : "",
         unproved > 0 ? "%llu device%s never proved a message"
                      : "all devices prove their messages%.0llu%.0s",
         (unsigned long long)unproved, flo_s(unproved));
    const char *lane = flo_out_text(ready, "telemetry.state", "?");
    bool is_ok = strcmp(lane, "ok") == 0;
    tell(doctor, is_ok ? GOOD : ODD, "telemetry",
         is_ok ? "" : "fewer reports: a longer heartbeat (docs/runbook.md)",
         "%s, %llu windows left out", lane,
         (unsigned long long)flo_out_u64(ready, "telemetry.shed"));
    if (strcmp(flo_out_text(ready, "blobs", "ok"), "failing") == 0) {
        tell(doctor, BAD, "blobs", "the controller's log names the cause (--blobs-store)",
             "the store of artifacts takes or gives none");
    }
    const char *listeners = flo_out_text(ready, "listeners", "ok");
    bool has_room = strcmp(listeners, "ok") == 0;
    tell(doctor, has_room ? GOOD : BAD, "listeners",
         has_room ? "" : "docs/runbook.md, A listener is full",
         has_room ? "room for clients%.0s" : "clients were refused: %s", listeners);
    if (!json_is_true(json_object_get(ready, "audit_ok"))) {
        tell(doctor, BAD, "audit", "flotilla audit verify",
             "records differ from their signed heads");
    }
}

static void check_disk(struct doctor *doctor)
{
    const json_t *free = flo_out_at(doctor->ready, "disk_free_bytes");
    uint64_t bytes = flo_out_u64(doctor->ready, "disk_free_bytes");
    char text[32];

    if (!json_is_integer(free)) {
        return;
    }
    flo_out_bytes(bytes, text);
    tell(doctor, bytes < DISK_BYTES ? BAD : GOOD, "disk",
         bytes < DISK_BYTES ? "flotilla release collect --dry-run; a full disk "
                              "stops rollouts (docs/runbook.md)"
                            : "",
         "%s free for the controller's data", text);
}

/* Counts the devices that match a selector; UINT64_MAX: the number is
 * unknown. */
static uint64_t count_of(struct doctor *doctor, const char *where)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf path = {0};
    FLO_CLEANUP(flo_json_cleanup) json_t *page = NULL;
    struct flo_err err = {0};

    flo_buf_text(&path, "/v1/devices?limit=1");
    flo_api_query_add(&path, "where", where);
    if (path.failed || flo_api_get(doctor->cli, path.data, &page, &err) < 0) {
        return UINT64_MAX;
    }
    return flo_out_u64(page, "total");
}

static void check_devices(struct doctor *doctor)
{
    static const struct {
        const char *check, *where, *meaning;
    } rows[] = {
        {"failed devices", "condition=failed",
         "serve nothing: no engine, or a first install that failed"},
        {"degraded devices", "degraded",
         "cannot do all of their work: a disk, memory, or a full local API"},
        {"silent devices", "state=online and last_seen>10m",
         "online, but said nothing for 10 minutes"},
        {"lost devices", "state=offline and last_seen>7d",
         "offline for more than a week, or never came"},
        {"frozen devices", "frozen", "say that a freeze holds there"},
        {"drift", "drifts", "run another release than they are told to"},
        {"disks of devices", "disk_free<500MiB", "have less than 500 MiB free"},
    };
    char next[160];

    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        uint64_t count = count_of(doctor, rows[i].where);
        snprintf(next, sizeof(next), "flotilla device list --where '%s'", rows[i].where);
        if (count == UINT64_MAX) {
            continue;
        }
        tell(doctor, count > 0 ? ODD : GOOD, rows[i].check, count > 0 ? next : "",
             count > 0 ? "%llu %s" : "none%.0llu%.0s", (unsigned long long)count, rows[i].meaning);
    }
}

static uint64_t count_state(const json_t *items, const char *state, char name[FLO_OUT_PLAIN])
{
    uint64_t count = 0;
    const json_t *one;
    size_t i;

    json_array_foreach(items, i, one)
    {
        if (strcmp(flo_out_text(one, "state", ""), state) == 0 && count++ == 0) {
            flo_out_plain(one, "name", "?", name);
        }
    }
    return count;
}

/* Number of changes of leader within an hour that is too many, as in the alert
 * rule. */
#define CHANGES_MANY 3

static void check_fit(struct doctor *doctor, const json_t *items)
{
    size_t i;
    json_t *one;

    json_array_foreach(items, i, one)
    {
        char next[96], name[FLO_OUT_PLAIN], why[FLO_OUT_PLAIN];
        if (flo_out_text(one, "lacks", "")[0] != '\0') {
            flo_out_plain(one, "name", "?", name);
            flo_out_plain(one, "lacks", "?", why);
            snprintf(next, sizeof(next), "flotilla controller admit %.64s",
                     flo_out_text(one, "key", "KEY"));
            tell(doctor, ODD, "lead", next, "%s cannot lead: %s", name, why);
        }
    }
}

static void check_lead(struct doctor *doctor)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *answer = NULL;
    struct flo_err err = {0};
    char leader[FLO_OUT_PLAIN] = "", silent[FLO_OUT_PLAIN] = "";
    char standing[FLO_OUT_PLAIN] = "";

    if (flo_api_get(doctor->cli, "/v1/controllers", &answer, &err) < 0) {
        return; /* an older controller */
    }
    const json_t *items = json_object_get(answer, "items");
    uint64_t changes = flo_out_u64(answer, "changes_hour");
    if (!json_is_true(json_object_get(answer, "shared"))) {
        tell(doctor, GOOD, "lead", "", "the only controller");
        return;
    }
    uint64_t leads = count_state(items, "leads", leader);
    uint64_t lost = count_state(items, "silent", silent);
    uint64_t standby = count_state(items, "stands-by", standing);
    bool is_odd = leads != 1 || lost > 0 || standby == 0 || changes > CHANGES_MANY;
    check_fit(doctor, items);
    char next[FLO_OUT_PLAIN + 80];
    snprintf(next, sizeof(next),
             lost > 0 ? "start controller %s again; flotilla controller list"
                      : "flotilla controller list; docs/runbook.md%.0s",
             silent);
    tell(doctor, is_odd ? ODD : GOOD, "lead", is_odd ? next : "",
         "%s leads, epoch %llu; standing by: %llu, silent: %llu, changes "
         "within an hour: %llu",
         leads == 1 ? leader : "nobody", (unsigned long long)flo_out_u64(answer, "epoch"),
         (unsigned long long)standby, (unsigned long long)lost, (unsigned long long)changes);
}

static void check_rollouts(struct doctor *doctor)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *page = NULL;
    struct flo_err err = {0};
    uint64_t halted = 0, waits = 0, partly = 0;
    char first[64] = "", next[160];
    size_t i;
    json_t *rollout;

    if (json_is_true(json_object_get(doctor->version, "frozen"))) {
        tell(doctor, ODD, "freeze", "flotilla rollout unfreeze",
             "the fleet is frozen: nothing downloads or activates");
    }
    if (flo_api_get(doctor->cli, "/v1/rollouts?limit=50", &page, &err) < 0) {
        tell_error(doctor, "rollouts", &err);
        return;
    }
    json_array_foreach(json_object_get(page, "items"), i, rollout)
    {
        const char *state = flo_out_text(rollout, "state", "");
        bool is_paused = strcmp(state, "paused") == 0 || strcmp(state, "awaiting-approval") == 0;
        bool is_new = flo_out_u64(rollout, "since_at_ms") + SOON_MS > flo_wall_ms();
        bool is_over = json_is_true(json_object_get(rollout, "over"));
        bool is_partly = strcmp(state, "partly-back") == 0 && !is_over;
        bool is_halted = strcmp(state, "halted") == 0 && is_new && !is_over;
        if (is_halted || is_paused || is_partly) {
            halted += is_halted;
            waits += is_paused;
            partly += is_partly;
            if (first[0] == '\0') {
                snprintf(first, sizeof(first), "%s", flo_out_text(rollout, "id", "?"));
            }
        }
    }
    snprintf(next, sizeof(next), "flotilla rollout explain %s", first);
    bool is_odd = halted + waits + partly > 0;
    tell(doctor, is_odd ? ODD : GOOD, "rollouts", is_odd ? next : "",
         "%llu halted in a week, %llu wait for somebody, %llu partly back",
         (unsigned long long)halted, (unsigned long long)waits, (unsigned long long)partly);
}

static void check_trust(struct doctor *doctor)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *status = NULL;
    struct flo_err err = {0};

    if (flo_api_get(doctor->cli, "/v1/trust/status", &status, &err) < 0) {
        return; /* an older controller */
    }
    uint64_t behind = flo_out_u64(status, "behind");
    tell(doctor, behind > 0 ? ODD : GOOD, "trust",
         behind > 0 ? "flotilla trust status; they take it at their next "
                      "contact"
                    : "",
         "statement %llu, %llu device%s %s an older one",
         (unsigned long long)flo_out_u64(status, "number"), (unsigned long long)behind,
         flo_s(behind), flo_plural(behind, "has", "have"));
}

/* ---- the end ---- */

static void print_finding(const struct flo_cli *cli, const json_t *finding)
{
    static const char *const marks[] = {"✓", "▲", "✗"};
    const char *level = flo_out_text(finding, "level", "");
    bool has_colour = flo_terminal_has_colour(&cli->args, STDOUT_FILENO);
    const char *tone = has_colour ? flo_tone_of(level) : "";
    const char *next = flo_out_text(finding, "do", "");
    char found[FLO_OUT_PLAIN];

    printf(" %s%s%s %-16s  %s\n", tone,
           marks[strcmp(level, "ok") == 0       ? 0
                 : strcmp(level, "failed") == 0 ? 2
                                                : 1],
           tone[0] != '\0' ? FLO_TONE_END : "", flo_out_text(finding, "check", "?"),
           flo_out_plain(finding, "found", "", found));
    if (next[0] != '\0') {
        printf("   %-16s  do: %s\n", "", next);
    }
}

static void print_all(const struct doctor *doctor)
{
    size_t i;
    json_t *finding;

    if (flo_out_is_data(doctor->cli)) {
        flo_out_table(doctor->cli, doctor->findings, FLO_COLUMNS(doctor));
        return;
    }
    json_array_foreach(doctor->findings, i, finding)
    {
        print_finding(doctor->cli, finding);
    }
}

int flo_cmd_doctor(struct flo_cli *cli, struct flo_err *err)
{
    struct doctor doctor = {.cli = cli, .findings = json_array()};
    struct flo_err problem = {0};

    (void)err;
    if (flo_context_load(cli, &problem) < 0) {
        tell_error(&doctor, "login", &problem);
    } else {
        check_login(&doctor);
        if (check_controller(&doctor)) {
            check_clock(&doctor);
            check_ready(&doctor);
            check_disk(&doctor);
            if (check_token(&doctor)) {
                check_lead(&doctor);
                check_devices(&doctor);
                check_rollouts(&doctor);
                check_trust(&doctor);
            }
        }
    }
    print_all(&doctor);
    json_decref(doctor.findings);
    json_decref(doctor.version);
    json_decref(doctor.ready);
    return doctor.exit;
}

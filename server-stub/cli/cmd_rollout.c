/* Commands about rollouts and emergency orders. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/proto.h>

#include "server-stub/cli/cli.h"

static const struct flo_column rollout_columns[] = {
    {"ID", "id", CELL_TEXT},           {"RELEASE", "release", CELL_TEXT},
    {"GROUP", "group", CELL_TEXT},     {"STATE", "state", CELL_TEXT},
    {"PHASE", "phase", CELL_TEXT},     {"HAVE IT", "holders", CELL_TEXT},
    {"OF", "members", CELL_TEXT},      {"AGE", "created_at_ms", CELL_AGO},
    {"WHY", "spec.reason", CELL_TEXT}, {"STATE SINCE", "since_at_ms", CELL_AGO},
    {"BECAUSE", "reason", CELL_TEXT},
};

int flo_cmd_rollout_list(struct flo_cli *cli, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *items = NULL;
    int rv = flo_api_list_model(cli, "/v1/rollouts", &items, err);

    if (rv == 0) {
        flo_out_table(cli, items, rollout_columns, FLO_COUNT(rollout_columns));
    }
    return rv;
}

static int rollout_path(const char *id, const char *rest, char *out,
                        size_t bytes, struct flo_err *err)
{
    if (!flo_name_is_valid(id)) {
        return flo_fail(err, FLO_E_ROLLOUT_ABSENT, "no rollout `%.80s`", id);
    }
    snprintf(out, bytes, "/v1/rollouts/%s%s", id, rest);
    return 0;
}

static void print_why(const json_t *rollout)
{
    char reason[FLO_OUT_PLAIN];
    char by[FLO_OUT_PLAIN];

    if (flo_out_text(rollout, "spec.reason", "")[0] != '\0') {
        printf("why: %s (%s)\n",
               flo_out_plain(rollout, "spec.reason", "", reason),
               flo_out_plain(rollout, "spec.by", "?", by));
    }
}

/* Older rollouts that lose devices to this one. */
static void print_overlaps(const json_t *rollout)
{
    size_t i;
    json_t *older;

    json_array_foreach(json_object_get(rollout, "overlaps"), i, older)
    {
        printf("overlap: %s (%s, %s) holds %llu of these devices; those that "
               "have not begun read superseded there\n",
               flo_out_text(older, "rollout", "?"),
               flo_out_text(older, "release", "?"),
               flo_out_text(older, "state", "?"),
               (unsigned long long)flo_out_u64(older, "devices"));
    }
}

static void print_rollout(const struct flo_cli *cli, const json_t *rollout)
{
    static const struct flo_column devices[] = {
        {"DEVICE", "name", CELL_TEXT},  {"PHASE", "phase", CELL_TEXT},
        {"STATE", "state", CELL_TEXT},  {"CODEC", "codec", CELL_TEXT},
        {"BYTES", "bytes", CELL_BYTES}, {"TOOK", "took_ms", CELL_MS},
        {"ERROR", "error", CELL_ERROR},
    };
    static const struct flo_column gates[] = {
        {"GATE", "name", CELL_TEXT},     {"PHASE", "phase", CELL_TEXT},
        {"VALUE", "value", CELL_TEXT},   {"LIMIT", "limit", CELL_TEXT},
        {"UNIT", "unit", CELL_TEXT},     {"VERDICT", "verdict", CELL_TEXT},
        {"EVIDENCE", "text", CELL_TEXT},
    };
    static const struct flo_column causes[] = {
        {"CAUSE", "id", CELL_TEXT},
        {"DEVICES", "devices", CELL_TEXT},
        {"MEANS", "meaning", CELL_TEXT},
        {"DO", "fix", CELL_TEXT},
    };

    char reason[FLO_OUT_PLAIN];

    if (cli->args.is_json) {
        flo_out_json(rollout);
        return;
    }
    printf("%s  %s  group %s  %s  phase %llu of %zu  %s\n",
           flo_out_text(rollout, "id", "?"),
           flo_out_text(rollout, "release", "?"),
           flo_out_text(rollout, "group", "?"),
           flo_out_text(rollout, "state", "?"),
           (unsigned long long)flo_out_u64(rollout, "phase"),
           json_array_size(json_object_get(rollout, "phases")),
           flo_out_plain(rollout, "reason", "", reason));
    print_why(rollout);
    print_overlaps(rollout);
    if (json_array_size(json_object_get(rollout, "causes")) > 0) {
        flo_out_table(cli, json_object_get(rollout, "causes"), causes,
                      FLO_COUNT(causes));
    }
    flo_out_table(cli, json_object_get(rollout, "gates"), gates,
                  FLO_COUNT(gates));
    flo_out_table(cli, json_object_get(rollout, "devices"), devices,
                  FLO_COUNT(devices));
}

int flo_cmd_rollout_get(struct flo_cli *cli, struct flo_err *err)
{
    char path[256];
    const char *id = cli->args.words[0];
    FLO_CLEANUP(flo_json_cleanup) json_t *rollout = NULL;
    int rv = rollout_path(id, "", path, sizeof(path), err);
    if (rv == 0) {
        rv = flo_api_get(cli, path, &rollout, err);
    }
    if (rv == 0) {
        print_rollout(cli, rollout);
    }
    return rv;
}

int flo_cmd_rollout_explain(struct flo_cli *cli, struct flo_err *err)
{
    char path[256];
    char plain[FLO_OUT_PLAIN];
    const char *id = cli->args.words[0];
    FLO_CLEANUP(flo_json_cleanup) json_t *told = NULL;
    size_t i;
    json_t *item;
    int rv = rollout_path(id, "/explain", path, sizeof(path), err);

    if (rv == 0) {
        rv = flo_api_get(cli, path, &told, err);
    }
    if (rv < 0 || cli->args.is_json) {
        return rv < 0 ? rv : (flo_out_json(told), 0);
    }
    if (flo_out_u64(told, "cut_bytes") > 0) {
        printf("(older lines are in the controller's log)\n");
    }
    json_array_foreach(json_object_get(told, "trace"), i, item)
    {
        json_t *line = json_pack("{s:O}", "line", item);
        printf("%s\n", flo_out_plain(line, "line", "", plain));
        json_decref(line);
    }
    json_array_foreach(json_object_get(told, "gates"), i, item)
    {
        printf("gate %s: %s: %s\n", flo_out_text(item, "gate", "?"),
               flo_out_plain(item, "text", "", plain),
               flo_out_text(item, "verdict", "?"));
    }
    return 0;
}

/* ---- start ---- */

/* "5" devices or "20%" of the group. */
static int read_phase(const char *text, size_t index, bool is_only,
                      json_t **out, struct flo_err *err)
{
    char *end;
    char name[32];
    unsigned long value = strtoul(text, &end, 10);
    bool is_share = strcmp(end, "%") == 0;

    if (end == text || (!is_share && *end != '\0') || value == 0 ||
        value > (is_share ? 100 : 10000000)) {
        return flo_fail(err, FLO_E_USAGE,
                        "--phase `%.40s` is neither a number of devices nor a "
                        "share as 20%%",
                        text);
    }
    snprintf(name, sizeof(name),
             is_only      ? "all"
             : index == 0 ? "canary"
                          : "phase-%zu",
             index + 1);
    *out = json_pack("{s:s,s:I}", "name", name,
                     is_share ? "share_pct" : "devices", (json_int_t)value);
    return 0;
}

/* One device first: in a small fleet, 1 % of the buckets may hold no device,
 * and an empty phase is left at once. */
static int read_phases(const struct flo_args *args, json_t *spec,
                       struct flo_err *err)
{
    static const char *const standard[] = {"1", "1%", "10%", "100%"};
    json_t *phases = json_array();
    const char *text;
    const char *second;
    bool is_given = flo_args_has(args, "phase");

    json_object_set_new(spec, "phases", phases);
    for (size_t i = 0; is_given ? flo_args_each(args, "phase", i, &text)
                                : i < FLO_COUNT(standard);
         i++) {
        json_t *phase = NULL;
        bool is_only = is_given && !flo_args_each(args, "phase", 1, &second);
        int rv =
            read_phase(is_given ? text : standard[i], i, is_only, &phase, err);
        if (rv < 0) {
            return rv;
        }
        json_array_append_new(phases, phase);
    }
    return 0;
}

static int add_ms(const struct flo_args *args, const char *flag, json_t *object,
                  const char *key, struct flo_err *err)
{
    uint64_t ms;
    int rv = flo_args_ms(args, flag, 0, &ms, err);

    if (rv == 0 && flo_args_has(args, flag)) {
        json_object_set_new(object, key, json_integer((json_int_t)ms));
    }
    return rv;
}

/* "mains,idle": each sets a field of the policy. */
static int add_waits(const struct flo_args *args, json_t *policy,
                     struct flo_err *err)
{
    static const char *const known[] = {"mains", "cool", "idle", "unmetered"};
    const char *words = flo_args_text(args, "wait-for", "");

    while (words[0] != '\0') {
        size_t bytes = strcspn(words, ","), i = 0;
        char key[32];

        while (i < FLO_COUNT(known) && (strlen(known[i]) != bytes ||
                                        memcmp(known[i], words, bytes) != 0)) {
            i++;
        }
        if (i == FLO_COUNT(known)) {
            return flo_fail(err, FLO_E_USAGE,
                            "--wait-for: `%.*s` is none of mains, cool, idle, "
                            "unmetered",
                            (int)(bytes < 80 ? bytes : 80), words);
        }
        snprintf(key, sizeof(key), "wait_%s", known[i]);
        json_object_set_new(policy, key, json_integer(1));
        words += bytes + (words[bytes] == ',');
    }
    return 0;
}

static int add_u64(const struct flo_args *args, const char *flag, uint64_t max,
                   json_t *object, const char *key, struct flo_err *err)
{
    uint64_t value;
    int rv = flo_args_u64(args, flag, 0, max, 0, &value, err);

    if (rv == 0 && flo_args_has(args, flag)) {
        json_object_set_new(object, key, json_integer((json_int_t)value));
    }
    return rv;
}

/* "ttft_us,margin=1.3,action=pause": the controller knows the members and their
 * bounds. */
static int read_gate(const char *text, json_t **out, struct flo_err *err)
{
    char copy[256];
    char *rest = NULL;
    char *end;

    if (strlen(text) >= sizeof(copy)) {
        return flo_fail(err, FLO_E_USAGE, "--gate `%.40s…` is too long", text);
    }
    snprintf(copy, sizeof(copy), "%s", text);
    char *word = strtok_r(copy, ",", &rest);
    *out = json_pack("{s:s}", "metric", word != NULL ? word : "");
    while ((word = strtok_r(NULL, ",", &rest)) != NULL) {
        char *value = strchr(word, '=');
        if (value == NULL) {
            json_decref(*out);
            return flo_fail(err, FLO_E_USAGE,
                            "--gate: `%.40s` is no MEMBER=VALUE, as "
                            "margin=1.3",
                            word);
        }
        *value++ = '\0';
        double number = strtod(value, &end);
        bool is_number = end != value && *end == '\0';
        bool is_whole =
            is_number && strspn(value, "0123456789") == strlen(value);
        json_object_set_new(*out, word,
                            is_whole    ? json_integer((json_int_t)number)
                            : is_number ? json_real(number)
                                        : json_string(value));
    }
    return 0;
}

static int read_gates(const struct flo_args *args, json_t *gates,
                      struct flo_err *err)
{
    json_t *list = json_array();
    const char *text;

    json_object_set_new(gates, "ratio", list);
    for (size_t i = 0; flo_args_each(args, "gate", i, &text); i++) {
        json_t *gate = NULL;
        int rv = read_gate(text, &gate, err);
        if (rv < 0) {
            return rv;
        }
        json_array_append_new(list, gate);
    }
    return 0;
}

static int rollout_spec(const struct flo_args *args, json_t *spec,
                        struct flo_err *err)
{
    json_t *policy = json_object();
    json_t *failed = json_object();

    json_object_set_new(spec, "policy", policy);
    if (flo_args_has(args, "urgent")) {
        json_object_set_new(policy, "urgent", json_integer(1));
    }
    json_object_set_new(spec, "gates", json_pack("{s:o}", "failed", failed));
    json_object_set_new(spec, "group",
                        json_string(flo_args_text(args, "group", "all")));
    if (flo_args_has(args, "on-fail")) {
        json_object_set_new(spec, "on_fail",
                            json_string(flo_args_text(args, "on-fail", "")));
    }
    json_object_set_new(spec, "reason",
                        json_string(flo_args_text(args, "reason", "")));
    if (flo_args_has(args, "below-floor")) {
        json_object_set_new(spec, "below_floor", json_true());
    }
    if (flo_args_has(args, "lift")) {
        json_object_set_new(spec, "lift", json_true());
    }
    int rv = read_phases(args, spec, err);
    if (rv == 0) {
        rv = read_gates(args, json_object_get(spec, "gates"), err);
    }
    if (rv == 0) {
        rv = add_ms(args, "soak", policy, "soak_ms", err);
    }
    if (rv == 0) {
        rv = add_u64(args, "soak-requests", 1000000, policy, "soak_requests",
                     err);
    }
    if (rv == 0) {
        rv = add_u64(args, "rate", UINT64_C(1) << 40, policy,
                     "rate_bytes_per_s", err);
    }
    rv = rv < 0 ? rv : add_waits(args, policy, err);
    if (rv == 0) {
        rv = add_ms(args, "probe-timeout", policy, "probe_timeout_ms", err);
    }
    if (rv == 0) {
        rv = add_u64(args, "max-failed", 100, failed, "max_pct", err);
    }
    if (rv == 0) {
        rv = add_u64(args, "starts-per-s", 100000, spec, "starts_per_s", err);
    }
    if (rv == 0) {
        rv = add_ms(args, "silence", failed, "silence_ms_max", err);
    }
    return rv;
}

/* Who takes it, who cannot and why: of each reason the first names. */
static void print_plan(const struct flo_cli *cli, const json_t *rollout)
{
    static const struct flo_column phases[] = {
        {"PHASE", "name", CELL_TEXT},
        {"DEVICES", "devices", CELL_TEXT},
    };
    static const struct flo_column ways[] = {
        {"WAY", "way", CELL_TEXT},
        {"VARIANT", "variant", CELL_TEXT},
        {"DEVICES", "devices", CELL_TEXT},
        {"BYTES EACH", "bytes_each", CELL_BYTES},
        {"BYTES", "bytes", CELL_BYTES},
        {"OF FILES", "full_bytes", CELL_BYTES},
    };
    static const struct flo_column memory[] = {
        {"MEMORY", "way", CELL_TEXT},
        {"DEVICES", "devices", CELL_TEXT},
    };
    static const struct flo_column reasons[] = {
        {"CANNOT", "id", CELL_TEXT},   {"DEVICES", "devices", CELL_TEXT},
        {"FIRST", "names", CELL_TEXT}, {"WHY", "what", CELL_TEXT},
        {"DO", "fix", CELL_TEXT},
    };
    const json_t *plan = json_object_get(rollout, "plan");
    char bytes[32];

    flo_out_bytes(flo_out_u64(plan, "bytes"), bytes);
    printf("%s to group %s: %llu of %llu devices take it (%s over the network, "
           "%llu are offline, %llu frozen), %llu have it, %llu cannot, %llu "
           "never reported\n",
           flo_out_text(rollout, "release", "?"),
           flo_out_text(rollout, "group", "?"),
           (unsigned long long)flo_out_u64(plan, "takes"),
           (unsigned long long)flo_out_u64(plan, "devices"), bytes,
           (unsigned long long)flo_out_u64(plan, "offline"),
           (unsigned long long)flo_out_u64(plan, "frozen"),
           (unsigned long long)flo_out_u64(plan, "has"),
           (unsigned long long)flo_out_u64(plan, "cannot"),
           (unsigned long long)flo_out_u64(plan, "silent"));
    print_overlaps(rollout);
    flo_out_table(cli, json_object_get(rollout, "phases"), phases,
                  FLO_COUNT(phases));
    flo_out_table(cli, json_object_get(plan, "ways"), ways, FLO_COUNT(ways));
    flo_out_table(cli, json_object_get(plan, "memory"), memory,
                  FLO_COUNT(memory));
    if (flo_out_u64(plan, "cannot") > 0) {
        flo_out_table(cli, json_object_get(plan, "reasons"), reasons,
                      FLO_COUNT(reasons));
    }
}

int flo_cmd_rollout_start(struct flo_cli *cli, struct flo_err *err)
{
    const char *title = cli->args.words[0];
    char model[FLO_NAME_MAX + 1];
    char version[FLO_NAME_MAX + 1];
    FLO_CLEANUP(flo_json_cleanup) json_t *spec = json_object();
    FLO_CLEANUP(flo_json_cleanup) json_t *rollout = NULL;
    uint64_t timeout_ms;
    bool dry = flo_args_has(&cli->args, "dry-run");
    int rv = flo_args_ms(&cli->args, "timeout", UINT64_MAX, &timeout_ms, err);
    if (rv == 0) {
        rv = flo_release_title_parse(title, model, version, err);
    }
    if (rv == 0) {
        json_object_set_new(spec, "release", json_string(title));
        rv = rollout_spec(&cli->args, spec, err);
    }
    if (rv == 0) {
        rv = flo_api_call(cli, "POST",
                          dry ? "/v1/rollouts?dry_run=true" : "/v1/rollouts",
                          spec, &rollout, err);
    }
    if (rv < 0) {
        return rv;
    }
    if (cli->args.is_json) {
        flo_out_json(rollout);
    } else if (dry) {
        print_plan(cli, rollout);
    } else {
        printf("rollout %s started: %s on %s\n",
               flo_out_text(rollout, "id", "?"), title,
               flo_out_text(rollout, "group", "?"));
        print_overlaps(rollout);
    }
    if (dry || !flo_args_has(&cli->args, "wait")) {
        return 0;
    }
    return flo_watch_rollout(cli, flo_out_text(rollout, "id", ""), "completed",
                             timeout_ms, err);
}

/* ---- actions ---- */

static int ask(struct flo_cli *cli, const char *action, const char *typed,
               json_t **rollout, struct flo_err *err)
{
    char path[256];
    const char *id = cli->args.words[0];
    FLO_CLEANUP(flo_json_cleanup)
    json_t *body = json_pack("{s:s,s:s}", "action", action, "reason",
                             flo_args_text(&cli->args, "reason", ""));
    if (typed != NULL) {
        json_object_set_new(body, "confirm", json_string(typed));
    }
    int rv = rollout_path(id, "/actions", path, sizeof(path), err);
    return rv < 0 ? rv : flo_api_call(cli, "POST", path, body, rollout, err);
}

static int act(struct flo_cli *cli, const char *action, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *rollout = NULL;
    int rv = ask(cli, action, NULL, &rollout, err);

    if (rv == 0) {
        print_rollout(cli, rollout);
    }
    return rv;
}

int flo_cmd_rollout_pause(struct flo_cli *cli, struct flo_err *err)
{
    return act(cli, "pause", err);
}

int flo_cmd_rollout_resume(struct flo_cli *cli, struct flo_err *err)
{
    return act(cli, "resume", err);
}

int flo_cmd_rollout_promote(struct flo_cli *cli, struct flo_err *err)
{
    return act(cli, "promote", err);
}

int flo_cmd_rollout_abort(struct flo_cli *cli, struct flo_err *err)
{
    return act(cli, "abort", err);
}

/* ---- going back ---- */

/* One rollout, all of it. */
static int take_back(struct flo_cli *cli, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *rollout = NULL;
    FLO_CLEANUP(flo_json_cleanup) json_t *ended = NULL;
    FLO_CLEANUP(flo_json_cleanup) json_t *before = NULL;
    char path[256];
    const char *id = cli->args.words[0];
    uint64_t timeout_ms;

    if (flo_args_has(&cli->args, "group") ||
        flo_args_has(&cli->args, "device") ||
        flo_args_has(&cli->args, "everywhere")) {
        flo_fail(err, FLO_E_USAGE,
                 "a rollout goes back as a whole: --device, --group and "
                 "--everywhere belong to --release");
        return flo_err_fix(err, "--release MODEL@VERSION --group G");
    }
    if (id == NULL) {
        return flo_fail(err, FLO_E_USAGE,
                        "give a rollout's ID, or --release MODEL@VERSION");
    }
    int rv = flo_args_ms(&cli->args, "timeout", 60000, &timeout_ms, err);
    if (rv == 0) {
        rv = rollout_path(id, "?devices=false", path, sizeof(path), err);
    }
    if (rv == 0) {
        rv = flo_api_get(cli, path, &before, err);
    }
    if (rv == 0) {
        rv = flo_out_confirm(cli,
                             "Every device that this rollout touched goes back "
                             "to what it ran before.",
                             flo_out_text(before, "release", ""), err);
    }
    if (rv == 0) {
        rv = ask(cli, "rollback", flo_out_text(before, "release", ""), &rollout,
                 err);
    }
    if (rv == 0 && !flo_args_has(&cli->args, "wait")) {
        print_rollout(cli, rollout);
        return 0;
    }
    if (rv == 0) {
        rv = flo_watch_rollback(cli, flo_out_text(rollout, "id", ""),
                                timeout_ms, &ended, err);
    }
    if (ended != NULL) {
        print_rollout(cli, ended);
    }
    return rv;
}

int flo_cmd_rollout_rollback(struct flo_cli *cli, struct flo_err *err)
{
    return flo_args_text(&cli->args, "release", NULL) != NULL
               ? flo_order_take_back(cli, err)
               : take_back(cli, err);
}

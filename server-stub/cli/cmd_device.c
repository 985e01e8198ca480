/* Commands about devices and their measurements. */
#include <string.h>
#include <unistd.h>

#include <flotilla/errors/device.h>
#include <flotilla/errors/group.h>
#include <flotilla/errors/memory.h>
#include <flotilla/errors/net.h>
#include <flotilla/errors/rollout.h>
#include <flotilla/proto.h>

#include "server-stub/cli/live/live.h"

static bool is_of_model(const json_t *model, const char *only)
{
    return only == NULL || strcmp(flo_out_text(model, "serving.model", ""), only) == 0;
}

/* Adds a row for each model of a device.  The first row has the device's own
 * values; in CSV every row has them. */
static void add_rows(json_t *rows, json_t *device, const char *only, bool is_sheet)
{
    const json_t *models = json_object_get(device, "models");
    size_t before = json_array_size(rows);
    json_t *model;
    size_t i;

    json_array_foreach(models, i, model)
    {
        bool is_first = is_sheet || json_array_size(rows) == before;
        if (!is_of_model(model, only)) {
            continue;
        }
        json_t *row = is_first ? json_copy(device) : json_object();
        json_object_update(row, model);
        /* `state` is the device's state in the first row only, because device
         * and model both have a member of that name. */
        if (is_first) {
            json_object_set(row, "state", json_object_get(device, "state"));
        } else {
            json_object_del(row, "state");
            json_object_set(row, "name", json_object_get(device, "name"));
        }
        json_array_append_new(rows, row);
    }
    if (json_array_size(rows) == before) {
        json_array_append(rows, device);
    }
}

static void print_devices(struct flo_cli *cli, const json_t *items, const char *only)
{
    bool is_sheet = flo_out_form(cli) == FLO_OUT_CSV;
    bool is_plain = flo_out_is_data(cli) && !is_sheet;
    FLO_CLEANUP(flo_json_cleanup) json_t *rows = json_array();
    json_t *device;
    size_t i;

    json_array_foreach(items, i, device)
    {
        add_rows(rows, device, only, is_sheet);
    }
    flo_out_table(cli, is_plain ? items : rows, FLO_COLUMNS(device));
}

/* Gets the devices that the flags select.  `next` becomes the cursor of the
 * next page, or "". */
static int fetch_devices(struct flo_cli *cli, json_t **items, char *next, size_t next_bytes,
                         struct flo_err *err)
{
    static const char *const flags[] = {"group",    "state", "model", "where",
                                        "selector", "sort",  "cursor"};
    const char *limit = flo_args_text(&cli->args, "limit", NULL);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) path = {0};
    FLO_CLEANUP(flo_json_cleanup) json_t *page = NULL;

    next[0] = '\0';
    flo_buf_text(&path, "/v1/devices");
    flo_api_query_add(&path, "limit", limit != NULL ? limit : "1000");
    for (size_t i = 0; i < FLO_COUNT(flags); i++) {
        flo_api_query_add(&path, flags[i], flo_args_text(&cli->args, flags[i], NULL));
    }
    if (path.failed) {
        return flo_fail(err, FLO_E_MEMORY, "path");
    }
    if (limit == NULL) {
        return flo_api_list(cli, path.data, items, err);
    }
    FLO_TRY(flo_api_get(cli, path.data, &page, err));
    *items = json_incref(json_object_get(page, "items"));
    snprintf(next, next_bytes, "%s", flo_out_text(page, "next", ""));
    return 0;
}

/* Checks whether the group exists, because a list without devices may come from
 * a wrong name. */
static int check_group(struct flo_cli *cli, const char *group, struct flo_err *err)
{
    char path[160];

    if (!flo_name_is_valid(group)) {
        return flo_fail(err, FLO_E_GROUP_ABSENT, "no group %.80s", group);
    }
    snprintf(path, sizeof(path), "/v1/groups/%s", group);
    return flo_api_get(cli, path, NULL, err);
}

static int list_devices(struct flo_cli *cli, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *items = NULL;
    char next[256];
    int rv = fetch_devices(cli, &items, next, sizeof(next), err);

    const char *group = flo_args_text(&cli->args, "group", NULL);
    if (rv == 0 && group != NULL && json_array_size(items) == 0) {
        rv = check_group(cli, group, err);
    }
    FLO_TRY(rv);
    FLO_TRY(flo_api_check_model(cli, items, err));
    if (!flo_args_has(&cli->args, "sort") && !flo_args_has(&cli->args, "limit")) {
        flo_out_sort(&items);
    }
    print_devices(cli, items, flo_args_text(&cli->args, "model", NULL));
    if (next[0] != '\0') {
        flo_out_say(cli, "more: --cursor %s", next);
    }
    return 0;
}

int flo_cmd_device_list(struct flo_cli *cli, struct flo_err *err)
{
    return flo_follow(cli, "device", list_devices, err);
}

/* Builds "/v1/devices/<name><rest>".  FLO_E_USAGE: the text is no possible
 * name. */
static int device_path(const struct flo_cli *cli, const char *rest, char *out, size_t bytes,
                       const char **name, struct flo_err *err)
{
    *name = cli->args.words[0];
    if (!flo_name_is_valid(*name)) {
        return flo_fail(err, FLO_E_DEVICE_ABSENT, "no device `%.80s`", *name);
    }
    snprintf(out, bytes, "/v1/devices/%s%s", *name, rest);
    return 0;
}

static int show_timeline(struct flo_cli *cli, const char *path, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *items = NULL;

    FLO_TRY(flo_api_list(cli, path, &items, err));
    flo_out_table(cli, items, FLO_COLUMNS(timeline));
    return 0;
}

static void print_line(const json_t *json, const char *path, const char *head)
{
    char text[FLO_OUT_PLAIN];

    if (flo_out_text(json, path, "")[0] != '\0') {
        printf("%s: %s\n", head, flo_out_plain(json, path, "", text));
    }
}

static void print_size(const json_t *json, const char *path, const char *head)
{
    char text[32];

    if (json_is_integer(flo_out_at(json, path))) {
        flo_out_bytes(flo_out_u64(json, path), text);
        printf("%s: %s\n", head, text);
    }
}

static void print_memory(const json_t *device)
{
    const json_t *memory = json_object_get(device, "memory");
    char budget[32];
    char planned[32];
    char why[FLO_OUT_PLAIN];

    if (!json_is_object(memory)) {
        return;
    }
    flo_out_bytes(flo_out_u64(memory, "budget"), budget);
    flo_out_bytes(flo_out_u64(memory, "planned"), planned);
    flo_out_plain(memory, "why", "", why);
    printf("memory of models: %s of %s planned, rung %llu%s%s\n", planned, budget,
           (unsigned long long)flo_out_u64(memory, "rung"), why[0] != '\0' ? ", because of " : "",
           why);
}

static void print_bench(const json_t *profile)
{
    print_size(profile, "bench.memory_bytes_per_s", "reads from memory per s");
    print_size(profile, "bench.read_bytes_per_s", "reads from files per s");
    print_size(profile, "bench.disk_bytes_per_s", "reads from disk per s");
    if (json_is_integer(flo_out_at(profile, "bench.int8_ops_per_s"))) {
        printf("int8 operations per s: %.3g\n",
               (double)flo_out_u64(profile, "bench.int8_ops_per_s"));
    }
}

static void print_state(const json_t *profile)
{
    const json_t *mains = flo_out_at(profile, "power.mains");
    const json_t *battery = flo_out_at(profile, "power.battery_pct");
    const json_t *heat = flo_out_at(profile, "temperature_mc");

    if (json_is_boolean(mains)) {
        printf("power: %s\n", json_is_true(mains) ? "mains" : "battery");
    }
    if (json_is_integer(battery) && json_integer_value(battery) >= 0) {
        printf("battery: %d %%\n", (int)json_integer_value(battery));
    } else if (json_is_integer(battery)) {
        printf("battery: none\n");
    }
    if (json_is_integer(heat)) {
        printf("temperature: %.1f °C\n", (double)json_integer_value(heat) / 1000);
    }
}

/* Prints the models that do not fit into the device's memory, why, and what
 * helps. */
static void print_no_memory(const json_t *device)
{
    size_t i;
    json_t *model;

    json_array_foreach(json_object_get(device, "models"), i, model)
    {
        char name[FLO_OUT_PLAIN];
        char why[FLO_OUT_PLAIN];
        if (strcmp(flo_out_text(model, "drift.kind", ""), "no-memory") == 0) {
            printf("%s has no memory: %s\n  do: %s\n", flo_out_plain(model, "model", "?", name),
                   flo_out_plain(model, "drift.why", "", why), flo_error_fix(FLO_E_MEMORY_BUDGET));
        }
    }
}

/* Prints which variant serves each model whose release has several. */
static void print_variants(const json_t *device)
{
    size_t i;
    json_t *model;

    json_array_foreach(json_object_get(device, "models"), i, model)
    {
        char name[FLO_OUT_PLAIN], variant[FLO_OUT_PLAIN], of[FLO_OUT_PLAIN];
        if (json_is_string(json_object_get(model, "instead_of"))) {
            printf("%s: %s serves in place of %s, memory was short\n",
                   flo_out_plain(model, "model", "?", name),
                   flo_out_plain(model, "variant", "?", variant),
                   flo_out_plain(model, "instead_of", "?", of));
        } else if (json_is_string(json_object_get(model, "variant"))) {
            printf("%s: variant %s serves\n", flo_out_plain(model, "model", "?", name),
                   flo_out_plain(model, "variant", "?", variant));
        }
    }
}

/* Prints the device's pins, such as "pinned to tiny@3, runs tiny@2: on-its-way
 * (downloading)". */
static void print_pins(const json_t *device)
{
    size_t i;
    json_t *pin;

    json_array_foreach(json_object_get(device, "pinned"), i, pin)
    {
        char release[FLO_OUT_PLAIN], runs[FLO_OUT_PLAIN], why[FLO_OUT_PLAIN];
        const char *state = flo_out_text(pin, "state", "?");
        flo_out_plain(pin, "why", "", why);
        printf("pinned to %s, runs %s: %s%s%s\n", flo_out_plain(pin, "release", "?", release),
               flo_out_plain(pin, "runs", "none", runs), state,
               why[0] == '\0'                  ? ""
               : strcmp(state, "refused") == 0 ? " because "
                                               : ", ",
               why);
    }
}

/* Prints which releases a rule keeps from the device. */
static void print_kept_from(const json_t *device)
{
    size_t i;
    json_t *one;

    json_array_foreach(json_object_get(device, "kept_from"), i, one)
    {
        char release[FLO_OUT_PLAIN], rollout[FLO_OUT_PLAIN], why[FLO_OUT_PLAIN];
        printf("kept from %s of %s: %s\n", flo_out_plain(one, "release", "?", release),
               flo_out_plain(one, "rollout", "?", rollout), flo_out_plain(one, "why", "", why));
    }
}

/* Prints the state of the device's certificate, as the device reports it. */
static void print_certificate(const json_t *device)
{
    const json_t *certificate = json_object_get(device, "certificate");
    char until[25];

    if (json_is_object(certificate)) {
        flo_time_text(flo_out_u64(certificate, "until_ms"), until);
        printf("certificate: until %s, number %llu\n", until,
               (unsigned long long)flo_out_u64(certificate, "number"));
    }
}

/* Prints the device's labels and groups, such as "labels: site=lyon wave=2" and
 * "groups: all shop". */
static void print_words(const json_t *device)
{
    const json_t *labels = json_object_get(device, "labels");
    char text[FLO_OUT_PLAIN];
    const char *key;
    json_t *value;
    size_t i;

    printf("labels:%s", json_object_size(labels) == 0 ? " none" : "");
    json_object_foreach((json_t *)(uintptr_t)labels, key, value)
    {
        printf(" %s=%s", key, flo_out_plain(labels, key, "?", text));
    }
    printf("\ngroups:");
    json_array_foreach(json_object_get(device, "groups"), i, value)
    {
        printf(" %s", json_string_value(value));
    }
    printf("\n");
    print_line(device, "note", "note");
    print_line(device, "maintenance", "in maintenance");
}

/* Prints the device's hardware, such as "hardware: rpi5, aarch64, 4 processors,
 * 8.0 GiB memory". */
static void print_hardware(const json_t *profile)
{
    char class[FLO_OUT_PLAIN];
    char arch[FLO_OUT_PLAIN];
    char memory[32];

    if (!json_is_object(profile)) {
        return;
    }
    flo_out_bytes(flo_out_u64(profile, "memory_bytes"), memory);
    flo_out_plain(profile, "class", "", class);
    printf("hardware: %s%s%s, %llu processors, %s memory\n", class, class[0] != '\0' ? ", " : "",
           flo_out_plain(profile, "arch", "?", arch),
           (unsigned long long)flo_out_u64(profile, "cpus"), memory);
}

static void print_profile(const struct flo_cli *cli, const json_t *device)
{
    const json_t *profile = json_object_get(device, "profile");
    const json_t *list = json_object_get(profile, "runtimes");

    print_words(device);
    print_line(device, "replaces", "took the place of");
    print_line(device, "replaced_by", "its place has");
    print_pins(device);
    print_kept_from(device);
    print_certificate(device);
    print_memory(device);
    print_variants(device);
    print_no_memory(device);
    if (!flo_args_has(&cli->args, "profile")) {
        print_hardware(profile);
        print_state(profile);
        return;
    }
    print_line(profile, "class", "class");
    print_line(profile, "arch", "architecture");
    if (flo_out_u64(profile, "cpus") > 0) {
        printf("processors: %llu\n", (unsigned long long)flo_out_u64(profile, "cpus"));
    }
    print_size(profile, "memory_bytes", "memory");
    print_size(profile, "disk_free_bytes", "free disk");
    print_line(profile, "kernel", "kernel set");
    print_bench(profile);
    print_state(profile);
    if (json_array_size(list) > 0) {
        flo_out_table(cli, list, FLO_COLUMNS(runtime));
    }
    list = json_object_get(profile, "accelerators");
    if (json_array_size(list) > 0) {
        flo_out_table(cli, list, FLO_COLUMNS(accelerator));
    }
    list = json_object_get(profile, "speeds");
    if (json_array_size(list) > 0) {
        flo_out_table(cli, list, FLO_COLUMNS(speed));
    }
}

int flo_cmd_device_get(struct flo_cli *cli, struct flo_err *err)
{
    char path[256];
    const char *name;
    FLO_CLEANUP(flo_json_cleanup) json_t *device = NULL;
    bool timeline = flo_args_has(&cli->args, "timeline");

    FLO_TRY(device_path(cli, timeline ? "/timeline" : "", path, sizeof(path), &name, err));
    if (timeline) {
        return show_timeline(cli, path, err);
    }
    int rv = flo_api_get(cli, path, &device, err);
    if (rv == 0 && flo_out_is_data(cli)) {
        flo_out_object(cli, device, FLO_COLUMNS(device));
    } else if (rv == 0) {
        FLO_CLEANUP(flo_json_cleanup) json_t *one = json_array();
        json_array_append(one, device);
        if (!flo_args_has(&cli->args, "profile")) {
            print_devices(cli, one, NULL);
        }
        print_profile(cli, device);
    }
    return rv;
}

int flo_cmd_device_delete(struct flo_cli *cli, struct flo_err *err)
{
    char path[256];
    const char *name;

    FLO_TRY(device_path(cli, "", path, sizeof(path), &name, err));
    FLO_TRY(flo_out_confirm(cli, "The device leaves the fleet for good.", name, err));
    FLO_TRY(flo_api_call(cli, "DELETE", path, NULL, NULL, err));
    flo_out_done(cli, json_pack("{s:s,s:s}", "device", name, "state", "retired"), "%s is retired\n",
                 name);
    return 0;
}

/* Prints the device that replaces another, and why it may not take rollouts
 * yet. */
static void print_place(struct flo_cli *cli, json_t *device)
{
    char name[FLO_OUT_PLAIN];
    char why[FLO_OUT_PLAIN];

    flo_out_plain(device, "name", "?", name);
    flo_out_plain(device, "maintenance", "", why);
    flo_out_done(cli, json_incref(device), "%s is the new device now, id %s\n", name,
                 flo_out_text(device, "id", "?"));
    if (why[0] != '\0') {
        flo_out_say(cli,
                    "it is in maintenance (%s) and takes no rollout; to end "
                    "that: flotilla device set %s --maintenance off",
                    why, name);
    }
}

int flo_cmd_device_replace(struct flo_cli *cli, struct flo_err *err)
{
    const char *next = cli->args.words[1];
    FLO_CLEANUP(flo_json_cleanup) json_t *answer = NULL;
    char path[256];
    const char *name;

    FLO_TRY(device_path(cli, "/replace", path, sizeof(path), &name, err));
    if (!flo_name_is_valid(next)) {
        return flo_fail(err, FLO_E_DEVICE_ABSENT, "no device `%.80s`", next);
    }
    FLO_TRY(flo_out_confirm(cli, "The old device leaves the fleet for good.", name, err));
    FLO_CLEANUP(flo_json_cleanup)
    json_t *body =
        json_pack("{s:s,s:s}", "by", next, "reason", flo_args_text(&cli->args, "reason", ""));
    FLO_TRY(flo_api_call(cli, "POST", path, body, &answer, err));
    print_place(cli, answer);
    return 0;
}

/* ---- two machines with one identity ---- */

/* Returns the boot of the only machine with this boot, address or host; NULL:
 * none, or several. */
static const char *boot_of(const json_t *machines, const char *word)
{
    const char *found = NULL;
    size_t count = 0;
    size_t i;
    json_t *machine;

    json_array_foreach(machines, i, machine)
    {
        const char *boot = flo_out_text(machine, "boot", "");
        if (strcmp(boot, word) == 0 || strcmp(flo_out_text(machine, "address", ""), word) == 0 ||
            strcmp(flo_out_text(machine, "host", ""), word) == 0) {
            found = boot;
            count++;
        }
    }
    return count == 1 && word[0] != '\0' ? found : NULL;
}

/* Lists the machines, and asks a person at a terminal which one stays. */
static void ask_which(struct flo_cli *cli, const json_t *machines, char *line, int bytes)
{
    flo_out_table(cli, machines, FLO_COLUMNS(machine));
    if (isatty(STDIN_FILENO)) {
        fprintf(stderr, "Boot, address or host of the machine that keeps the identity: ");
        if (fgets(line, bytes, stdin) != NULL) {
            line[strcspn(line, "\n")] = '\0';
        }
    }
}

int flo_cmd_device_split(struct flo_cli *cli, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *device = NULL;
    char path[256], line[FLO_OUT_PLAIN] = "";
    const char *name;

    FLO_TRY(device_path(cli, "", path, sizeof(path), &name, err));
    FLO_TRY(flo_api_get(cli, path, &device, err));
    const json_t *machines = json_object_get(device, "machines");
    if (json_array_size(machines) < 2) {
        flo_fail(err, FLO_E_STATE, "one machine uses the identity of %s", name);
        return flo_err_fix(err, "nothing; the alert identity-twice names devices that two use");
    }
    snprintf(line, sizeof(line), "%s", flo_args_text(&cli->args, "keep", ""));
    if (line[0] == '\0') {
        ask_which(cli, machines, line, sizeof(line));
    }
    const char *boot = boot_of(machines, line);
    if (boot == NULL) {
        flo_fail(err, FLO_E_USAGE, "`%.80s` is not one of the machines: nothing was changed", line);
        return flo_err_fix(err, "--keep BOOT, or an ADDRESS or HOST that only one of them has");
    }
    FLO_TRY(flo_out_confirm(cli, "The other machine loses this identity for good.", name, err));
    FLO_TRY(device_path(cli, "/split", path, sizeof(path), &name, err));
    FLO_CLEANUP(flo_json_cleanup)
    json_t *body =
        json_pack("{s:s,s:s}", "keep", boot, "reason", flo_args_text(&cli->args, "reason", ""));
    FLO_TRY(flo_api_call(cli, "POST", path, body, NULL, err));
    flo_out_done(cli, json_pack("{s:s,s:s}", "device", name, "kept", boot),
                 "%s stays with boot\n  %s\n"
                 "it gets a new certificate, and then the old one is revoked\n"
                 "on the other machine: rm -r STATE/identity, and enrol it with a token\n",
                 name, boot);
    return 0;
}

/* ---- reports from afar ---- */

static void print_findings(const struct flo_cli *cli, const json_t *report)
{
    const json_t *findings = json_object_get(report, "findings");

    if (json_array_size(findings) > 0) {
        flo_out_table(cli, findings, FLO_COLUMNS(finding));
    }
}

static void print_facts(const json_t *report)
{
    json_t *facts = json_object_get(report, "facts");
    const char *name;
    json_t *value;

    json_object_foreach(facts, name, value)
    {
        char text[FLO_OUT_PLAIN];
        if (json_is_string(value)) {
            printf("%s: %s\n", name, flo_out_plain(value, "", "", text));
        } else if (json_is_boolean(value)) {
            printf("%s: %s\n", name, json_is_true(value) ? "yes" : "no");
        } else {
            printf("%s: %.15g\n", name, json_number_value(value));
        }
    }
}

static void print_report(const struct flo_cli *cli, const json_t *report)
{
    json_t *line;
    size_t i;

    print_findings(cli, report);
    print_facts(report);
    if (flo_out_u64(report, "cut_lines") > 0) {
        printf("(%llu older lines are left out)\n",
               (unsigned long long)flo_out_u64(report, "cut_lines"));
    }
    json_array_foreach(json_object_get(report, "lines"), i, line)
    {
        char text[4 * FLO_OUT_PLAIN];
        const char *raw = json_string_value(line);
        flo_text_clean(raw, strlen(raw), text, sizeof(text));
        printf("%s\n", text);
    }
}

static int show_report(struct flo_cli *cli, const char *id, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *report = NULL;
    char path[160];

    snprintf(path, sizeof(path), "/v1/reports/%.100s", id);
    int rv = flo_api_get(cli, path, &report, err);
    if (rv == 0 && flo_out_is_data(cli)) {
        flo_out_json(cli, report);
    } else if (rv == 0) {
        print_report(cli, report);
    }
    return rv;
}

/* Reports why a requested report is missing: the device refused, is silent, or
 * is offline. */
static int no_report(const json_t *order, const char *name, uint64_t timeout_ms,
                     struct flo_err *err)
{
    const json_t *device = json_array_get(json_object_get(order, "devices"), 0);
    const char *id = flo_out_text(order, "id", "?");
    char what[FLO_OUT_PLAIN];

    if (flo_out_u64(order, "failed") > 0) {
        return flo_fail(
            err, FLO_E_ROLLOUT_PARTLY, "%s refused: %s", name,
            flo_out_plain(device, "error.what", flo_out_text(device, "error.id", "?"), what));
    }
    if (json_is_true(json_object_get(device, "online"))) {
        flo_fail(err, FLO_E_NET_TIMEOUT, "%s is online and did not answer within %llu ms", name,
                 (unsigned long long)timeout_ms);
        return flo_err_fix(err, "ask later: flotilla order report %s", id);
    }
    flo_fail(err, FLO_E_NET_TIMEOUT, "%s is offline", name);
    return flo_err_fix(err, "it answers when it is back: flotilla order report %s", id);
}

int flo_device_ask(struct flo_cli *cli, const char *op, json_t *body, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *asked = NULL;
    FLO_CLEANUP(flo_json_cleanup) json_t *order = NULL;
    const char *name = cli->args.words[0];
    uint64_t timeout_ms;

    FLO_TRY(flo_args_ms(&cli->args, "timeout", 60000, &timeout_ms, err));
    if (!flo_name_is_valid(name)) {
        return flo_fail(err, FLO_E_DEVICE_ABSENT, "no device `%.80s`", name);
    }
    json_object_set_new(body, "op", json_string(op));
    json_object_set_new(body, "device", json_string(name));
    FLO_TRY(flo_api_call(cli, "POST", "/v1/orders", body, &asked, err));
    const char *id = flo_out_text(asked, "id", "");
    flo_out_say(cli, "asked %s by order %s", name, id);
    int rv = flo_watch_order(cli, id, timeout_ms, &order, err);
    if (order != NULL && flo_out_u64(order, "done") == 0) {
        return no_report(order, name, timeout_ms, err);
    }
    FLO_TRY(rv);
    return show_report(cli, id, err);
}

int flo_cmd_order_report(struct flo_cli *cli, struct flo_err *err)
{
    const char *id = cli->args.words[0];

    return flo_name_is_valid(id) ? show_report(cli, id, err)
                                 : flo_fail(err, FLO_E_ABSENT, "no order `%.80s`", id);
}

/* Specification of a rollout: built from rollout.yaml and flags. */
#include <stdlib.h>
#include <string.h>

#include "base/host/yaml.h"

#include "server-stub/cli/rollout/rollout.h"
#include "server-stub/core/spec/spec.h"

/* Parses a value as YAML does: as a number if it is one, else as a text. */
static json_t *scalar(const char *text)
{
    char *end;
    double number = strtod(text, &end);
    bool is_number = end != text && *end == '\0' && text[strspn(text, "0123456789.")] == '\0';
    bool is_whole = is_number && strspn(text, "0123456789") == strlen(text) && strlen(text) < 18;

    return is_whole    ? json_integer((json_int_t)strtoll(text, NULL, 10))
           : is_number ? json_real(number)
                       : json_string(text);
}

/* ---- "VALUE,MEMBER=VALUE": phases and gates ---- */

static bool is_of_kind(const char *name, const char *wanted)
{
#define FLO_SPEC(part, field, kind, ...)                                                           \
    if (strcmp(#kind, wanted) == 0 && strcmp(field, name) == 0) {                                  \
        return true;                                                                               \
    }
#include "server-stub/core/spec/spec.def"
    return false;
}

static json_t *list_of(const char *text, const char *between)
{
    json_t *list = json_array();

    while (*text != '\0') {
        size_t chars = strcspn(text, between);
        json_array_append_new(list, json_stringn(text, chars));
        text += chars + (text[chars] != '\0');
    }
    return list;
}

/* Parses "hw+site" as a list of both words.  A single word such as "hw" becomes
 * a list if the field needs one. */
static json_t *list_or_scalar(const char *name, const char *text)
{
    return strchr(text, '+') == NULL && !is_of_kind(name, "NAMES") ? scalar(text)
                                                                   : list_of(text, "+");
}

/* Puts a value such as "ramp.factor=2" into the object.  The last name is the
 * member; the names before are objects in each other. */
static void put_member(json_t *object, char *path, const char *value)
{
    char *dot;

    while ((dot = strchr(path, '.')) != NULL) {
        *dot = '\0';
        object = flo_json_object_at(object, path);
        path = dot + 1;
    }
    json_object_set_new(object, path, list_or_scalar(path, value));
}

static int read_members(const char *flag, char *rest, json_t *object, struct flo_err *err)
{
    char *more = NULL;

    for (char *word = strtok_r(rest, ",", &more); word != NULL; word = strtok_r(NULL, ",", &more)) {
        char *value = strchr(word, '=');
        if (value == NULL) {
            return flo_fail(err, FLO_E_USAGE, "--%s: `%.40s` is no MEMBER=VALUE", flag, word);
        }
        *value++ = '\0';
        put_member(object, word, value);
    }
    return 0;
}

static int read_pairs(const char *flag, const char *first, const char *text, json_t *object,
                      struct flo_err *err)
{
    char copy[512];

    if (strlen(text) >= sizeof(copy)) {
        return flo_fail(err, FLO_E_USAGE, "--%s `%.40s…` is too long", flag, text);
    }
    snprintf(copy, sizeof(copy), "%s", text);
    char *rest = strchr(copy, ',');
    if (rest != NULL) {
        *rest++ = '\0';
    }
    json_object_set_new(object, first, scalar(copy));
    return rest != NULL ? read_members(flag, rest, object, err) : 0;
}

/* ---- phases ---- */

static int read_phase(const char *text, size_t index, bool is_only, json_t *phases,
                      struct flo_err *err)
{
    json_t *phase = json_object();
    char name[32];

    json_array_append_new(phases, phase);
    snprintf(name, sizeof(name), is_only ? "all" : index == 0 ? "canary" : "phase-%zu", index + 1);
    json_object_set_new(phase, "name", json_string(name));
    int rv = read_pairs("phase", "size", text, phase, err);
    const json_t *size = json_object_get(phase, "size");
    struct flo_spec_size parsed;
    bool is_size =
        json_is_integer(size)
            ? json_integer_value(size) > 0
            : json_is_string(size) && flo_spec_size_parse(json_string_value(size), &parsed);
    FLO_TRY(rv);
    return is_size ? rv
                   : flo_fail(err, FLO_E_USAGE,
                              "--phase `%.40s` is neither a number of devices nor "
                              "a share as 20%%",
                              text);
}

static int read_phases(const struct flo_args *args, json_t *spec, struct flo_err *err)
{
    const char *text;
    const char *second;
    bool is_given = flo_args_has(args, "phase");
    bool is_only = is_given && !flo_args_each(args, "phase", 1, &second);
    int rv = 0;

    if (!is_given) {
        return 0; /* Without the flag, the value of the file or of the controller stays. */
    }
    json_t *phases = json_array();
    json_object_set_new(spec, "phases", phases);
    for (size_t i = 0; rv == 0 && flo_args_each(args, "phase", i, &text); i++) {
        rv = read_phase(text, i, is_only, phases, err);
    }
    return rv;
}

/* ---- gates ---- */

/* Reads a gate such as "ttft_us,margin=1.3,action=pause".  The controller
 * checks its members and their limits. */
static int read_gates(const struct flo_args *args, json_t *spec, struct flo_err *err)
{
    json_t *list = json_array();
    const char *text;
    int rv = 0;

    for (size_t i = 0; flo_args_each(args, "gate", i, &text) && rv == 0; i++) {
        json_t *gate = json_object();
        json_array_append_new(list, gate);
        rv = read_pairs("gate", "metric", text, gate, err);
    }
    if (json_array_size(list) > 0) {
        json_object_set(flo_json_object_at(spec, "gates"), "ratio", list);
    }
    json_decref(list);
    return rv;
}

/* ---- flags of one value ---- */

static int add_ms(const struct flo_args *args, const char *flag, json_t *spec, const char *part,
                  const char *key, struct flo_err *err)
{
    uint64_t ms;

    FLO_TRY(flo_args_ms(args, flag, 0, &ms, err));
    if (flo_args_has(args, flag)) {
        json_object_set_new(flo_json_object_at(spec, part), key, json_integer((json_int_t)ms));
    }
    return 0;
}

static int add_u64(const struct flo_args *args, const char *flag, uint64_t max, json_t *object,
                   const char *key, struct flo_err *err)
{
    uint64_t value;

    FLO_TRY(flo_args_u64(args, flag, 0, max, 0, &value, err));
    if (flo_args_has(args, flag)) {
        json_object_set_new(object, key, json_integer((json_int_t)value));
    }
    return 0;
}

/* Reads conditions such as "mains,idle": each word sets a field of the
 * policy. */
static int add_waits(const struct flo_args *args, json_t *spec, struct flo_err *err)
{
    static const char *const known[] = {"mains", "cool", "idle", "unmetered"};
    const char *words = flo_args_text(args, "wait-for", "");

    while (words[0] != '\0') {
        size_t bytes = strcspn(words, ","), i = 0;
        char key[32];

        while (i < FLO_COUNT(known) &&
               (strlen(known[i]) != bytes || memcmp(known[i], words, bytes) != 0)) {
            i++;
        }
        if (i == FLO_COUNT(known)) {
            return flo_fail(err, FLO_E_USAGE,
                            "--wait-for: `%.*s` is none of mains, cool, idle, "
                            "unmetered",
                            (int)(bytes < 80 ? bytes : 80), words);
        }
        snprintf(key, sizeof(key), "wait_%s", known[i]);
        json_object_set_new(flo_json_object_at(spec, "policy"), key, json_integer(1));
        words += bytes + (words[bytes] == ',');
    }
    return 0;
}

/* Flags that set fields of spec.def, by name and part. */
static const struct {
    enum flo_spec_part part;
    const char *name;
    const char *flag;
    bool is_switch;
} fields[] = {
#define FLO_SPEC_FLAG(part, name, kind, member, least, most, standard, possible, flag, value,      \
                      meaning, change)                                                             \
    {FLO_SPEC_##part, name, flag, (value) == NULL},
#include "server-stub/core/spec/spec.def"
};

/* Gets a flag's value.  For a field with labels, "hw,site,site&hw" is a
 * list. */
static json_t *given(const struct flo_args *args, const char *name, const char *flag)
{
    const char *text = flo_args_text(args, flag, "");

    return is_of_kind(name, "LABELS") ? list_of(text, ",") : scalar(text);
}

static void add_fields(const struct flo_args *args, json_t *spec)
{
    if (flo_args_has(args, "group")) {
        json_object_del(spec, "target");
    }
    for (size_t i = 0; i < FLO_COUNT(fields); i++) {
        if (flo_args_has(args, fields[i].flag)) {
            json_object_set_new(
                fields[i].part == FLO_SPEC_LIMITS ? flo_json_object_at(spec, "limits") : spec,
                fields[i].name,
                fields[i].is_switch ? json_true() : given(args, fields[i].name, fields[i].flag));
        }
    }
}

static int add_policy(const struct flo_args *args, json_t *spec, struct flo_err *err)
{
    if (flo_args_has(args, "urgent")) {
        json_object_set_new(flo_json_object_at(spec, "policy"), "urgent", json_integer(1));
    }
    if (flo_args_has(args, "soak-requests")) {
        FLO_TRY(add_u64(args, "soak-requests", 1000000, flo_json_object_at(spec, "policy"),
                        "soak_requests", err));
    }
    if (flo_args_has(args, "rate")) {
        FLO_TRY(add_u64(args, "rate", UINT64_C(1) << 40, flo_json_object_at(spec, "policy"),
                        "rate_bytes_per_s", err));
    }
    FLO_TRY(add_ms(args, "probe-timeout", spec, "policy", "probe_timeout_ms", err));
    return add_waits(args, spec, err);
}

static int add_failed(const struct flo_args *args, json_t *spec, struct flo_err *err)
{
    static const char *const flags[] = {"max-failed", "silence"};

    for (size_t i = 0; i < FLO_COUNT(flags); i++) {
        if (flo_args_has(args, flags[i])) {
            json_t *gates = flo_json_object_at(spec, "gates");
            FLO_TRY(i == 0 ? add_u64(args, flags[i], 100, flo_json_object_at(gates, "failed"),
                                     "max_pct", err)
                           : add_ms(args, flags[i], gates, "failed", "silence_ms_max", err));
        }
    }
    return 0;
}

/* ---- the file ---- */

static int load(const char *path, struct flo_yaml **yaml, struct flo_err *err)
{
    static const char standard[] = "/dev/stdin";

    FLO_TRY(flo_yaml_load(strcmp(path, "-") == 0 ? standard : path, yaml, err));
    if (!json_is_object(flo_yaml_root(*yaml))) {
        return flo_fail(err, FLO_E_REST_SCHEMA,
                        "%s:1: it has no fields; `flotilla rollout init` shows "
                        "how one looks",
                        path);
    }
    return 0;
}

/* Adds file and line to an error.  The line is that of the field, or of the
 * nearest enclosing part that the file has. */
static int with_line(const struct flo_yaml *yaml, int rv, struct flo_err *err)
{
    char path[FLO_SPEC_PATH_MAX];

    flo_spec_path(err, path);
    while (path[0] != '\0') {
        unsigned line = flo_yaml_line(yaml, path);
        char *dot = strrchr(path, '.');
        char *bracket = strrchr(path, '[');
        if (line > 0) {
            return flo_wrap(err, rv, "%s:%u", flo_yaml_name(yaml), line);
        }
        char *end = dot > bracket || bracket == NULL ? dot : bracket;
        *(end != NULL ? end : path) = '\0';
    }
    return flo_wrap(err, rv, "%s", flo_yaml_name(yaml));
}

/* Finds the flag that set the field at `path`.  NULL: the file set the field,
 * or nothing did. */
static const char *flag_of(const struct flo_args *args, const char *path)
{
    static const char limits[] = "limits.";
    const char *whole = path;

    path += strncmp(path, limits, sizeof(limits) - 1) == 0 ? sizeof(limits) - 1 : 0;
    size_t chars = strcspn(path, "[.");
    for (size_t i = 0; i < FLO_COUNT(fields); i++) {
        if (strlen(fields[i].name) == chars && memcmp(fields[i].name, path, chars) == 0 &&
            flo_args_has(args, fields[i].flag)) {
            return fields[i].flag;
        }
    }
    return strncmp(whole, "phases", 6) == 0 && flo_args_has(args, "phase") ? "phase" : NULL;
}

/* Reports a wrong field in the form in which the person gave it: as a flag, or
 * as a line of the file. */
static int told(const struct flo_args *args, const struct flo_yaml *yaml, int rv,
                struct flo_err *err)
{
    char path[FLO_SPEC_PATH_MAX];

    flo_spec_path(err, path);
    const char *flag = flag_of(args, path);
    if (flag == NULL && yaml != NULL) {
        return with_line(yaml, rv, err);
    }
    if (err->code == FLO_E_REST_SCHEMA) {
        rv = err->code = FLO_E_USAGE;
    }
    return flag != NULL ? flo_wrap(err, rv, "--%s", flag) : rv;
}

static int build(struct flo_cli *cli, json_t *spec, struct flo_err *err)
{
    const struct flo_args *args = &cli->args;

    add_fields(args, spec);
    FLO_TRY(read_phases(args, spec, err));
    FLO_TRY(read_gates(args, spec, err));
    FLO_TRY(add_failed(args, spec, err));
    FLO_TRY(add_policy(args, spec, err));
    return 0;
}

/* Applies the flags over the file's specification.  Takes ownership of yaml and
 * spec. */
static int finish(struct flo_cli *cli, struct flo_yaml *yaml, json_t *spec, int rv, json_t **out,
                  struct flo_err *err)
{
    static struct flo_spec read;

    if (rv == 0) {
        rv = build(cli, spec, err);
    }
    if (rv == 0) {
        rv = flo_spec_read(spec, &read, err);
        if (rv < 0) {
            rv = told(&cli->args, yaml, rv, err);
        }
    }
    flo_yaml_free(yaml);
    if (rv < 0) {
        json_decref(spec);
        return rv;
    }
    *out = spec;
    return 0;
}

int flo_rollout_spec(struct flo_cli *cli, json_t **out, struct flo_err *err)
{
    const char *path = flo_args_text(&cli->args, "file", NULL);
    struct flo_yaml *yaml = NULL;
    int rv = 0;

    if (path == NULL && cli->args.word_count == 0) {
        flo_fail(err, FLO_E_USAGE, "give MODEL@VERSION, or --file");
        return flo_err_fix(err, "flotilla rollout init > rollout.yaml");
    }
    rv = path == NULL ? 0 : load(path, &yaml, err);
    json_t *spec = rv == 0 && yaml != NULL ? json_deep_copy(flo_yaml_root(yaml)) : json_object();
    if (cli->args.word_count > 0) {
        json_object_set_new(spec, "release", json_string(cli->args.words[0]));
    }
    return finish(cli, yaml, spec, rv, out, err);
}

bool flo_rollout_has_members(const char *name)
{
#define FLO_SPEC(part, field, kind, ...)                                                           \
    if (strcmp(#part, "SPEC") == 0 && strcmp(field, name) == 0 &&                                  \
        (strcmp(#kind, "PART") == 0 || strcmp(#kind, "POLICY") == 0)) {                            \
        return true;                                                                               \
    }
#include "server-stub/core/spec/spec.def"
    return false;
}

static void add_file(json_t *spec, json_t *file)
{
    const char *name;
    json_t *value;

    if (json_object_get(file, "release") != NULL) { /* the whole specification */
        json_object_clear(spec);
    }
    json_object_foreach(file, name, value)
    {
        json_t *before = json_object_get(spec, name);
        if (flo_rollout_has_members(name) && json_is_object(before) && json_is_object(value)) {
            json_object_update(before, value);
        } else {
            json_object_set_new(spec, name, json_deep_copy(value));
        }
    }
}

bool flo_rollout_edit_is_asked(const struct flo_args *args)
{
    static const char *const others[] = {"file", "phase", "gate", "max-failed", "silence"};
    bool is_asked = false;

    for (size_t i = 0; i < FLO_COUNT(others); i++) {
        is_asked = is_asked || flo_args_has(args, others[i]);
    }
    /* `--reason` is for the audit, and no field of the specification, so it
     * alone is no change. */
    for (size_t i = 0; i < FLO_COUNT(fields); i++) {
        is_asked = is_asked ||
                   (strcmp(fields[i].flag, "reason") != 0 && flo_args_has(args, fields[i].flag));
    }
    return is_asked;
}

int flo_rollout_edit_spec(struct flo_cli *cli, const json_t *before, json_t **out,
                          struct flo_err *err)
{
    const char *path = flo_args_text(&cli->args, "file", NULL);
    struct flo_yaml *yaml = NULL;
    json_t *spec = json_deep_copy(before);
    json_t *why = json_incref(json_object_get(spec, "reason"));
    int rv = path == NULL ? 0 : load(path, &yaml, err);

    if (rv == 0 && yaml != NULL) {
        add_file(spec, flo_yaml_root(yaml));
    }
    rv = finish(cli, yaml, spec, rv, out, err);
    /* A new reason replaces the rollout's; without one, the reason of its start
     * stays. */
    if (rv == 0 && why != NULL) {
        json_object_set(*out, "reason", why);
    } else if (rv == 0) {
        json_object_del(*out, "reason");
    }
    json_decref(why);
    return rv;
}

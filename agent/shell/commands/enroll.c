/* Enroll: `flotilla-agent enroll` makes a key that never leaves the device, and
 * sends a signing request with a one-time token to the controller.  The answer
 * is the device's identity (contracts/device.md section 7).  The controller's
 * TLS certificate must come from the authority whose fingerprint is in the
 * token. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <flotilla/errors/cfg.h>
#include <flotilla/errors/enrol.h>

#include "agent/shell/commands/commands.h"
#include "agent/shell/identity/enrol_answer.h"
#include "agent/shell/identity/pair.h"
#include "base/host/crypto.h"
#include "base/host/http_client.h"
#include "base/host/tls_time.h"

#define LABELS_MAX 32

struct spec {
    const char *controller, *token_file, *state_dir, *name;
    char host[FLO_NAME_MAX + 1];
    char serial[FLO_NAME_MAX + 1]; /* "": not known */
    char folder[4096];
    json_t *labels;
    json_t *told; /* identity of the device, printed as the answer for a program */
};

static int take_label(struct spec *spec, const char *text, struct flo_err *err)
{
    const char *equals = strchr(text, '=');
    char key[FLO_NAME_MAX + 1] = "";

    if (equals != NULL && (size_t)(equals - text) < sizeof(key)) {
        memcpy(key, text, (size_t)(equals - text));
    }
    if (!flo_name_is_valid(key) || strlen(equals + 1) > 256 ||
        json_object_size(spec->labels) >= LABELS_MAX) {
        return flo_fail(err, FLO_E_USAGE, "--label %s: key=value, at most %d of them", text,
                        LABELS_MAX);
    }
    json_object_set_new(spec->labels, key, json_string(equals + 1));
    return 0;
}

/* Takes the machine's host name as the device's name, when the user gave
 * none. */
static int name_of_host(struct spec *spec, struct flo_err *err)
{
    if (gethostname(spec->host, sizeof(spec->host) - 1) < 0) {
        return flo_fail_errno(err, FLO_E_USAGE,
                              "--name is missing, and the "
                              "machine has none");
    }
    for (char *c = spec->host; *c != '\0'; c++) {
        *c = *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
    }
    spec->name = spec->host;
    return 0;
}

/* Takes the serial number that the user gave, else that of the device tree or
 * of the firmware, which only root can read. */
static void take_serial(struct spec *spec, const char *given)
{
    static const char *const files[] = {"/sys/firmware/devicetree/base/serial-number",
                                        "/sys/class/dmi/id/product_serial"};

    snprintf(spec->serial, sizeof(spec->serial), "%s", given != NULL ? given : "");
    for (size_t i = 0; i < FLO_COUNT(files) && spec->serial[0] == '\0'; i++) {
        FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
        size_t bytes;
        if (flo_file_read(files[i], 4096, &text, &bytes, NULL) == 0) {
            text[strcspn(text, " \t\r\n")] = '\0';
            snprintf(spec->serial, sizeof(spec->serial), "%.64s", text);
        }
    }
}

static int fill(struct spec *spec, const struct flo_args *args, struct flo_err *err)
{
    const char *label;
    int rv = 0;

    spec->controller = flo_args_text(args, "controller", "");
    spec->token_file = flo_args_text(args, "token-file", "");
    spec->state_dir = flo_args_text(args, "state-dir", NULL);
    spec->name = flo_args_text(args, "name", NULL);
    take_serial(spec, flo_args_text(args, "serial", NULL));
    for (size_t i = 0; rv == 0 && flo_args_each(args, "label", i, &label); i++) {
        rv = take_label(spec, label, err);
    }
    if (rv == 0 && spec->name == NULL) {
        rv = name_of_host(spec, err);
    }
    if (rv == 0 && spec->state_dir == NULL) {
        rv = flo_settings_folder(flo_args_text(args, "config", NULL), spec->folder, err);
        spec->state_dir = spec->folder;
    }
    if (rv == 0 && !flo_name_is_valid(spec->name)) {
        return flo_fail(err, FLO_E_META_NAME, "--name `%s` is no device name", spec->name);
    }
    if (rv == 0 && strncmp(spec->controller, "https://", 8) != 0) {
        return flo_fail(err, FLO_E_USAGE, "--controller %s: https://host:port", spec->controller);
    }
    return rv;
}

/* Reads a file with a token: flt1.<26 characters>.<32 hex digits>. */
static int read_token(const char *path, char *token, size_t token_bytes, char *fingerprint,
                      struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    uint8_t digits[16];
    size_t bytes;
    const char *last;
    int rv = flo_file_read(path, 4096, &text, &bytes, err);

    if (rv < 0) {
        return flo_wrap(err, rv, "--token-file");
    }
    text[strcspn(text, " \t\r\n")] = '\0';
    last = strrchr(text, '.');
    if (strncmp(text, "flt1.", 5) != 0 || last == text + 4 ||
        !flo_hex_decode(last + 1, digits, sizeof(digits)) || strlen(last + 1) != 32 ||
        strlen(text) >= token_bytes) {
        return flo_fail(err, FLO_E_ENROL_TOKEN, "%s does not hold an enrolment token", path);
    }
    snprintf(token, token_bytes, "%s", text);
    memcpy(fingerprint, last + 1, 33);
    flo_secret_wipe(text, bytes);
    return 0;
}

static int save(const char *dir, const char *name, const char *text, mode_t mode,
                struct flo_err *err)
{
    char path[4200];

    if (!flo_path_join(path, sizeof(path), dir, name)) {
        return flo_fail(err, FLO_E_CFG_RANGE, "%s is too long", dir);
    }
    return flo_file_write(path, text, strlen(text), mode, err);
}

static int remove_before(const char *dir, struct flo_err *err)
{
    char path[4200];

    if (!flo_path_join(path, sizeof(path), dir, "trust.json.before") ||
        (unlink(path) < 0 && errno != ENOENT)) {
        return flo_fail_errno(err, FLO_E_IO_WRITE, "%s", path);
    }
    return 0;
}

static int save_pair(struct spec *spec, const struct flo_key *key,
                     const struct flo_enrol_answer *answer, struct flo_err *err)
{
    struct flo_identity_pairs pairs;
    size_t place = 0;

    FLO_TRY(flo_pairs_name(spec->state_dir, &pairs, err));
    FLO_TRY(flo_pairs_write(&pairs, FLO_PAIRS, key, answer->certificate, answer->at_ms,
                            flo_wall_ms(), &place, err));
    FLO_TRY(flo_pairs_link(&pairs, place, err));
    spec->told =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:O}", "device", answer->device, "name",
                  spec->name, "fleet", answer->fleet, "controller", spec->controller, "broker",
                  answer->broker, "key", pairs.files[place], "groups", answer->groups);
    return 0;
}

static int save_answer(struct spec *spec, const char *dir, const struct flo_key *key,
                       const struct flo_enrol_answer *answer, struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};

    FLO_TRY(flo_enrol_answer_identity(answer, spec->name, spec->controller, &text, err));
    FLO_TRY(save(dir, "trust.json", answer->trust.data, 0644, err));
    /* an earlier enrolment, perhaps in another fleet, may have left files */
    FLO_TRY(remove_before(dir, err));
    FLO_TRY(save_pair(spec, key, answer, err));
    FLO_TRY(save(dir, "ca.pem", answer->ca, 0644, err));
    /* identity.json is written last, because it makes the device count as
     * enrolled */
    return save(dir, "identity.json", text.data, 0644, err);
}

static int ask(struct spec *spec, const char *dir, const char *token, const char *fingerprint,
               const struct flo_key *key, const char *csr, struct flo_err *err)
{
    struct flo_http_options options = {.ca_fingerprint = fingerprint, .timeout_ms = 30000};
    struct flo_settings settings = {0};
    struct flo_err warning = {0};
    struct flo_machine machine;
    struct flo_http_answer answer = {0};
    struct flo_http *http = NULL;
    FLO_CLEANUP(flo_json_cleanup) json_t *body = NULL;
    struct flo_enrol_answer got;
    struct flo_buf text = {0};
    char url[600];

    FLO_TRY(flo_settings_load(NULL, spec->state_dir, &settings, err));
    flo_machine_look(&settings, &machine);
    body = json_pack("{s:s, s:s, s:s, s:O, s:o}", "token", token, "csr", csr, "name", spec->name,
                     "labels", spec->labels, "profile",
                     flo_machine_json(&settings, &machine, flo_disk_free(spec->state_dir)));
    flo_json_put_text(body, "serial", spec->serial);
    flo_settings_deinit(&settings);
    if (body == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "enrolment");
    }
    flo_json_dump(body, &text);
    snprintf(url, sizeof(url), "%s/v1/enroll", spec->controller);
    uint64_t now_ms = flo_wall_ms();

    if (flo_tls_time_set(now_ms < flo_build_ms() ? flo_build_ms() : now_ms, false, &warning) < 0) {
        flo_log_err(FLO_LOG_WARN, "enroll", &warning);
    }
    int rv = flo_http_open(&options, &http, err);
    if (rv == 0) {
        struct flo_http_request request = {
            .method = "POST",
            .url = url,
            .body = text.data,
            .body_bytes = text.bytes,
            .answer_bytes_max = FLO_ENROL_ANSWER_BYTES_MAX,
        };
        rv = flo_http_call(http, &request, &answer, err);
    }
    if (rv == 0 && answer.status != 201 && answer.status != 200) {
        rv = flo_http_fail(&answer, "enrolment", err);
    }
    if (rv == 0) {
        rv = flo_enrol_answer_read(answer.body.data, answer.body.bytes, &got, err);
        if (rv == 0) {
            rv = save_answer(spec, dir, key, &got, err);
            flo_enrol_answer_deinit(&got);
        }
    }
    flo_buf_deinit(&answer.body);
    flo_secret_wipe(text.data, text.bytes);
    flo_buf_deinit(&text);
    flo_http_close(http);
    return rv;
}

static int enroll(struct spec *spec, struct flo_err *err)
{
    char dir[4200];
    char path[4300];
    char token[256];
    char fingerprint[33];
    struct flo_key *key = NULL;
    struct flo_buf csr = {0};
    int rv = read_token(spec->token_file, token, sizeof(token), fingerprint, err);

    if (rv == 0) {
        rv = flo_process_as_owner(spec->state_dir, err);
    }
    FLO_TRY(rv);
    if (!flo_path_join(dir, sizeof(dir), spec->state_dir, "identity") ||
        !flo_path_join(path, sizeof(path), dir, "identity.json")) {
        return flo_fail(err, FLO_E_CFG_RANGE, "--state-dir is too long");
    }
    if (access(path, F_OK) == 0) {
        rv = flo_fail(err, FLO_E_STATE, "%s is enrolled already", spec->state_dir);
        flo_err_fix(err, "remove %s to enrol it again", dir);
        return rv;
    }
    rv = flo_dir_make(spec->state_dir, 0700, err);
    if (rv == 0 && chmod(spec->state_dir, 0700) != 0) {
        rv = flo_fail_errno(err, FLO_E_CFG_PERM, "%s", spec->state_dir);
    }
    if (rv == 0) {
        rv = flo_dir_make(dir, 0700, err);
    }
    if (rv == 0) {
        rv = flo_key_generate(&key, err);
    }
    if (rv == 0) {
        rv = flo_csr_make(key, spec->name, &csr, err);
    }
    if (rv == 0) {
        rv = ask(spec, dir, token, fingerprint, key, csr.data, err);
    }
    flo_secret_wipe(token, sizeof(token));
    flo_buf_deinit(&csr);
    flo_key_free(key);
    return rv;
}

static void tell(const json_t *told, bool is_json)
{
    if (is_json) {
        json_dumpf(told, stdout, JSON_COMPACT);
        printf("\n");
        return;
    }
    printf(" ✓ key kept           %s (0600, never leaves the device)\n"
           " ✓ certificate        CN=%s, fleet %s\n"
           " ✓ broker             %s\n"
           "enrolled.  next: systemctl restart flotilla-agent, or "
           "flotilla-agent run\n",
           json_string_value(json_object_get(told, "key")),
           json_string_value(json_object_get(told, "device")),
           json_string_value(json_object_get(told, "fleet")),
           json_string_value(json_object_get(told, "broker")));
}

static int run(void *line, struct flo_err *err)
{
    const struct flo_args *args = line;
    struct spec spec = {.labels = json_object()};
    int rv = fill(&spec, args, err);

    if (rv == 0) {
        rv = enroll(&spec, err);
    }
    if (rv == 0) {
        tell(spec.told, args->is_json);
    }
    json_decref(spec.labels);
    json_decref(spec.told);
    return rv;
}

static const struct flo_flag flags[] = {
    {"controller", "URL", "https://host:port, for devices", FLO_ASKED, .is_needed = true},
    {"token-file", "FILE", "the enrolment token", FLO_ASKED, .is_needed = true},
    {"name", "NAME", "name of this device (default: the machine's name)", FLO_ASKED},
    {"serial", "NUMBER", "serial number of this device (default: the machine's own)", FLO_ASKED},
    {"label", "KEY=VALUE", "a label of this device; may be repeated", FLO_ASKED},
    FLO_FLAGS_END,
};
const struct flo_verb flo_verb_enroll = {
    .name = "enroll",
    .usage = "--controller URL --token-file FILE [--name NAME] [--serial "
             "NUMBER] [--label K=V] [-o json]",
    .help = "become a device of a fleet",
    .flags = {flags, FLO_FLAGS_JSON},
    .state = &flo_agent_line,
    .run = run,
    .example = "--controller https://fleet.example:8443 --token-file "
               "enroll.token --label site=lyon",
};

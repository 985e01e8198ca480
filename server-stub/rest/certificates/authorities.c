/* REST: rotates the fleet's certificate authorities, and retires one. */
#include <string.h>

#include <flotilla/errors/ca.h>

#include "server-stub/rest/rest.h"
#include "server-stub/state/pki/pki.h"

#define NAMES_MAX 1000 /* largest number of devices' names in an answer */

/* ---- who holds what ---- */

struct holders {
    const struct flo_pki *pki;
    uint64_t counts[FLO_AUTHORITIES_MAX];
    uint64_t others; /* number of certificates whose authority was deleted */
};

static int count_holder(void *context, const char *device, const char *authority)
{
    struct holders *holders = context;
    const struct flo_authority *its = flo_pki_authority(holders->pki, authority);
    size_t count = its != NULL ? flo_pki_authority_count(holders->pki) : 0;
    size_t at = 0;

    (void)device;
    while (at < count && flo_pki_authority_at(holders->pki, at) != its) {
        at++;
    }
    *(at == count ? &holders->others : &holders->counts[at]) += 1;
    return 0;
}

struct names {
    struct flo_controller *controller;
    const char *authority;
    json_t *list;
    struct flo_err *err;
};

static int add_name(void *context, const struct flo_fleet_device *device)
{
    json_array_append_new(context, json_string(device->name));
    return 0;
}

static int name_holder(void *context, const char *device, const char *authority)
{
    const struct names *names = context;

    return strcmp(authority, names->authority) != 0 || json_array_size(names->list) >= NAMES_MAX
               ? 0
               : flo_fleet_device_get(names->controller->store, device, add_name, names->list,
                                      names->err);
}

/* Lists the names of the devices that hold a certificate of this authority. */
static int holders_of(struct flo_controller *controller, const char *authority, json_t **out,
                      struct flo_err *err)
{
    struct names names = {controller, authority, json_array(), err};
    int rv = flo_pki_holders(controller, name_holder, &names, err);

    if (rv < 0) {
        json_decref(names.list);
        return rv;
    }
    *out = names.list;
    return 0;
}

/* ---- status ---- */

static json_t *view(const struct flo_authority *authority, uint64_t devices)
{
    char hex[2 * FLO_DIGEST_BYTES + 1];

    flo_hex_encode(authority->fingerprint.bytes, FLO_DIGEST_BYTES, hex);
    return json_pack("{s:s,s:s,s:I,s:I,s:I,s:s}", "name", authority->name, "fingerprint", hex,
                     "from_ms", (json_int_t)authority->from_ms, "until_ms",
                     (json_int_t)authority->until_ms, "devices", (json_int_t)devices, "certificate",
                     authority->pem);
}

static int status(struct flo_controller *controller, json_t **out, struct flo_err *err)
{
    const struct flo_pki *pki = controller->pki;
    const struct flo_controller_options *options = &controller->options;
    struct holders holders = {.pki = pki};
    uint64_t now_ms = flo_wall_ms();
    uint64_t ending = 0;
    uint64_t ended = 0;

    FLO_TRY(flo_pki_holders(controller, count_holder, &holders, err));
    FLO_TRY(flo_fleet_certificate_ending(controller->store, FLO_CERTIFICATE_HELD, now_ms,
                                         now_ms + options->certificate_life_ms / 6, &ending, err));
    FLO_TRY(flo_fleet_certificate_ending(controller->store, FLO_CERTIFICATE_HELD, 0, now_ms, &ended,
                                         err));
    json_t *list = json_array();
    for (size_t i = 0; i < flo_pki_authority_count(pki); i++) {
        json_t *one = view(flo_pki_authority_at(pki, i), holders.counts[i]);
        json_object_set_new(one, "is_newest", json_boolean(i + 1 == flo_pki_authority_count(pki)));
        json_object_set_new(one, "signs_controller",
                            json_boolean(flo_pki_authority_at(pki, i) == flo_pki_oldest(pki)));
        json_array_append_new(list, one);
    }
    *out = json_pack("{s:o,s:I,s:I,s:I,s:I,s:I,s:I}", "authorities", list, "life_ms",
                     (json_int_t)options->certificate_life_ms, "grace_ms",
                     (json_int_t)options->certificate_grace_ms, "ending", (json_int_t)ending,
                     "ended", (json_int_t)ended, "cut_off", (json_int_t)holders.others,
                     "controller_until_ms", (json_int_t)flo_pki_leaves_until_ms(pki));
    return *out != NULL ? 0 : flo_fail(err, FLO_E_MEMORY, "authorities");
}

int flo_rest_ca(struct flo_rest_call *call, struct flo_err *err)
{
    return status(call->controller, &call->out, err);
}

/* Answers with the revocation lists as PEM, one for each authority, for the
 * operator of an external broker. */
int flo_rest_ca_revoked(struct flo_rest_call *call, struct flo_err *err)
{
    char FLO_CLEANUP(flo_free_cleanup) *pem = NULL;
    size_t bytes;

    FLO_TRY(flo_file_read(flo_pki_files(call->controller->pki)->revoked_file, 64u << 20, &pem,
                          &bytes, err));
    call->out = json_pack("{s:s%,s:s%}", "revoked", pem, bytes, "authorities",
                          flo_pki_ca(call->controller->pki)->data,
                          flo_pki_ca(call->controller->pki)->bytes);
    return 0;
}

static void on_revoked(void *context, struct flo_httpd_request *request)
{
    char FLO_CLEANUP(flo_free_cleanup) *pem = NULL;
    struct flo_rest *rest = context;
    struct flo_err err = {0};
    size_t bytes = 0;

    rest->requests++;
    int rv = flo_rest_may_read(rest->controller, request, &err);
    if (rv == 0) {
        rv = flo_rest_query_check(request, "", &err);
    }
    if (rv == 0) {
        rv = flo_file_read(flo_pki_files(rest->controller->pki)->revoked_file, 64u << 20, &pem,
                           &bytes, &err);
    }
    if (rv < 0) {
        flo_httpd_answer_err(request, &err);
        return;
    }
    flo_httpd_add_header(request, "Cache-Control", "no-cache");
    flo_httpd_answer(request, 200, "application/x-pem-file", pem, bytes);
}

int flo_rest_revoked_open(struct flo_rest *rest, struct flo_err *err)
{
    return flo_rest_stream_open(rest, FLO_STREAM_REVOKED, on_revoked, err);
}

/* ---- rolling ---- */

int flo_rest_ca_rotate(struct flo_rest_call *call, struct flo_err *err)
{
    FLO_TRY(flo_pki_rotate(call->controller, err));
    return status(call->controller, &call->out, err);
}

static int refuse(json_t *devices, const struct flo_authority *authority, struct flo_err *err)
{
    char names[160] = "";

    for (size_t i = 0; i < json_array_size(devices) && i < 4; i++) {
        size_t at = strlen(names);
        snprintf(names + at, sizeof(names) - at, "%s%s", i == 0 ? "" : ", ",
                 json_string_value(json_array_get(devices, i)));
    }
    flo_err_why(err, "%s%s", names, json_array_size(devices) > 4 ? " and more" : "");
    return flo_err_fix(err,
                       "wait (flotilla ca status); or --confirm %s: they must "
                       "enrol again",
                       authority->name);
}

int flo_rest_ca_retire(struct flo_rest_call *call, struct flo_err *err)
{
    struct flo_controller *controller = call->controller;
    const struct flo_authority *found;
    FLO_CLEANUP(flo_json_cleanup) json_t *devices = NULL;
    const char *name = json_string_value(json_object_get(call->in, "authority"));
    const char *confirm = json_string_value(json_object_get(call->in, "confirm"));

    if ((found = flo_pki_authority(controller->pki, name)) == NULL) {
        return flo_fail(err, FLO_E_ABSENT, "no authority %.64s", name);
    }
    struct flo_authority gone = *found;
    bool is_newest = found == flo_pki_newest(controller->pki);
    FLO_TRY(holders_of(controller, gone.name, &devices, err));
    int rv = flo_authority_may_retire(is_newest, json_array_size(devices),
                                      confirm != NULL && strcmp(confirm, gone.name) == 0, err);
    if (rv == FLO_E_CA_HELD) {
        rv = refuse(devices, &gone, err);
    }
    FLO_TRY(rv);
    FLO_TRY(flo_pki_retire(controller, gone.name, err));
    FLO_TRY(status(controller, &call->out, err));
    json_object_set(call->out, "devices_cut_off", devices);
    return 0;
}

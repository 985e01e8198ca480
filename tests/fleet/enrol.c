/* Identities: each device enrols by a call of its own.  They share a key; it
 * is the certificate that counts. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/pem.h>

#include <flotilla/errors/enrol.h>
#include <flotilla/errors/sig.h>

#include "base/host/crypto.h"
#include "base/host/http_client.h"
#include "base/host/json.h"
#include "tests/fleet/fleet.h"

#define THREADS_MAX 64

static struct {
    char token[256], fingerprint[33];
    char *csr; /* as a JSON text */
    char **certificates;
    char (*ids)[37];
    struct flo_buf first; /* the answer of one of them */
    uint32_t next, failed;
    struct flo_err err;
    pthread_mutex_t mutex;
} enrolment = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static int token_read(struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    size_t bytes;
    int rv = flo_file_read(fleet.token_file, 4096, &text, &bytes, err);

    if (rv < 0) {
        return rv;
    }
    text[strcspn(text, " \t\r\n")] = '\0';
    const char *last = strrchr(text, '.');
    if (last == NULL || strlen(last + 1) != 32 || strlen(text) >= sizeof(enrolment.token)) {
        return flo_fail(err, FLO_E_ENROL_TOKEN, "%s holds no enrolment token", fleet.token_file);
    }
    snprintf(enrolment.token, sizeof(enrolment.token), "%s", text);
    snprintf(enrolment.fingerprint, sizeof(enrolment.fingerprint), "%s", last + 1);
    return 0;
}

static int key_make(struct flo_err *err)
{
    struct flo_key *key = NULL;
    struct flo_buf csr = {0};
    int rv = flo_key_generate(&key, err);

    snprintf(fleet.key_file, sizeof(fleet.key_file), "%s/device.key", fleet.folder);
    rv = rv < 0 ? rv : flo_key_save(key, fleet.key_file, err);
    rv = rv < 0 ? rv : flo_csr_make(key, "x", &csr, err);
    if (rv == 0) {
        FILE *file = fopen(fleet.key_file, "re");
        json_t *json = json_string(csr.data);
        fleet.key = file == NULL ? NULL : PEM_read_PrivateKey(file, NULL, NULL, NULL);
        enrolment.csr = json_dumps(json, JSON_ENCODE_ANY);
        json_decref(json);
        if (file != NULL) {
            fclose(file);
        }
        rv = fleet.key == NULL || enrolment.csr == NULL
                 ? flo_fail(err, FLO_E_SIG_FORMAT, "%s", fleet.key_file)
                 : 0;
    }
    flo_key_free(key);
    flo_buf_deinit(&csr);
    return rv;
}

/* ---- one of them ---- */

static int answer_take(uint32_t index, const struct flo_http_answer *answer, struct flo_err *err)
{
    json_t *json;
    int rv = flo_json_parse(answer->body.data, answer->body.bytes, 1 << 20, &json, err);

    if (rv < 0) {
        return rv;
    }
    const char *id = json_string_value(json_object_get(json, "device"));
    const char *pem = json_string_value(json_object_get(json, "certificate"));
    if (id == NULL || strlen(id) != 36 || pem == NULL) {
        rv = flo_fail(err, FLO_E_META_SCHEMA, "an enrolment without identity");
    } else {
        memcpy(enrolment.ids[index], id, 37);
        enrolment.certificates[index] = strdup(pem);
    }
    json_decref(json);
    if (rv == 0 && index == 0) {
        flo_buf_add(&enrolment.first, answer->body.data, answer->body.bytes);
    }
    return rv;
}

static int enrol_one(uint32_t index, struct flo_err *err)
{
    const struct flo_http_options options = {.ca_fingerprint = enrolment.fingerprint,
                                             .timeout_ms = 60000};
    struct flo_http_request request = {.method = "POST", .answer_bytes_max = 1 << 20};
    struct flo_http_answer answer = {0};
    struct flo_http *http = NULL;
    struct flo_buf body = {0};
    char url[600];
    int rv = flo_http_open(&options, &http, err);

    snprintf(url, sizeof(url), "%s/v1/enroll", fleet.controller);
    flo_buf_printf(&body,
                   "{\"token\":\"%s\",\"csr\":%s,\"name\":\"%s-%05u\","
                   "\"labels\":{\"script\":\"%s\",\"site\":\"site-%02u\"},"
                   "\"profile\":{\"arch\":\"x86_64\",\"memory_bytes\":"
                   "4294967296}}",
                   enrolment.token, enrolment.csr, fleet.prefix, index + 1,
                   fleet_script_word(fleet.devices[index].script), index % 20);
    request.url = url;
    request.body = body.data;
    request.body_bytes = body.bytes;
    rv = rv < 0 ? rv : flo_http_call(http, &request, &answer, err);
    if (rv == 0 && answer.status != 201) {
        rv = flo_http_fail(&answer, "enrolment", err);
    }
    rv = rv < 0 ? rv : answer_take(index, &answer, err);
    flo_buf_deinit(&body);
    flo_buf_deinit(&answer.body);
    flo_http_close(http);
    return rv;
}

static void *work(void *unused)
{
    uint32_t index;

    while ((index = __atomic_fetch_add(&enrolment.next, 1, __ATOMIC_RELAXED)) < sim->device_count) {
        struct flo_err err = {0};
        if (enrol_one(index, &err) < 0) {
            pthread_mutex_lock(&enrolment.mutex);
            enrolment.failed++;
            enrolment.err = err;
            pthread_mutex_unlock(&enrolment.mutex);
        }
    }
    return unused;
}

/* ---- what they say together ---- */

/* Not synced: they are for an hour. */
static int file_write(const char *path, const char *text, struct flo_err *err)
{
    FILE *file = fopen(path, "we");
    bool is_written = file != NULL && fputs(text, file) >= 0;

    if (file != NULL && fclose(file) != 0) {
        is_written = false;
    }
    return is_written ? 0 : flo_fail_errno(err, FLO_E_IO_WRITE, "%s", path);
}

static int text_of(const json_t *json, const char *key, char *out, size_t out_bytes,
                   struct flo_err *err)
{
    const char *text = json_string_value(json_object_get(json, key));

    if (text == NULL || strlen(text) >= out_bytes) {
        return flo_fail(err, FLO_E_META_SCHEMA, "enrolment without %s", key);
    }
    snprintf(out, out_bytes, "%s", text);
    return 0;
}

static int broker_read(const char *url, struct flo_err *err)
{
    const char *host = strstr(url, "://");
    const char *port = strrchr(url, ':');

    if (host == NULL || port < host + 3 || (size_t)(port - host - 3) >= sizeof(fleet.broker_host) ||
        strlen(port + 1) >= sizeof(fleet.broker_port)) {
        return flo_fail(err, FLO_E_META_SCHEMA, "broker %s", url);
    }
    memcpy(fleet.broker_host, host + 3, (size_t)(port - host - 3));
    snprintf(fleet.broker_port, sizeof(fleet.broker_port), "%s", port + 1);
    return 0;
}

/* For the controller's order key, which the statement names. */
static int proof_key_make(struct flo_err *err)
{
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *key = NULL;
    struct flo_trust_key order;
    struct flo_public_key controller;
    int rv;

    if (!flo_trust_key_with(sim->controller.trust, FLO_ROLE_ORDER, &order)) {
        return flo_fail(err, FLO_E_META_SCHEMA, "no order key is trusted");
    }
    if ((rv = flo_public_key_parse(order.pem, strlen(order.pem), &controller, err)) < 0 ||
        (rv = flo_key_load(fleet.key_file, &key, err)) < 0) {
        return rv;
    }
    fleet.proofs = flo_wall_ms() << 10;
    return flo_proof_key_device(key, &controller, &fleet.proof, err);
}

static int common_read(struct flo_err *err)
{
    json_t *json;
    char broker[512];
    struct flo_buf trust = {0};
    int rv = flo_json_parse(enrolment.first.data, enrolment.first.bytes, 1 << 20, &json, err);

    if (rv < 0) {
        return rv;
    }
    rv = text_of(json, "fleet", fleet.name, sizeof(fleet.name), err);
    rv = rv < 0 ? rv : text_of(json, "mqtt", broker, sizeof(broker), err);
    rv = rv < 0 ? rv : text_of(json, "api", fleet.api, sizeof(fleet.api), err);
    rv = rv < 0 ? rv : broker_read(broker, err);
    snprintf(sim->fleet, sizeof(sim->fleet), "%s", fleet.name);
    if (rv == 0) {
        const char *ca = json_string_value(json_object_get(json, "ca"));
        snprintf(fleet.ca_file, sizeof(fleet.ca_file), "%s/ca.pem", fleet.folder);
        ca = ca == NULL ? "" : ca;
        rv = file_write(fleet.ca_file, ca, err);
    }
    if (rv == 0) {
        flo_json_dump(json_object_get(json, "trust"), &trust);
        rv = flo_trust_parse(trust.data, trust.bytes, &sim->controller.trust, err);
    }
    rv = rv < 0 ? rv : proof_key_make(err);
    flo_buf_deinit(&trust);
    json_decref(json);
    return rv;
}

static int device_take(uint32_t index, struct flo_err *err)
{
    struct fleet_device *device = &fleet.devices[index];
    char path[4300];
    char *pem = enrolment.certificates[index];
    BIO *bio = BIO_new_mem_buf(pem, -1);

    device->certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    memcpy(sim->devices[index].id, enrolment.ids[index], 37);
    snprintf(path, sizeof(path), "%s/%05u.pem", fleet.folder, index);
    int rv = device->certificate == NULL ? flo_fail(err, FLO_E_SIG_FORMAT, "certificate %u", index)
                                         : file_write(path, pem, err);
    free(pem);
    return rv;
}

int fleet_enrol(double *seconds, struct flo_err *err)
{
    pthread_t threads[THREADS_MAX];
    uint32_t count = fleet.enrolling < THREADS_MAX ? fleet.enrolling : THREADS_MAX;
    uint64_t begin_us;
    int rv = token_read(err);

    rv = rv < 0 ? rv : key_make(err);
    if (rv < 0) {
        return rv;
    }
    enrolment.certificates = calloc(sim->device_count, sizeof(*enrolment.certificates));
    enrolment.ids = calloc(sim->device_count, sizeof(*enrolment.ids));
    begin_us = flo_now_us();
    for (uint32_t i = 0; i < count; i++) {
        if (pthread_create(&threads[i], NULL, work, NULL) != 0) {
            abort();
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
    }
    *seconds = (double)(flo_now_us() - begin_us) / 1e6;
    if (enrolment.failed > 0) {
        *err = enrolment.err;
        return flo_wrap(err, err->code, "%u of %u enrolments", enrolment.failed, sim->device_count);
    }
    rv = common_read(err);
    for (uint32_t i = 0; rv == 0 && i < sim->device_count; i++) {
        rv = device_take(i, err);
    }
    free(enrolment.certificates);
    free(enrolment.ids);
    free(enrolment.csr);
    flo_buf_deinit(&enrolment.first);
    return rv;
}

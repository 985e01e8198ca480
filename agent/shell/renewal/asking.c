#include "agent/shell/renewal/asking.h"

#include <stdlib.h>
#include <string.h>

#include "agent/shell/identity/enrol_answer.h"
#include "base/host/crypto.h"

struct flo_asking {
    struct flo_key *key;
    flo_asking_done *done;
    void *context;
    struct flo_https *https;
};

/* ---- the request ---- */

static json_t *names_json(const struct flo_identity *identity)
{
    FLO_CLEANUP(flo_free_cleanup) char *pem = NULL;
    struct flo_authority_names names = {0};
    json_t *list = json_array();
    size_t bytes = 0;

    if (flo_file_read(identity->ca_file, FLO_PEM_BYTES_MAX, &pem, &bytes, NULL) == 0 &&
        flo_authorities_read(pem, bytes, &names, NULL) == 0) {
        for (size_t i = 0; i < names.count; i++) {
            json_array_append_new(list, json_string(names.list[i]));
        }
    }
    return list;
}

static int write_body(const struct flo_identity *identity, const struct flo_key *key,
                      const char *life, struct flo_buf *out, struct flo_err *err)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) csr = {0};
    FLO_CLEANUP(flo_json_cleanup) json_t *body = NULL;

    FLO_TRY(flo_csr_make(key, identity->device, &csr, err));
    body = json_pack("{s:i, s:s, s:o, s:s*}", "v", 1, "csr", csr.data, "authorities",
                     names_json(identity), "life", life);
    if (body != NULL) {
        flo_json_dump(body, out);
    }
    return body == NULL || out->failed ? flo_fail(err, FLO_E_MEMORY, "renewal") : 0;
}

/* ---- the call ---- */

static void asking_free(struct flo_asking *asking)
{
    flo_key_free(asking->key);
    free(asking);
}

static void on_done(void *context, const struct flo_http_answer *answer,
                    const struct flo_err *failed)
{
    struct flo_asking *asking = context;
    struct flo_asked asked = {.key = asking->key, .after_ms = answer->retry_after_ms};

    if (failed != NULL) {
        asked.err = *failed;
    } else if (answer->status != 201) {
        asked.err.code = flo_http_fail(answer, "renewal", &asked.err);
    } else {
        asked.answer = answer->body.data != NULL ? answer->body.data : "";
        asked.answer_bytes = answer->body.bytes;
    }
    asking->done(asking->context, &asked);
    asking_free(asking);
}

void flo_asking_cancel(struct flo_asking *asking)
{
    if (asking != NULL) {
        flo_https_cancel(asking->https);
        asking_free(asking);
    }
}

static int start(struct flo_asking *asking, struct flo_shell *shell, const char *life,
                 struct flo_err *err)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) body = {0};

    FLO_TRY(flo_key_generate(&asking->key, err));
    FLO_TRY(write_body(&shell->identity, asking->key, life, &body, err));
    return flo_https_start(shell,
                           &(struct flo_https_ask){.method = "POST",
                                                   .path = "/v1/enroll/renew",
                                                   .body = &body,
                                                   .answer_bytes_max = FLO_ENROL_ANSWER_BYTES_MAX,
                                                   .done = on_done,
                                                   .context = asking},
                           &asking->https, err);
}

int flo_asking_start(struct flo_shell *shell, const char *life, flo_asking_done *done,
                     void *context, struct flo_asking **out, struct flo_err *err)
{
    struct flo_asking *asking = calloc(1, sizeof(*asking));
    int rv;

    if (asking == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "renewal");
    }
    asking->done = done;
    asking->context = context;
    rv = start(asking, shell, life, err);
    if (rv < 0) {
        asking_free(asking);
        return rv;
    }
    *out = asking;
    return 0;
}

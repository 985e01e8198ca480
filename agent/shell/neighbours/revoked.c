/* Revoked certificates: fetches the controller's list of them, and stores it in
 * a file for the process that serves neighbours and for the site's listener. */
#include <string.h>

#include <flotilla/errors/net.h>

#include "agent/shell/https/https.h"
#include "agent/shell/neighbours/neighbourhood.h"

#define LIST_BYTES_MAX (4u << 20)
#define EACH_MS (5u * 60 * 1000)
#define AGAIN_MS 10000

static bool is_same(const struct flo_neighbourhood *hood, const struct flo_buf *list)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    size_t bytes = 0;

    return flo_file_read(hood->list_file, LIST_BYTES_MAX, &text, &bytes, NULL) == 0 &&
           bytes == list->bytes && memcmp(text, list->data, bytes) == 0;
}

/* Takes a newer list.  Connections of devices whose certificate is revoked now
 * are closed too. */
static int take_list(struct flo_neighbourhood *hood, const struct flo_buf *list,
                     struct flo_err *err)
{
    if (list->bytes == 0) {
        return flo_fail(err, FLO_E_NET_CONTENT, "an empty list came");
    }
    if (is_same(hood, list)) {
        return 0;
    }
    FLO_TRY(flo_file_write(hood->list_file, list->data, list->bytes, 0600, err));
    flo_share_end(hood);
    return 0;
}

static void on_done(void *context, const struct flo_http_answer *answer,
                    const struct flo_err *failed)
{
    struct flo_neighbourhood *hood = context;
    struct flo_err err = {0};
    uint64_t now_ms = flo_now_ms();
    int rv;

    hood->asking = NULL;
    if (failed != NULL) {
        flo_log_err(FLO_LOG_INFO, "neighbours", failed);
        hood->list_again_ms = now_ms + AGAIN_MS;
        return;
    }
    rv = answer->status == 200 ? take_list(hood, &answer->body, &err)
                               : flo_http_fail(answer, "the list of revoked certificates", &err);
    hood->list_again_ms = now_ms + (rv < 0 ? AGAIN_MS : EACH_MS);
    if (rv < 0) {
        flo_log_err(FLO_LOG_WARN, "neighbours", &err);
        return;
    }
    hood->list_at_ms = now_ms;
    flo_share_look(hood, now_ms);
    flo_site_look(hood, now_ms);
}

void flo_revoked_look(struct flo_neighbourhood *hood, uint64_t now_ms)
{
    const struct flo_https_ask ask = {.path = "/v1/revoked",
                                      .answer_bytes_max = LIST_BYTES_MAX,
                                      .done = on_done,
                                      .context = hood};
    struct flo_err err = {0};

    if (hood->asking != NULL || now_ms < hood->list_again_ms) {
        return;
    }
    if (flo_https_start(hood->shell, &ask, &hood->asking, &err) < 0) {
        flo_log_err(FLO_LOG_WARN, "neighbours", &err);
        hood->list_again_ms = now_ms + AGAIN_MS;
    }
}

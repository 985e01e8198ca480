/* HTTPS and clock of a device: trust statements, and what the kernel says of the
 * time. */
#include <sys/timex.h>

#include "agent/shell/https/https.h"
#include "base/host/tls_time.h"
#include "tests/sim/device/device.h"
#include "tests/sim/ports/ports.h"

#define PEER_MS UINT64_C(86400000) /* the certificate of a peer begins so long before */

int flo_https_start(struct flo_shell *shell, const struct flo_https_ask *ask,
                    struct flo_https **out, struct flo_err *err)
{
    struct sim_device *device = sim_of(shell);

    (void)err;
    device->https.done = ask->done;
    device->https.context = ask->context;
    *out = (struct flo_https *)device;
    if (device->runs) {
        sim_trust_fetch(device);
    }
    return 0;
}

void flo_https_cancel(struct flo_https *https)
{
    if (https != NULL) {
        ((struct sim_device *)https)->https.done = NULL;
    }
}

void sim_trust_fetched(struct sim_device *device, const char *text)
{
    flo_https_done *done = device->https.done;
    struct flo_http_answer answer = {.status = 200};
    struct flo_err err = {0};

    if (done == NULL) {
        return;
    }
    device->https.done = NULL;
    if (text == NULL) {
        (void)flo_fail(&err, FLO_E_NET_UNREACHABLE, "no controller");
        done(device->https.context, NULL, &err);
        return;
    }
    flo_buf_text(&answer.body, text);
    done(device->https.context, &answer, NULL);
    flo_buf_deinit(&answer.body);
}

/* ---- the clock ---- */

int adjtimex(struct timex *kernel)
{
    bool is_right = sim->actor != NULL && sim->actor->is_synchronised;

    kernel->status = is_right ? 0 : STA_UNSYNC;
    return is_right ? TIME_OK : TIME_ERROR;
}

int __wrap_flo_tls_time_set(uint64_t now_ms, bool is_synchronised, struct flo_err *err)
{
    struct sim_device *device = &sim->devices[sim->actor->index];

    (void)err;
    device->tls_ahead_ms = (int64_t)now_ms - (int64_t)sim_device_now_ms(device);
    device->tls_is_sure = is_synchronised;
    return 0;
}

bool __wrap_flo_tls_time_peer(uint64_t *from_ms, uint64_t *until_ms)
{
    *from_ms = sim->plays_clocks ? sim->peer_from_ms : sim->wall_ms - PEER_MS;
    *until_ms = sim->plays_clocks ? sim->peer_until_ms : sim->wall_ms + 800 * PEER_MS;
    return true;
}

/* Broker: loads the guard, mosquitto's plugin that limits devices (guard/), and
 * reads its report of devices that exceeded a limit. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server-stub/mqtt/broker/process.h"

#define PROGRAM "flotilla-broker-guard.so"
#define REPORT "mosquitto/shares"
#define REPORT_BYTES_MAX 16384

/* Finds the guard's plugin: next to the controller as in a build, or where it
 * is installed. */
static bool find(char *out, size_t bytes)
{
    return (flo_process_sibling(PROGRAM, out, bytes) && access(out, R_OK) == 0) ||
           (flo_process_sibling("../lib/flotilla/" PROGRAM, out, bytes) && access(out, R_OK) == 0);
}

void flo_broker_guard_lines(const struct flo_controller *controller, uint16_t port,
                            struct flo_buf *out)
{
    char path[4096];

    if (!find(path, sizeof(path))) {
        flo_log(FLO_LOG_WARN, "broker",
                "no " PROGRAM " beside the program: the broker limits neither what a "
                "device sends nor connections before CONNECT");
        return;
    }
    flo_buf_printf(out,
                   "plugin %s\nplugin_opt_fleet %s\nplugin_opt_port %u\n"
                   "plugin_opt_report %s/" REPORT "\n",
                   path, controller->fleet, port, controller->dir);
}

int flo_broker_guard_preload(char *out, size_t bytes)
{
    char path[4096];
    const char *more = getenv("LD_PRELOAD");
    int chars = snprintf(out, bytes, "LD_PRELOAD=/proc/self/fd/3:%s", more != NULL ? more : "");

    return chars < (int)bytes && find(path, sizeof(path)) ? open(path, O_RDONLY | O_CLOEXEC) : -1;
}

void flo_broker_shares(const struct flo_controller *controller, uint64_t since_ms,
                       flo_broker_share_fn *take, void *context)
{
    char path[4096];
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    size_t bytes;
    char *rest = NULL;

    if (!flo_path_join(path, sizeof(path), controller->dir, REPORT) ||
        flo_file_read(path, REPORT_BYTES_MAX, &text, &bytes, NULL) < 0) {
        return; /* Without a report no device has exceeded a limit. */
    }
    for (char *line = strtok_r(text, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        char device[FLO_NAME_MAX + 1];
        char share[32];
        unsigned long long at_s = 0;
        if (sscanf(line, "%64s %31s %llu", device, share, &at_s) == 3 && at_s >= since_ms / 1000) {
            take(context, device, share);
        }
    }
}

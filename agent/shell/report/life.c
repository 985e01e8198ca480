/* Life: by what people tell this machine from another one with its identity. */
#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/small.h"

#include "agent/shell/report/report.h"

#define TEXT_MAX 65

/* Finds the address from which this machine reaches other networks.  Connecting
 * a datagram socket sends nothing: the kernel only chooses a route, here to the
 * address that is reserved for documents. */
static bool find_address(char *out, size_t bytes)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)};
    struct sockaddr_in own = {0};
    socklen_t own_bytes = sizeof(own);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        return false;
    }
    inet_pton(AF_INET, "192.0.2.1", &to.sin_addr);
    bool is_found = connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0 &&
                    getsockname(fd, (struct sockaddr *)&own, &own_bytes) == 0 &&
                    inet_ntop(AF_INET, &own.sin_addr, out, (socklen_t)bytes) != NULL;
    close(fd);
    return is_found;
}

json_t *flo_report_life(const struct flo_shell *shell)
{
    char text[TEXT_MAX] = "";
    json_t *json = json_pack("{s:s}", "id", shell->life);

    if (gethostname(text, sizeof(text) - 1) == 0) {
        json_object_set_new(json, "host", json_string(text));
    }
    if (find_address(text, sizeof(text))) {
        json_object_set_new(json, "address", json_string(text));
    }
    if (flo_small_read("/proc/device-tree/serial-number", text, sizeof(text)) > 0) {
        json_object_set_new(json, "serial", json_string(text));
    }
    return json;
}

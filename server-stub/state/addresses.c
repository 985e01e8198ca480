/* Addresses: reads the controller's addresses from its options, finds free
 * ports and writes URLs. */
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server-stub/state/addresses.h"
#include "server-stub/state/controller.h"

bool flo_address_is_any(const char *host)
{
    return strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
}

/* Stores the host by which devices connect: --public-host, or else the host of
 * --listen-devices.  The wildcard 0.0.0.0 is refused. */
static int public_host(struct flo_controller *controller, struct flo_err *err)
{
    const char *host = controller->options.public_host != NULL ? controller->options.public_host
                                                               : controller->addresses.devices;

    if (flo_address_is_any(host)) {
        return flo_fail(err, FLO_E_USAGE, "--public-host is needed: devices cannot reach %s", host);
    }
    if (host[0] == '\0' || strlen(host) > 200 ||
        strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                     "0123456789.:-") != strlen(host)) {
        return flo_fail(err, FLO_E_USAGE, "--public-host `%.200s` is no host", host);
    }
    snprintf(controller->addresses.public, sizeof(controller->addresses.public), "%s", host);
    return 0;
}

int flo_address_check(const char *address, struct flo_err *err)
{
    const char *colon = strrchr(address, ':');
    bool bracket = address[0] == '[';
    size_t chars = colon == NULL ? 0 : (size_t)(colon - address);

    if (colon == NULL || chars == 0 || chars > 200 ||
        strspn(colon + 1, "0123456789") != strlen(colon + 1) || colon[1] == '\0' ||
        strtoul(colon + 1, NULL, 10) > 65535 || (bracket && colon[-1] != ']')) {
        return flo_fail(err, FLO_E_USAGE, "`%.200s` is no HOST:PORT", address);
    }
    return 0;
}

int flo_addresses_read(struct flo_controller *controller, struct flo_err *err)
{
    const char *addresses[] = {controller->options.listen, controller->options.listen_devices};
    char *hosts[] = {controller->addresses.people, controller->addresses.devices};

    for (size_t i = 0; i < 2; i++) {
        const char *address = addresses[i];
        if (address == NULL) {
            snprintf(controller->addresses.devices, sizeof(controller->addresses.devices), "%s",
                     controller->addresses.people);
            continue;
        }
        bool bracket = address[0] == '[';
        int rv = flo_address_check(address, err);
        FLO_TRY(rv);
        size_t chars = (size_t)(strrchr(address, ':') - address);
        snprintf(hosts[i], 256, "%.*s", (int)(chars - (bracket ? 2 : 0)),
                 address + (bracket ? 1 : 0));
    }
    return public_host(controller, err);
}

void flo_address_url(char *out, const char *scheme, const char *host, uint16_t port)
{
    bool is_v6 = strchr(host, ':') != NULL;

    snprintf(out, 512, "%s://%s%s%s:%u", scheme, is_v6 ? "[" : "", host, is_v6 ? "]" : "", port);
}

const char *flo_address_local(const char *host)
{
    return flo_address_is_any(host) ? "127.0.0.1" : host;
}

int flo_address_bind(const char *host, uint16_t port, uint16_t *bound)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    struct sockaddr_storage name;
    socklen_t bytes = sizeof(name);
    char text[8];
    int rv = -1;

    snprintf(text, sizeof(text), "%u", port);
    if (getaddrinfo(host, text, &hints, &list) != 0 || list == NULL) {
        return -1;
    }
    int fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int one = 1;
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0 &&
        bind(fd, list->ai_addr, list->ai_addrlen) == 0 &&
        getsockname(fd, (struct sockaddr *)&name, &bytes) == 0) {
        char service[8];
        rv = getnameinfo((struct sockaddr *)&name, bytes, NULL, 0, service, sizeof(service),
                         NI_NUMERICSERV);
        *bound = (uint16_t)strtoul(service, NULL, 10);
    }
    if (fd >= 0) {
        close(fd);
    }
    freeaddrinfo(list);
    return rv;
}

bool flo_address_is_embedded(const char *broker_or_null, uint16_t *port)
{
    static const char word[] = "embedded";
    size_t chars = sizeof(word) - 1;

    *port = 0;
    if (broker_or_null == NULL || strcmp(broker_or_null, word) == 0) {
        return true;
    }
    if (strncmp(broker_or_null, word, chars) != 0 || broker_or_null[chars] != ':') {
        return false;
    }
    const char *digits = broker_or_null + chars + 1;
    size_t count = strspn(digits, "0123456789");
    unsigned long number = strtoul(digits, NULL, 10);
    *port = (uint16_t)number;
    return count > 0 && count <= 5 && digits[count] == '\0' && number > 0 && number <= UINT16_MAX;
}

uint16_t flo_address_standard_port(const struct flo_controller *controller, uint16_t standard)
{
    const char *colon = strrchr(controller->options.listen, ':');
    uint16_t bound;

    return atoi(colon + 1) != 0 &&
                   flo_address_bind(controller->addresses.devices, standard, &bound) == 0
               ? standard
               : 0;
}

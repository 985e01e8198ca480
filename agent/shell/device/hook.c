/* See hook.h. */
#include "agent/shell/device/hook.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/rows.h>

int flo_hook_signal(const char *word)
{
    static const struct row {
        const char *word;
        int number;
    } signals[] = {
        {"HUP", SIGHUP}, {"USR1", SIGUSR1}, {"USR2", SIGUSR2}, {"INT", SIGINT}, {"TERM", SIGTERM}};
    const struct row *row = FLO_FIND_WORD(word, signals, FLO_COUNT(signals), word);

    return row == NULL ? 0 : row->number;
}

static bool is_number(const char *host)
{
    struct in6_addr address;

    return inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1;
}

/* Reads "127.0.0.1" or "[::1]".  Returns the number of bytes read; 0: the text
 * begins with no such host. */
static size_t read_host(const char *text, char *out, size_t out_bytes)
{
    bool is_wrapped = text[0] == '[';
    size_t chars = is_wrapped ? strcspn(text + 1, "]") : strcspn(text, ":/");

    if (chars == 0 || chars >= out_bytes || (is_wrapped && text[chars + 1] != ']')) {
        return 0;
    }
    memcpy(out, text + is_wrapped, chars);
    out[chars] = '\0';
    if (strcmp(out, "localhost") == 0) {
        strcpy(out, "127.0.0.1");
    }
    return chars + (is_wrapped ? 2 : 0);
}

bool flo_health_address_read(const char *url, struct flo_health_address *out)
{
    static const char scheme[] = "http://";
    char *end;
    size_t taken;
    long port;

    memset(out, 0, sizeof(*out));
    if (strncmp(url, scheme, sizeof(scheme) - 1) != 0) {
        return false;
    }
    url += sizeof(scheme) - 1;
    taken = read_host(url, out->host, sizeof(out->host));
    if (taken == 0 || !is_number(out->host) || url[taken] != ':') {
        return false;
    }
    port = strtol(url + taken + 1, &end, 10);
    if (url[taken + 1] < '0' || url[taken + 1] > '9' || port < 1 || port > 65535 ||
        (*end != '\0' && *end != '/') || strlen(end) >= sizeof(out->path) ||
        end[strcspn(end, " \r\n")] != '\0') {
        return false;
    }
    out->port = (uint16_t)port;
    strcpy(out->path, *end == '\0' ? "/" : end);
    return true;
}

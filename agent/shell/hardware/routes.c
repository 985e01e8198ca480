/* Routes: finds the network interface of the device's default route.  `metered`
 * of agent.yaml lists the interfaces that are paid by the byte. */
#include <stdlib.h>
#include <string.h>

#include "agent/shell/hardware/hardware.h"

/* largest number of lines that are read from the kernel's table of routes */
#define LINES_MAX 4096
#define ROUTE_UP 0x1
#define ROUTE_REJECT 0x200

/* Reads a line of the IPv4 routes: "IFACE DESTINATION GATEWAY FLAGS REFS USE
 * METRIC MASK ...".  METRIC is decimal, the other numbers are hex. */
static bool read_v4(const char *line, char name[FLO_INTERFACE], unsigned long *metric)
{
    unsigned long destination, flags, mask;

    return sscanf(line, "%15s %lx %*x %lx %*d %*d %lu %lx", name, &destination, &flags, metric,
                  &mask) == 5 &&
           destination == 0 && mask == 0 && (flags & ROUTE_UP) != 0;
}

/* Reads a line of the IPv6 routes: "DESTINATION LENGTH SOURCE LENGTH GATEWAY
 * METRIC REFS USE FLAGS IFACE", with numbers in hex. */
static bool read_v6(const char *line, char name[FLO_INTERFACE], unsigned long *metric)
{
    char destination[40];
    unsigned long bits, flags;

    return sscanf(line, "%39s %lx %*s %*x %*s %lx %*x %*x %lx %15s", destination, &bits, metric,
                  &flags, name) == 5 &&
           bits == 0 && strspn(destination, "0") == strlen(destination) &&
           (flags & ROUTE_UP) != 0 && (flags & ROUTE_REJECT) == 0 && strcmp(name, "lo") != 0;
}

typedef bool reader(const char *line, char name[FLO_INTERFACE], unsigned long *metric);

/* Finds the interface of the default route with the lowest metric; "": there is
 * none. */
static void find(const char *root, const char *path, reader *read, char out[FLO_INTERFACE])
{
    char line[512], whole[4300], name[FLO_INTERFACE];
    unsigned long metric, least = 0;
    FILE *file;

    out[0] = '\0';
    snprintf(whole, sizeof(whole), "%.4000s%s", root, path);
    file = fopen(whole, "re");
    for (int i = 0; file != NULL && i < LINES_MAX && fgets(line, sizeof(line), file) != NULL; i++) {
        if (read(line, name, &metric) && (out[0] == '\0' || metric < least)) {
            memcpy(out, name, FLO_INTERFACE);
            least = metric;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
}

void flo_routes_read(const char *root, struct flo_routes *out)
{
    memset(out, 0, sizeof(*out));
    find(root, "/proc/net/route", read_v4, out->v4);
    find(root, "/proc/net/ipv6_route", read_v6, out->v6);
}

bool flo_interface_fits(const char *name, const char *pattern)
{
    size_t bytes = strlen(pattern);

    return bytes > 0 && pattern[bytes - 1] == '*' ? strncmp(name, pattern, bytes - 1) == 0
                                                  : strcmp(name, pattern) == 0;
}

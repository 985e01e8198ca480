/* A program without an API of ours, as deploy/examples/gate.service runs it.
 *
 *   gate check TREE FILE     the probe: TREE/table judges the value in FILE
 *   gate serve TREE PORT     reads TREE/table once, at its start; /health
 *   gate healthy TREE PORT   0: the one that serves has that table's version
 *
 * A table is `VERSION LIMIT STATUS`; STATUS is what /health answers. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct table {
    int version, limit, status;
};

static int read_table(const char *tree, struct table *out)
{
    char path[4096];
    FILE *file;
    int n;

    snprintf(path, sizeof(path), "%s/table", tree);
    file = fopen(path, "r");
    if (file == NULL) {
        perror(path);
        return -1;
    }
    n = fscanf(file, "%d %d %d", &out->version, &out->limit, &out->status);
    fclose(file);
    return n == 3 ? 0 : -1;
}

static int check(const char *tree, const char *path)
{
    struct table table;
    FILE *file = fopen(path, "r");
    int value = 0;

    if (file == NULL || fscanf(file, "%d", &value) != 1 || read_table(tree, &table) < 0) {
        return 3;
    }
    fclose(file);
    printf("{\"is_open\": %d}\n", value < table.limit);
    return 0;
}

static int open_socket(const char *port, struct sockaddr_in *address)
{
    memset(address, 0, sizeof(*address));
    address->sin_family = AF_INET;
    address->sin_port = htons((unsigned short)atoi(port));
    address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return socket(AF_INET, SOCK_STREAM, 0);
}

static int serve(const char *tree, const char *port)
{
    struct sockaddr_in address;
    struct table table;
    int listener = open_socket(port, &address);
    int one = 1;

    signal(SIGPIPE, SIG_IGN);

    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (read_table(tree, &table) < 0 ||
        bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(listener, 8) < 0) {
        perror("serve");
        return 1;
    }
    for (;;) {
        int client = accept(listener, NULL, NULL);
        char text[1024];
        if (read(client, text, sizeof(text)) > 0) {
            dprintf(client, "HTTP/1.1 %d Said\r\nConnection: close\r\n\r\n%d\n", table.status,
                    table.version);
        }
        close(client);
    }
}

static int healthy(const char *tree, const char *port)
{
    struct sockaddr_in address;
    struct table table;
    char text[1024] = "";
    size_t bytes = 0;
    ssize_t n = 1;
    int status, version;
    int fd = open_socket(port, &address);

    if (read_table(tree, &table) < 0 ||
        connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        return 1;
    }
    dprintf(fd, "GET /health HTTP/1.1\r\n\r\n");
    while (bytes < sizeof(text) - 1 && (n = read(fd, text + bytes, sizeof(text) - 1 - bytes)) > 0) {
        bytes += (size_t)n;
    }
    return sscanf(text, "HTTP/1.1 %d Said\r\nConnection: close\r\n\r\n%d", &status, &version) ==
                       2 &&
                   status == 200 && version == table.version
               ? 0
               : 1;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(const char *tree, const char *other);
    } verbs[] = {{"check", check}, {"serve", serve}, {"healthy", healthy}};

    for (size_t i = 0; argc == 4 && i < sizeof(verbs) / sizeof(*verbs); i++) {
        if (strcmp(argv[1], verbs[i].name) == 0) {
            return verbs[i].run(argv[2], argv[3]);
        }
    }
    fprintf(stderr, "usage: gate check|serve|healthy TREE FILE|PORT\n");
    return 2;
}

/* An engine process that misbehaves once its model is loaded: what the
 * sandbox and the agent must bear.  FLOTILLA_HOSTILE names the deed. */
#include "engine/run/run.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *deed;

static void misbehave(int fd)
{
    static char garbage[64] = "this is no frame at all, whatever you think";
    if (strcmp(deed, "socket") == 0) {
        socket(AF_INET, SOCK_STREAM, 0);
    } else if (strcmp(deed, "open") == 0) {
        open("/etc/passwd", O_RDONLY);
    } else if (strcmp(deed, "exec") == 0) {
        execl("/bin/true", "true", (char *)NULL);
    } else if (strcmp(deed, "fork") == 0) {
        syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    } else if (strcmp(deed, "code") == 0) {
        mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    } else if (strcmp(deed, "kill") == 0) {
        kill(getppid(), SIGTERM);
    } else if (strcmp(deed, "garbage") == 0) {
        send(fd, garbage, sizeof(garbage), 0);
    } else if (strcmp(deed, "oversize") == 0) {
        uint8_t head[FLO_WIRE_HEAD_BYTES] = "FLW1";
        flo_put_u32(head + 4, FLO_WIRE_PAYLOAD_BYTES_MAX + 1);
        flo_put_u16(head + 8, FLO_WIRE_TOKEN);
        send(fd, head, sizeof(head), 0);
    } else if (strcmp(deed, "stranger") == 0) {
        struct flo_wire_message message = {.type = FLO_WIRE_TOKEN,
                                           .request = 4711};
        struct flo_buf out = {0};
        if (flo_wire_write(&out, &message, NULL) == 0) {
            send(fd, out.data, out.bytes, 0);
        }
    } else if (strcmp(deed, "crash") == 0) {
        abort();
    } else if (strcmp(deed, "hang") == 0) {
        for (;;) {
            usleep(100000);
        }
    }
}

int main(void)
{
    deed = getenv("FLOTILLA_HOSTILE");
    if (deed == NULL) {
        deed = "";
    }
    return flo_worker_serve(3, misbehave);
}
